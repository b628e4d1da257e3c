"""How good a map is where the truth is known, and whether the model agrees with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from knobo.errors import InputError
from knobo.explain._saliency_region import background

Score = Callable[[list[NDArray[np.uint8]]], ArrayLike]


def pointing_hit(found: ArrayLike, mask: ArrayLike, *, tolerance: float = 0.0) -> bool:
    """Whether the largest value of a map lies in the mask, or within ``tolerance`` pixels of it.

    The pointing game of Zhang et al., *Top-down neural attention by excitation backprop*, ECCV 2016, section 4.1, where
    the tolerance is 15 pixels.

    Parameters
    ----------
    found : array-like of shape (H, W)
    mask : array-like of shape (H, W), bool
        Not empty.
    tolerance : float
    """
    values, inside = _check(found, mask)
    place = np.unravel_index(int(values.argmax()), values.shape)
    return bool(distance_transform_edt(~inside)[place] <= tolerance)


def map_iou(found: ArrayLike, mask: ArrayLike, *, threshold: float = 0.5) -> float:
    """Intersection over union of the mask and where a map exceeds ``threshold`` times its largest value."""
    values, inside = _check(found, mask)
    over = (values > threshold * values.max()) & (values > 0)
    return float((over & inside).sum() / (over | inside).sum())


def deletion_insertion(
    score: Score, image: NDArray[np.uint8], found: ArrayLike, *, steps: int = 16
) -> tuple[float, float]:
    """Areas under the score while a map's pixels, highest first, are blurred (deletion) or revealed (insertion).

    A map that shows what the model rests on has a low first and a high second area: Petsiuk et al., *RISE*, BMVC 2018,
    section 4.2, with a blurred image to begin with in both.

    Parameters
    ----------
    score : callable
        From b images (H, W, 3), uint8, to (b,).
    image : ndarray of shape (H, W, 3), uint8
    found : array-like of shape (h, w)
    steps : int
        Equal shares of the pixels, one evaluation each.

    Returns
    -------
    tuple of two float
        Means over the curve, by the trapezoid rule.
    """
    height, width = image.shape[:2]
    values = np.asarray(Image.fromarray(np.asarray(found, np.float32)).resize((width, height)))
    ranks = np.empty(values.size)
    ranks[np.argsort(-values, axis=None, kind="stable")] = (np.arange(values.size) + 0.5) / values.size
    rank = ranks.reshape(height, width, 1)
    cover = background(image)
    shares = np.linspace(0, 1, steps + 1)
    curves = [
        np.asarray(score([np.where(rank < share, inside, outside) for share in shares]), dtype=float)
        for inside, outside in ((cover, image), (image, cover))
    ]
    deletion, insertion = (float(np.mean((curve[1:] + curve[:-1]) / 2)) for curve in curves)
    return deletion, insertion


def _check(found: ArrayLike, mask: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, inside = np.asarray(found, dtype=float), np.asarray(mask, dtype=bool)
    if values.ndim != 2 or values.shape != inside.shape:
        raise InputError(f"Map and mask must have one shape (H, W), got {values.shape} and {inside.shape}.")
    if not inside.any():
        raise InputError("The mask is empty; there is nothing to point at.")
    return values, inside
