"""Probabilities that mean what they say: temperature scaling, and how well probabilities are calibrated.

Dividing the logits of a linear head by one temperature divides its weights and intercepts, so a calibrated head is a
head like any other: it is explained, saved and compared in the same way. For isotonic calibration, which is no longer
linear, hand the head to scikit-learn: ``CalibratedClassifierCV(head, method="isotonic", cv=5)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from knobo._validation import knobo_errors
from knobo.errors import InputError
from knobo.heads._checks import check_proba, encode_labels
from knobo.heads.edits import log_entry
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array
from knobo.heads.refit import as_fitted, bounds_of, fit_within, plain_head, with_state
from knobo.heads.settings import check_count, effective_weights

_WIDEST = 1e4  # temperatures are looked for between 1 / _WIDEST and _WIDEST


def fit_temperature(
    logits: ArrayLike, y: ArrayLike, classes: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Temperature T with which softmax(logits / T) has the least log-loss.

    The log-loss is convex in 1/T; its derivative has one zero, which is found to rounding by bracketing.

    Parameters
    ----------
    logits : array-like of shape (n, K), or (n,) for two classes (log-odds of the second)
        Of samples that the logits were not fitted to: what ``decision_function`` gives.
    y : array-like of shape (n,)
        True labels.
    classes : array-like of shape (K,)
        Label of each column of logits, sorted.
    sample_weight : array-like of shape (n,), optional
        Non-negative.

    Returns
    -------
    float
        Above 1 where the probabilities are too sure, below 1 where they are not sure enough.

    Raises
    ------
    InputError
        If shapes do not match, or no finite temperature is best: the logits say nothing about the labels, or they
        put every sample on its own side.

    References
    ----------
    Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, arXiv:1706.04599, section 4.2.
    """
    labels = np.asarray(classes)
    codes = encode_labels(y, labels)
    z = _two_columns(np.asarray(logits, dtype=np.float64))
    if z.shape != (len(codes), len(labels)) or not np.isfinite(z).all():
        raise InputError(f"logits must be finite, shape ({len(codes)}, {len(labels)}), got {z.shape}.")
    weights = effective_weights(sample_weight, None, labels[np.unique(codes)], np.unique(codes, return_inverse=True)[1])
    own = z[np.arange(len(codes)), codes]

    def slope(inverse: float) -> float:
        return float(weights @ ((softmax(inverse * z, axis=1) * z).sum(axis=1) - own))

    if slope(1 / _WIDEST) >= 0:
        raise InputError("The logits say nothing about these labels, so no temperature helps; were y and X mixed up?")
    if slope(_WIDEST) <= 0:
        raise InputError(
            "Every sample lies on its own side, so the log-loss falls for ever as the temperature falls; calibrate on "
            "more samples, or on cross-validated ones (cv=5)."
        )
    return float(1.0 / brentq(slope, 1 / _WIDEST, _WIDEST, xtol=1e-14, rtol=1e-13))


def calibrate_temperature(
    head: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    cv: int | None = None,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    random_state: int | None = 0,
) -> ConceptHead:
    """A copy of a fitted head whose logits are divided by the best temperature.

    Parameters
    ----------
    head : fitted ConceptHead or ConceptHeadCV
        Not changed; an earlier temperature or prevalence is taken out first.
    X : array-like of shape (n, m)
        Activations: held-out ones, or with ``cv`` those that the head was fitted to.
    y : array-like of shape (n,)
        True labels.
    cv : int, optional
        Number of folds. Each fold's logits come from a head of the same settings (and the same ``alpha``) that was
        fitted to the others, so no sample judges weights that it has taught.
    groups : array-like of shape (n,), optional
        Patient of each sample; a patient is in one fold only.
    sample_weight : array-like of shape (n,), optional
        Non-negative; used in the fits of the folds and in the log-loss.
    random_state : int or None
        Seed of the folds.

    Returns
    -------
    ConceptHead
        With ``coef_`` and ``intercept_`` divided by ``temperature_``, and an entry in ``change_log_``. No class ranks
        otherwise than before.

    Raises
    ------
    InputError
        As :func:`fit_temperature`, or if a class is too small for the folds.
    """
    plain = as_fitted(plain_head(head))
    if cv is None:
        logits = plain.decision_function(X)
    else:
        logits = _held_out_logits(plain, X, y, check_count("cv", cv, low=2), groups, sample_weight, random_state)
    temperature = fit_temperature(logits, y, plain.classes_, sample_weight=sample_weight)
    scaled = {"coef_": plain.coef_ / temperature, "intercept_": plain.intercept_ / temperature}
    log = [*getattr(plain, "change_log_", []), log_entry([{"edit": "temperature", "value": temperature}])]
    return with_state(plain, **scaled, temperature_=temperature, change_log_=log)


