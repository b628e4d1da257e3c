"""Plots of shift reports. Each takes ``ax`` and returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from knobo.shift.report import METRIC_LABELS, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IN_DOMAIN = "#0072b2"  # blue and vermilion of the Okabe-Ito palette, which colour-blind readers can tell apart
OUT_OF_DOMAIN = "#d55e00"


def plot_gap(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw each metric in and out of domain with its interval, and its gap beside it.

    Log-loss, which has no scale from 0 to 1, is left to the table.

    Parameters
    ----------
    table : DataFrame
        Rows (domain, metric), columns as :func:`shift_table` gives them.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib Axes
    """
    table = table.drop(index="log_loss", level="metric", errors="ignore")
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(8, 1.4 + 0.6 * len(table)), layout="constrained")
    many = table.index.unique("domain").size > 1
    rows = np.arange(len(table))
    for offset, name, label, colour, marker in (
        (-0.13, "id", "in domain", IN_DOMAIN, "o"),
        (0.13, "ood", "out of domain", OUT_OF_DOMAIN, "s"),
    ):
        ends = np.abs(table[[f"{name}_low", f"{name}_high"]].to_numpy().T - table[name].to_numpy())
        error = None if np.isnan(ends).all() else np.nan_to_num(ends)
        ax.errorbar(table[name], rows + offset, xerr=error, label=label, color=colour, fmt=marker, capsize=3)
    for row, (_, values) in zip(rows, table.iterrows(), strict=True):
        ax.plot([values["id"], values["ood"]], [row - 0.13, row + 0.13], color="0.6", linewidth=1, zorder=0)
        ax.annotate(with_interval(values, "gap"), (1.02, row), xycoords=("axes fraction", "data"), va="center")
    ax.annotate("gap = ID − OOD", (1.02, 1.0), xycoords="axes fraction", va="bottom", weight="bold")
    names = [f"{METRIC_LABELS[metric]}, {domain}" if many else METRIC_LABELS[metric] for domain, metric in table.index]
    ax.set_yticks(rows, names)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    lowest = np.nanmin(table[["id", "ood", "id_low", "ood_low"]].to_numpy())
    ax.set_xlim(min(0.48, lowest - 0.02), 1.02)  # one scale for most reports, so that small gaps look small
    ax.set_xlabel("Value" if table["id_low"].isna().all() else "Value, with its interval")
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    return ax
