"""Plot of a confounder audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe-Ito colours, which colour-blind readers can tell apart
_MARKS = (("label", "0.45", "D"), ("concepts", "#0072b2", "o"), ("embedding", "#d55e00", "s"))


def plot_audit(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how well each metadata column can be read off label, concepts and embedding, the most readable first.

    Parameters
    ----------
    table : DataFrame
        ``ConfounderAudit.table``; columns without an audit are left out.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib Axes
        0 is chance and 1 perfect: 2 × AUROC − 1 of a category, R² of a number.
    """
    shown = table[table["association"].notna()] if "association" in table else table.iloc[:0]
    marks = [mark for mark in _MARKS if mark[0] in shown]
    scaled = {f"{n}{end}": _scale(shown, f"{n}{end}") for n, *_ in marks for end in ("", "_low", "_high")}
    values = pd.DataFrame(scaled, index=shown.index)
    order = values[[name for name, *_ in marks if name != "label"]].max(axis=1).sort_values(ascending=False).index
    shown, values = shown.loc[order], values.loc[order]
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(8, 1.6 + 0.5 * len(shown)), layout="constrained")
    rows = np.arange(len(shown))
    for offset, (name, colour, marker) in zip(np.linspace(-0.18, 0.18, len(marks)), marks, strict=True):
        ends = np.abs(values[[f"{name}_low", f"{name}_high"]].to_numpy().T - values[name].to_numpy())
        error = None if np.isnan(ends).all() else np.nan_to_num(ends)
        ax.errorbar(
            values[name], rows + offset, xerr=error, color=colour, fmt=marker, capsize=3, label=f"off the {name}"
        )
    ax.axvline(0, color="0.6", linewidth=1, zorder=0)
    for row, (_, found) in zip(rows, shown.iterrows(), strict=True):
        measure = "V" if found["kind"] == "category" else "η²"
        ax.annotate(
            f"{measure} {found['association']:.2f}", (1.02, row), xycoords=("axes fraction", "data"), va="center"
        )
    ax.annotate("with the label", (1.02, 1.0), xycoords="axes fraction", va="bottom", weight="bold")
    ax.set_yticks(rows, [str(name) for name in shown.index])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    lowest = min(float(np.nanmin(values.to_numpy(), initial=0.0)), 0.0)
    ax.set_xlim(max(lowest, -0.6) - 0.05, 1.05)
    ax.set_xlabel("How well the column is read (0: chance, 1: perfectly)")
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    return ax


def _scale(table: pd.DataFrame, name: str) -> pd.Series[float]:
    return table[name].where(table["kind"] == "number", 2 * table[name] - 1)
