"""What stands for one image, and how a row of a table says which picture of a file it means."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from knobo.errors import InputError
from knobo.images.dicom_grey import Window

_FRAME, _WINDOW = "frame", "window"
CHOICES = (_FRAME, _WINDOW)
"""Columns of a manifest that choose a picture of a file."""

_WHOLE = re.compile(r"(\d+)(?:\.0)?")  # a column with blank cells may have become one of floats
_SPAN = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class ImageFile:
    """One picture of a file that holds several: a frame, a window of the grey scale, or both.

    It is a path for everything that takes one, and an image for everything that takes images; rows of an embedding
    store are kept apart.

    Attributes
    ----------
    path : Path
    frame : int or None
        See :func:`knobo.images.read_image`.
    window : int, (float, float) or None
        DICOM only: the number of a window in the file, or centre and width.

    Examples
    --------
    >>> print(ImageFile(Path("ct.dcm"), frame=3, window=(40.0, 400.0)))
    ct.dcm (frame 3, window 40/400)
    """

    path: Path
    frame: int | None = None
    window: Window | None = None

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return f"{self.path}{self.choice}"

    @property
    def name(self) -> str:
        """The last part of the path, and what was chosen."""
        return f"{self.path.name}{self.choice}"

    @property
    def stem(self) -> str:
        """The last part of the path without its suffix."""
        return self.path.stem

    @property
    def choice(self) -> str:
        """What was chosen, in words and parentheses; empty if nothing was."""
        cells = zip(CHOICES, self.cells(), strict=True)
        chosen = ", ".join(f"{name} {cell}" for name, cell in cells if cell)
        return f" ({chosen})" if chosen else ""

    def cells(self) -> tuple[str, str]:
        """Frame and window as the cells of a manifest hold them."""
        span = isinstance(self.window, tuple)
        window = "/".join(f"{value:.12g}" for value in self.window) if span else self.window  # type: ignore[union-attr]
        return "" if self.frame is None else str(self.frame), "" if window is None else str(window)


ImageSource: TypeAlias = "str | os.PathLike[str] | ImageFile | Image.Image | NDArray[Any]"
"""What stands for one image: the path of a file, a picture of a file, a PIL image, or an array."""


def choose(path: Path, frame: Any = None, window: Any = None) -> Path | ImageFile:
    """Read the cells that choose a picture of a file; the path alone where they are blank.

    Parameters
    ----------
    path : Path
    frame, window : cell of a table
        A number from 0; for the window also centre/width, such as ``40/400``.

    Raises
    ------
    InputError
        If a cell holds something else.
    """
    chosen = ImageFile(path, _frame(_text(frame)), _window(_text(window)))
    return chosen if chosen.choice else path


def source_columns(sources: Iterable[os.PathLike[str]]) -> dict[str, list[str]]:
    """Write sources as columns of a manifest: ``image``, and ``frame`` and ``window`` where any row chooses one."""
    sources = list(sources)
    cells = [source.cells() if isinstance(source, ImageFile) else ("", "") for source in sources]
    columns = {"image": [os.fspath(source) for source in sources]}
    for name, column in zip(CHOICES, zip(*cells, strict=True), strict=False):
        if any(column):
            columns[name] = list(column)
    return columns


def picture_digest(file: bytes, source: Any) -> bytes:
    """Turn the SHA-256 of a file into that of the picture which ``source`` means, 32 bytes."""
    choice = source.choice if isinstance(source, ImageFile) else ""
    return hashlib.sha256(file + choice.encode()).digest() if choice else file


def _text(cell: Any) -> str:
    return "" if pd.isna(cell) else str(cell).strip()


def _frame(text: str) -> int | None:
    if not text:
        return None
    if whole := _WHOLE.fullmatch(text):
        return int(whole[1])
    raise InputError(
        f"column 'frame' holds {text!r}; a frame is a number from 0. Mend it, or rename the column if it means "
        "something else."
    )


def _window(text: str) -> Window | None:
    if not text:
        return None
    if whole := _WHOLE.fullmatch(text):
        return int(whole[1])
    span = _SPAN.fullmatch(text)
    if span and float(span[2]) >= 1:
        return float(span[1]), float(span[2])
    raise InputError(
        f"column 'window' holds {text!r}; a window is the number of one in the file, from 0, or centre/width such as "
        "40/400, with a width of at least 1. Mend it, or rename the column if it means something else."
    )
