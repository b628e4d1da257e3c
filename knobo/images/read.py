"""One image, from whatever holds it, to an RGB array."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from knobo.errors import FileError, InputError, InputTypeError, KnoboError
from knobo.images.dicom import checked_frame, looks_like_dicom, read_dicom
from knobo.images.dicom_grey import Window
from knobo.images.source import ImageFile, ImageSource

__all__ = ["ImageFile", "ImageSource", "read_image"]

# What people save under the name of an image, by its first bytes (lower case, white space stripped), and the way out.
_NO_IMAGE = {
    b"version https://git-lfs": "a Git LFS pointer, not the image itself; run: git lfs pull",
    b"<!doctype": "a web page (an error or a login form?), not an image; download it again, logged in",
    b"<html": "a web page (an error or a login form?), not an image; download it again, logged in",
    b"<?xml": "an XML document (an error of the server?), not an image; download it again",
    b"{": "a JSON document (an error of the server?), not an image; download it again",
    b"%pdf": "a PDF document, not an image; export its image as PNG",
    b"pk\x03\x04": "a ZIP archive, not an image; unpack it",
    b"\x1f\x8b": "a gzip archive, not an image; unpack it",
    b"\x93numpy": "a NumPy array, not an image; load it with numpy.load and pass the array",
}
_HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1")

_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def read_image(source: ImageSource, *, frame: int | None = None, window: Window | None = None) -> NDArray[np.uint8]:
    """Read one image as 8-bit RGB.

    Parameters
    ----------
    source : str, Path, ImageFile, PIL.Image.Image or ndarray
        A PNG, JPEG, TIFF or DICOM file (or any other format that Pillow opens), a PIL image, or an array of shape
        (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): bool, integers, or floats in [0, 1]. What a file is, is told by its
        content; its name does not matter.
    frame : int, optional
        Which frame of an animation, a multi-page TIFF or a multi-frame DICOM file to read, from 0. Not needed for
        files with one frame.
    window : int or (float, float), optional
        DICOM only: the number of a window in the file, from 0, or its centre and width in the units of the file (such
        as HU). By default the first lookup table of the file, else its first window. ``frame`` and ``window`` of an
        :class:`ImageFile` hold where these are not given.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        Red, green, blue; a grey image has three equal channels. The array is new: writing to it changes no input.

    Raises
    ------
    FileError
        If the file is missing, empty, truncated, no image, too large, or holds several frames and none is chosen.
    InputError
        If an array has another shape, holds NaN, or values out of range, there is no such frame or window, or a window
        is chosen in a file that is not DICOM.
    InputTypeError
        If ``source`` is none of these.
    MissingDependencyError
        If a DICOM file needs pydicom, or a decoder that is not installed.

    Notes
    -----
    - The EXIF orientation is applied, as a viewer would.
    - Transparent parts are laid over black, the background of a radiograph and the rim of a dermoscope.
    - Grey images of more than 8 bits keep their scale (0 to 65535) when the highest of the 16 bits is in use. Otherwise
      (10 to 14 bits in a 16-bit file, signed or 32-bit values) they are stretched from their minimum to their maximum.
      A float file is taken as [0, 1] when its values lie there, and stretched otherwise.
    - Colour images of 16 bits keep their upper 8 bits. CMYK is converted without a colour profile; JPEG files by Adobe,
      which store it inverted, are put right.
    - DICOM: the modality table or rescale, then the values of interest (VOI lookup table or window; LINEAR,
      LINEAR_EXACT and SIGMOID), then MONOCHROME1 is inverted, so that air is black. Without a window, 8-bit images keep
      their scale and deeper ones are stretched from minimum to maximum. Padding is black. Overlays are not drawn. Only
      the fields that describe pixels are parsed: no name, date or identifier (see :func:`knobo.images.dicom_tags`).
    - More than twice ``PIL.Image.MAX_IMAGE_PIXELS`` pixels are refused before they are decoded.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source, name="the PIL image")
    if isinstance(source, ImageFile):
        frame = source.frame if frame is None else frame
        window = source.window if window is None else window
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source), frame, window)
    raise InputTypeError(f"An image must be a path, a PIL image or a NumPy array, got {type(source).__name__}.")


