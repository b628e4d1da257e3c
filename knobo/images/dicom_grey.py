"""Stored values of a DICOM image to shades of grey: modality, values of interest, polarity, padding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from knobo.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

Window: TypeAlias = "int | tuple[float, float]"
"""Which part of the grey scale to show: the number of a window in the file, or (centre, width)."""


def shades_of_grey(values: NDArray[Any], dataset: Dataset, path: Path, window: Window | None) -> NDArray[np.uint8]:
    """Turn the stored values of a monochrome image into the grey that a viewer shows; air is black.

    Parameters
    ----------
    values : ndarray of shape (H, W)
        Stored values.
    dataset : Dataset
        The fields that describe them.
    path : Path
        For error messages.
    window : int or (float, float), optional
        See :func:`knobo.images.read_image`.

    Returns
    -------
    ndarray of shape (H, W), uint8

    Raises
    ------
    InputError
        If a value is NaN or infinite, or there is no such window.
    """
    if values.dtype.kind not in "ui" or values.dtype.itemsize > 2:
        return _shades(values, dataset, path, window)
    # Work on the few thousand levels that occur, rather than on millions of pixels.
    stored = values.view(f"u{values.dtype.itemsize}")
    occurs = np.zeros(2 ** (8 * stored.itemsize), bool)
    occurs[stored] = True
    levels = np.flatnonzero(occurs).astype(stored.dtype)
    shades = np.zeros(len(occurs), np.uint8)
    shades[levels] = _shades(levels.view(values.dtype).astype(np.int64), dataset, path, window)
    return shades[stored]


def _shades(values: NDArray[Any], dataset: Dataset, path: Path, window: Window | None) -> NDArray[np.uint8]:
    """Grey of each stored value."""
    from pydicom.pixels import apply_modality_lut

    padded = _padding(values, dataset)
    values = apply_modality_lut(values, dataset)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{path} holds pixels that are NaN or infinite; replace them first.")
    shares = _shares(values, dataset, path, window, padded)
    if dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
        shares = 1.0 - shares
    grey = np.rint(shares * 255.0).astype(np.uint8)
    if padded is not None:
        grey[padded] = 0
    return grey


def _padding(values: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_] | None:
    """Pixels outside the image, such as the corners of a round field."""
    if dataset.get("PixelPaddingValue") is None:
        return None
    ends = (dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue))
    padded = (values >= min(ends)) & (values <= max(ends))
    return None if padded.all() or not padded.any() else padded


def _shares(
    values: NDArray[Any], dataset: Dataset, path: Path, window: Window | None, padded: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Values of interest (DICOM PS3.3 C.11.2) as shares of the display's range, in [0, 1]."""
    tables = dataset.get("VOILUTSequence")
    if window is None and tables:
        return _table(values, tables[0], little_endian=dataset.file_meta.TransferSyntaxUID.is_little_endian)
    span = _window(dataset, path, window)
    if span is not None:
        return _windowed(values.astype(np.float64), *span, str(dataset.get("VOILUTFunction", "LINEAR")))
    if values.dtype.kind in "ui" and dataset.BitsStored == 8 and not dataset.get("PixelRepresentation", 0):
        return values / 255.0
    shown = values if padded is None else values[~padded]
    low, high = float(shown.min()), float(shown.max())
    return np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0) if high > low else np.zeros(values.shape)


def _window(dataset: Dataset, path: Path, window: Window | None) -> tuple[float, float] | None:
    """Centre and width; None where the file has no window that can be used, and none was asked for."""
    if isinstance(window, tuple):
        centre, width = window
        if width < 1:
            raise InputError(f"The width of a window must be at least 1, got {width:g}.")
        return float(centre), float(width)
    centres, widths = (np.atleast_1d(dataset.get(name) or []) for name in ("WindowCenter", "WindowWidth"))
    spans = [(float(c), float(w)) for c, w in zip(centres, widths, strict=False)]
    if window is None:
        return spans[0] if spans and spans[0][1] >= 1 else None
    if not 0 <= window < len(spans):
        raise InputError(
            f"{path} has no window {window}: it holds {len(spans)}, numbered from 0. Or give (centre, width)."
        )
    return spans[window]


def _windowed(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Equations of DICOM PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -500.0, 500.0)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    return np.clip((values - (centre - 0.5)) / max(width - 1.0, 1e-9) + 0.5, 0.0, 1.0)


def _table(values: NDArray[Any], item: Dataset, *, little_endian: bool) -> NDArray[np.float64]:
    entries, first, bits = (int(part) for part in item.LUTDescriptor)
    data = item.LUTData
    table = (
        np.frombuffer(data, "<u2" if little_endian else ">u2") if isinstance(data, bytes) else np.asarray(data)
    ).astype(np.float64)
    place = np.clip(np.rint(values) - first, 0, (entries or 65536) - 1).astype(np.intp)
    return np.clip(table[place] / (2**bits - 1), 0.0, 1.0)
