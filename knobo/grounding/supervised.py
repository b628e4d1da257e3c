"""Grounding functions: one logistic regression per concept on embeddings, its strength chosen on held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold

from knobo.grounding.logistic import ClassWeight, activations, answer_weights, known_rows
from knobo.grounding.many import Fit, Task, solve_tasks
from knobo.grounding.rows import Basis

Array = NDArray[np.float64]
Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]


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
    X: NDArray[Any],
    labels: Array,
    *,
    Cs: Sequence[float],
    folds: Folds,
    class_weight: ClassWeight = None,
    l1_ratio: float = 0.0,
    n_jobs: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> GroundingFit:
    """Fit all grounding functions and their out-of-fold activations in one call.

    The penalty is on embeddings that are standardised with the training fold's mean and scale. The strength used for a
    fold is the one with the least log-loss on the *other* folds, so a held-out activation never depends on its own
    label. Strengths are tried from strong to weak until the log-loss has risen by more than 1 %.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        Embeddings. All is computed in their precision.
    labels : ndarray of shape (n, m)
        1, 0 or NaN (unknown). Each training fold needs both answers of each concept.
    Cs : sequence of float
        Inverse strengths to choose from.
    folds : sequence of (train, test) index arrays
        A partition of the rows.
    class_weight, l1_ratio, n_jobs, device :
        As in :func:`knobo.grounding.fit_logistic`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    GroundingFit
    """
    strengths = np.sort(np.asarray(Cs, dtype=float))
    fold_of = np.empty(len(X), dtype=np.intp)
    for k, (_, test) in enumerate(folds):
        fold_of[test] = k
    mean, scale = X.mean(axis=0, dtype=np.float64), _scale(X)
    Z = np.ascontiguousarray((X - mean) / scale, dtype=X.dtype)
    known = known_rows(labels)
    settings: dict[str, Any] = {
        "basis": Basis.of(Z),
        "l1_ratio": l1_ratio,
        "n_jobs": n_jobs,
        "device": device,
        "progress": progress,
    }

    tasks = [Task(rows, y, _fold_weights(y, fold_of[rows], len(folds), class_weight, X.dtype)) for rows, y in known]
    fold_scales = _scales_without(Z, folds)
    searched = solve_tasks(
        Z, tasks, strengths.tolist(), _searcher(fold_of, len(folds)), ridge=fold_scales**2, **settings
    )

    held_out = np.empty(labels.shape)
    for k, (_, test) in enumerate(folds):
        W, b = np.stack([found.W[:, k] for found in searched]), np.array([found.b[k] for found in searched])
        held_out[test] = activations(Z[test], W, b)

    best = strengths[[found.best for found in searched]]
    tasks = [
        Task(rows, y, (C * answer_weights(y, class_weight))[:, None].astype(X.dtype), start=found.start)
        for (rows, y), C, found in zip(known, best, searched, strict=True)
    ]
    fits = solve_tasks(Z, tasks, (1.0,), _only_column, **settings)
    coef = np.array([W for W, _ in fits], dtype=np.float64) / scale
    intercept = np.array([b for _, b in fits], dtype=np.float64) - coef @ mean
    return GroundingFit(coef, intercept, best, held_out)


def make_folds(
    n: int, cv: int, *, groups: NDArray[Any] | None, random_state: int | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Cut ``n`` rows into ``cv`` shuffled folds; rows of one group (such as a patient) stay together."""
    if groups is None:
        return list(KFold(cv, shuffle=True, random_state=random_state).split(np.empty(n)))
    return list(GroupKFold(cv, shuffle=True, random_state=random_state).split(np.empty(n), groups=groups))


@dataclass(frozen=True)
class _Search:
    """Of one concept: each fold's weights (d, n_folds) and intercepts at its strength, the best strength for all rows
    (an index), and where to start its fit."""

    W: NDArray[Any]
    b: NDArray[Any]
    best: int
    start: tuple[NDArray[Any], NDArray[Any]]


def _searcher(fold_of: NDArray[np.intp], n_folds: int) -> Callable[[Task, Iterable[Fit]], _Search]:
    def search(task: Task, path: Iterable[Fit]) -> _Search:
        own = fold_of[task.rows]
        fits: list[Fit] = []
        losses: list[Array] = []
        for fit in path:
            logits = fit.logits[np.arange(len(own)), own].astype(np.float64)
            fits.append(fit)
            each = np.logaddexp(0, np.where(task.y, -logits, logits))
            losses.append(np.bincount(own, each, minlength=n_folds).astype(np.float64))
            chosen, settled = _choose(np.array(losses))
            if settled:
                break
        columns = range(n_folds)
        W = np.stack([fits[c].W[:, k] for c, k in zip(chosen, columns, strict=False)], axis=1)
        b = np.array([fits[c].b[k] for c, k in zip(chosen, columns, strict=False)])
        best = fits[chosen[-1]]
        return _Search(W, b, int(chosen[-1]), (best.W.mean(axis=1, keepdims=True), best.b.mean(keepdims=True)))

    return search


def _choose(losses: Array) -> tuple[NDArray[np.intp], bool]:
    """Index of the best strength for each fold, by the loss on the others, and for all; and whether these are settled.

    A choice is settled once its loss has risen to more than 1 % above its least: weaker penalties, whose fits take
    longest, are then not tried. A fold's choice, and when it is settled, depend on no label of its own.
    """
    total = losses.sum(axis=1, keepdims=True)
    criterion = np.hstack([total - losses, total])  # (n_Cs, n_folds + 1)
    past = np.logical_or.accumulate(criterion > 1.01 * np.minimum.accumulate(criterion, axis=0), axis=0)
    return np.where(past, np.inf, criterion).argmin(axis=0), bool(past[-1].all())


def _only_column(_: Task, path: Iterable[Fit]) -> tuple[NDArray[Any], Any]:
    fit = next(iter(path))
    return fit.W[:, 0], fit.b[0]


def _fold_weights(
    y: NDArray[np.bool_], fold: NDArray[np.intp], n_folds: int, class_weight: ClassWeight, dtype: Any
) -> NDArray[Any]:
    """Weights of the known rows, (n, n_folds), where each column leaves one fold out."""
    weights = np.zeros((len(y), n_folds), dtype=dtype)
    for k in range(n_folds):
        weights[fold != k, k] = answer_weights(y[fold != k], class_weight)
    return weights


def _scales_without(Z: NDArray[Any], folds: Folds) -> Array:
    """Scales of standardised embeddings where one fold is left out, (d, n_folds)."""
    sums = np.array(
        [[Z[test].sum(axis=0, dtype=float), np.square(Z[test]).sum(axis=0, dtype=float)] for _, test in folds]
    )
    total, squares = (sums.sum(axis=0) - sums).swapaxes(0, 1)
    n = np.array([[len(train)] for train, _ in folds])
    variance = np.maximum(squares / n - (total / n) ** 2, 0.0)
    return np.where(variance > 1e-12, np.sqrt(variance), 1.0).T


def _scale(X: NDArray[Any]) -> Array:
    scale = X.std(axis=0, dtype=np.float64)
    return np.where(scale > 1e-12, scale, 1.0)
