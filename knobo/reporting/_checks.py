"""Input checks of write_report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.images import ImageSource
from knobo.shift import ShiftReport

_NEEDS = ("bank_", "concept_quality_", "weights_", "intercept_")


def check_classifier(clf: Any) -> None:
    """Check that ``clf`` is fitted and has all that the page shows."""
    if not callable(getattr(clf, "explain", None)):
        raise InputTypeError(
            f"{type(clf).__name__} has no explain method; write_report needs a ConceptBottleneckClassifier."
        )
    if not hasattr(clf, "classes_"):
        raise NotFittedError(f"{type(clf).__name__} has no classes_; call fit before write_report.")
    missing = [name for name in _NEEDS if not hasattr(clf, name)]
    if missing:
        raise InputTypeError(f"{type(clf).__name__} lacks {', '.join(missing)}, which write_report shows.")


def check_images(
    images: Any,
    y: Any,
    pictures: Sequence[ImageSource] | None,
    max_cases: int,
    metadata: pd.DataFrame | None,
    others: Mapping[str, Any],
) -> Sequence[ImageSource] | None:
    """Check that all, and the ``others`` by name, have one entry a case.

    Returns the images to show; None when there are embeddings only.
    """
    if isinstance(images, str | Path) or not hasattr(images, "__len__"):
        raise InputTypeError(f"images must be a sequence of images, got {type(images).__name__}; put it in a list.")
    if metadata is not None and not isinstance(metadata, pd.DataFrame):
        raise InputTypeError(f"metadata must be a DataFrame with one row a case, got {type(metadata).__name__}.")
    n = len(images)
    if n == 0:
        raise InputError("There are no images to report on; pass at least one.")
    each = {"labels": y, "rows of metadata": metadata, "pictures": pictures, **others}
    for name, given in each.items():
        if given is not None and len(given) != n:
            raise InputError(f"There are {n} images but {len(given)} {name}; pass one an image.")
    if max_cases < 0:
        raise InputError(f"max_cases is {max_cases}; pass 0 for no cases, or how many to show.")
    if pictures is not None:
        return pictures
    embeddings = isinstance(images, pd.DataFrame) or (
        isinstance(images, np.ndarray) and images.ndim == 2 and images.dtype.kind == "f"
    )
    return None if embeddings else images


def check_shifts(shift: Any) -> dict[str, ShiftReport]:
    """Shift reports by name; a single one has none."""
    if shift is None:
        return {}
    reports = dict(shift) if isinstance(shift, Mapping) else {"": shift}
    for report in reports.values():
        if not isinstance(report, ShiftReport):
            raise InputTypeError(f"shift must be a ShiftReport, or a mapping of names to them, got {_kind(report)}.")
    return {str(name): report for name, report in reports.items()}


def _kind(item: Any) -> str:
    return type(item).__name__
