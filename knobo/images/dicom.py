"""DICOM files: stored values to the picture that a viewer shows. No patient's data is read unless it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knobo.errors import FileError, InputError, KnoboError, MissingDependencyError
from knobo.images.dicom_grey import Window, shades_of_grey

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".dicom", ".dic")

# Only these are parsed, so that names, dates and identifiers reach neither memory nor an error message.
_PIXEL_TAGS = [
    *("SOPClassUID", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *(f"{c}PaletteColorLookupTable{part}" for c in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
    *(f"Segmented{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
]
_VALUES = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def looks_like_dicom(path: Path, head: bytes) -> bool:
    """Whether a file is DICOM, by its marker or, as old files lack one, by its name."""
    return head[128:132] == b"DICM" or path.suffix.lower() in SUFFIXES


def read_dicom(path: Path, *, frame: int | None = None, window: Window | None = None) -> NDArray[np.uint8]:
    """Read one DICOM image as 8-bit grey or RGB; :func:`knobo.images.read_image` says how, and what it raises.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, 3), uint8
    """
    with _discreet(path):
        dataset = _read(path, _PIXEL_TAGS)
        try:
            _require_image(dataset, path)
            values = _decode(dataset, path, _frame_number(dataset, path, frame))
            if dataset.get("SamplesPerPixel", 1) == 3:
                return _colour(values, int(dataset.BitsStored))
            if dataset.PhotometricInterpretation == "PALETTE COLOR":
                return _palette(values, dataset)
            return shades_of_grey(values, dataset, path, window)
        except KnoboError:
            raise
        except Exception as error:  # pydicom raises whatever a broken field led to; its text could quote others
            raise FileError(
                f"Cannot read {path}: its header is broken ({type(error).__name__}). Open it in a viewer and save it "
                "as PNG."
            ) from None


def dicom_tags(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, str]:
    """Read header fields of a DICOM file: those that are named, and no other.

    Parameters
    ----------
    path : str or Path
        A DICOM file; its pixels are not read.
    names : iterable of str
        Keywords of the DICOM dictionary, such as ``PatientSex``, ``PatientAge``, ``ViewPosition`` or ``Manufacturer``.

    Returns
    -------
    dict of str to str
        The values as text, several joined by ``|``; an empty string where the file lacks the field.

    Raises
    ------
    InputError
        If a name is no keyword of the dictionary.
    FileError
        If the file cannot be read.
    MissingDependencyError
        If pydicom is not installed.
    """
    with _discreet(Path(path)):
        return _tags(Path(path), list(names))


def _tags(path: Path, wanted: list[str]) -> dict[str, str]:
    from pydicom.datadict import keyword_dict, tag_for_keyword
    from pydicom.multival import MultiValue

    for name in wanted:
        if tag_for_keyword(name) is None:
            close = get_close_matches(name, keyword_dict, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InputError(f"{name!r} is no keyword of the DICOM dictionary.{hint}")
    dataset = _read(path, wanted, pixels=False)
    found = {name: dataset.get(name) for name in wanted}
    return {
        name: "" if value is None else "|".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
        for name, value in found.items()
    }


@contextmanager
def _discreet(path: Path) -> Iterator[None]:
    """See that pydicom is there, and keep it from logging the values that it finds odd: they could be a patient's."""
    try:
        from pydicom.config import disable_value_validation
    except ImportError as error:
        raise MissingDependencyError(
            f'Cannot read {path}: DICOM files need pydicom. Install it with: pip install "knobo[dicom]"'
        ) from error
    with disable_value_validation():
        yield


def _read(path: Path, tags: list[str], *, pixels: bool = True) -> Dataset:
    from pydicom import dcmread
    from pydicom.uid import ImplicitVRLittleEndian

    try:
        dataset = dcmread(path, force=True, specific_tags=list(tags), stop_before_pixels=not pixels)
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or 'no such file'}. Check the path.") from error
    except Exception as error:  # its text could quote the patient's data
        raise FileError(
            f"Cannot read {path}: damaged, or not a DICOM file ({type(error).__name__}). Copy or download it again."
        ) from None
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # what the standard presumes
    return dataset


def _require_image(dataset: Dataset, path: Path) -> None:
    needed = [name for name in ("Rows", "Columns", "BitsStored", "PhotometricInterpretation") if name not in dataset]
    if not needed and any(name in dataset for name in _VALUES):
        return
    from pydicom.uid import UID_dictionary

    kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    if kind not in UID_dictionary:
        raise FileError(f"{path} is not a DICOM image: it has no known SOP class. Copy or download it again.")
    lacks = f"no {', '.join(needed)}" if needed else "no pixel data"
    raise FileError(
        f"{path} is a DICOM file without an image ({lacks}): it is a {UID_dictionary[kind][0]}. "
        "Leave it out, or export its image."
    )


def _frame_number(dataset: Dataset, path: Path, frame: int | None) -> int:
    count = int(dataset.get("NumberOfFrames") or 1)
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 10**18)  # as Pillow does for every other format
    if dataset.Rows * dataset.Columns > limit:
        raise FileError(
            f"{path} is refused as too large ({dataset.Columns} x {dataset.Rows} pixels, limit {limit}). "
            "Save a smaller copy."
        )
    return checked_frame(count, path, frame)


def checked_frame(count: int, path: Path, frame: int | None) -> int:
    """Return the number of the frame to read of ``count``.

    Raises
    ------
    FileError
        If there are several and none is chosen.
    InputError
        If there is no such frame.
    """
    if frame is None:
        if count > 1:
            raise FileError(
                f"{path} holds {count} frames; choose one with frame=0 to frame={count - 1}, or save the one to use "
                "as a file of its own."
            )
        return 0
    if not 0 <= frame < count:
        raise InputError(f"{path} has no frame {frame}: it holds {count}, numbered from 0.")
    return frame


def _decode(dataset: Dataset, path: Path, frame: int) -> NDArray[Any]:
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        name = syntax.name if syntax.name != str(syntax) else "something unknown"
        raise FileError(f"{path} is compressed as {name}, which is no image format. Save it as PNG.") from error
    if syntax.is_encapsulated and not decoder.is_available:
        raise MissingDependencyError(
            f"Cannot read {path}: it is compressed as {syntax.name}, and no decoder of that is installed. "
            'Install them with: pip install "knobo[dicom]"'
        )
    try:
        return pixel_array(dataset, index=frame)
    except Exception as error:  # decoders raise whatever their parser met in a damaged file
        other = syntax.is_encapsulated and any("libjpeg" in name for name in decoder.missing_dependencies)
        hint = " If it is 12-bit JPEG, only this reads it: pip install pylibjpeg-libjpeg (GPL)." if other else ""
        raise FileError(
            f"Cannot read {path}: damaged or truncated ({_brief(error)}). Copy or download it again.{hint}"
        ) from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def _colour(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return values.astype(np.uint8)
    return np.rint(values.astype(np.float32) * (255.0 / (2**bits - 1))).astype(np.uint8)


def _palette(values: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut

    return _colour(rgb := apply_color_lut(values, dataset), 8 * rgb.dtype.itemsize)
