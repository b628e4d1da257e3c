"""Grounding functions: one L2-regularised logistic regression per concept on image embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold
from tqdm.auto import tqdm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroundingFit:
    """All grounding functions of one data set.

    Attributes
    ----------
    coef : ndarray of shape (m, d)
        Weights on the raw embedding.
    intercept : ndarray of shape (m,)
    C : ndarray of shape (m,)
        Inverse regularisation strength chosen for each concept.
    held_out : ndarray of shape (n, m)
        Probability for each image from functions that were fitted without its fold.
    """

    coef: Array
    intercept: Array
    C: Array
    held_out: Array


def fit_grounding(
    X: Array,
    labels: Array,
    *,
    Cs: Sequence[float],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    progress: bool = False,
) -> GroundingFit:
    """Fit all grounding functions and their out-of-fold activations in one call.

    Embeddings are standardised (with the training fold's mean and scale) and rotated to their principal axes; the
    rotation changes no L2-regularised solution, and with fewer images than dimensions it makes every fit small.
    The strength used for a fold is the one with the least log-loss on the *other* folds, so a held-out activation
    never depends on its own label.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Embeddings.
    labels : ndarray of shape (n, m)
        1, 0 or NaN (unknown). Each training fold needs both answers of each concept.
    Cs : sequence of float
        Inverse strengths to choose from.
    folds : sequence of (train, test) index arrays
        A partition of the rows.
    progress : bool
        Show a progress bar.

    Returns
    -------
    GroundingFit
    """
    n, m = labels.shape
    fold_of = np.empty(n, dtype=np.intp)
    candidates = np.empty((len(Cs), n, m))
    bar = tqdm(total=(len(folds) + 1) * m, desc="Grounding concepts", disable=not progress)
    for k, (train, test) in enumerate(folds):
        fold_of[test] = k
        basis = _Basis.fit(X[train])
        train_axes, test_axes = basis.rotate(X[train]), basis.rotate(X[test])
        for j in range(m):
            for c, C in enumerate(Cs):
                w, b = _logistic(train_axes, labels[train, j], C)
                candidates[c, test, j] = expit(test_axes @ w + b)
            bar.update()

    losses = _fold_losses(candidates, labels, fold_of, len(folds))  # (n_Cs, n_folds, m)
    chosen_without = (losses.sum(axis=1, keepdims=True) - losses).argmin(axis=0)  # (n_folds, m)
    rows, columns = np.arange(n)[:, None], np.arange(m)[None, :]
    held_out = candidates[chosen_without[fold_of], rows, columns]

    strengths = np.asarray(Cs, dtype=float)[losses.sum(axis=1).argmin(axis=0)]
    basis = _Basis.fit(X)
    axes = basis.rotate(X)
    coef, intercept = np.empty((m, X.shape[1])), np.empty(m)
    for j in range(m):
        w, b = _logistic(axes, labels[:, j], strengths[j])
        coef[j], intercept[j] = basis.unrotate(w, b)
        bar.update()
    bar.close()
    return GroundingFit(coef, intercept, strengths, held_out)


def make_folds(
    n: int, cv: int, *, groups: NDArray[Any] | None, random_state: int | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Cut ``n`` rows into ``cv`` shuffled folds; rows of one group (such as a patient) stay together."""
    if groups is None:
        return list(KFold(cv, shuffle=True, random_state=random_state).split(np.empty(n)))
    return list(GroupKFold(cv, shuffle=True, random_state=random_state).split(np.empty(n), groups=groups))


@dataclass(frozen=True)
class _Basis:
    """Standardised embeddings on the principal axes of the rows that they were fitted to."""

    mean: Array
    scale: Array
    axes: Array | None  # (d, r); None when there are at least as many rows as dimensions

    @classmethod
    def fit(cls, X: Array) -> _Basis:
        mean, scale = X.mean(axis=0), X.std(axis=0)
        scale = np.where(scale > 1e-12, scale, 1.0)
        if X.shape[0] >= X.shape[1]:
            return cls(mean, scale, None)
        _, singular, rows = np.linalg.svd((X - mean) / scale, full_matrices=False)
        return cls(mean, scale, rows[singular > 1e-9 * singular[0]].T)

    def rotate(self, X: Array) -> Array:
        Z = (X - self.mean) / self.scale
        return Z if self.axes is None else Z @ self.axes

    def unrotate(self, w: Array, b: float) -> tuple[Array, float]:
        weights = (w if self.axes is None else self.axes @ w) / self.scale
        return weights, b - float(weights @ self.mean)


def _logistic(Z: Array, labels: Array, C: float) -> tuple[Array, float]:
    known = ~np.isnan(labels)
    model = LogisticRegression(C=C, max_iter=1000, tol=1e-6)
    with warnings.catch_warnings():  # a grounding function at the weak end of the grid may be separable
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(Z[known], labels[known].astype(int))
    return model.coef_[0], float(model.intercept_[0])


def _fold_losses(candidates: Array, labels: Array, fold_of: NDArray[np.intp], n_folds: int) -> Array:
    """Summed log-loss of the known answers, shape (n_Cs, n_folds, m)."""
    p = np.clip(candidates, 1e-12, 1 - 1e-12)
    loss = np.nan_to_num(-(labels * np.log(p) + (1 - labels) * np.log1p(-p)))
    return np.stack([loss[:, fold_of == k].sum(axis=1) for k in range(n_folds)], axis=1)
