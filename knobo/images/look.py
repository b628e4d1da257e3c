"""One look at an image: whether it can be read, its size, its grey values, and hashes that tell it from others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knobo.errors import InputError, KnoboError
from knobo.images.read import read_image
from knobo.images.source import ImageFile, picture_digest

_SIDE = 16


@dataclass(frozen=True)
class Look:
    """What one look at an image showed.

    Attributes
    ----------
    error : str
        Why it cannot be read; all that follows is then zero.
    digest : str
        SHA-256 of the content of the file, and of what was chosen in it.
    width, height : int
        Pixels.
    mean, spread : float
        Mean and standard deviation of the grey values, 0 to 255.
    bits : ndarray of shape (255,), bool
        See :func:`perceptual_hash`.
    """

    error: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0
    mean: float = 0.0
    spread: float = 0.0
    bits: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(_SIDE**2 - 1, bool))


def look(source: Path | ImageFile | InputError | None) -> Look:
    """Look at an image; None stands for a blank cell of a table, an error for cells that name no picture."""
    if source is None:
        return Look(error="The cell is blank; fill it or drop the row.")
    if isinstance(source, InputError):
        return Look(error=str(source))
    try:
        grey = Image.fromarray(read_image(source)).convert("L")
        digest = picture_digest(hashlib.sha256(Path(source).read_bytes()).digest(), source).hex()
    except (KnoboError, OSError) as error:
        return Look(error=str(error))
    values = np.asarray(grey)
    spread = float(values.std())
    return Look("", digest, grey.width, grey.height, float(values.mean()), spread, perceptual_hash(grey))


def perceptual_hash(grey: Image.Image) -> NDArray[np.bool_]:
    """Return the signs, about their median, of the lowest frequencies of an image (pHash).

    Parameters
    ----------
    grey : PIL.Image.Image
        Mode L.

    Returns
    -------
    ndarray of shape (255,), bool
        Images that look alike differ in few of them.
    """
    from scipy.fft import dctn

    small = np.asarray(grey.resize((4 * _SIDE,) * 2, Image.Resampling.BOX), dtype=np.float64)
    low = dctn(small, norm="ortho")[:_SIDE, :_SIDE].ravel()[1:]  # the first is the mean
    return low > np.median(low)
