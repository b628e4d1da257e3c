"""Plot of a drift report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from knobo.shift.plots import IN_DOMAIN, OUT_OF_DOMAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_drift(table: pd.DataFrame, *, ax: Axes | None = None, top: int = 15) -> Axes:
    """Draw the mean activation of each concept in both domains, the largest distance first.

    Parameters
    ----------
    table : DataFrame
        ``DriftReport.concepts``.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    top : int
        Number of concepts.

    Returns
    -------
    matplotlib Axes
    """
    shown = table.head(top)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(8, 1.6 + 0.35 * len(shown)), layout="constrained")
    rows = np.arange(len(shown))
    drifted = shown["drifted"].to_numpy(dtype=bool)
    ax.hlines(rows, shown["mean_source"], shown["mean_target"], color="0.6", linewidth=1, zorder=0)
    for name, label, colour, marker in (
        ("mean_source", "source", IN_DOMAIN, "o"),
        ("mean_target", "target", OUT_OF_DOMAIN, "s"),
    ):
        faces = [colour if moved else "white" for moved in drifted]
        ax.scatter(shown[name], rows, facecolors=faces, edgecolors=colour, marker=marker, label=label)
    for row, (distance, q) in enumerate(zip(shown["ks"], shown["q"], strict=True)):
        text = f"{distance:.2f}  (q {q:.3f})" if q >= 0.001 else f"{distance:.2f}  (q < 0.001)"
        ax.annotate(text, (1.02, row), xycoords=("axes fraction", "data"), va="center")
    ax.annotate("KS distance", (1.02, 1.0), xycoords="axes fraction", va="bottom", weight="bold")
    ax.set_yticks(rows, [str(name) for name in shown.index])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Mean activation (open: no drift shown)")
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right", "left"]].set_visible(False)
    legend = ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    for handle, colour in zip(legend.legend_handles, (IN_DOMAIN, OUT_OF_DOMAIN), strict=True):
        if handle is not None:
            handle.set_facecolor(colour)  # type: ignore[attr-defined]
    return ax
