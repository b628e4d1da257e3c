"""The bootstrap over cases or patients, and the metrics that it needs under many weightings at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CHUNK = 2_000_000  # weights held at a time: 16 MB


def resample_weights(
    n: int, groups: NDArray[np.intp] | None, n_bootstrap: int, rng: np.random.Generator
) -> Iterator[Array]:
    """How often each case was drawn, in chunks of shape (resamples, n); with ``groups`` whole patients are drawn.

    Parameters
    ----------
    n : int
        Number of cases.
    groups : ndarray of shape (n,), intp, or None
        Patient of each case, numbered 0, 1, …
    """
    n_units = n if groups is None else int(groups.max()) + 1
    step = max(1, _CHUNK // n)
    for start in range(0, n_bootstrap, step):
        rows = min(step, n_bootstrap - start)
        drawn = rng.integers(n_units, size=(rows, n_units)) + n_units * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n_units).reshape(rows, n_units).astype(np.float64)
        yield weights if groups is None else weights[:, groups]


def weighted_auroc(positive: Array, score: Array, weights: Array) -> Array:
    """AUROC under many weightings at once: the chance that a positive scores above a negative, ties counting half.

    Parameters
    ----------
    positive : ndarray of shape (n,), 1 or 0
    score : ndarray of shape (n,)
    weights : ndarray of shape (B, n)
        Non-negative case weights, one row a resample.

    Returns
    -------
    ndarray of shape (B,)
        NaN where the positives or the negatives weigh nothing.
    """
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    is_positive = positive[order] == 1
    negatives = np.zeros((len(weights), len(score) + 1))
    np.cumsum(weights[:, order] * ~is_positive, axis=1, out=negatives[:, 1:])
    below = np.searchsorted(ranked, ranked[is_positive], side="left")
    not_above = np.searchsorted(ranked, ranked[is_positive], side="right")
    weight = weights[:, order[is_positive]]
    wins = (weight * (negatives[:, below] + negatives[:, not_above])).sum(axis=1) / 2
    with np.errstate(invalid="ignore"):
        return wins / (weight.sum(axis=1) * negatives[:, -1])


def percentile_interval(draws: Array, confidence: float) -> tuple[Array, Array]:
    """Lower and upper ends, each of shape (n_metrics,), of draws of shape (n_bootstrap, n_metrics); NaN if none."""
    low, high = np.full((2, draws.shape[1]), np.nan)
    for column, values in enumerate(draws.T):
        known = values[~np.isnan(values)]
        if len(known):
            low[column], high[column] = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return low, high
