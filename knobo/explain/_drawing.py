"""Text and room for plots: wrapping by measured width, paragraphs under an axes, keeping labels inside a grid cell."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from knobo.explain.style import QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_LINE = 1.3  # height of a line of a paragraph, in font sizes


class Paragraph(NamedTuple):
    """A bold line and the text under it."""

    heading: str
    text: str


def shorten(name: str, width: int = 30, lines: int = 2) -> str:
    """Wrap a long name, and end it with an ellipsis where even that is too long."""
    wrapped = textwrap.wrap(name, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)
    return "\n".join(wrapped)


def slot(ax: Axes) -> Bbox:
    """The part of the figure (in fractions) that belongs to an axes: its grid cell, margins included."""
    from matplotlib.transforms import Bbox

    spec = ax.get_subplotspec()
    if spec is None:
        return Bbox.from_bounds(*ax.get_position(original=True).bounds)
    figure: Any = ax.figure  # matplotlib's types want a Figure, and a SubFigure does
    inner = spec.get_position(figure)
    edges = spec.get_topmost_subplotspec().get_gridspec().get_subplot_params(figure)
    width, height = edges.right - edges.left, edges.top - edges.bottom
    return Bbox.from_extents(
        (inner.x0 - edges.left) / width,
        (inner.y0 - edges.bottom) / height,
        (inner.x1 - edges.left) / width,
        (inner.y1 - edges.bottom) / height,
    )


def text_size(ax: Axes, n_rows: int) -> float:
    """Font size in points, at most 10, with which ``n_rows`` labelled rows fit into the grid cell of an axes."""
    width, height = _cell_size(ax)
    return float(min(10.0, max(5.0, min(width / 40, height / (1.45 * n_rows + 7)))))


def number_room(ax: Axes, size: float) -> float:
    """Share of the range of the bars that a number such as −0.38 beside one needs, on either side."""
    share = (3.4 * size + 8) / room_inside(ax)
    return float(min(0.6, max(0.16, share / (1 - 2 * min(share, 0.3)))))


def room_inside(ax: Axes) -> float:
    """Width in points that a cell leaves to the axes beside the names of its rows, roughly."""
    return 0.58 * _cell_size(ax)[0]


def fit_label(ax: Axes, text: str, size: float) -> str:
    """Wrap the label of an x axis to the width of the axes."""
    return shorten(text, int(max(20, room_inside(ax) / (0.55 * size))), 3)


def fit_into_slot(ax: Axes, pad: float = 6.0) -> None:
    """Move the edges of an axes so that all its text stays inside its grid cell, ``pad`` points from the border.

    A figure with a layout engine does that itself; an axes that was placed by hand stays where it is.
    """
    from matplotlib.transforms import Bbox

    figure = ax.figure
    tight = ax.get_tightbbox()
    if figure.get_layout_engine() is not None or ax.get_subplotspec() is None or tight is None:
        return
    cell = slot(ax).transformed(figure.transSubfigure).padded(-pad * figure.dpi / 72)
    now = ax.get_window_extent()
    (x0, y0), (x1, y1) = now.get_points() + cell.get_points() - tight.get_points()
    if x1 - x0 < 0.2 * cell.width:  # no room for all labels: leave the axes as wide as it was
        x0, x1 = now.intervalx
    if y1 - y0 < 0.2 * cell.height:
        y0, y1 = now.intervaly
    ax.set_position(Bbox.from_extents(x0, y0, x1, y1).transformed(figure.transSubfigure.inverted()))


def write_below(ax: Axes, paragraphs: Sequence[Paragraph], footnotes: Sequence[str], n_rows: int) -> None:
    """Write paragraphs under an axes of ``n_rows`` labelled rows, as wide as its cell, as many as there is room for.

    The text is part of the axes, so every layout engine and ``bbox_inches="tight"`` leave room for it.
    """
    points, small = 72 / ax.figure.dpi, _small(ax)
    left = max((label.get_window_extent().width for label in ax.get_yticklabels()), default=0.0) * points + 4
    width, height = _cell_size(ax)
    axis_box = ax.xaxis.get_tightbbox()
    depth = 8 + (0.0 if axis_box is None else max(0.0, (ax.bbox.y0 - axis_box.y0) * points))
    notes = [line for footnote in footnotes for line in _wrap(ax, footnote, width - 16)]
    floor = height - (1.4 * n_rows + 5) * text_size(ax, n_rows) - small * _LINE * len(notes)
    for heading, text in paragraphs:
        lines = [_wrap(ax, heading, 0.88 * (width - 16)), _wrap(ax, text, width - 16)]  # bold letters are wider
        if depth + small * _LINE * sum(map(len, lines)) > floor:
            break
        for block, style in zip(lines, ({"weight": "bold"}, {"color": QUIET}), strict=True):
            _write(ax, "\n".join(block), -left, -depth, **style)
            depth += small * _LINE * len(block)
        depth += 4
    _write(ax, "\n".join(notes), -left, -depth, color=QUIET)


def _cell_size(ax: Axes) -> tuple[float, float]:
    """Width and height of the grid cell of an axes in points."""
    cell, points = slot(ax).transformed(ax.figure.transSubfigure), 72 / ax.figure.dpi
    return cell.width * points, cell.height * points


def _small(ax: Axes) -> float:
    """Font size of paragraphs in points."""
    return float(min(8.0, max(6.5, _cell_size(ax)[0] / 40)))


def _write(ax: Axes, text: str, x: float, y: float, **style: Any) -> None:
    ax.annotate(
        text,
        (0, 0),
        xycoords="axes fraction",
        xytext=(x, y),
        textcoords="offset points",
        va="top",
        ha="left",
        fontsize=_small(ax),
        linespacing=_LINE,
        parse_math=False,
        annotation_clip=False,
        **style,
    )


def _wrap(ax: Axes, text: str, width: float) -> list[str]:
    """Wrap to ``width`` points by the mean width of this text's characters, a little early to be safe."""
    text = " ".join(text.split())
    if not text:
        return []
    probe = ax.figure.text(0, 0, text, fontsize=_small(ax), parse_math=False)
    total = probe.get_window_extent().width * 72 / ax.figure.dpi
    probe.remove()
    return textwrap.wrap(text, max(20, int(0.95 * width * len(text) / total)))
