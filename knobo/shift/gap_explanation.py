"""GapExplanation: the record that ``explain_gap`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from knobo.shift.plots import IN_DOMAIN, OUT_OF_DOMAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {"explained": "Explains of the drop", "masked": "Gain if masked", "recalibrated": "Gain if re-calibrated"}


@dataclass(frozen=True, eq=False, repr=False)
class GapExplanation:
    """How much of the drop from source to target arises in each concept.

    Attributes
    ----------
    table : DataFrame, one row a concept (or group), the largest share first
        ``margin``: weight × shift of the mean activation within the classes, in logits by which the true class fell
        behind. ``explained``: Shapley value in units of the score; positive where the concept costs. ``masked`` and
        ``recalibrated``: change of the target's score if the concept is set to the source's mean in every case, or
        mapped to the source's distribution (which needs no labels, and undoes true differences of prevalence, too);
        positive where it helps. All but ``margin`` with ``_low`` and ``_high``.
    summary : DataFrame, rows ``drop`` and ``class shares``, columns ``value``, ``low``, ``high``
        The whole drop, and what other shares of the classes alone make of it. The rest is the sum of ``explained``.
    metric : str
        ``log_loss`` (the score is the mean log-probability of the true class) or ``accuracy``.
    confidence : float
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    metric: str
    confidence: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table of concepts."""
        return self.table.copy()

    def plot(self, ax: Axes | None = None, *, top: int = 12) -> Axes:
        """Draw the ``top`` concepts by the size of their share, with intervals.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        top : int

        Returns
        -------
        matplotlib Axes
        """
        keep = self.table["explained"].abs().sort_values(ascending=False, kind="stable").head(top).index
        shown = self.table[self.table.index.isin(keep)]
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=(8, 1.6 + 0.35 * len(shown)), layout="constrained")
        rows, values = np.arange(len(shown)), shown["explained"].to_numpy()
        ends = np.abs(shown[["explained_low", "explained_high"]].to_numpy().T - values)
        colours = [OUT_OF_DOMAIN if value > 0 else IN_DOMAIN for value in values]
        error = None if np.isnan(ends).all() else np.nan_to_num(ends)
        ax.barh(rows, values, color=colours, xerr=error, error_kw={"capsize": 3, "ecolor": "0.3"}, height=0.6)
        ax.axvline(0, color="0.3", linewidth=1)
        for row, gain in enumerate(shown["masked"]):
            ax.annotate(f"{gain:+.3f}", (1.02, row), xycoords=("axes fraction", "data"), va="center")
        ax.annotate("gain if masked", (1.02, 1.0), xycoords="axes fraction", va="bottom", weight="bold")
        ax.set_yticks(rows, [str(name) for name in shown.index])
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        drop = float(self.summary["value"].iloc[0])
        unit = "accuracy" if self.metric == "accuracy" else "mean log-probability"
        ax.set_xlabel(f"Part of the drop in {unit} ({drop:.3f} in all); > 0 costs")
        ax.grid(axis="x", alpha=0.3)
        ax.spines[["top", "right", "left"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        return f"GapExplanation\n{self._as_text().to_string()}\n{self._caption()}"

    def _repr_html_(self) -> str:
        table = self._as_text().rename_axis(None).to_html(border=0)
        return f'<div class="knobo-gap">{table}<p>{escape(self._caption())}</p></div>'

    def _as_text(self) -> pd.DataFrame:
        cells = {title: [_write(row, name) for _, row in self.table.iterrows()] for name, title in _TITLES.items()}
        return pd.DataFrame(cells, index=self.table.index)

    def _caption(self) -> str:
        drop, shares = (_write(row, "value", "low", "high") for _, row in self.summary.iterrows())
        unit = "accuracy" if self.metric == "accuracy" else "mean log-probability of the true class"
        return (
            f"Drop in {unit}: {drop}; of this, other class shares alone: {shares}; the rest adds up over the concepts. "
            f"In brackets: {self.confidence:.0%} bootstrap intervals."
        )


def _write(row: pd.Series[float], name: str, low: str = "", high: str = "") -> str:
    value, ends = row[name], (row[low or f"{name}_low"], row[high or f"{name}_high"])
    interval = "" if np.isnan(ends[0]) else f" ({ends[0]:+.3f} to {ends[1]:+.3f})"
    return f"{value:+.3f}{interval}"
