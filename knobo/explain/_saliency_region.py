"""An image of which only a region is left."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from knobo.errors import InputError
from knobo.images import ImageSource, read_image

Outside = Literal["blur", "mean"]
_BLUR = 0.1  # of the longer side


def keep_region(image: ImageSource, region: ArrayLike, *, outside: Outside = "mean") -> NDArray[np.uint8]:
    """Return an image with everything outside a region replaced, so that a classifier sees the region only.

    Parameters
    ----------
    image : path, PIL image or array
        See :func:`knobo.images.read_image`.
    region : array-like
        A mask of shape (H, W), bool, or a box ``(left, top, right, bottom)`` in pixels, right and bottom exclusive.
    outside : {"mean", "blur"}
        Replace by the image's mean colour, or by a strongly blurred copy (Gaussian, a tenth of the longer side), in
        which large bright or dark areas can still be made out.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    InputError
        If the region is empty, lies outside the image or has another shape.
    FileError
        If the image cannot be read.
    """
    pixels = read_image(image)
    mask = as_mask(region, (pixels.shape[0], pixels.shape[1]))
    if outside not in ("mean", "blur"):
        raise InputError(f"outside must be 'mean' or 'blur', got {outside!r}.")
    cover = background(pixels) if outside == "blur" else pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    return np.where(mask[..., None], pixels, cover)


def background(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy so blurred that it shows no finding, shape (H, W, 3)."""
    sigma = _BLUR * max(image.shape[:2])
    blurred: NDArray[np.uint8] = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0)).round().astype(np.uint8)
    return blurred


def as_mask(region: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Check a mask, or make one of a box."""
    array = np.asarray(region)
    if array.shape == (4,) and array.dtype.kind in "iuf":
        left, top, right, bottom = (int(edge) for edge in array)
        if not (0 <= left < right <= shape[1] and 0 <= top < bottom <= shape[0]):
            raise InputError(
                f"The box {(left, top, right, bottom)} is empty or not inside the image, {shape[1]} wide and "
                f"{shape[0]} high; give (left, top, right, bottom) in its pixels."
            )
        mask = np.zeros(shape, bool)
        mask[top:bottom, left:right] = True
        return mask
    if array.shape != shape or not (array.dtype == bool or np.isin(array, (0, 1)).all()):
        raise InputError(
            f"A region must be a box (left, top, right, bottom), or a mask of True and False of shape {shape} as the "
            f"image, got an array of shape {array.shape}."
        )
    if not array.any():
        raise InputError("The mask is empty; mark at least one pixel.")
    return array.astype(bool)
