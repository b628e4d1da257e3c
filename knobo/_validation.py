"""Input checks shared by all estimators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted as _sklearn_check_is_fitted

from knobo.errors import InputError, InputTypeError, KnoboError, NotFittedError


@contextmanager
def knobo_errors() -> Iterator[None]:
    """Re-raise scikit-learn's ``ValueError`` and ``TypeError`` as knobo's, with the same message."""
    try:
        yield
    except KnoboError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error
    except TypeError as error:
        raise InputTypeError(str(error)) from error


def check_fitted(estimator: Any, attribute: str) -> None:
    """Raise :class:`NotFittedError` unless ``estimator`` has the fitted ``attribute``."""
    try:
        _sklearn_check_is_fitted(estimator, attribute)
    except ValueError as error:  # scikit-learn's NotFittedError is a ValueError
        raise NotFittedError(str(error)) from error


def check_labels(y: ArrayLike, n_samples: int, *, min_per_class: int = 2) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Check class labels and encode them.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Class labels, strings or integers, none missing.
    n_samples : int
        Number of images that the labels belong to.
    min_per_class : int
        Fewest images that a class may have.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted distinct labels.
    codes : ndarray of shape (n_samples,), intp
        Index of each label in ``classes``.

    Raises
    ------
    InputError
        If the lengths differ, a label is missing, there is only one class, or a class has too few images.
    """
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise InputError(f"y must be one label an image, got an array of shape {labels.shape}; pass a 1-D sequence.")
    if len(labels) != n_samples:
        raise InputError(f"There are {n_samples} images but {len(labels)} labels; pass one label an image.")
    missing = _missing(labels)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise InputError(f"y has {int(missing.sum())} missing labels (first at row {row}); drop these rows first.")
    if labels.dtype == object:
        labels = labels.astype(str)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"y holds one class only ({show(classes[0])}); a classifier needs at least two.")
    counts = np.bincount(codes)
    if counts.min() < min_per_class:
        rare = classes[counts.argmin()]
        raise InputError(
            f"Class {show(rare)} has {counts.min()} image(s), fewer than the {min_per_class} that are needed; "
            "add images or drop the class."
        )
    return classes, codes


def show(label: Any) -> str:
    """Write a label as the user would: ``'a'``, not ``np.str_('a')``."""
    return repr(label.item() if isinstance(label, np.generic) else label)


def _missing(labels: NDArray[Any]) -> NDArray[np.bool_]:
    if labels.dtype.kind == "f":
        return np.isnan(labels)
    if labels.dtype == object:
        return np.array([label is None or label != label or label == "" for label in labels], dtype=bool)
    if labels.dtype.kind in "US":
        return labels == np.array("", dtype=labels.dtype)
    return np.zeros(len(labels), dtype=bool)
