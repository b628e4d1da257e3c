"""ShiftReport: the record that ``check_shift`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from knobo.shift.subgroup_report import SubgroupReport

METRIC_LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "sensitivity_at_specificity": "Sensitivity at fixed specificity",
    "log_loss": "Log loss (lower is better)",
    "ece": "Calibration error (lower is better)",
}
LOWER_IS_BETTER = ("log_loss", "ece")
QUANTITIES = {"id": "ID", "ood": "OOD", "average": "Average", "gap": "Gap"}


@dataclass(frozen=True, eq=False, repr=False)
class ShiftReport:
    """How a classifier does in domain (ID) and out of domain (OOD).

    Attributes
    ----------
    table : DataFrame
        One row a target domain and metric, with the columns of :func:`shift_table`.
    counts : DataFrame of int
        Cases of each class (columns) in the source and in each target (rows).
    confidence : float
        Coverage that the intervals aim at.
    n_bootstrap : int
        Number of resamples that they rest on.
    specificity : float
        What ``sensitivity_at_specificity`` keeps.
    subgroups : dict of set to SubgroupReport
        ``source`` and each target, where metadata were given.
    """

    table: pd.DataFrame
    counts: pd.DataFrame
    confidence: float
    n_bootstrap: int
    specificity: float = 0.9
    subgroups: dict[str, SubgroupReport] = field(default_factory=dict)

    @property
    def domains(self) -> list[str]:
        """Names of the target domains, in order."""
        return list(self.table.index.unique("domain"))

    def to_frame(self) -> pd.DataFrame:
        """Return the table, without the level ``domain`` where there is one target only."""
        return self.table.droplevel("domain") if len(self.domains) == 1 else self.table.copy()

    def worst(self) -> pd.DataFrame:
        """Return, for each metric, the target domain that does worst (column ``domain``), with its values."""
        rows = {}
        for metric, frame in self.table.groupby(level="metric", sort=False):
            values = frame["ood"].droplevel("metric").dropna()
            if len(values):
                domain = values.idxmax() if str(metric) in LOWER_IS_BETTER else values.idxmin()
                rows[metric] = {"domain": domain, **self.table.loc[(domain, metric)].to_dict()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    def worst_groups(self) -> pd.DataFrame:
        """Return the subgroup that does worst in each set, rows (set, rate); empty without metadata."""
        if not self.subgroups:
            return pd.DataFrame()
        return pd.concat({name: report.worst() for name, report in self.subgroups.items()}, names=["set"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, ready for JSON: domain -> metric -> quantity; None where undefined."""
        plain = self.table.astype(object).where(self.table.notna(), None)
        return {
            "confidence": self.confidence,
            "n_bootstrap": self.n_bootstrap,
            "specificity": self.specificity,
            "counts": {name: {str(k): int(n) for k, n in row.items()} for name, row in self.counts.iterrows()},
            "domains": {name: plain.loc[name].to_dict(orient="index") for name in self.domains},
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each metric in and out of domain with its interval, and its gap beside it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib Axes
        """
        from knobo.shift.plots import plot_gap

        return plot_gap(self.table, ax=ax)

    def __repr__(self) -> str:
        return f"ShiftReport\n{self._as_text().to_string()}\n{self._caption()}"

    def _repr_html_(self) -> str:
        table = self._as_text().rename_axis(index=lambda _: None).to_html(border=0)
        return f'<div class="knobo-shift">{table}<p>{escape(self._caption())}</p></div>'

    def _as_text(self) -> pd.DataFrame:
        """The table as a reader wants it: ``0.913 (0.881 to 0.940)``."""
        frame = self.to_frame().rename(index=METRIC_LABELS)
        cells = {title: [with_interval(row, name) for _, row in frame.iterrows()] for name, title in QUANTITIES.items()}
        return pd.DataFrame(cells, index=frame.index)

    def _caption(self) -> str:
        sizes = "; ".join(f"{name}: {n} cases" for name, n in self.counts.sum(axis=1).items())
        text = f"{sizes}. ID: in domain. OOD: out of domain. Gap = ID − OOD. Specificity: {self.specificity:g}."
        if not self.n_bootstrap:
            return text
        how = f"{self.confidence:.0%} bootstrap intervals, {self.n_bootstrap} resamples (AUROC of two classes: DeLong)"
        return f"{text} In brackets: {how}."


def with_interval(row: pd.Series[float], name: str) -> str:
    """Write the quantity ``name`` of one row with its interval; the gap with its sign."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if np.isnan(value):
        return "undefined"
    sign = "+" if name == "gap" else ""
    interval = "" if np.isnan(low) else f" ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"{value:{sign}.3f}{interval}"
