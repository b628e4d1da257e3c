"""Checks of labels, probabilities and columns that the parts of ``shift`` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._validation import show
from knobo.errors import InputError


def check_column(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return ``values`` as a 1-D array without missing entries, of text where it holds Python objects."""
    column = np.asarray(values)
    if column.ndim != 1:
        raise InputError(f"{name} has shape {column.shape}; pass a 1-D sequence, one entry a case.")
    if len(column) == 0:
        raise InputError(f"{name} is empty; pass at least one case.")
    missing = pd.isna(column) | (column.astype(str) == "")
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise InputError(
            f"{name} has {int(missing.sum())} missing entries (first at row {row}); drop these rows first."
        )
    return column.astype(str) if column.dtype == object else column


def check_classes(classes: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Return the class labels as an array of at least two distinct ones."""
    names = check_column(np.asarray(classes), "classes")
    if len(names) < 2 or len(np.unique(names)) < len(names):
        raise InputError(f"classes must be two or more distinct labels, got {', '.join(map(show, names))}.")
    return names


def encode_labels(y: ArrayLike, classes: NDArray[Any], name: str) -> NDArray[np.intp]:
    """Index of each label in ``classes``."""
    labels = check_column(y, name)
    if (labels.dtype.kind == "U") != (classes.dtype.kind == "U"):  # such as 1 and "1" after a trip through a CSV file
        labels, classes = labels.astype(str), classes.astype(str)
    order = np.argsort(classes)
    unseen = np.setdiff1d(labels, classes)
    if len(unseen):
        raise InputError(
            f"{name} holds {', '.join(map(show, unseen[:5]))}, which the classifier never saw in training; it knows "
            f"{', '.join(map(show, classes))}. Drop or rename these cases, or train with that class."
        )
    return order[np.searchsorted(classes, labels, sorter=order)]


def check_proba(proba: ArrayLike, n_samples: int, classes: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Return probabilities of shape (n_samples, n_classes) as float64."""
    values = np.asarray(proba)
    if values.ndim != 2 or values.shape[1] != len(classes):
        raise InputError(
            f"{name}: probabilities have shape {values.shape}; expected one column for each of the "
            f"{len(classes)} classes, as predict_proba gives them."
        )
    if len(values) != n_samples:
        raise InputError(f"{name}: there are {n_samples} labels but {len(values)} rows of probabilities.")
    values = values.astype(np.float64)
    off = ~(np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) < 1e-3))
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InputError(
            f"{name}: {int(off.sum())} rows are no probabilities (first at row {row}: {values[row].tolist()}); each "
            "must be at least 0 and a row must add up to 1. Scores and logits do not fit here."
        )
    return values


def encode_groups(groups: ArrayLike, n_samples: int, name: str, *, fewest: int = 2) -> NDArray[np.intp]:
    """Number the groups 0, 1, …; at least ``fewest`` of them."""
    column = check_column(groups, f"{name}: groups")
    if len(column) != n_samples:
        raise InputError(f"{name}: there are {n_samples} labels but {len(column)} groups; pass one group a case.")
    names, codes = np.unique(column, return_inverse=True)
    if len(names) < fewest:
        raise InputError(f"{name}: groups hold {show(names[0])} only; at least {fewest} patients are needed.")
    return codes


def check_bootstrap(n_bootstrap: int, confidence: float) -> None:
    """Check the settings of a bootstrap."""
    if n_bootstrap < 0:
        raise InputError(f"n_bootstrap is {n_bootstrap}; pass the number of resamples, or 0 for no intervals.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; pass a fraction between 0 and 1, such as 0.95.")


def check_features(features: Any, n: int, name: str) -> NDArray[np.float64]:
    """Return finite features of shape (n, any) as float64."""
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or len(values) != n:
        raise InputError(f"{name} has shape {values.shape}; expected one row for each of the {n} cases.")
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds values that are not finite; drop or fill these rows first.")
    return values