def calibration_metrics(y: ArrayLike, proba: ArrayLike, classes: ArrayLike, *, n_bins: int = 15) -> pd.Series[float]:
    """How far probabilities are from frequencies.

    Parameters
    ----------
    y : array-like of shape (n,)
        True labels.
    proba : array-like of shape (n, K)
        Class probabilities.
    classes : array-like of shape (K,)
        Label of each column.
    n_bins : int
        Bins of equal size for the calibration error.

    Returns
    -------
    Series
        ``log_loss`` (nats), ``brier`` (mean squared distance of the probabilities to the one-hot label, from 0 to 2)
        and ``calibration_error`` (mean over bins of ``abs(confidence − accuracy)`` of the most probable class). Lower
        is better in all three.
    """
    labels = np.asarray(classes)
    codes = encode_labels(y, labels)
    p = check_proba(proba, len(codes), len(labels))
    own = p[np.arange(len(codes)), codes]
    table = reliability_table(p.argmax(axis=1) == codes, p.max(axis=1), n_bins=n_bins)
    return pd.Series(
        {
            "log_loss": -np.log(np.maximum(own, np.finfo(float).eps)).mean(),
            "brier": ((p - np.eye(len(labels))[codes]) ** 2).sum(axis=1).mean(),
            "calibration_error": np.average(np.abs(table["predicted"] - table["observed"]), weights=table["n"]),
        }
    )


def reliability_table(event: ArrayLike, probability: ArrayLike, *, n_bins: int = 10) -> pd.DataFrame:
    """Frequencies beside probabilities, in bins of equal size.

    Parameters
    ----------
    event : array-like of shape (n,), 1 or 0
        Whether it came true.
    probability : array-like of shape (n,)
    n_bins : int

    Returns
    -------
    DataFrame, one row a bin
        ``predicted`` (mean probability), ``observed`` (frequency) and ``n``.
    """
    order = np.argsort(np.asarray(probability, dtype=np.float64), kind="stable")
    p, hit = np.asarray(probability, dtype=np.float64)[order], np.asarray(event, dtype=np.float64)[order]
    if p.ndim != 1 or p.shape != hit.shape or len(p) == 0:
        raise InputError(f"event and probability must be lists of one length, got {hit.shape} and {p.shape}.")
    parts = np.array_split(np.arange(len(p)), min(check_count("n_bins", n_bins), len(p)))
    rows = [(p[part].mean(), hit[part].mean(), len(part)) for part in parts]
    return pd.DataFrame(rows, columns=["predicted", "observed", "n"])


def _held_out_logits(
    head: ConceptHead,
    X: ArrayLike,
    y: ArrayLike,
    cv: int,
    groups: ArrayLike | None,
    sample_weight: ArrayLike | None,
    random_state: int | None,
) -> Array:
    A, labels = np.asarray(X), np.asarray(y)
    smallest = int(np.bincount(encode_labels(labels, head.classes_), minlength=len(head.classes_)).min())
    if smallest < 2:
        raise InputError("A class has fewer than two samples, so it cannot be held out; calibrate without cv.")
    make = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = make(min(cv, smallest), shuffle=True, random_state=random_state)
    logits = np.empty((len(labels), len(head.classes_)))
    weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    bounds = bounds_of(head)
    with knobo_errors():
        for train, test in folds.split(np.empty(len(labels)), labels, groups):
            own = None if weights is None else weights[train]
            fitted = fit_within(clone(head), A[train], labels[train], bounds, own, (head.coef_, head.intercept_))
            if not np.array_equal(fitted.classes_, head.classes_):
                raise InputError("A fold lacks a class; use fewer folds, or calibrate without cv.")
            logits[test] = _two_columns(fitted.decision_function(A[test]))
    return logits


def _two_columns(logits: Array) -> Array:
    return np.column_stack([np.zeros_like(logits), logits]) if logits.ndim == 1 else logits
