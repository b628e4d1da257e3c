"""Prevalence shift: the classes are as they were, but some are more common where the classifier is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from knobo.errors import InputError
from knobo.heads._checks import check_distribution, check_proba
from knobo.heads.edits import log_entry
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array
from knobo.heads.refit import plain_head, with_state

Shares = Mapping[Any, float] | ArrayLike


def adjust_prevalence(proba: ArrayLike, classes: ArrayLike, *, source: Shares, target: Shares) -> Array:
    """Probabilities for another prevalence: p · target / source, made to add up to one again.

    Right where images of one class look alike in both places (label shift) and the probabilities are calibrated.

    Parameters
    ----------
    proba : array-like of shape (n, K)
        Class probabilities.
    classes : array-like of shape (K,)
        Label of each column.
    source, target : mapping of label to share, or sequence of length K
        Prevalence that the probabilities are for (in training; equal shares after ``class_weight="balanced"``), and
        the one wanted.

    Returns
    -------
    ndarray of shape (n, K)

    References
    ----------
    Saerens, Latinne & Decaestecker, *Adjusting the outputs of a classifier to new a priori probabilities: a simple
    procedure*, Neural Computation 14(1), 2002.
    """
    labels = np.asarray(classes)
    p = check_proba(proba, len(np.asarray(proba)), len(labels))
    ratio = check_distribution("target", target, labels) / check_distribution("source", source, labels)
    moved = p * ratio
    return moved / moved.sum(axis=1, keepdims=True)


def estimate_prevalence(
    proba: ArrayLike, classes: ArrayLike, *, source: Shares, tol: float = 1e-8, max_iter: int = 10_000
) -> Array:
    """Prevalence among unlabelled samples, by expectation maximisation of their likelihood.

    Parameters
    ----------
    proba, classes, source :
        As in :func:`adjust_prevalence`; probabilities of the unlabelled samples, calibrated for ``source``.
    tol : float
        Largest change of a share at which to stop.
    max_iter : int

    Returns
    -------
    ndarray of shape (K,)
        Shares in the order of ``classes``.

    Raises
    ------
    InputError
        If it has not settled after ``max_iter`` steps, or the input is unusable.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, as above.
    """
    labels = np.asarray(classes)
    p = check_proba(proba, len(np.asarray(proba)), len(labels))
    known = check_distribution("source", source, labels)
    shares = known
    for _ in range(max_iter):
        moved = p * (shares / known)
        new = (moved / moved.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(new - shares).max() <= tol:
            return np.asarray(new)
        shares = new
    raise InputError(f"The prevalence had not settled after {max_iter} steps; raise max_iter or tol.")


def with_prevalence(head: Any, *, source: Shares, target: Shares) -> ConceptHead:
    """A copy of a fitted head for another prevalence: log(target / source) is added to each class's intercept.

    Parameters
    ----------
    head : fitted ConceptHead or ConceptHeadCV
        Not changed.
    source, target :
        As in :func:`adjust_prevalence`.

    Returns
    -------
    ConceptHead
        With the intercepts moved, ``prevalence_``, the target's shares in the order of ``classes_``, and an entry in
        ``change_log_``. Calibrate first: a temperature that is fitted later takes the shift out.
    """
    plain = plain_head(head)
    shares = check_distribution("target", target, plain.classes_)
    shift = np.log(shares / check_distribution("source", source, plain.classes_))
    step = shift[1:] - shift[:1] if len(plain.coef_) == 1 else shift - shift.mean()
    record = {"edit": "prevalence", "value": dict(zip(map(str, plain.classes_), shares.tolist(), strict=True))}
    log = [*getattr(plain, "change_log_", []), log_entry([record])]
    moved = {
        "intercept_": plain.intercept_ + step,
        "prevalence_shift_": step + getattr(plain, "prevalence_shift_", 0.0),
    }
    return with_state(plain, **moved, prevalence_=shares, change_log_=log)
