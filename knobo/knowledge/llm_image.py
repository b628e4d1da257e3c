"""What of an image is sent to a language model: its pixels, made small, in a new JPEG file that holds nothing else."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from knobo.errors import InputError
from knobo.images import ImageSource, read_image

_QUALITY = 95
_PIXELS_A_TOKEN = 28 * 28  # Qwen2-VL, arXiv:2409.12191, section 2.1; other models count otherwise


@dataclass(frozen=True)
class SentImage:
    """An image as it goes to a server.

    Parameters
    ----------
    jpeg : bytes
        A JPEG file without metadata.
    width, height : int
        In pixels.
    digest : str
        SHA-256 of the pixels before compression, so that another JPEG library gives no other key of the cache.
    """

    jpeg: bytes = field(repr=False)
    width: int
    height: int
    digest: str

    @property
    def url(self) -> str:
        """The file as a ``data:`` address."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"

    @property
    def n_tokens(self) -> int:
        """Estimated prompt tokens, one for every 28 x 28 pixels."""
        return math.ceil(self.width * self.height / _PIXELS_A_TOKEN)


def prepare_image(source: ImageSource, max_side: int = 1024) -> SentImage:
    """Read an image, make it at most ``max_side`` pixels wide and high, and compress its pixels anew.

    Parameters
    ----------
    source : str, Path, PIL.Image.Image or ndarray
        See :func:`knobo.images.read_image`. Its metadata (EXIF, DICOM tags, text chunks, colour profile, file name)
        are dropped; its pixels are not looked at, so a name that is written into them stays.
    max_side : int
        Longest side in pixels; a smaller image keeps its size.

    Raises
    ------
    FileError, InputError, InputTypeError
        If the image cannot be read, or ``max_side`` is less than 1.
    """
    if max_side < 1:
        raise InputError(f"max_side must be at least 1 pixel, got {max_side}.")
    pixels = read_image(source)
    grey = bool((pixels == pixels[..., :1]).all())
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if grey else pixels)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=_QUALITY, subsampling=0)
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} {_QUALITY} ".encode() + image.tobytes())
    return SentImage(file.getvalue(), image.width, image.height, digest.hexdigest())
