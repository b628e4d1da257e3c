"""The logistic regressions of all concepts: one after another in the cache of each core, or in batches on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, delayed  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tqdm.auto import tqdm

from knobo.grounding.batched import ConceptBatch, make_batches, resolve_device
from knobo.grounding.newton import TOL, Minimum, minimise
from knobo.grounding.rows import Array, Basis, ConceptRows
from knobo.heads.objective import make_penalty
from knobo.heads.problem import Problem
from knobo.heads.solver import one_blas_thread, solve

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """What one concept's fits are about.

    Attributes
    ----------
    rows : ndarray of shape (n,), intp
        Rows of the embeddings with a known answer.
    y : ndarray of shape (n,), bool
        The answers.
    weights : ndarray of shape (n, c)
        Weights of the rows in each of c fits.
    start : tuple of W (d, c) and b (c,), optional
        Where to begin.
    """

    rows: NDArray[np.intp]
    y: NDArray[np.bool_]
    weights: Array
    start: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class Fit:
    """Weights (d, c), intercepts (c,) and logits (n, c) of a task's fits at one strength; ``error`` as the solver's."""

    W: Array
    b: Array
    logits: Array
    error: Array


def solve_tasks(
    X: Array,
    tasks: Sequence[Task],
    Cs: Sequence[float],
    reduce: Callable[[Task, Iterable[Fit]], T],
    *,
    basis: Basis,
    ridge: Array | float = 1.0,
    l1_ratio: float = 0.0,
    tol: float = TOL,
    n_jobs: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> list[T]:
    """Fit each task along a path of strengths, each fit starting from the last, and keep what ``reduce`` makes of it.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        Embeddings of all tasks.
    tasks : sequence of Task
    Cs : sequence of float
        Inverse strengths, in the order in which they are fitted; from small to large is fastest.
    reduce : callable
        Takes a task and its fits, one a strength, and returns what to keep of them. Fits that it does not ask for are
        not computed (on a GPU they are).
    basis : Basis
        Of X.
    ridge : float or ndarray of shape (d, c)
        Factors of the squared weights in the penalty, such as squared scales of the embedding's dimensions.
    l1_ratio : float
        Share of the L1 norm in the penalty, as in scikit-learn's ``LogisticRegression``.
    tol : float
        Estimated error of the logits to accept.
    n_jobs : int, optional
        Threads, as in scikit-learn. On a GPU it means nothing.
    device : str
        "cpu", or a CUDA device, where penalties with an L1 share are still solved on the CPU.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list
        In the order of the tasks.
    """
    place = resolve_device(device) if device != "cpu" else None
    bar = tqdm(total=len(tasks), desc="Grounding concepts", disable=not progress)
    with one_blas_thread(), bar:
        if place is not None and l1_ratio == 0:
            return _in_batches(X, tasks, Cs, reduce, basis, ridge, tol, place, bar)

        def one(task: Task) -> T:
            rows = X[task.rows]
            if l1_ratio > 0:
                return reduce(task, _elastic_path(rows, task, Cs, ridge, l1_ratio))
            return reduce(task, _path(rows, task, Cs, basis, ridge, tol))

        results = []
        for result in Parallel(n_jobs, prefer="threads", return_as="generator")(delayed(one)(task) for task in tasks):
            results.append(result)
            bar.update()
        return results


def _path(X: Array, task: Task, Cs: Iterable[float], basis: Basis, ridge: Array | float, tol: float) -> Iterator[Fit]:
    problem = ConceptRows(X, task.y, task.weights, ridge=ridge, basis=basis)
    at = problem.origin()
    if task.start is not None:
        W, b = (np.asarray(part, dtype=X.dtype) for part in task.start)
        at = (W, b + basis.mean @ W[None], problem.logits(W, b + basis.mean @ W[None]))
    for C in Cs:
        problem = ConceptRows(X, task.y, C * task.weights, ridge=ridge, basis=basis)
        found = minimise(problem, *at, tol=tol)
        at = (found.W, found.b, found.logits)
        yield Fit(found.W, found.b[0] - basis.mean @ found.W, found.logits, found.error[0])


def _elastic_path(X: Array, task: Task, Cs: Iterable[float], ridge: Array | float, l1_ratio: float) -> Iterator[Fit]:
    """Each column with an L1 share in its penalty, by the solver of the heads."""
    d, c = X.shape[1], task.weights.shape[1]
    scale = np.broadcast_to(np.sqrt(ridge), (d, c)).astype(float)
    none = np.zeros((1, d))
    codes, weights = task.y.astype(np.intp), task.weights.astype(float)
    problems = [Problem(X / scale[:, k], codes, weights[:, k], n_classes=2) for k in range(c)]
    starts: list[tuple[Array, Array] | None] = [None] * c
    for C in Cs:
        W, b = np.empty((d, c)), np.empty(c)
        for k, problem in enumerate(problems):
            alpha = 1 / (C * float(weights[:, k].sum()))
            found = solve(problem, make_penalty(none, none, alpha=alpha, l1_ratio=l1_ratio), start=starts[k], tol=1e-7)
            starts[k] = (found.W, found.b)
            W[:, k], b[k] = found.W[0] / scale[:, k], found.b[0]
        yield Fit(W, b, X @ W + b, np.zeros(c))


def _in_batches(
    X: Array,
    tasks: Sequence[Task],
    Cs: Sequence[float],
    reduce: Callable[[Task, Iterable[Fit]], T],
    basis: Basis,
    ridge: Array | float,
    tol: float,
    device: Any,
    bar: Any,
) -> list[T]:
    import torch

    pool = torch.from_numpy(X if X.flags.writeable else X.copy()).to(device)
    factors = torch.as_tensor(np.asarray(ridge, dtype=X.dtype), device=device)
    results: dict[int, T] = {}
    for batch in make_batches([len(task.rows) for task in tasks], X[:1].nbytes, device):
        chosen = [tasks[j] for j in batch]
        paths = _batch_paths(pool, chosen, Cs, basis, factors, tol)
        results.update({j: reduce(task, path) for j, task, path in zip(batch, chosen, paths, strict=True)})
        bar.update(len(batch))
    return [results[j] for j in range(len(tasks))]


def _batch_paths(
    pool: Any, tasks: Sequence[Task], Cs: Sequence[float], basis: Basis, ridge: Any, tol: float
) -> list[list[Fit]]:
    import torch

    p, n, (d, c) = len(tasks), max(len(task.rows) for task in tasks), (pool.shape[1], tasks[0].weights.shape[1])
    X, y, S = pool.new_zeros(p, n, d), pool.new_zeros(p, n, 1), pool.new_zeros(p, n, c)
    W, b = pool.new_zeros(p, d, c), pool.new_zeros(p, 1, c)
    for i, task in enumerate(tasks):
        end = len(task.rows)
        torch.index_select(pool, 0, torch.from_numpy(task.rows).to(pool.device), out=X[i, :end])
        y[i, :end, 0] = torch.from_numpy(task.y).to(y)
        S[i, :end] = torch.from_numpy(task.weights).to(S)
        if task.start is not None:
            W[i], b[i, 0] = (torch.from_numpy(np.asarray(part)).to(S) for part in task.start)
    problem = ConceptBatch(X, y, S, ridge=ridge, basis=basis)
    b = b + problem.at_mean(W)
    at = (W, b, problem.logits(W, b))
    paths: list[list[Fit]] = [[] for _ in tasks]
    for C in Cs:
        found: Minimum = minimise(ConceptBatch(X, y, C * S, ridge=ridge, basis=basis), *at, tol=tol)
        at = (found.W, found.b, found.logits)
        parts = [part.cpu().numpy() for part in (found.W, found.b, found.logits, found.error)]
        for i, (task, path) in enumerate(zip(tasks, paths, strict=True)):
            weights, offset, logits, error = (part[i] for part in parts)
            path.append(Fit(weights, offset[0] - basis.mean @ weights, logits[: len(task.rows)], error[0]))
    return paths
