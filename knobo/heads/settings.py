"""Checks of what a head is told: its settings, its prior, its weights of classes and samples."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo._validation import knobo_errors, show
from knobo.errors import InputError
from knobo.heads.objective import Array, merge_binary_prior

PRIORS = ("sign", "hard", "shrink", "tanh", None)


def check_number(name: str, value: Any, *, low: float, high: float = np.inf, strict: bool = False) -> float:
    """Return a real parameter between ``low`` and ``high``; ``strict`` leaves ``low`` out."""
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not (low < value if strict else low <= value) or not value <= high or np.isinf(value):
        if np.isfinite(high):
            range_ = f"a number from {low:g} to {high:g}"
        else:
            range_ = f"a number {'above' if strict else 'of at least'} {low:g}"
        raise InputError(f"{name} must be {range_}, got {value!r}.")
    return float(value)


def check_count(name: str, value: Any, *, low: int = 1) -> int:
    """Return an integer parameter of at least ``low``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise InputError(f"{name} must be an integer of at least {low}, got {value!r}.")
    return int(value)


def check_prior(
    prior: str | None, signs: ArrayLike | None, confidence: ArrayLike | None, n_classes: int, m: int
) -> tuple[Array, Array]:
    """Signs and confidences of the rows of weights.

    Parameters
    ----------
    prior : {"sign", "hard", "shrink", "tanh", None}
        ``None`` switches the prior off, whatever the signs.
    signs : array-like of shape (K, m), or (1, m) for two classes, in {-1, 0, 1}; or None
    confidence : array-like of the shape of ``signs``, in [0, 1]; or None for ones
    n_classes, m : int
        K, and the number of concepts.

    Returns
    -------
    signs, confidence : ndarray of shape (R, m)
        Zeros where nothing is known.
    """
    check_prior_name(prior)
    n_rows = 1 if n_classes == 2 else n_classes
    if prior is None or signs is None:
        return np.zeros((n_rows, m)), np.zeros((n_rows, m))
    P, c = read_prior(signs, confidence)
    if P.shape != (n_classes, m) and P.shape != (n_rows, m):
        also = f", or (1, {m}) for the log-odds of the second class" if n_rows == 1 else ""
        raise InputError(
            f"prior_signs must have shape ({n_classes}, {m}), one row a class of classes_ and one column a concept"
            f"{also}; got {P.shape}."
        )
    return merge_binary_prior(P, c) if len(P) == 2 else (P, c)


def check_prior_name(prior: str | None) -> None:
    """Raise where the prior is none of :data:`PRIORS`."""
    if prior is not None and prior not in PRIORS:
        raise InputError(
            f"prior must be 'sign', 'hard', 'shrink', 'tanh' or None, got {prior!r}; None fits without the literature."
        )


def read_prior(signs: ArrayLike, confidence: ArrayLike | None) -> tuple[Array, Array]:
    """Signs and confidences of any one shape, checked; the confidence is 0 where the sign is."""
    P = _numbers("prior_signs", signs)
    if not np.isin(P, (-1.0, 0.0, 1.0)).all():
        wrong = P[~np.isin(P, (-1.0, 0.0, 1.0))][0]
        raise InputError(f"prior_signs must be -1, 0 or 1, got {wrong:g}; write 0 where the sign is unknown.")
    c = np.ones_like(P) if confidence is None else _numbers("prior_confidence", confidence)
    if c.shape != P.shape:
        raise InputError(f"prior_confidence must have the shape of prior_signs, {P.shape}; got {c.shape}.")
    if not ((c >= 0) & (c <= 1)).all():
        wrong = c[~((c >= 0) & (c <= 1))][0]
        raise InputError(f"prior_confidence must lie in [0, 1], got {wrong:g}; write 0 where the sign is unsure.")
    return P, np.where(P != 0, c, 0.0)


def check_concept_groups(groups: ArrayLike | None, m: int) -> NDArray[np.intp] | None:
    """Code 0 … G − 1 of each concept's group, shape (m,); None where there are no groups."""
    if groups is None:
        return None
    if isinstance(groups, str):
        raise InputError(
            f"concept_groups={groups!r} is no list of labels; only ConceptBottleneckClassifier reads 'bank', for "
            "which it puts in ConceptBank.concept_groups()."
        )
    labels = np.asarray(groups)
    if labels.shape != (m,):
        raise InputError(
            f"concept_groups must hold one label a concept, shape ({m},), got shape {labels.shape}; "
            "ConceptBank.concept_groups() makes them."
        )
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise InputError(f"concept_groups has no label for concept {int(np.isnan(labels).argmax())}; give it its own.")
    return np.unique(labels.astype(str) if labels.dtype == object else labels, return_inverse=True)[1]


def _numbers(name: str, values: ArrayLike) -> Array:
    with knobo_errors():
        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} must be a table of numbers: {error}.") from error


def effective_weights(
    sample_weight: ArrayLike | None,
    class_weight: Mapping[Any, float] | str | None,
    classes: NDArray[Any],
    codes: NDArray[np.intp],
) -> Array:
    """Weight of each sample: its own, times that of its class.

    Parameters
    ----------
    sample_weight : array-like of shape (n,) or None
        Non-negative; None means ones.
    class_weight : mapping of label to weight, "balanced" or None
        ``"balanced"`` gives all classes the same total; a class that the mapping leaves out has weight 1.
    classes : ndarray of shape (K,)
    codes : ndarray of shape (n,)
        Index of each sample's class.

    Returns
    -------
    ndarray of shape (n,)
    """
    own = np.ones(len(codes)) if sample_weight is None else _numbers("sample_weight", sample_weight)
    if own.shape != codes.shape:
        raise InputError(f"sample_weight.shape == {own.shape}, expected ({len(codes)},): one weight a sample.")
    if not np.isfinite(own).all() or own.min() < 0:
        wrong = int(np.flatnonzero(~np.isfinite(own) | (own < 0))[0])
        raise InputError(f"sample_weight must be finite and not negative, got {own[wrong]:g} for sample {wrong}.")
    totals = np.bincount(codes, own, len(classes)).astype(np.float64)
    factors = _class_factors(class_weight, classes, totals)
    if (totals * factors).min() <= 0:
        idle = show(classes[(totals * factors).argmin()])
        raise InputError(f"The weights of all samples of class {idle} are zero; drop the class or give it weight.")
    return own * factors[codes]


def _class_factors(class_weight: Any, classes: NDArray[Any], totals: Array) -> Array:
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str) and class_weight == "balanced":
        return np.divide(totals.sum() / len(classes), totals, out=np.zeros(len(classes)), where=totals > 0)
    if not isinstance(class_weight, Mapping):
        raise InputError(f"class_weight must be None, 'balanced' or a dict of label to weight, got {class_weight!r}.")
    unknown = [label for label in class_weight if label not in classes]
    if unknown:
        known = ", ".join(show(label) for label in classes)
        raise InputError(f"class_weight names the class {show(unknown[0])}, which y does not hold; y holds {known}.")
    factors = [class_weight.get(label.item() if isinstance(label, np.generic) else label, 1.0) for label in classes]
    return np.array(
        [check_number(f"class_weight of {show(label)}", f, low=0.0) for label, f in zip(classes, factors, strict=True)]
    )
