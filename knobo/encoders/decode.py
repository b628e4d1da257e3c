"""From an image source to a PIL image in RGB, on the shortest way that gives the pixels of ``read_image``."""

from __future__ import annotations

import os
from typing import Any

from PIL import Image

from knobo.images import ImageFile, ImageSource, read_image

READING = 1
"""Number of the rules by which pixels are read; raise it when an image would be read differently than before."""

_ORIENTATION = 0x0112
_QUICK_FORMATS = ("JPEG", "PNG")
_QUICK_MODES = ("RGB", "L")


def open_rgb(source: ImageSource, *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Read one image as a PIL image in mode RGB, with the pixels of :func:`knobo.images.read_image`.

    Parameters
    ----------
    source : path, PIL image or array
    at_least : tuple of int, optional
        Height and width that the model needs. A JPEG is then decoded at 1/2, 1/4 or 1/8 of its size, as long as that is
        no smaller in either direction. The decoder leaves out the finest frequencies, so pixels differ a little.

    Raises
    ------
    FileError, InputError, InputTypeError
        As :func:`knobo.images.read_image`.
    """
    plain = isinstance(source, str | os.PathLike) and not isinstance(source, ImageFile)
    image = _open_quickly(source, at_least) if plain else None  # type: ignore[arg-type]
    return Image.fromarray(read_image(source)) if image is None else image


def _open_quickly(path: str | os.PathLike[str], at_least: tuple[int, int] | None) -> Image.Image | None:
    """Decode a plain 8-bit JPEG or PNG without a detour over arrays; None for all else, and for whatever goes wrong."""
    try:
        with Image.open(path, formats=_QUICK_FORMATS) as image:
            if not _is_plain(image):
                return None
            if at_least is not None:
                image.draft("RGB", (at_least[1], at_least[0]))
            return image.convert("RGB")
    except Exception:  # read_image opens it again and says what is wrong
        return None


def _is_plain(image: Any) -> bool:
    return (
        image.mode in _QUICK_MODES
        and not image.has_transparency_data
        and getattr(image, "n_frames", 1) == 1
        and image.getexif().get(_ORIENTATION, 1) == 1
    )
