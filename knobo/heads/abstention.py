"""Abstention: answer only where the most probable class is probable enough, and leave the rest to a reader."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from knobo.errors import InputError
from knobo.heads._checks import check_proba, check_share, encode_labels
from knobo.heads.objective import Array

_STEPS = 20  # coverages that are tried where a confidence is asked for: 5 %, 10 %, … 100 %


def coverage_curve(y: ArrayLike, proba: ArrayLike, classes: ArrayLike) -> pd.DataFrame:
    """Accuracy of the answers that are given, for every threshold.

    Parameters
    ----------
    y : array-like of shape (n,)
        True labels.
    proba : array-like of shape (n, K)
        Class probabilities.
    classes : array-like of shape (K,)
        Label of each column.

    Returns
    -------
    DataFrame, one row a threshold, strictest first
        ``threshold`` on the probability of the most probable class (an answer is given at or above it), ``coverage``
        (share of samples with an answer), ``accuracy`` of these answers, and ``n`` of them.
    """
    right, sure = _answers(y, proba, classes)
    thresholds, n, hits = _cumulate(right, sure)
    return pd.DataFrame({"threshold": thresholds, "coverage": n / len(sure), "accuracy": hits / n, "n": n})


def abstention_threshold(
    y: ArrayLike, proba: ArrayLike, classes: ArrayLike, *, max_error: float, confidence: float | None = 0.95
) -> float:
    """The lowest threshold whose answers are wrong at most as often as wanted.

    With ``confidence`` the promise holds for new samples of the same kind, with that probability over the choice of
    these: the upper Clopper-Pearson limit of the error must be within ``max_error``. Twenty coverages (5 %, 10 %, …)
    are tried, and each limit is widened for that (Bonferroni).

    Parameters
    ----------
    y, proba, classes :
        As in :func:`coverage_curve`; samples that the head was not fitted to, one a patient.
    max_error : float in (0, 1)
        Largest share of wrong answers among those given.
    confidence : float in (0, 1), or None
        ``None`` asks only that the error on these samples themselves is at most ``max_error``.

    Returns
    -------
    float
        For :func:`abstain`.

    Raises
    ------
    InputError
        If no threshold reaches ``max_error``.
    """
    check_share("max_error", max_error)
    right, sure = _answers(y, proba, classes)
    thresholds, n, hits = _cumulate(right, sure)
    errors = n - hits
    if confidence is None:
        passing = np.flatnonzero(errors <= max_error * n)
    else:
        delta = (1.0 - check_share("confidence", confidence)) / _STEPS
        tried = np.unique(np.searchsorted(n, np.linspace(0, len(sure), _STEPS + 1)[1:]))
        wrong, given = errors[tried], n[tried]
        limit = np.where(wrong < given, betaincinv(wrong + 1, np.maximum(given - wrong, 1), 1 - delta), 1.0)
        passing = tried[limit <= max_error]
    best = int(passing[-1]) if len(passing) else -1
    if best < 0:
        raise InputError(
            f"No threshold has an error of at most {max_error:g} (confidence: {confidence}); "
            f"the lowest error seen is {(errors / n).min():.3f}. Allow more errors, or add samples."
        )
    return float(thresholds[best])


def abstain(proba: ArrayLike, classes: ArrayLike, threshold: float, *, answer: object = None) -> NDArray[np.object_]:
    """Labels, with ``answer`` where the most probable class is below the threshold.

    Parameters
    ----------
    proba : array-like of shape (n, K)
        Class probabilities.
    classes : array-like of shape (K,)
        Label of each column.
    threshold : float
    answer : optional
        What stands for "no answer".

    Returns
    -------
    ndarray of shape (n,), object
    """
    labels = np.asarray(classes)
    p = check_proba(proba, len(np.asarray(proba)), len(labels))
    found = labels[p.argmax(axis=1)].astype(object)
    found[p.max(axis=1) < threshold] = answer
    return found


def _answers(y: ArrayLike, proba: ArrayLike, classes: ArrayLike) -> tuple[NDArray[np.bool_], Array]:
    labels = np.asarray(classes)
    codes = encode_labels(y, labels)
    p = check_proba(proba, len(codes), len(labels))
    return p.argmax(axis=1) == codes, p.max(axis=1)


def _cumulate(right: NDArray[np.bool_], sure: Array) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Each distinct threshold, strictest first, with the number of answers and of right ones."""
    order = np.argsort(-sure, kind="stable")
    last = np.append(np.flatnonzero(np.diff(sure[order])), len(sure) - 1)  # of samples that are equally sure
    return sure[order][last], last + 1, right[order].cumsum()[last]
