"""A sheet of small pictures: what a model will see of the images of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont, ImageOps

from knobo.errors import InputError, KnoboError
from knobo.images.read import ImageSource, read_image
from knobo.storage import atomic_path

_MARGIN = 6
_TEXT = 13
_PAPER, _INK, _ALARM = "white", "black", "#b00020"


def model_view(source: ImageSource, size: int = 224) -> Image.Image:
    """Return an image as encoders of the CLIP family are given it: shorter side to ``size``, centre cut out.

    Parameters
    ----------
    source : str, Path, PIL.Image.Image or ndarray
        See :func:`knobo.images.read_image`.
    size : int
        Side in pixels.

    Returns
    -------
    PIL.Image.Image
        RGB, ``size`` x ``size``.
    """
    return ImageOps.fit(Image.fromarray(read_image(source)), (size, size), Image.Resampling.BICUBIC)


def thumbnail_sheet(
    sources: Sequence[ImageSource],
    captions: Sequence[str],
    *,
    marked: Sequence[bool] | None = None,
    size: int = 224,
    columns: int = 8,
) -> Image.Image:
    """Draw a sheet of :func:`model_view` pictures with their captions.

    Parameters
    ----------
    sources : sequence of n images
        See :func:`knobo.images.read_image`; what cannot be read is an empty box that says why.
    captions : sequence of n str
        One line below each picture, cut where it is too long.
    marked : sequence of n bool, optional
        Pictures to frame in red.
    size, columns : int
        Side of a picture in pixels, and pictures in a row.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    InputError
        If there are no images, or not as many captions.
    """
    if not len(sources) or len(captions) != len(sources):
        raise InputError(f"A sheet needs images, and a caption each; got {len(sources)} and {len(captions)}.")
    columns = min(columns, len(sources))
    rows = -(-len(sources) // columns)
    wide, high = size + 2 * _MARGIN, size + _TEXT + 3 * _MARGIN
    sheet = Image.new("RGB", (columns * wide, rows * high), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT)
    for n, (source, caption) in enumerate(zip(sources, captions, strict=True)):
        x, y = n % columns * wide + _MARGIN, n // columns * high + _MARGIN
        alarm = marked is not None and bool(marked[n])
        try:
            sheet.paste(model_view(source, size), (x, y))
        except KnoboError as error:
            draw.rectangle((x, y, x + size - 1, y + size - 1), outline=_ALARM)
            draw.multiline_text((x + 4, y + 4), _folded(str(error), font, size - 8), fill=_ALARM, font=font)
        if alarm:
            draw.rectangle((x - 2, y - 2, x + size + 1, y + size + 1), outline=_ALARM, width=2)
        text = _cut(caption, font, size)
        draw.text((x, y + size + _MARGIN // 2), text, fill=_ALARM if alarm else _INK, font=font)
    return sheet


def save_sheet(sheet: Image.Image, path: str | Path) -> Path:
    """Write a sheet as PNG atomically and return the path."""
    with atomic_path(path) as part:
        sheet.save(part, format="PNG", optimize=True)
    return Path(path)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The end of a long text: that of a path tells more than its start."""
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"


def _folded(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    return "\n".join(wrap(text, int(width / font.getlength("n")))[:12])
