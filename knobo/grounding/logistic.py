"""All concepts' logistic regressions in one call: the optimum of scikit-learn's, one by one, but tight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from knobo.errors import InputError
from knobo.grounding.many import Fit, Task, solve_tasks
from knobo.grounding.newton import TOL
from knobo.grounding.rows import Basis

ClassWeight = Literal["balanced"] | None


@dataclass(frozen=True)
class LogisticFunctions:
    """m logistic functions of an embedding.

    Attributes
    ----------
    coef : ndarray of shape (m, d), float64
    intercept : ndarray of shape (m,), float64
    error : ndarray of shape (m,)
        The solver's estimate of the root mean square distance of a training row's logit from its optimum. Zero for
        penalties with an L1 share, which are solved to a KKT residual of 1e-7.
    """

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    error: NDArray[np.float64]

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities for *yes*, shape (n, m): one matrix product in the precision of X, float32 or float64."""
        return activations(X, self.coef, self.intercept)


def activations(X: NDArray[Any], coef: NDArray[np.float64], intercept: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic functions of embeddings, shape (n, m), float64: one matrix product in the precision of X."""
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    logits = X.astype(dtype, copy=False) @ coef.T.astype(dtype) + intercept.astype(dtype)
    return expit(logits, out=logits).astype(np.float64, copy=False)


def fit_logistic(
    X: NDArray[Any],
    labels: NDArray[np.floating[Any]],
    *,
    C: float | ArrayLike = 1.0,
    class_weight: ClassWeight = None,
    l1_ratio: float = 0.0,
    tol: float = TOL,
    n_jobs: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> LogisticFunctions:
    """Fit one logistic regression for each column of labels.

    Column by column this is ``LogisticRegression(C=C, class_weight=class_weight, l1_ratio=l1_ratio)`` of scikit-learn
    on the rows with a known label.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        Embeddings. All is computed in their precision.
    labels : ndarray of shape (n, m)
        1, 0 or NaN (unknown: the row is left out of this column's fit). Each column needs both answers.
    C : float or array-like of shape (m,)
        Inverse strength of the penalty, for all columns or for each.
    class_weight : "balanced" or None
        "balanced" gives *yes* and *no* the same total weight in each column.
    l1_ratio : float in [0, 1]
        Share of the L1 norm in the penalty; 0 is plain L2.
    tol : float
        Estimated error of the logits to accept, in log-odds; for the L2 penalty.
    n_jobs : int, optional
        Threads, as in scikit-learn: None is one, -1 is one a core. The linear algebra library keeps to one thread.
    device : str
        "cpu", or a CUDA device such as "cuda", where the columns are solved in padded batches. An L1 share is solved
        on the CPU.
    progress : bool
        Show a progress bar.

    Returns
    -------
    LogisticFunctions

    Raises
    ------
    InputError
        If shapes, labels or options are unusable, or the device is missing.
    """
    X, strengths = _check(X, labels, C, l1_ratio)
    tasks = []
    for (rows, y), strength in zip(known_rows(labels), strengths, strict=True):
        weights = strength * answer_weights(y, class_weight)
        tasks.append(Task(rows, y, weights[:, None].astype(X.dtype)))
    fits = solve_tasks(
        X,
        tasks,
        (1.0,),
        _only,
        basis=Basis.of(X, np.flatnonzero(~np.isnan(labels).all(axis=1))),
        l1_ratio=l1_ratio,
        tol=tol,
        n_jobs=n_jobs,
        device=device,
        progress=progress,
    )
    return LogisticFunctions(
        coef=np.array([fit.W[:, 0] for fit in fits], dtype=np.float64).reshape(len(fits), X.shape[1]),
        intercept=np.array([fit.b[0] for fit in fits], dtype=np.float64),
        error=np.array([fit.error[0] for fit in fits], dtype=np.float64),
    )


def known_rows(labels: NDArray[np.floating[Any]]) -> list[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Indices of the rows whose label is known, and these labels, for each column."""
    known, yes = np.ascontiguousarray(~np.isnan(labels).T), np.ascontiguousarray((labels == 1).T)
    rows = [np.flatnonzero(column) for column in known]
    return [(found, answers[found]) for found, answers in zip(rows, yes, strict=True)]


def answer_weights(y: NDArray[np.bool_], class_weight: ClassWeight) -> NDArray[np.float64]:
    """Weights of rows: 1, or n / (2 · number of rows with this answer)."""
    if class_weight is None:
        return np.ones(len(y))
    counts = np.bincount(y, minlength=2)
    return (len(y) / (2 * counts))[y.astype(np.intp)]


def draw_balanced(
    labels: NDArray[np.floating[Any]], max_samples: int, *, random_state: int | None = 0
) -> NDArray[np.float64]:
    """Keep at most ``max_samples`` known labels of each column, half *yes* and half *no* as far as they go.

    Parameters
    ----------
    labels : ndarray of shape (n, m)
        1, 0 or NaN.
    max_samples : int
        Even number of labels to keep in each column. Where one answer has fewer than half of them, all of it and half
        of the other are kept.
    random_state : int, optional
        Seed of the draw.

    Returns
    -------
    ndarray of shape (n, m), float64
        The labels, NaN where they were not drawn.
    """
    if max_samples < 2:
        raise InputError(f"max_samples must be at least 2 (one yes, one no), got {max_samples}.")
    rng = np.random.default_rng(random_state)
    drawn = np.full(labels.shape, np.nan)
    for j, column in enumerate(labels.T):
        for answer in (0.0, 1.0):
            rows = np.flatnonzero(column == answer)
            drawn[rng.permutation(rows)[: max_samples // 2], j] = answer
    return drawn


def _only(_: Task, path: Iterable[Fit]) -> Fit:
    fit = next(iter(path))
    return Fit(fit.W, fit.b, fit.logits[:0], fit.error)


def _check(
    X: NDArray[Any], labels: NDArray[np.floating[Any]], C: float | ArrayLike, l1_ratio: float
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    X = np.ascontiguousarray(X, dtype=np.float32 if np.asarray(X).dtype == np.float32 else np.float64)
    if X.ndim != 2 or np.ndim(labels) != 2 or len(X) != len(labels):
        raise InputError(
            f"X must be (n, d) and labels (n, m), got {X.shape} and {np.shape(labels)}; pass one row an image."
        )
    if not np.isfinite(X).all():
        raise InputError("X holds NaN or infinite values; drop those images first.")
    if not (np.isnan(labels) | (labels == 0) | (labels == 1)).all():
        raise InputError("labels must be 1 (yes), 0 (no) or NaN (unknown).")
    one_sided = ~((labels == 1).any(axis=0) & (labels == 0).any(axis=0))
    if one_sided.any():
        raise InputError(
            f"Column {int(one_sided.argmax())} of the labels lacks yes or no answers; drop it, or add images."
        )
    strengths = np.broadcast_to(np.asarray(C, dtype=float), labels.shape[1])
    if not (strengths > 0).all() or not 0 <= l1_ratio <= 1:
        raise InputError(f"C must be positive and l1_ratio within [0, 1], got C={C!r} and l1_ratio={l1_ratio}.")
    return X, strengths
