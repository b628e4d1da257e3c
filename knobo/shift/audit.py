"""ConfounderAudit: the record that ``audit_confounders`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from knobo.shift.report import ShiftReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {
    "association": "With the label",
    "label": "Read off the label",
    "concepts": "Read off the concepts",
    "concepts_within_label": "… within a label",
    "embedding": "Read off the embedding",
    "embedding_within_label": "… within a label (embedding)",
}


@dataclass(frozen=True, eq=False, repr=False)
class ConfounderAudit:
    """What hangs together with the label, and what the model could read of it.

    Attributes
    ----------
    table : DataFrame, one row a metadata column
        ``kind`` (category or number), ``n`` cases used, ``note`` (why something is missing; else empty);
        ``association`` with the label: bias-corrected Cramér's V of a category, corrected η² of a number; then how well
        a linear model reads the column on held-out patients off the ``label``, the ``concepts`` and the ``embedding``:
        AUROC (mean over levels) of a category, R² of a number; each with ``_low`` and ``_high``. ``…_within_label``
        compares cases of the same label only: what is read beyond the label.
    carriers : DataFrame
        ``column``, ``concept``, ``share`` of the concept's variance that goes with the column, and that share
        ``within_label``; strongest first within a column.
    reversed : dict of column to ShiftReport
        In domain the column is tied to the label, out of domain the tie is reversed: the gap to expect if it breaks.
    confidence : float
    """

    table: pd.DataFrame
    carriers: pd.DataFrame
    reversed: dict[str, ShiftReport]
    confidence: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table, with accuracy in, out of domain and gap of the reversed split as ``reversed_…``."""
        frame = self.table.drop(columns="note")
        if self.reversed:
            rows = {name: report.to_frame().loc["accuracy"] for name, report in self.reversed.items()}
            wanted = ["id", "ood", "gap", "gap_low", "gap_high"]
            frame = frame.join(pd.DataFrame(rows).T[wanted].add_prefix("reversed_"))
        return frame.assign(note=self.table["note"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how well each column can be read off label, concepts and embedding.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib Axes
        """
        from knobo.shift.audit_plot import plot_audit

        return plot_audit(self.table, ax=ax)

    def __repr__(self) -> str:
        return f"ConfounderAudit\n{self._as_text().to_string()}\n{self._caption()}"

    def _repr_html_(self) -> str:
        table = self._as_text().rename_axis(index=lambda _: None).to_html(border=0)
        return f'<div class="knobo-confounders">{table}<p>{escape(self._caption())}</p></div>'

    def _as_text(self) -> pd.DataFrame:
        cells = pd.DataFrame({"Kind": self.table["kind"], "Cases": self.table["n"]})
        for name, title in _TITLES.items():
            if name in self.table:
                cells[title] = [_write(row, name) for _, row in self.table.iterrows()]
        if self.reversed:
            gaps = {name: _write(report.to_frame().loc["accuracy"], "gap") for name, report in self.reversed.items()}
            cells["Gap if the tie is reversed"] = [gaps.get(str(name), "") for name in self.table.index]
        return cells.assign(Note=self.table["note"])

    def _caption(self) -> str:
        return (
            "With the label: Cramér's V (category) or η² (number), corrected for chance. Read off: AUROC (category; "
            "0.5 is chance) or R² (number; 0 is chance) on held-out cases. Within a label: only cases of one label. "
            f"In brackets: {self.confidence:.0%} bootstrap intervals. Associations in these data, not causes."
        )


def _write(row: pd.Series[float], name: str) -> str:
    value = row.get(name, np.nan)
    if pd.isna(value):
        return ""
    low, high = row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan)
    return f"{value:.2f}" if pd.isna(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"
