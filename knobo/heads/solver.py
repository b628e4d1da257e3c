"""Exact solver of the head's convex objective: proximal Newton on a growing working set of weights.

Each iteration (i) takes as working set the non-zero weights and the zeros whose optimality condition fails most,
(ii) minimises the second-order model of the loss plus the exact penalty over it, (iii) searches along that step for
sufficient decrease of the true objective. It ends when the optimality conditions hold for *all* weights.

References
----------
Lee, Sun & Saunders, *Proximal Newton-type methods for minimizing composite functions*, SIAM J. Optim. 24(3), 2014.
Johnson & Guestrin, *Blitz: a principled meta-algorithm for scaling sparse optimization*, ICML 2015 (working sets).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from knobo.heads.objective import Array, Penalty, log_probabilities
from knobo.heads.problem import Problem
from knobo.heads.quadratic import minimise_quadratic

_FIRST_WORKING_SET = 64
_FAR = 3e-3  # KKT residual above which a rough Hessian is good enough


@dataclass(frozen=True)
class Certificate:
    """How far a solution may be from the optimum.

    Attributes
    ----------
    objective : float
        J(W, b), in nats.
    kkt_residual : float
        Largest distance, over all weights and intercepts, of minus the loss's gradient to the subdifferential of the
        penalty, in nats per standard deviation of the activation. Zero at the optimum and nowhere else.
    duality_gap : float
        J(W, b) minus a lower bound on its minimum: the objective is at most this much above the optimum.
    tol : float
        The tolerance that was asked for.
    converged : bool
        True when ``kkt_residual <= tol``.
    """

    objective: float
    kkt_residual: float
    duality_gap: float
    tol: float
    converged: bool


@dataclass(frozen=True)
class Solution:
    """Weights (R, m), intercepts (R,), number of Newton iterations, certificate."""

    W: Array
    b: Array
    n_iter: int
    certificate: Certificate


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep the linear algebra library to one thread: on blocks of this size more threads were measured to be slower."""
    return threadpool_limits(limits=1, user_api="blas")


def solve(
    problem: Problem,
    penalty: Penalty,
    *,
    tol: float = 1e-8,
    max_iter: int = 100,
    start: tuple[Array, Array] | None = None,
) -> Solution:
    """Minimise the objective.

    Parameters
    ----------
    problem : Problem
        The data.
    penalty : Penalty
        Of shape (R, m).
    tol : float
        Largest :attr:`Certificate.kkt_residual` to accept.
    max_iter : int
        Largest number of Newton iterations.
    start : tuple of W (R, m) and b (R,), optional
        Where to begin; changes the time, and the answer only where several are optimal.

    Returns
    -------
    Solution
    """
    inner = problem.inner_penalty(penalty)
    V = problem.null_weights() if start is None else problem.to_inner(*start)
    logits = problem.logits(V)
    log_p = log_probabilities(logits)
    value = problem.loss(log_p) + inner.value(V)
    n_iter = 0
    while True:
        gradient = problem.gradient(log_p)
        residual = inner.residual(V, gradient)
        worst = float(residual.max())
        if worst <= tol or n_iter == max_iter:
            break
        n_iter += 1
        step, slope = _newton_step(problem, inner, V, log_p, gradient, residual)
        moved = _line_search(problem, inner, V, logits, value, step, slope)
        if moved is None or not step.any():  # rounding hides what is left
            break
        V, logits, log_p, value = moved
    W, b = problem.to_outer(V, penalty)
    gap = value - problem.lower_bound(log_p, penalty)
    return Solution(W, b, n_iter, Certificate(value, worst, max(gap, 0.0), tol, worst <= tol))


def _working_set(V: Array, residual: Array, kinked: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns, sorted by row, of the weights to move: all free ones, and the zeros that violate most."""
    free = (V != 0) | (~kinked & (residual > 0))
    violation = np.where(free, 0.0, residual)
    room = max(_FIRST_WORKING_SET, int(free.sum()))
    waiting = np.flatnonzero(violation)
    if len(waiting) > room:
        waiting = waiting[np.argpartition(-violation.ravel()[waiting], room)[:room]]
    free.ravel()[waiting] = True
    rows, columns = np.nonzero(free)
    return rows, columns


def _newton_step(
    problem: Problem, penalty: Penalty, V: Array, log_p: Array, gradient: Array, residual: Array
) -> tuple[Array, float]:
    """Step to the minimiser of the second-order model over the working set, and the decrease that it promises."""
    rows, columns = _working_set(V, residual, penalty.kinked)
    at = (rows, columns)
    ridge, slopes = penalty.ridge[at], Penalty(penalty.up[at], penalty.down[at], np.zeros(len(rows)))
    smooth = gradient[at] + ridge * V[at]
    worst = float(residual.max())
    H = problem.hessian(log_p, rows, columns, rough=worst > _FAR)
    # Damping keeps the model curved where the loss is flat. It fades with the residual, so that the last steps are
    # Newton's own.
    H[np.diag_indices_from(H)] += (min(1e-3, 0.1 * worst) + 1e-10) * H.diagonal() + ridge + 1e-14
    u = minimise_quadratic(H, smooth, slopes, V[at], tol=worst * min(0.1, worst**0.5))
    step = np.zeros_like(V)
    step[at] = u - V[at]
    return step, float(smooth @ step[at]) + slopes.value(u) - slopes.value(V[at])


def _line_search(
    problem: Problem, penalty: Penalty, V: Array, logits: Array, value: float, step: Array, slope: float
) -> tuple[Array, Array, Array, float] | None:
    """Largest of 1, ½, ¼ … of the step with sufficient decrease; None if there is none."""
    change = problem.X @ step.T
    rounding = 1e-14 * max(abs(value), 1e-8)
    for halvings in range(40):
        t = 0.5**halvings
        V_new, logits_new = V + t * step, logits + t * change
        log_p = log_probabilities(logits_new)
        value_new = problem.loss(log_p) + penalty.value(V_new)
        if value_new <= value + 1e-4 * t * slope + rounding:
            return V_new, logits_new, log_p, value_new
    return None
