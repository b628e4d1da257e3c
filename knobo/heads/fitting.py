"""Which solver minimises which penalty, and the path with at most k concepts a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from knobo.heads.groups import GroupPenalty, solve_groups
from knobo.heads.objective import Array, Penalty, log_probabilities
from knobo.heads.problem import Problem
from knobo.heads.solver import Solution, solve
from knobo.heads.tanh import TanhPenalty, solve_tanh

AnyPenalty = Penalty | GroupPenalty | TanhPenalty

_PATH_END = 500.0  # a path ends at α_max / 500
_STEPS_A_DECADE = 12
_ON_THE_WAY = 1e-4  # KKT residual of the solutions that only decide which concepts come first


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


def fit_at(
    problem: Problem,
    penalty_at: Callable[[float], AnyPenalty],
    alpha: float,
    *,
    l1_ratio: float,
    most: int | None = None,
    tol: float = 1e-8,
    max_iter: int = 100,
) -> Solution:
    """The solution at one α; with ``most``, the end of the path that :func:`follow_path` takes to it."""
    if most is None:
        return minimise(problem, penalty_at(alpha), tol=tol, max_iter=max_iter)
    alphas = path_down_to(problem, penalty_at, alpha, l1_ratio)
    *_, solution = follow_path(problem, penalty_at, alphas, most=most, tol=tol, max_iter=max_iter, rough=_ON_THE_WAY)
    return solution


def follow_path(
    problem: Problem,
    penalty_at: Callable[[float], AnyPenalty],
    alphas: Sequence[float] | Array,
    *,
    most: int | None = None,
    tol: float = 1e-8,
    max_iter: int = 100,
    rough: float = 0.0,
) -> Iterator[Solution]:
    """Solutions along decreasing α, each begun at the one before, with at most ``most`` non-zero weights a class.

    A class that would exceed ``most`` keeps the concepts that it had one step before, filled up with its largest new
    weights. From there on its other concepts are forbidden, and what is left is refitted, to the same certificate,
    at this α and all that follow.

    With ``rough`` only the last solution matters: the others have a KKT residual of ``rough`` where that is above
    ``tol``, and are left out once each class has its ``most`` concepts.
    """
    start: tuple[Array, Array] | None = None
    allowed = np.ones((problem.n_rows, problem.m), dtype=bool)
    for step, alpha in enumerate(alphas):
        last = step == len(alphas) - 1
        if most is not None and rough and not last and (allowed.sum(axis=1) <= most).all():
            continue
        goal = tol if last else max(tol, rough)
        penalty = penalty_at(alpha)
        if most is None or not isinstance(penalty, Penalty):
            solution = minimise(problem, penalty, tol=goal, max_iter=max_iter, start=start)
        else:
            solution = solve(problem, penalty.only(allowed), tol=goal, max_iter=max_iter, start=start)
            while (full := (solution.W != 0).sum(axis=1) > most).any():
                before = np.zeros_like(solution.W) if start is None else start[0]
                allowed[full] = _strongest(solution.W[full], before[full], most)
                begin = np.where(allowed, solution.W, 0.0), solution.b
                solution = solve(problem, penalty.only(allowed), tol=goal, max_iter=max_iter, start=begin)
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
    pull = -problem.gradient(log_probabilities(problem.logits(null)))[:, : problem.m] * problem.scale
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
