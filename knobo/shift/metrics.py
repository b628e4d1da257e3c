"""How good probabilities are on one set of cases: each metric with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._resampling import percentile_interval, resample_weights
from knobo.errors import InputError
from knobo.grounding.certificate import auroc_influence, delong_interval, delong_variance
from knobo.shift._checks import check_bootstrap, check_classes, check_proba, encode_groups, encode_labels
from knobo.shift._curves import Curve, binned_error

Array = NDArray[np.float64]

SUMMARY = (
    "accuracy",
    "balanced_accuracy",
    "auroc",
    "average_precision",
    "sensitivity_at_specificity",
    "log_loss",
    "ece",
)
AUROC = SUMMARY.index("auroc")
SPECIFICITY = 0.9
_BINS = 10


def evaluate(
    y_true: ArrayLike,
    proba: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    *,
    groups: ArrayLike | None = None,
    specificity: float = SPECIFICITY,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Score probabilities against labels, each metric with an interval: DeLong's for an AUROC, else the bootstrap's.

    Cases are drawn with replacement, without regard to class, so the intervals include the chance in how many cases
    of each class there are. With ``groups``, whole patients are drawn: images of one patient are alike, and intervals
    over images would be too narrow. A resample that lacks what a metric needs (such as a case of a class) is left out
    for that metric. Where every resample gives the same value (accuracy 1 on few cases, say) the interval has no
    width; that is a limit of the bootstrap, not certainty. The AUROC of two classes with two cases each has DeLong's
    interval instead, summed over patients where ``groups`` are given.

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
    specificity : float in (0, 1)
        What ``sensitivity_at_specificity`` keeps, by a threshold on these very cases.
    n_bootstrap : int
        Number of resamples; 0 gives no intervals (NaN).
    confidence : float in (0, 1)
        Coverage that the intervals aim at.
    random_state : int, Generator or None

    Returns
    -------
    DataFrame with one row a metric and the columns ``estimate``, ``low``, ``high``
        ``accuracy`` and ``balanced_accuracy`` of the most probable class; ``auroc`` (two classes: of ``classes[1]``;
        more: mean over classes of one against the rest), and so are ``average_precision`` and
        ``sensitivity_at_specificity``; ``log_loss`` (nats) and ``ece``, the expected calibration error of the most
        probable class in 10 bins of equal width (lower is better for both;
        few cases make an ECE too high); for each class ``sensitivity[class]`` and, with more than two classes,
        ``auroc[class]``. Means over classes leave out those without a case, and a metric that nothing defines is NaN.

    Raises
    ------
    InputError
        If the set is empty, lengths differ, a label is not in ``classes``, probabilities are no probabilities, or
        there are fewer than two groups.

    References
    ----------
    Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 13 (percentile interval). DeLong, DeLong &
    Clarke-Pearson, Biometrics 44(3), 1988, and Obuchowski, Biometrics 53(2), 1997 (AUROC). Guo et al., *On calibration
    of modern neural networks*, ICML 2017, equation 5 (calibration error).
    """
    cases = Cases.check(y_true, proba, classes, groups=groups, specificity=specificity)
    check_bootstrap(n_bootstrap, confidence)
    draws = cases.bootstrap(n_bootstrap, random_state)
    low, high = percentile_interval(draws, confidence)
    if n_bootstrap and cases.has_delong:
        _, low[AUROC], high[AUROC] = delong_interval(*cases.ranking, groups=cases.groups, level=confidence)
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
    specificity: float = SPECIFICITY

    @classmethod
    def check(
        cls,
        y_true: ArrayLike,
        proba: ArrayLike,
        classes: Sequence[Any] | NDArray[Any],
        *,
        groups: ArrayLike | None = None,
        specificity: float = SPECIFICITY,
        name: str = "y_true",
    ) -> Cases:
        """Check one set; ``name`` stands in messages."""
        if not 0 < specificity < 1:
            raise InputError(f"specificity is {specificity}; pass a fraction between 0 and 1, such as 0.9.")
        labels = check_classes(classes)
        codes = encode_labels(y_true, labels, name)
        return cls(
            codes=codes,
            proba=check_proba(proba, len(codes), labels, name),
            classes=labels,
            groups=None if groups is None else encode_groups(groups, len(codes), name),
            averaged=np.unique(codes),
            specificity=specificity,
        )

    @property
    def metric_names(self) -> list[str]:
        """Names of the metrics, in the order of their values."""
        names = [*SUMMARY, *(f"sensitivity[{label}]" for label in self.classes)]
        return names if len(self.classes) == 2 else [*names, *(f"auroc[{label}]" for label in self.classes)]

    @property
    def ranking(self) -> tuple[NDArray[np.intp], Array]:
        """Truth and score of two classes, as an ROC curve wants them."""
        return self.codes, self.proba[:, 1]

    @property
    def has_delong(self) -> bool:
        """Whether the AUROC is one curve with a variance: two classes, two cases of each."""
        return len(self.classes) == 2 and bool(np.bincount(self.codes, minlength=2).min() >= 2)

    def auroc_variance(self, other: Cases | None = None) -> float:
        """DeLong's variance of the AUROC or, with ``other`` probabilities of the same cases, of the difference."""
        if other is None:
            return delong_variance(*self.ranking, groups=self.groups)[1]
        apart = auroc_influence(*self.ranking)[1] - auroc_influence(*other.ranking)[1]
        together = apart if self.groups is None else np.bincount(self.groups, apart)
        return float(together @ together)

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
        ranked = []  # AUROC, average precision and sensitivity, each of shape (n_weightings,), for each class
        for k in wanted:
            curve = Curve.of(member[:, k], self.proba[:, k], weights)
            ranked.append((curve.auroc(), curve.average_precision(), curve.sensitivity(self.specificity)))
        by_class = np.array(ranked)
        averaged = by_class[0] if n_classes == 2 else by_class[self.averaged].mean(axis=0)
        columns = [
            weights @ correct / total,
            sensitivity[:, self.averaged].mean(axis=1),
            *averaged,
            weights @ surprise / total,
            binned_error(self.proba.max(axis=1), correct, weights, _BINS),
            *sensitivity.T,
            *(() if n_classes == 2 else by_class[:, 0]),
        ]
        return np.stack(columns, axis=1)
