"""How good probabilities are on one set of cases: each metric with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._resampling import percentile_interval, resample_weights, weighted_auroc
from knobo.shift._checks import check_bootstrap, check_classes, check_proba, encode_groups, encode_labels

Array = NDArray[np.float64]

SUMMARY = ("accuracy", "balanced_accuracy", "auroc")


def evaluate(
    y_true: ArrayLike,
    proba: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    *,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Score probabilities against labels, each metric with a percentile bootstrap interval.

    Cases are drawn with replacement, without regard to class, so the intervals include the chance in how many cases
    of each class there are. With ``groups``, whole patients are drawn: images of one patient are alike, and intervals
    over images would be too narrow. A resample that lacks what a metric needs (such as a case of a class) is left out
    for that metric. Where every resample gives the same value (accuracy 1 on few cases, say) the interval has no
    width; that is a limit of the bootstrap, not certainty.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels, each one of ``classes``.
    proba : array-like of shape (n_samples, n_classes), in [0, 1]
        Class probabilities; each row adds up to 1.
    classes : sequence of length n_classes
        Label of each column; ``clf.classes_``.
    groups : array-like of shape (n_samples,), optional
        Patient of each case.
    n_bootstrap : int
        Number of resamples; 0 gives no intervals (NaN).
    confidence : float in (0, 1)
        Coverage that the intervals aim at.
    random_state : int, Generator or None

    Returns
    -------
    DataFrame with one row a metric and the columns ``estimate``, ``low``, ``high``
        ``accuracy`` and ``balanced_accuracy`` of the most probable class; ``auroc`` (two classes: of ``classes[1]``;
        more: mean over classes of one against the rest); ``log_loss`` (nats; lower is better); for each class
        ``sensitivity[class]`` and, with more than two classes, ``auroc[class]``. Means over classes leave out those
        without a case, and a metric that nothing defines is NaN.

    Raises
    ------
    InputError
        If the set is empty, lengths differ, a label is not in ``classes``, probabilities are no probabilities, or
        there are fewer than two groups.

    References
    ----------
    Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 13 (percentile interval).
    """
    cases = Cases.check(y_true, proba, classes, groups=groups)
    check_bootstrap(n_bootstrap, confidence)
    draws = cases.bootstrap(n_bootstrap, random_state)
    low, high = percentile_interval(draws, confidence)
    values = {"estimate": cases.estimate(), "low": low, "high": high}
    return pd.DataFrame(values, index=pd.Index(cases.metric_names, name="metric"))


@dataclass(frozen=True, eq=False)
class Cases:
    """Checked labels and probabilities of one set of cases, and the metrics over any weighting of them."""

    codes: NDArray[np.intp]
    proba: Array
    classes: NDArray[Any]
    groups: NDArray[np.intp] | None
    averaged: NDArray[np.intp]  # classes that balanced accuracy and AUROC are means over

    @classmethod
    def check(
        cls,
        y_true: ArrayLike,
        proba: ArrayLike,
        classes: Sequence[Any] | NDArray[Any],
        *,
        groups: ArrayLike | None = None,
        name: str = "y_true",
    ) -> Cases:
        """Check one set; ``name`` stands in messages."""
        labels = check_classes(classes)
        codes = encode_labels(y_true, labels, name)
        return cls(
            codes=codes,
            proba=check_proba(proba, len(codes), labels, name),
            classes=labels,
            groups=None if groups is None else encode_groups(groups, len(codes), name),
            averaged=np.unique(codes),
        )

    @property
    def metric_names(self) -> list[str]:
        """Names of the metrics, in the order of their values."""
        names = [*SUMMARY, "log_loss", *(f"sensitivity[{label}]" for label in self.classes)]
        return names if len(self.classes) == 2 else [*names, *(f"auroc[{label}]" for label in self.classes)]

    def estimate(self) -> Array:
        """Values of shape (n_metrics,) on the cases as they are."""
        return self._score(np.ones((1, len(self.codes))))[0]

    def bootstrap(self, n_bootstrap: int, random_state: int | np.random.Generator | None) -> Array:
        """Values of shape (n_bootstrap, n_metrics) on resamples; NaN where a resample does not define a metric."""
        rng = np.random.default_rng(random_state)
        parts = [self._score(weights) for weights in resample_weights(len(self.codes), self.groups, n_bootstrap, rng)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.metric_names)))

    def _score(self, weights: Array) -> Array:
        """Metrics of shape (n_weightings, n_metrics) under case weights of shape (n_weightings, n_samples)."""
        n_classes = len(self.classes)
        member = np.eye(n_classes)[self.codes]
        correct = (self.proba.argmax(axis=1) == self.codes).astype(np.float64)
        surprise = -np.log(np.maximum(self.proba[np.arange(len(self.codes)), self.codes], np.finfo(float).eps))
        total = weights.sum(axis=1)
        with np.errstate(invalid="ignore"):  # 0 / 0: a class that the resample lacks
            sensitivity = (weights @ (member * correct[:, None])) / (weights @ member)
        wanted = [1] if n_classes == 2 else range(n_classes)
        aurocs = np.stack([weighted_auroc(member[:, k], self.proba[:, k], weights) for k in wanted], axis=1)
        columns = [
            weights @ correct / total,
            sensitivity[:, self.averaged].mean(axis=1),
            aurocs[:, 0] if n_classes == 2 else aurocs[:, self.averaged].mean(axis=1),
            weights @ surprise / total,
            *sensitivity.T,
            *(() if n_classes == 2 else aurocs.T),
        ]
        return np.stack(columns, axis=1)
