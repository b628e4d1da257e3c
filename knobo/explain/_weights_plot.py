"""The two ways to draw a head's weights beside the literature's signs: a heat map, and bars for two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knobo.explain._drawing import fit_label, number_room, room_inside, shorten
from knobo.explain.style import AGAINST, FOR, QUIET, readable, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_SIGN = {1: "+", -1: "−", 0: ""}
_STRIP = 0.2  # width of the literature's column; a class takes 1


def draw_heat_map(ax: Axes, W: Array, P: Array, classes: Sequence[Any], names: Sequence[str], size: float) -> None:
    """Draw weights (K, m) as cells, one row a concept, one column a class with the prior's sign at its right edge."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    n_classes, n_concepts = W.shape
    most = max(float(np.abs(W).max(initial=0.0)), 1e-12)
    colours = LinearSegmentedColormap.from_list("knobo", [AGAINST, "white", FOR])
    lefts = np.arange(n_classes) * 1.08
    pitch = room_inside(ax) / n_classes  # points
    digits = 2 if 0.7 * pitch > 3.6 * size else 1
    for k, left in enumerate(lefts):
        for j in range(n_concepts):
            weight, sign = float(W[k, j]), int(P[k, j])
            shade = colours(0.5 + 0.5 * weight / most) if weight else (0.957, 0.957, 0.957, 1.0)
            ax.add_patch(Rectangle((left, j - 0.46), 1 - _STRIP, 0.92, color=shade, linewidth=0))
            middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size}
            text, ink = (signed(weight, digits), _legible_on(shade)) if weight else ("", "black")
            ax.text(left + (1 - _STRIP) / 2, j, text, color=ink, **middle)
            ax.text(left + 1 - _STRIP / 2, j, _SIGN[sign], weight="bold", color=_ink(sign), **middle)
            if weight * sign < 0:
                ax.add_patch(Rectangle((left, j - 0.46), 1, 0.92, fill=False, edgecolor="black", linewidth=1.5))
    ax.set_xlim(-0.04, lefts[-1] + 1.04)
    labels = [shorten(readable(c), 14, 3) for c in classes]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    tilt: dict[str, Any] = {"rotation": 35, "ha": "left"} if 0.62 * size * longest > pitch else {}
    ax.set_xticks(lefts + (1 - _STRIP) / 2, labels, parse_math=False, fontsize=size, **tilt)
    ax.tick_params(axis="x", top=False, bottom=False, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    _label_rows(ax, names, size)


def draw_bars(ax: Axes, w: Array, p: Array, classes: Sequence[Any], names: Sequence[str], size: float) -> None:
    """Draw the weights (m,) of two classes' log-odds as bars, with the prior's sign in a column at the right."""
    rows = np.arange(len(w))
    ax.barh(rows, w, height=0.64, color=[FOR if value > 0 else AGAINST for value in w])
    ax.axvline(0, color="0.55", linewidth=0.8)
    for row, weight, sign in zip(rows, w.tolist(), p.astype(int).tolist(), strict=True):
        end: dict[str, Any] = {"xytext": (4 if weight > 0 else -4, 0), "ha": "left" if weight > 0 else "right"}
        ax.annotate(signed(weight), (weight, row), textcoords="offset points", va="center", fontsize=size, **end)
        frame = (
            {"boxstyle": "square,pad=0.25", "facecolor": "none", "edgecolor": "black"} if weight * sign < 0 else None
        )
        style: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "weight": "bold",
            "color": _ink(sign),
            "bbox": frame,
            "fontsize": size,
        }
        ax.annotate(_SIGN[sign], (1.05, row), xycoords=("axes fraction", "data"), **style)
    ax.annotate(
        "literature", (1.05, 1.01), xycoords="axes fraction", ha="center", va="bottom", color=QUIET, fontsize=size
    )
    low, high = min(float(w.min(initial=0)), 0.0), max(float(w.max(initial=0)), 0.0)
    room = number_room(ax, size) * max(high - low, 1e-12)
    ax.set_xlim(low - room * (low < 0), high + room * (high > 0))
    against, positive = (readable(c) for c in classes)
    label = fit_label(ax, f"weight in the log-odds of {positive} against {against}", size)
    ax.set_xlabel(label, parse_math=False, fontsize=size)
    ax.tick_params(axis="x", labelsize=size)
    ax.spines[["top", "right", "left"]].set_visible(False)
    _label_rows(ax, names, size)


def _label_rows(ax: Axes, names: Sequence[str], size: float) -> None:
    ax.set_yticks(np.arange(len(names)), [shorten(name) for name in names], parse_math=False, fontsize=size)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.4, -0.6)


def _ink(sign: int) -> str:
    return {1: FOR, -1: AGAINST, 0: QUIET}[sign]


def _legible_on(shade: tuple[float, float, float, float]) -> str:
    """Black or white, whichever is easier to read on a colour (luma of ITU-R BT.601)."""
    red, green, blue, _ = shade
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
