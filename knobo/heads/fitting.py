"""Which solver minimises which penalty, and the path with at most k concepts a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from knobo.heads.groups import GroupPenalty, solve_groups
from knobo.heads.objective import Array, Penalty, log_probabilities
from knobo.heads.problem import Problem
from knobo.heads.solver import Solution, solve
from knobo.heads.tanh import TanhPenalty, solve_tanh

AnyPenalty = Penalty | GroupPenalty | TanhPenalty

_PATH_END = 500.0  # a path ends at α_max / 500
_STEPS_A_DECADE = 12


def minimise(
    problem: Problem,
    penalty: AnyPenalty,
    *,
    tol: float = 1e-8,
    max_iter: int = 100,
    start: tuple[Array, Array] | None = None,
) -> Solution:
    """Minimise the objective with any penalty; parameters as in :func:`knobo.heads.solver.solve`."""
    if isinstance(penalty, GroupPenalty):
        return solve_groups(problem, penalty, tol=tol, max_iter=max_iter, start=start)
    if isinstance(penalty, TanhPenalty):
        return solve_tanh(problem, penalty, tol=tol, max_iter=max_iter, start=start)
    return solve(problem, penalty, tol=tol, max_iter=max_iter, start=start)


def follow_path(
    problem: Problem,
    penalty_at: Callable[[float], AnyPenalty],
    alphas: Iterable[float],
    *,
    most: int | None = None,
    tol: float = 1e-8,
    max_iter: int = 100,
) -> Iterator[Solution]:
    """Solutions along decreasing α, each begun at the one before, with at most ``most`` non-zero weights a class.

    A class that would exceed ``most`` keeps the concepts that it had one step before, filled up with its largest new
    weights. From there on its other concepts are forbidden, and what is left is refitted, to the same certificate,
    at this α and all that follow.
    """
    start: tuple[Array, Array] | None = None
    allowed = np.ones((problem.n_rows, problem.m), dtype=bool)
    for alpha in alphas:
        penalty = penalty_at(alpha)
        if most is not None and isinstance(penalty, Penalty):
            capped = penalty if allowed.all() else penalty.only(allowed)
            solution = solve(problem, capped, tol=tol, max_iter=max_iter, start=start)
            full = (solution.W != 0).sum(axis=1) > most
            while full.any():
                before = np.zeros_like(solution.W) if start is None else start[0]
                allowed[full] = _strongest(solution.W[full], before[full], most)
                solution = solve(
                    problem,
                    penalty.only(allowed),
                    tol=tol,
                    max_iter=max_iter,
                    start=(np.where(allowed, solution.W, 0.0), solution.b),
                )
                full = (solution.W != 0).sum(axis=1) > most
        else:
            solution = minimise(problem, penalty, tol=tol, max_iter=max_iter, start=start)
        start = solution.W, solution.b
        yield solution


def path_down_to(problem: Problem, penalty_at: Callable[[float], AnyPenalty], alpha: float, l1_ratio: float) -> Array:
    """Decreasing values from where all weights are zero to ``alpha``, evenly spaced in the logarithm."""
    top = strongest_pull(problem, penalty_at, l1_ratio) / l1_ratio
    low = max(alpha, top / _PATH_END)
    if top <= low:
        return np.array([alpha])
    steps = 2 + int(np.ceil(_STEPS_A_DECADE * np.log10(top / low)))
    alphas = np.geomspace(top, low, steps)
    return np.append(alphas[:-1], alpha) if alpha == low else np.append(alphas, alpha)


def strongest_pull(problem: Problem, penalty_at: Callable[[float], AnyPenalty], l1_ratio: float) -> float:
    """Smallest α·ρ that keeps all weights at zero; ``l1_ratio`` is that of the penalty."""
    null = problem.null_weights()
    pull = -problem.gradient(log_probabilities(problem.X @ null.T))[:, : problem.m] * problem.scale
    prior, full = penalty_at(0.0), penalty_at(1.0)
    if isinstance(prior, GroupPenalty):
        return prior.strongest_pull(pull)
    if isinstance(prior, TanhPenalty):
        return float(np.abs(pull + prior.pull).max())
    assert isinstance(full, Penalty)
    left = np.abs(prior.excess(pull))
    at = left > 0  # never where the slope is infinite
    a_unit = np.where(pull > 0, full.up, full.down)[at] - np.where(pull > 0, prior.up, prior.down)[at]
    return float((left[at] / (a_unit / l1_ratio if l1_ratio > 0 else 1.0)).max(initial=0.0))


def _strongest(new: Array, before: Array, most: int) -> Array:
    """Mask of the concepts to keep in each row: those of before, then the largest new ones; ``most`` in all."""
    size = np.where(before != 0, np.inf, np.abs(new))
    size[new == 0] = 0.0
    order = np.argsort(-size, axis=1, kind="stable")[:, :most]
    keep = np.zeros(new.shape, dtype=bool)
    np.put_along_axis(keep, order, np.take_along_axis(new, order, axis=1) != 0, axis=1)
    return keep
