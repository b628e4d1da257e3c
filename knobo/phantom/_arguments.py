"""Checks of the arguments that all phantom generators share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo.errors import InputError


def check_whole(value: int, name: str, *, at_least: int) -> None:
    """Raise unless ``value`` is a whole number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise InputError(f"{name} must be a whole number of at least {at_least}, got {value!r}.")


def check_hospital(hospital: str, known: Collection[str]) -> None:
    """Raise unless the hospital is one of ``known``."""
    if hospital not in known:
        raise InputError(f"Unknown hospital {hospital!r}; choose one of {', '.join(known)}.")


def check_label_weights(label_weights: Mapping[str, float] | None, classes: Sequence[str]) -> NDArray[np.float64]:
    """Probability of each of ``classes``."""
    if label_weights is None:
        return np.full(len(classes), 1 / len(classes))
    unknown = sorted(set(label_weights) - set(classes))
    if unknown:
        raise InputError(f"label_weights names unknown classes {unknown}; the classes are {list(classes)}.")
    weights = np.array([label_weights.get(name, 0.0) for name in classes], float)
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() == 0:
        raise InputError(f"label_weights must be at least 0 and not all 0, got {dict(label_weights)}.")
    return weights / weights.sum()


def check_given_labels(
    labels: ArrayLike | None, label_weights: object, classes: Sequence[str], n_samples: int
) -> list[str] | None:
    """The class asked for each image, or None."""
    if labels is None:
        return None
    if label_weights is not None:
        raise InputError("Pass either labels or label_weights, not both.")
    chosen = np.asarray(labels)
    if chosen.shape != (n_samples,):
        raise InputError(f"labels must hold one class an image ({n_samples}), got an array of shape {chosen.shape}.")
    unknown = sorted({str(name) for name in chosen} - set(classes))
    if unknown:
        raise InputError(f"labels names unknown classes {unknown}; the classes are {list(classes)}.")
    return [str(name) for name in chosen]


def check_flags(flags: ArrayLike | None, name: str, n_samples: int) -> list[bool] | None:
    """One boolean an image, or None."""
    if flags is None:
        return None
    array = np.asarray(flags)
    if array.shape != (n_samples,):
        raise InputError(f"{name} must hold one bool an image ({n_samples}), got an array of shape {array.shape}.")
    if array.dtype != bool:
        raise InputError(f"{name} must hold booleans, got {array.dtype}; use {name}=np.asarray({name}, bool).")
    return [bool(flag) for flag in array]
