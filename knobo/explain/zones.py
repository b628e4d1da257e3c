"""Words for where in a frontal chest radiograph a finding is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knobo.explain.saliency import ConceptMaps

_ENOUGH = 2 / 3  # of what the map shows must lie on a side, or in a third, for it to be named
_THIRDS = ("upper third", "middle third", "lower third")


def chest_places(maps: ConceptMaps) -> dict[str, list[str | None]]:
    """Say on which side of the patient, and in which third of the image, each finding is seen.

    It holds for frontal radiographs in the usual orientation, with the patient's left at the right edge of the image. A
    side or third is named where it holds two thirds of what the map shows, which is all that exceeds half of its
    maximum; else nothing is said of it.

    Parameters
    ----------
    maps : ConceptMaps of n images and m concepts

    Returns
    -------
    dict of concept to list of n str or None
        As :meth:`knobo.explain.Explanation.sentences` takes as ``places``. A place is where the map peaks, whether or
        not the finding is present: what is absent has no place.
    """
    return {concept: [_place(maps.of(case, concept)) for case in range(len(maps))] for concept in maps.concepts}


def _place(found: NDArray[np.float32]) -> str | None:
    if not (top := float(found.max(initial=0.0))) > 0:
        return None
    shown = np.where(found >= top / 2, found, 0.0)
    shown = shown / shown.sum()
    columns, rows = shown.sum(axis=0), shown.sum(axis=1)
    left_edge = columns[: len(columns) // 2].sum()
    side = "right" if left_edge >= _ENOUGH else "left" if 1 - left_edge >= _ENOUGH else None
    thirds = [part.sum() for part in np.array_split(rows, 3)]
    third = _THIRDS[int(np.argmax(thirds))] if max(thirds) >= _ENOUGH else None
    if side and third:
        return f"{side} {third}"
    return f"{side} half" if side else third
