"""A picture of the certificates: each concept's AUROC with its interval, by domain where there are several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from knobo.errors import InputError
from knobo.explain._drawing import shorten
from knobo.explain.style import FOR, QUIET, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (FOR, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # Okabe-Ito
_MARKERS = "osD^vP"


def plot_certificate(certificate: pd.DataFrame, *, max_concepts: int = 30, ax: Axes | None = None) -> Axes:
    """Draw AUROC and interval of each concept, the best on top; hollow and grey where the certificate abstains.

    Parameters
    ----------
    certificate : DataFrame
        As from :func:`knobo.grounding.certify`, with one row a concept or one a concept and domain.
    max_concepts : int
        How many concepts to draw, those with the best (mean) AUROC.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If no concept has an AUROC.
    """
    import matplotlib.pyplot as plt

    measured = certificate[certificate["auroc"].notna()]
    if measured.empty:
        raise InputError("No concept has an AUROC to draw: each needs two yes and two no answers at least.")
    by_domain = isinstance(measured.index, pd.MultiIndex)
    concepts = measured.index.get_level_values(0)
    order = measured["auroc"].groupby(concepts, sort=False).mean().sort_values(ascending=False).index[:max_concepts]
    places = list(dict.fromkeys(measured.index.get_level_values(1))) if by_domain else [None]
    if ax is None:
        size = (6.4, 0.9 + 0.13 * len(order) * (1 + len(places)))
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    for k, place in enumerate(places):
        part = measured.xs(place, level=1) if by_domain else measured
        rows = np.flatnonzero(order.isin(part.index))
        part = part.loc[order[rows]]
        heights = rows + 0.6 * ((k + 0.5) / len(places) - 0.5)
        _draw(ax, part, heights, _COLOURS[k % 6], _MARKERS[k % 6], None if place is None else readable(place))
    ax.axvline(0.5, color=QUIET, linewidth=0.8, linestyle=":")
    ax.set_yticks(np.arange(len(order)), [shorten(readable(name)) for name in order], parse_math=False)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlim(min(0.45, float(measured["auroc_low"].min()) - 0.02), 1.02)
    ax.set_xlabel("AUROC with interval (dotted: chance; hollow: abstains)")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    if by_domain:
        ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=min(len(places), 4))
    return ax


def _draw(ax: Axes, part: pd.DataFrame, heights: np.ndarray, colour: str, marker: str, label: str | None) -> None:
    for seen in (True, False):
        chosen = (part["abstain"].to_numpy(dtype=bool)) != seen
        ink = colour if seen else QUIET
        some = part[chosen]
        ax.hlines(heights[chosen], some["auroc_low"], some["auroc_high"], color=ink, linewidth=1.2, zorder=1)
        ax.scatter(
            some["auroc"],
            heights[chosen],
            s=22,
            marker=marker,
            facecolor=ink if seen else "white",
            edgecolor=ink,
            linewidth=1.2,
            label=label if seen else None,
            zorder=2,
        )
