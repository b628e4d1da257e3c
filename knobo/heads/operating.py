"""Operating points: the threshold that gives a wanted sensitivity or specificity, and what the other one then is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from knobo._resampling import percentile_interval, resample_weights
from knobo._validation import show
from knobo.errors import InputError
from knobo.heads._checks import check_proba, check_share, encode_groups, encode_labels
from knobo.heads.objective import Array

Interval = Literal["exact", "bootstrap"]


def operating_points(
    y: ArrayLike,
    proba: ArrayLike,
    classes: ArrayLike,
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
    thresholds: Mapping[Any, float] | None = None,
    interval: Interval = "exact",
    groups: ArrayLike | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """One threshold a class, and the sensitivity and specificity that it has.

    A sample is called positive for a class when its probability is at least the threshold. Give exactly one of
    ``sensitivity``, ``specificity`` and ``thresholds``: among the thresholds that reach the wanted value on these
    samples, the one with the best value of the other is taken.

    Parameters
    ----------
    y : array-like of shape (n,)
        True labels.
    proba : array-like of shape (n, K)
        Class probabilities.
    classes : array-like of shape (K,)
        Label of each column; each class against the rest.
    sensitivity, specificity : float in (0, 1), optional
        Least value wanted.
    thresholds : mapping of label to threshold, optional
        Thresholds that were chosen before, such as on other samples, to be judged on these.
    interval : {"exact", "bootstrap"}
        "exact" is the Clopper-Pearson interval of a proportion at the threshold as it is: right where the threshold
        comes from other samples, too narrow where these samples chose it. "bootstrap" draws samples (or patients)
        anew and, unless ``thresholds`` are given, chooses the threshold anew on each draw.
    groups : array-like of shape (n,), optional
        Patient of each sample, for the bootstrap.
    n_bootstrap : int
    confidence : float in (0, 1)
    random_state : int, Generator or None

    Returns
    -------
    DataFrame, one row a class
        ``threshold``, ``sensitivity`` and ``specificity`` with ``_low`` and ``_high``, ``ppv`` and ``npv`` (at the
        prevalence of these samples), ``n_positive`` and ``n_negative``.

    Raises
    ------
    InputError
        If settings or shapes are unusable, or a class has no positive or no negative sample.

    References
    ----------
    Clopper & Pearson, *The use of confidence or fiducial limits illustrated in the case of the binomial*, Biometrika
    26(4), 1934.
    """
    labels = np.asarray(classes)
    codes = encode_labels(y, labels)
    p = check_proba(proba, len(codes), len(labels))
    rule = _Rule.check(sensitivity, specificity, thresholds, labels)
    check_share("confidence", confidence)
    if interval not in ("exact", "bootstrap"):
        raise InputError(f"interval must be 'exact' or 'bootstrap', got {interval!r}.")
    if interval == "exact" and groups is not None:
        raise InputError("The exact interval takes samples as independent; use interval='bootstrap' with groups.")
    patients = encode_groups(groups, len(codes))
    rows = {}
    for k, label in enumerate(labels):
        positive = codes == k
        if not 0 < positive.sum() < len(codes):
            raise InputError(f"Class {show(label)} needs positive and negative samples; y has only one kind.")
        threshold = rule.choose(positive, p[:, k], np.ones((1, len(codes))), k)
        rates = _rates(positive, p[:, k], np.ones((1, len(codes))), threshold)[0]
        if interval == "exact":
            ends = [exact_interval(*pair, confidence) for pair in _counts(positive, p[:, k] >= threshold[0])]
        else:
            rng = np.random.default_rng(random_state)
            draws = [
                _rates(positive, p[:, k], weights, rule.choose(positive, p[:, k], weights, k))
                for weights in resample_weights(len(codes), patients, n_bootstrap, rng)
            ]
            ends = list(zip(*percentile_interval(np.concatenate(draws), confidence), strict=True))
        called = p[:, k] >= threshold[0]
        rows[label] = {
            "threshold": threshold[0],
            **_named("sensitivity", rates[0], ends[0]),
            **_named("specificity", rates[1], ends[1]),
            "ppv": positive[called].mean() if called.any() else np.nan,
            "npv": (~positive[~called]).mean() if (~called).any() else np.nan,
            "n_positive": int(positive.sum()),
            "n_negative": int((~positive).sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def exact_interval(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion."""
    tail = (1 - confidence) / 2
    low = betaincinv(successes, n - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return float(low), float(high)


class _Rule:
    """How thresholds are found: for a wanted sensitivity, a wanted specificity, or given."""

    def __init__(self, kind: str, target: float = 0.0, given: Array | None = None) -> None:
        self.kind, self.target, self.given = kind, target, given

    @classmethod
    def check(
        cls,
        sensitivity: float | None,
        specificity: float | None,
        thresholds: Mapping[Any, float] | None,
        labels: NDArray[Any],
    ) -> _Rule:
        if sum(option is not None for option in (sensitivity, specificity, thresholds)) != 1:
            raise InputError("Give exactly one of sensitivity=, specificity= and thresholds=.")
        if sensitivity is not None:
            return cls("sensitivity", check_share("sensitivity", sensitivity))
        if specificity is not None:
            return cls("specificity", check_share("specificity", specificity))
        missing = [label for label in labels.tolist() if label not in (thresholds or {})]
        if missing:
            raise InputError(f"thresholds has none for class {show(missing[0])}; give one for each class.")
        return cls("given", given=np.array([(thresholds or {})[label] for label in labels.tolist()], dtype=np.float64))

    def choose(self, positive: NDArray[np.bool_], score: Array, weights: Array, k: int) -> Array:
        """Thresholds of class ``k``, one a weighting (B, n)."""
        if self.given is not None:
            return np.full(len(weights), self.given[k])
        side = positive if self.kind == "sensitivity" else ~positive
        values, place = np.unique(score, return_inverse=True)
        mass = np.zeros((len(weights), len(values)))
        for row, own in enumerate(weights[:, side]):
            mass[row] = np.bincount(place[side], own, len(values))
        mass /= np.maximum(mass.sum(axis=1, keepdims=True), 1e-300)
        slack = 1e-12
        if self.kind == "sensitivity":  # the highest threshold with enough positives at or above it
            above = mass[:, ::-1].cumsum(axis=1)[:, ::-1]
            last = (above >= self.target - slack).sum(axis=1) - 1
            return values[np.maximum(last, 0)]
        below = np.hstack([np.zeros((len(weights), 1)), mass.cumsum(axis=1)])  # negatives under each threshold
        first = (below < self.target - slack).sum(axis=1)
        return np.append(values, np.nextafter(values[-1], np.inf))[np.minimum(first, len(values))]


def _rates(positive: NDArray[np.bool_], score: Array, weights: Array, thresholds: Array) -> Array:
    """Sensitivity and specificity, shape (B, 2), of one threshold a weighting."""
    called = score >= thresholds[:, None]
    with np.errstate(invalid="ignore"):  # 0 / 0: a resample without the class
        sensitivity = (weights * (called & positive)).sum(axis=1) / weights[:, positive].sum(axis=1)
        specificity = (weights * (~called & ~positive)).sum(axis=1) / weights[:, ~positive].sum(axis=1)
    return np.stack([sensitivity, specificity], axis=1)


def _counts(positive: NDArray[np.bool_], called: NDArray[np.bool_]) -> list[tuple[int, int]]:
    hits = int((called & positive).sum()), int(positive.sum())
    rejections = int((~called & ~positive).sum()), int((~positive).sum())
    return [hits, rejections]


def _named(name: str, value: float, ends: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
