"""Other proportions of the classes elsewhere: estimated from predictions alone, and the prediction corrected for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._resampling import percentile_interval, resample_weights
from knobo._validation import show
from knobo.errors import InputError
from knobo.shift._checks import check_bootstrap, check_classes, check_proba, encode_groups, encode_labels

Array = NDArray[np.float64]

_WORST_CONDITION = 1e6


@dataclass(frozen=True, eq=False)
class LabelShift:
    """Estimated share of each class in a target without labels.

    Attributes
    ----------
    table : DataFrame, one row a class
        ``source``, its share among the source's labels; ``target`` with ``target_low`` and ``target_high``, the
        estimate; ``ratio`` of the two.
    condition : float
        Condition number of the classifier's confusion matrix. Large: classes are hardly told apart, and the estimate
        rests on sand.
    """

    table: pd.DataFrame
    condition: float

    def correct(self, proba: ArrayLike) -> Array:
        """Probabilities of shape (n, K) under the target's class shares: each times its ratio, rows adding up to 1."""
        values = np.asarray(proba, dtype=np.float64)
        checked = check_proba(values, len(values), self.table.index.to_numpy(), "proba")
        weighted = checked * self.table["ratio"].to_numpy()
        total = weighted.sum(axis=1, keepdims=True)
        return np.divide(weighted, total, out=checked.copy(), where=total > 0)


def estimate_label_shift(
    y_source: ArrayLike,
    proba_source: ArrayLike,
    proba_target: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    *,
    groups: tuple[ArrayLike | None, ArrayLike | None] = (None, None),
    n_bootstrap: int = 500,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> LabelShift:
    """Estimate the share of each class in a target from a classifier's predictions there (BBSE).

    It holds where only the proportions of the classes changed and images of a class look alike in both domains. Where
    the images changed as well, such as with another machine, the estimate is off, and so is the correction.

    Parameters
    ----------
    y_source : array-like of shape (n,)
        Labels of cases that the classifier was not trained on.
    proba_source, proba_target : array-like of shape (n, K) and (n_target, K)
        Predicted probabilities.
    classes : sequence of length K
        Label of each column.
    groups : (source groups, target groups)
        Patients of each case, for the interval.
    n_bootstrap : int
        0 gives no interval.
    confidence : float in (0, 1)
    random_state : int, Generator or None

    Returns
    -------
    LabelShift

    Raises
    ------
    InputError
        If a class has no case in the source, or the predictions do not tell the classes apart.

    References
    ----------
    Lipton, Wang & Smola, *Detecting and correcting for label shift with black box predictors*, ICML 2018, section 4.
    Saerens, Latinne & Decaestecker, *Adjusting the outputs of a classifier to new a priori probabilities*, Neural
    Computation 14(1), 2002, equation 2.4 (the correction).
    """
    names = check_classes(classes)
    check_bootstrap(n_bootstrap, confidence)
    codes = encode_labels(y_source, names, "y_source")
    source = check_proba(proba_source, len(codes), names, "proba_source")
    target = check_proba(proba_target, len(np.asarray(proba_target)), names, "proba_target")
    if not len(target):
        raise InputError("proba_target is empty; pass at least one case.")
    counts = np.bincount(codes, minlength=len(names))
    if counts.min() == 0:
        raise InputError(f"y_source has no case of {show(names[counts.argmin()])}; its share cannot be estimated.")
    truth, guess, seen = (np.eye(len(names))[index] for index in (codes, source.argmax(axis=1), target.argmax(axis=1)))
    confusion = guess.T @ truth / len(codes)
    condition = float(np.linalg.cond(confusion))
    if not condition < _WORST_CONDITION:
        raise InputError(
            "The predictions do not tell the classes apart (the confusion matrix has no inverse), so their shares "
            "cannot be estimated; merge classes that are never predicted."
        )
    shares = counts / len(codes)
    estimate = _solve(confusion, shares, seen.mean(axis=0))
    rng = np.random.default_rng(random_state)
    units = [
        None if group is None else encode_groups(group, n, place)
        for group, n, place in zip(groups, (len(codes), len(target)), ("source", "target"), strict=True)
    ]
    drawn = [
        np.concatenate(list(resample_weights(n, unit, n_bootstrap, rng)) or [np.empty((0, n))])
        for n, unit in zip((len(codes), len(target)), units, strict=True)
    ]
    draws = [_resolve(w0 / w0.sum(), w1 / w1.sum(), truth, guess, seen) for w0, w1 in zip(*drawn, strict=True)]
    low, high = percentile_interval(np.array(draws).reshape(-1, len(names)), confidence)
    columns = {"source": shares, "target": estimate, "target_low": low, "target_high": high, "ratio": estimate / shares}
    return LabelShift(pd.DataFrame(columns, index=pd.Index(names.tolist(), name="class")), condition)


def _solve(confusion: Array, shares: Array, predicted: Array) -> Array:
    """Shares in the target: those ratios that explain how often each class is predicted, none of them negative."""
    found = np.maximum(np.linalg.solve(confusion, predicted), 0.0) * shares
    return found / found.sum()


def _resolve(w_source: Array, w_target: Array, truth: Array, guess: Array, seen: Array) -> Array:
    confusion = (guess * w_source[:, None]).T @ truth
    if not np.linalg.cond(confusion) < _WORST_CONDITION:
        return np.full(truth.shape[1], np.nan)
    return _solve(confusion, w_source @ truth, w_target @ seen)
