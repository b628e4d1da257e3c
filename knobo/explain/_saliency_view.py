"""Which part of an image a model sees, and maps brought back from there to the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knobo.errors import InputError

Pixels = NDArray[np.float32]


class View(NamedTuple):
    """Edges of what the model sees, in shares of the image's height and width; padding lies below 0 or above 1."""

    top: float
    left: float
    bottom: float
    right: float


def view_of(look: Callable[[Image.Image], Pixels], height: int, width: int) -> View:
    """Find where the pixels of a model come from, whatever library prepares them.

    Two ramps, from left to right and from top to bottom, are prepared as an image would be. What arrives at a pixel
    says where in the image it was.

    Parameters
    ----------
    look : callable
        Prepares an RGB image; returns (3, h, w).
    height, width : int
        Shape of the image.

    Raises
    ------
    InputError
        If preparation does more than scale, cut and pad.
    """
    across, down = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    ramps = np.zeros((height, width, 3))
    ramps[..., 0], ramps[..., 1] = across, down[:, None]
    full = np.full((height, width, 3), 255, np.uint8)
    seen, black, white = (
        look(Image.fromarray(image)) for image in (np.rint(ramps * 255).astype(np.uint8), np.zeros_like(full), full)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        place = (seen - black) / (white - black)  # normalisation cancels; padding, which never changes, is NaN
    left, right = _edges(_inner(place[0]))
    top, bottom = _edges(_inner(place[1]).T)
    return View(top, left, bottom, right)


def place_on_image(grid: Pixels, view: View, shape: tuple[int, int]) -> Pixels:
    """Interpolate a map (h, w) over what the model sees to the whole image; 0 where it sees nothing."""
    from scipy.ndimage import map_coordinates

    rows = ((np.arange(shape[0]) + 0.5) / shape[0] - view.top) / (view.bottom - view.top)
    columns = ((np.arange(shape[1]) + 0.5) / shape[1] - view.left) / (view.right - view.left)
    where = np.meshgrid(rows * grid.shape[0] - 0.5, columns * grid.shape[1] - 0.5, indexing="ij")
    placed: Pixels = map_coordinates(grid, where, order=1, mode="nearest")
    placed[(rows < 0) | (rows > 1)] = 0
    placed[:, (columns < 0) | (columns > 1)] = 0
    return placed


def _inner(place: Pixels) -> Pixels:
    """Leave out what lies at the rim, where interpolation overshoots."""
    return np.where((place > 0.02) & (place < 0.98), place, np.nan)


def _edges(place: Pixels) -> tuple[float, float]:
    """Places of the first and the last edge of the columns, from those of the pixels' centres."""
    known = np.flatnonzero(np.isfinite(place).any(axis=0))
    if len(known) > 2:
        centres = np.nanmedian(place[:, known], axis=0)
        slope, start = np.polyfit(known + 0.5, centres, 1)
        if slope > 0 and np.abs(slope * (known + 0.5) + start - centres).max() < 0.02:
            return float(start), float(start + slope * place.shape[1])
    raise InputError(
        "The model's preparation does more than scale, cut and pad images, so its maps cannot be laid over them; use "
        "method='occlusion' or 'rise'."
    )
