"""What y says: several labels a sample, some not known, or the class of each sample."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from knobo._validation import knobo_errors, show
from knobo.errors import InputError
from knobo.heads.objective import Array


class Labels(NamedTuple):
    """Classes; names (L,) and values (n, L), 1, 0 or NaN, of the labels; codes (n,) where each sample has one class."""

    classes: NDArray[Any]
    names: NDArray[Any]
    Y: Array
    codes: NDArray[np.intp] | None


def read_labels(y: ArrayLike) -> Labels:
    """Read labels of shape (n, L), or the class of each sample, shape (n,) or (n, 1)."""
    names = getattr(y, "columns", None)
    with knobo_errors():
        values = np.asarray(check_array(y, dtype=None, ensure_all_finite="allow-nan", ensure_2d=False, input_name="y"))
    if values.ndim == 2 and (values.shape[1] > 1 or _are_indicators(values)):
        if not _are_indicators(values):
            raise InputError(
                "Unknown label type: y of several columns must hold 1, 0 or NaN (not known) in each of them."
            )
        names = np.arange(values.shape[1]) if names is None else np.asarray(names)
        return Labels(names, names, values.astype(np.float64), None)
    with knobo_errors():
        one = column_or_1d(values, warn=True)
        assert_all_finite(one, input_name="y")
        check_classification_targets(one)
    classes, codes = np.unique(one, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"y holds one class only ({show(classes[0])}); a classifier needs at least two classes.")
    names = classes[1:] if len(classes) == 2 else classes
    return Labels(classes, names, (codes[:, None] == np.arange(len(classes))[-len(names) :]).astype(np.float64), codes)


def _are_indicators(values: NDArray[Any]) -> bool:
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return bool((np.isnan(numbers) | (numbers == 0) | (numbers == 1)).all())