def _from_file(path: Path, frame: int | None, window: Window | None) -> NDArray[np.uint8]:
    head = _head(path)
    if looks_like_dicom(path, head):
        pixels = read_dicom(path, frame=frame, window=window)
        return pixels if pixels.ndim == 3 else _grey_to_rgb(pixels)
    if window is not None:
        raise InputError(f"{path} is not a DICOM file, so that no window can be chosen; leave the window out.")
    try:
        with Image.open(path) as image:
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a photograph and its preview
            image.seek(checked_frame(frames, path, frame))
            return _from_pil(image, name=str(path))
    except KnoboError:
        raise
    except UnidentifiedImageError as error:
        kind = "a HEIC photograph, which cannot be read" if head[4:12] in _HEIC else "not an image that can be read"
        raise FileError(f"{path} is {kind}; save it as PNG, JPEG or TIFF.") from error
    except Image.DecompressionBombError as error:
        raise FileError(f"{path} is refused as too large ({error}). Save a smaller copy.") from error
    except Exception as error:  # Pillow's decoders raise whatever their parser met in a damaged file
        raise FileError(f"Cannot read {path}: damaged or truncated ({error}). Copy or download it again.") from error


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, once they are seen to be no other kind of document.

    Raises
    ------
    FileError
        If the file is missing or empty, or is something else than an image.
    """
    if not path.is_file():
        what = "it is a folder, not an image" if path.is_dir() else "no such file"
        raise FileError(f"Cannot read {path}: {what}. Check the path.")
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}. Check the path.") from error
    if not head:
        raise FileError(f"Cannot read {path}: the file is empty. Copy or download it again.")
    if not any(head):
        raise FileError(f"Cannot read {path}: it begins with zeros only, as after a broken copy. Copy it again.")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for signature, what in _NO_IMAGE.items():
        if start.startswith(signature):
            raise FileError(f"{path} is {what}.")
    return head


def _from_pil(image: Image.Image, *, name: str) -> NDArray[np.uint8]:
    image = ImageOps.exif_transpose(image)
    if image.width == 0 or image.height == 0:
        raise InputError(f"{name} has no pixels (size {image.width} x {image.height}).")
    if image.mode in _DEEP_MODES:
        return _grey_to_rgb(_eight_bits(_finite(np.asarray(image), name)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    elif image.mode == "LAB":
        to_rgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        image = ImageCms.applyTransform(image, to_rgb) or image
    return np.array(image.convert("RGB"))


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    shape = array.shape
    channels = shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        first = array.ndim == 3 and shape[0] in (1, 3, 4)
        hint = " Channels come last: use numpy.moveaxis(image, 0, -1)." if first else ""
        raise InputError(f"An image array must have shape (H, W), (H, W, 3) or (H, W, 4), got {shape}.{hint}")
    pixels = _array_to_uint8(array)
    if channels == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        return ((pixels[..., :3] * alpha + 127) // 255).astype(np.uint8)
    if channels == 3:
        return pixels.copy()
    return _grey_to_rgb(pixels.reshape(shape[:2]))


def _array_to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint8:
        return array
    if kind not in "uif":
        raise InputTypeError(f"An image array must hold numbers, got dtype {array.dtype}.")
    low, high = (float(end) for end in _range(_finite(array, "The image array")))
    if kind == "f":
        if low < 0 or high > 1:
            raise InputError(f"A float image must lie in [0, 1], got [{low:g}, {high:g}]; rescale it, or pass uint8.")
        return np.rint(array * 255.0).astype(np.uint8)
    if low < 0 or high > 65535:
        raise InputError(f"An integer image must lie in [0, 65535], got [{low:g}, {high:g}]; rescale it first.")
    if array.dtype != np.uint16 and high <= 255:
        return array.astype(np.uint8)
    return _eight_bits(array.astype(np.uint16))


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale deep values (int or float, finite) to 0 … 255; the rules are in the notes of :func:`read_image`."""
    low, high = _range(values)
    if values.dtype.kind == "f":
        full = 1.0
        keep = low >= 0 and high <= full
    else:
        full = 65535.0
        keep = low >= 0 and 32768 <= high <= full
    low, high = (0.0, full) if keep else (low, high)
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.rint((values.astype(np.float64) - low) * scale).astype(np.uint8)


def _range(values: NDArray[Any]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _finite(values: NDArray[Any], name: str) -> NDArray[Any]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(f"{name} holds {bad} pixels that are NaN or infinite; replace them first.")
    return values


def _grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([grey] * 3, axis=-1)
