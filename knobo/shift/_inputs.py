"""Sets of images and labels, and patients, as the checks take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knobo._validation import knobo_errors
from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.shift._checks import check_classes, encode_labels

Pair = tuple[Any, Any]
Seed = int | np.random.Generator | None


class SupportsPredictProba(Protocol):
    """A classifier; once fitted it also has ``classes_``."""

    def predict_proba(self, X: Any, /) -> Any:
        """Return class probabilities of shape (n_samples, n_classes)."""


def classes_of(clf: SupportsPredictProba) -> NDArray[Any]:
    """Classes of a fitted classifier that gives probabilities."""
    if not hasattr(clf, "predict_proba"):
        raise InputTypeError(f"{type(clf).__name__} has no predict_proba; pass a classifier that gives probabilities.")
    if not hasattr(clf, "classes_"):
        raise NotFittedError(f"{type(clf).__name__} has no classes_; call fit before the check.")
    return check_classes(clf.classes_)


def name_targets(target: Pair | Mapping[str, Pair]) -> dict[str, Pair]:
    """Name each target; a single one is called ``target``."""
    if not isinstance(target, Mapping):
        return {"target": target}
    if not target:
        raise InputError("target is an empty mapping; pass at least one domain, as {name: (X, y)}.")
    if "source" in target:
        raise InputError("A target is called 'source', which is the name of the training domain; rename it.")
    return dict(target)


def where(name: str) -> str:
    return name if name == "target" else f"target {name!r}"


def split_groups(groups: Pair | None, targets: Mapping[str, Pair]) -> tuple[Any, Mapping[str, Any]]:
    """Groups of the source, and those of each target by name."""
    if groups is None:
        return None, {}
    source_groups, target_groups = unpack(groups, "groups", "(source groups, target groups)")
    if target_groups is None or isinstance(target_groups, Mapping):
        return source_groups, target_groups or {}
    if len(targets) > 1:
        raise InputTypeError("There are several targets; pass groups as (source groups, {name: target groups}).")
    return source_groups, {next(iter(targets)): target_groups}


def predict(clf: SupportsPredictProba, pair: Pair, classes: NDArray[Any], place: str) -> Pair:
    """Labels and probabilities of one set; labels are checked first, as predicting may take long."""
    X, y = unpack(pair, place, "(X, y)")
    n_labels = len(encode_labels(y, classes, place))
    n_images = X.shape[0] if hasattr(X, "shape") else len(X)
    if n_images != n_labels:
        raise InputError(f"{place}: there are {n_images} images but {n_labels} labels; pass one label an image.")
    with knobo_errors():
        return y, clf.predict_proba(X)


def unpack(pair: Any, place: str, form: str) -> Pair:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputTypeError(f"{place} is {type(pair).__name__}; pass a pair {form}.")
    return pair[0], pair[1]
