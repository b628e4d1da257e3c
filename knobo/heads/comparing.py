"""Two heads on the same samples: each metric before and after a change, and the change with a paired interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._resampling import percentile_interval, resample_weights, weighted_auroc
from knobo.errors import InputError
from knobo.heads._checks import check_proba, check_share, encode_groups, encode_labels
from knobo.heads.objective import Array

METRICS = ("accuracy", "balanced_accuracy", "auroc", "log_loss")


def compare_probabilities(
    y: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    classes: NDArray[Any],
    *,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Compare two sets of probabilities on the same samples.

    Both are scored on the same resamples, so the interval of the change leaves out what the two have in common.

    Parameters
    ----------
    y : array-like of shape (n,)
        True labels.
    before, after : array-like of shape (n, K)
        Class probabilities.
    classes : ndarray of shape (K,)
        Label of each column.
    groups : array-like of shape (n,), optional
        Patient of each sample; whole patients are drawn.
    n_bootstrap : int
        Number of resamples; 0 gives no intervals (NaN).
    confidence : float in (0, 1)
    random_state : int, Generator or None

    Returns
    -------
    DataFrame with one row a metric
        ``accuracy``, ``balanced_accuracy``, ``auroc`` (two classes: of the second; more: mean of one against the
        rest) and ``log_loss`` (nats; lower is better); columns ``before``, ``after`` and ``change`` (after minus
        before), each with ``_low`` and ``_high``, the ends of a percentile interval.

    Raises
    ------
    InputError
        If shapes differ, a label is unknown, or a setting is out of range.
    """
    classes = np.asarray(classes)
    codes = encode_labels(y, classes)
    both = [check_proba(proba, len(codes), len(classes)) for proba in (before, after)]
    check_share("confidence", confidence)
    if n_bootstrap < 0:
        raise InputError(f"n_bootstrap is {n_bootstrap}; pass the number of resamples, or 0 for no intervals.")
    rng = np.random.default_rng(random_state)
    weights = resample_weights(len(codes), encode_groups(groups, len(codes)), n_bootstrap, rng)
    drawn = [[_score(codes, proba, chunk) for proba in both] for chunk in weights]
    point = [_score(codes, proba, np.ones((1, len(codes))))[0] for proba in both]
    draws = [np.concatenate(parts) for parts in zip(*drawn, strict=True)] or [np.empty((0, len(METRICS)))] * 2
    columns: dict[str, Array] = {}
    point.append(point[1] - point[0])
    draws.append(draws[1] - draws[0])
    for name, estimate, sample in zip(("before", "after", "change"), point, draws, strict=True):
        low, high = percentile_interval(sample, confidence)
        columns |= {name: estimate, f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns, index=pd.Index(METRICS, name="metric"))


def compare_heads(
    before: Any, after: Any, X: ArrayLike, y: ArrayLike, *, X_after: ArrayLike | None = None, **settings: Any
) -> pd.DataFrame:
    """Compare two fitted heads on the same samples, best on ones that neither was fitted to.

    Parameters
    ----------
    before, after : fitted heads with the same ``classes_``
    X : array-like of shape (n, m)
        Activations.
    y : array-like of shape (n,)
        True labels.
    X_after : array-like, optional
        Activations for ``after`` where it takes other columns, see :func:`merge_columns`.
    **settings
        ``groups``, ``n_bootstrap``, ``confidence``, ``random_state`` of :func:`compare_probabilities`.

    Returns
    -------
    DataFrame
        As from :func:`compare_probabilities`.
    """
    if not np.array_equal(before.classes_, after.classes_):
        raise InputError("The two heads do not have the same classes; compare heads of one task.")
    probabilities = before.predict_proba(X), after.predict_proba(X if X_after is None else X_after)
    return compare_probabilities(y, *probabilities, before.classes_, **settings)


def _score(codes: NDArray[np.intp], proba: Array, weights: Array) -> Array:
    """Metrics (B, 4) under weights (B, n); classes without a sample are left out of means, NaN where undefined."""
    rows, present = np.arange(len(codes)), np.unique(codes)
    member = np.eye(proba.shape[1])[codes]
    correct = (proba.argmax(axis=1) == codes).astype(np.float64)
    surprise = -np.log(np.maximum(proba[rows, codes], np.finfo(float).eps))
    with np.errstate(invalid="ignore"):  # 0 / 0: a class that the resample lacks
        sensitivity = (weights @ (member * correct[:, None])) / (weights @ member)
    scored = np.array([1]) if proba.shape[1] == 2 else present
    auroc = np.stack([weighted_auroc(member[:, k], proba[:, k], weights) for k in scored])
    total = weights.sum(axis=1)
    means = sensitivity[:, present].mean(axis=1), auroc.mean(axis=0)
    return np.stack([weights @ correct / total, *means, weights @ surprise / total], axis=1)
