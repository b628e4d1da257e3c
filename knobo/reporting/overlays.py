"""Maps of where a finding was seen, as small transparent pictures over the image of a case."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from knobo.bank import ConceptBank
from knobo.errors import InputError

_SIDE = 64  # pixels of the longer side: maps are coarse, and the browser smooths them
_COLOUR = (0, 224, 255)  # cyan stands out on grey and on skin
_STRONGEST = 190  # of 255: the image stays visible where the map is 1

CaseMaps = Mapping[str, ArrayLike] | ArrayLike | None


def case_maps(given: CaseMaps, bank: ConceptBank, case: int) -> dict[str, NDArray[np.float64]]:
    """Check the maps of one case.

    Parameters
    ----------
    given : mapping of concept id to array of shape (h, w), array of shape (m, h, w), or None
        Values in [0, 1]; an array has one map a concept, in the order of the bank.
    bank : ConceptBank
    case : int
        Position of the case, for messages.

    Returns
    -------
    dict of concept id to ndarray of shape (h, w)

    Raises
    ------
    InputError
        If a concept is unknown, or a map is no array of shape (h, w) with values in [0, 1].
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        stack: Sequence[Any] = list(np.asarray(given))
        if len(stack) != len(bank):
            raise InputError(
                f"maps of case {case} hold {len(stack)} maps for {len(bank)} concepts; pass one a concept."
            )
        given = dict(zip(bank.ids, stack, strict=True))
    unknown = [name for name in given if name not in bank.ids]
    if unknown:
        raise InputError(f"maps of case {case} name {unknown[0]!r}, which is no concept of the classifier.")
    return {name: _check_map(values, name, case) for name, values in given.items()}


def overlay_uri(values: NDArray[np.float64]) -> str:
    """Write a map of shape (h, w) in [0, 1] as a PNG of one colour, its opacity the value, in a ``data:`` address."""
    image = Image.fromarray(np.round(values * 255).astype(np.uint8))
    image.thumbnail((_SIDE, _SIDE))
    levels = Image.fromarray(np.asarray(image) // 8)  # 32 levels: enough for the eye, and small
    levels = levels.convert("L")
    levels.putpalette(list(_COLOUR) * 256)
    buffer = io.BytesIO()
    opacity = bytes(min(level * 8 * _STRONGEST // 248, _STRONGEST) for level in range(32))
    levels.save(buffer, format="PNG", transparency=opacity, optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _check_map(values: ArrayLike, name: str, case: int) -> NDArray[np.float64]:
    try:
        checked = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The map of {name!r} in case {case} is no array of numbers: {error}") from error
    if checked.ndim != 2 or checked.size == 0:
        raise InputError(f"The map of {name!r} in case {case} has shape {checked.shape}; expected (h, w).")
    if not (np.isfinite(checked).all() and checked.min() >= 0 and checked.max() <= 1):
        raise InputError(f"The map of {name!r} in case {case} must lie in [0, 1]; scale it first.")
    return checked
