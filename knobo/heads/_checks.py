"""Checks of labels, probabilities and groups for what comes after a head is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo._validation import show
from knobo.errors import InputError
from knobo.heads.objective import Array


def encode_labels(y: ArrayLike, classes: NDArray[Any]) -> NDArray[np.intp]:
    """Index of each label in the sorted ``classes``."""
    labels = np.asarray(y)
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"y must be one label a sample, at least one, got shape {labels.shape}; pass a 1-D sequence.")
    known = {label: code for code, label in enumerate(classes.tolist())}
    codes = [known.get(label, -1) for label in labels.tolist()]
    if -1 in codes:
        names = ", ".join(show(label) for label in classes)
        raise InputError(f"y holds {show(labels[codes.index(-1)])}, which is none of the classes {names}.")
    return np.asarray(codes, dtype=np.intp)


def check_proba(proba: ArrayLike, n: int, n_classes: int) -> Array:
    """Class probabilities of shape (n, K)."""
    p = np.asarray(proba, dtype=np.float64)
    if p.shape != (n, n_classes):
        raise InputError(f"proba must have shape ({n}, {n_classes}), one column a class; got {p.shape}.")
    if not np.isfinite(p).all() or p.min(initial=0.0) < 0 or not np.allclose(p.sum(axis=1), 1.0, atol=1e-3):
        raise InputError("proba must hold probabilities that add up to 1 in each row; pass what predict_proba gives.")
    return p


def check_distribution(name: str, shares: Any, classes: NDArray[Any]) -> Array:
    """Positive shares of the classes that add up to one, from a mapping of label to share or a sequence."""
    if isinstance(shares, dict):
        missing = [label for label in classes.tolist() if label not in shares]
        if missing or len(shares) != len(classes):
            raise InputError(f"{name} must give a share for each of the classes {', '.join(map(show, classes))}.")
        shares = [shares[label] for label in classes.tolist()]
    values = np.asarray(shares, dtype=np.float64)
    if values.shape != (len(classes),) or not (values > 0).all() or not np.isclose(values.sum(), 1.0, atol=1e-3):
        raise InputError(f"{name} must be {len(classes)} positive shares that add up to 1, got {shares!r}.")
    return values / values.sum()


def check_share(name: str, value: float) -> float:
    """A number strictly between 0 and 1."""
    if not 0 < value < 1:
        raise InputError(f"{name} is {value!r}; pass a fraction between 0 and 1, such as 0.95.")
    return float(value)


def encode_groups(groups: ArrayLike | None, n: int) -> NDArray[np.intp] | None:
    """Number the groups 0, 1, …; at least two of them."""
    if groups is None:
        return None
    column = np.asarray(groups)
    if column.shape != (n,):
        raise InputError(f"There are {n} samples but groups has shape {column.shape}; pass one group a sample.")
    names, codes = np.unique(column, return_inverse=True)
    if len(names) < 2:
        raise InputError(f"groups hold {show(names[0])} only; at least two groups are needed.")
    return codes


def row_classes(head: Any) -> NDArray[Any]:
    """Class of each row of ``coef_``: for two classes the second only."""
    labels: NDArray[Any] = head.classes_[-len(head.coef_) :]
    return labels
