"""SubgroupReport: the record that ``check_subgroups`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from knobo.shift.plots import IN_DOMAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATES = ("accuracy", "tpr", "fpr", "ppv", "auroc")
_TITLES = {
    "accuracy": "Accuracy",
    "tpr": "Sensitivity (TPR)",
    "fpr": "False alarms (FPR)",
    "ppv": "PPV",
    "auroc": "AUROC",
}


@dataclass(frozen=True, eq=False, repr=False)
class SubgroupReport:
    """How a classifier does in each subgroup.

    Attributes
    ----------
    table : DataFrame, rows (column, level)
        ``n``, ``n_positive``; ``accuracy``, ``tpr``, ``fpr``, ``ppv`` and ``auroc``, each with ``_low`` and ``_high``;
        NaN where it would rest on fewer than ``min_count`` cases.
    gaps : DataFrame, rows (column, rate)
        ``highest`` and ``lowest``, the two levels that lie furthest apart; their difference ``gap`` and ``ratio``
        (lowest / highest) with intervals. As the two were chosen for lying apart, a gap of many small levels is
        larger than chance would make that of two levels named beforehand.
    positive : label
        The class that counts as positive.
    min_count : int
    confidence : float
    """

    table: pd.DataFrame
    gaps: pd.DataFrame
    positive: Any
    min_count: int
    confidence: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table of subgroups."""
        return self.table.copy()

    def worst(self) -> pd.DataFrame:
        """Return the subgroup that does worst by each rate, of all columns: rows are rates."""
        rows = {}
        for rate in RATES:
            known = self.table[rate].dropna()
            if len(known):
                at = int(known.argmax() if rate == "fpr" else known.argmin())
                column, level = known.index[at]
                found = self.table.loc[(column, level)]
                ends = {end: found[f"{rate}_{end}"] for end in ("low", "high")}
                rows[rate] = {"column": column, "level": level, "n": int(found["n"]), "value": found[rate], **ends}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rate")

    def plot(self, rate: str = "tpr", ax: Axes | None = None) -> Axes:
        """Draw one rate in each subgroup with its interval.

        Parameters
        ----------
        rate : {"accuracy", "tpr", "fpr", "ppv", "auroc"}
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib Axes
        """
        shown = self.table
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=(8, 1.4 + 0.35 * len(shown)), layout="constrained")
        rows, values = np.arange(len(shown)), shown[rate].to_numpy()
        ends = np.abs(shown[[f"{rate}_low", f"{rate}_high"]].to_numpy().T - values)
        error = None if np.isnan(ends).all() else np.nan_to_num(ends)
        ax.errorbar(values, rows, xerr=error, color=IN_DOMAIN, fmt="o", capsize=3)
        for row, (count, value) in enumerate(zip(shown["n"], values, strict=True)):
            text = f"n {count}" if not np.isnan(value) else f"n {count}: too few"
            ax.annotate(text, (1.02, row), xycoords=("axes fraction", "data"), va="center")
        columns = shown.index.get_level_values("column")
        for last in np.flatnonzero(columns[1:] != columns[:-1]):
            ax.axhline(last + 0.5, color="0.8", linewidth=1)
        ax.set_yticks(rows, [f"{column}: {level}" for column, level in shown.index])
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(-0.02, 1.02)
        ax.set_xlabel(_TITLES[rate])
        ax.grid(axis="x", alpha=0.3)
        ax.spines[["top", "right", "left"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        return f"SubgroupReport\n{self._as_text().to_string()}\n{self._caption()}"

    def _repr_html_(self) -> str:
        return f'<div class="knobo-subgroups">{self._as_text().to_html(border=0)}<p>{escape(self._caption())}</p></div>'

    def _as_text(self) -> pd.DataFrame:
        cells = pd.DataFrame({"Cases": self.table["n"], "Positive": self.table["n_positive"]}, index=self.table.index)
        for rate, title in _TITLES.items():
            cells[title] = [_write(row, rate) for _, row in self.table.iterrows()]
        return cells

    def _caption(self) -> str:
        return (
            f"Positive: {self.positive}. A dash: fewer than {self.min_count} cases to count. In brackets: "
            f"{self.confidence:.0%} bootstrap intervals."
        )


def _write(row: pd.Series[float], rate: str) -> str:
    if np.isnan(row[rate]):
        return "–"
    low, high = row[f"{rate}_low"], row[f"{rate}_high"]
    return f"{row[rate]:.2f}" if np.isnan(low) else f"{row[rate]:.2f} ({low:.2f} to {high:.2f})"
