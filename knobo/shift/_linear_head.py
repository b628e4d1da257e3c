"""The linear head behind a concept classifier, and its score case by case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knobo._validation import knobo_errors
from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.shift._checks import check_classes, check_features, encode_labels
from knobo.shift._inputs import Pair, unpack

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

METRICS = ("log_loss", "accuracy")


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits are ``activations @ weights.T + intercept``; probabilities are their softmax."""

    weights: Array  # (K, m)
    intercept: Array  # (K,)
    classes: NDArray[Any]
    concepts_of: Any  # the classifier's method, or None where the classifier takes activations

    @classmethod
    def of(cls, clf: Any) -> LinearHead:
        """Find the head of a concept classifier, or take a linear classifier on activations as it is."""
        head = getattr(clf, "head_", clf)
        if not hasattr(clf, "classes_"):
            raise NotFittedError(f"{type(clf).__name__} has no classes_; call fit before the check.")
        if not hasattr(head, "coef_"):
            raise InputTypeError(f"{type(clf).__name__} has no linear head (coef_), so its gap cannot be shared out.")
        weights, intercept = np.atleast_2d(head.coef_), np.atleast_1d(head.intercept_)
        if len(weights) == 1:  # two classes: the logit of the second against the first
            weights, intercept = np.vstack([0 * weights, weights]), np.array([0.0, intercept[0]])
        return cls(weights, intercept, check_classes(clf.classes_), getattr(clf, "concepts", None))

    def read(self, pair: Pair, place: str) -> tuple[pd.DataFrame, Ints]:
        """Activations and label codes of one set."""
        X, y = unpack(pair, place, "(X, y)")
        codes = encode_labels(y, self.classes, place)
        with knobo_errors():
            found = X if self.concepts_of is None else self.concepts_of(X)
        values = check_features(found, len(codes), f"{place}: activations")
        if values.shape[1] != self.weights.shape[1]:
            raise InputError(f"{place} has {values.shape[1]} concepts; the head knows {self.weights.shape[1]}.")
        names = [str(name) for name in getattr(found, "columns", range(values.shape[1]))]
        return pd.DataFrame(values, columns=names), codes

    def logits(self, activations: Array) -> Array:
        return np.asarray(activations @ self.weights.T + self.intercept)

    def check_probabilities(self, clf: Any, activations: pd.DataFrame) -> None:
        """Refuse a head whose probabilities are not the softmax of its logits."""
        head, few = getattr(clf, "head_", clf), activations.iloc[:5]
        with knobo_errors():
            expected = np.asarray(head.predict_proba(few if hasattr(head, "feature_names_in_") else few.to_numpy()))
        logits = self.logits(few.to_numpy())
        found = np.exp(logits - logits.max(axis=1, keepdims=True))
        if not np.allclose(found / found.sum(axis=1, keepdims=True), expected, atol=1e-5):
            raise InputTypeError(f"{type(head).__name__}'s probabilities are not the softmax of a linear score.")


def score_cases(logits: Array, codes: Ints, metric: str) -> Array:
    """Score of each case, more is better: log-probability of the true class, or 1 where it is the likeliest.

    ``logits`` have shape (n, …, K) and the result (n, …).
    """
    index = codes.reshape(-1, *[1] * (logits.ndim - 1))
    if metric == "accuracy":
        return (logits.argmax(axis=-1) == index[..., 0]).astype(np.float64)
    top = logits.max(axis=-1, keepdims=True)
    log_total = (top + np.log(np.exp(logits - top).sum(axis=-1, keepdims=True)))[..., 0]
    return np.take_along_axis(logits, np.broadcast_to(index, (*logits.shape[:-1], 1)), axis=-1)[..., 0] - log_total
