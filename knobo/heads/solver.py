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

from knobo.heads.objective import Array, Penalty
from knobo.heads.passes import Samples
from knobo.heads.problem import Problem
from knobo.heads.quadratic import minimise_quadratic

_FIRST_WORKING_SET = 64
_SINGLE = 3e-7  # KKT residual that single precision can reach
_FIRST_SAMPLES = 4000  # the first rough solution is that of so many samples, the next of 8 times as many
_ROUGH, _ROUGH_ITER = 3e-3, 12  # residual and iterations of rough solutions; the sampling error is larger
_SHARE, _FEWEST, _WHOLE = 8, 2000, 10**6  # samples of a rough Hessian: so many a weight, but no fewer than; all


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
    tol: float = 1e-6,
    max_iter: int = 100,
    start: tuple[Array, Array] | None = None,
) -> Solution:
    """Minimise the objective.

    Large data are first solved roughly on a few samples, then on all of them in single precision, and in double
    precision only where ``tol`` asks for more.

    Parameters
    ----------
    problem : Problem
        The data.
    penalty : Penalty
        Of shape (R, m); an infinite slope forbids a sign.
    tol : float
        Largest :attr:`Certificate.kkt_residual` to accept.
    max_iter : int
        Largest number of Newton iterations on all samples.
    start : tuple of W (R, m) and b (R,), optional
        Where to begin; changes the time, and the answer only where several are optimal.

    Returns
    -------
    Solution
    """
    inner = problem.inner_penalty(penalty)
    V = problem.null_weights() if start is None else inner.nearest(problem.to_inner(*start))
    state, n_iter = None, 0
    if problem.large:
        samples = problem.single
        n = _FIRST_SAMPLES
        while start is None and 4 * n <= len(samples):
            V = _descend(samples.head(n), inner, V, tol=_ROUGH, max_iter=_ROUGH_ITER).V
            n *= 8
        state = _descend(samples, inner, V, tol=max(tol, _SINGLE), max_iter=max_iter)
        V, n_iter = state.V, state.n_iter
    if state is None or (state.worst > tol and n_iter < max_iter):
        samples = problem.double
        state = _descend(samples, inner, V, tol=tol, max_iter=max_iter - n_iter)
        n_iter += state.n_iter
    bound = samples.lower_bound(state.V, state.gradient, problem.pull, penalty.scaled(problem.scale))
    gap = max(state.value - bound, samples.rounding * state.value)
    certificate = Certificate(state.value, state.worst, gap, tol, state.worst <= tol)
    W, b = problem.to_outer(state.V, penalty)
    return Solution(W, b, n_iter, certificate)


@dataclass(frozen=True)
class _State:
    """Standardised weights (R, p), objective and gradient of the loss there, largest residual, iterations so far."""

    V: Array
    value: float
    gradient: Array
    worst: float
    n_iter: int


def _descend(samples: Samples, penalty: Penalty, V: Array, *, tol: float, max_iter: int) -> _State:
    """Proximal Newton until the residual is below ``tol``, or rounding hides what is left."""
    loss, gradient = samples.loss_and_gradient(V)
    value = loss + penalty.value(V)
    n_iter, share = 0, _SHARE
    while True:
        residual = penalty.residual(V, gradient)
        worst = float(residual.max())
        if worst <= tol or n_iter >= max_iter:
            break
        step, slope = _newton_step(samples, penalty, V, gradient, residual, share)
        moved = _line_search(samples, penalty, V, value, step, slope) if step.any() else None
        if moved is None:
            break
        n_iter += 1
        after = float(penalty.residual(moved[0], moved[2]).max())
        if after > 0.2 * worst:  # the Hessian was too rough
            if share >= _WHOLE and abs(slope) < samples.rounding * abs(value) and after >= worst:
                break
            share *= 4
        V, value, gradient = moved
    return _State(V, value, gradient, worst, n_iter)


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
    samples: Samples, penalty: Penalty, V: Array, gradient: Array, residual: Array, share: int
) -> tuple[Array, float]:
    """Step to the minimiser of the second-order model over the working set, and the decrease that it promises.

    The model's Hessian is that of the first ``share`` samples a weight.
    """
    rows, columns = _working_set(V, residual, penalty.kinked)
    at = (rows, columns)
    ridge, slopes = penalty.ridge[at], Penalty(penalty.up[at], penalty.down[at], np.zeros(len(rows)))
    smooth = gradient[at] + ridge * V[at]
    worst = float(residual.max())
    some = samples if samples.X.dtype == np.float64 else samples.head(max(share * len(rows), _FEWEST))
    H = some.hessian(V, rows, columns)
    # Damping keeps the model curved where the loss is flat. It fades with the residual, so that the last steps are
    # Newton's own.
    H[np.diag_indices_from(H)] += (min(1e-3, 0.1 * worst) + 1e-10) * H.diagonal() + ridge + 1e-14
    u = minimise_quadratic(H, smooth, slopes, V[at], tol=worst * min(0.1, worst**0.5))
    step = np.zeros_like(V)
    step[at] = u - V[at]
    return step, float(smooth @ step[at]) + slopes.value(u) - slopes.value(V[at])


def _line_search(
    samples: Samples, penalty: Penalty, V: Array, value: float, step: Array, slope: float
) -> tuple[Array, float, Array] | None:
    """Largest of 1, ½, ¼ … of the step with sufficient decrease; None if there is none."""
    rounding = samples.rounding * max(abs(value), 1e-8)
    for halvings in range(40):
        t = 0.5**halvings
        V_new = V + t * step
        loss, gradient = samples.loss_and_gradient(V_new)
        value_new = loss + penalty.value(V_new)
        if value_new <= value + 1e-4 * t * slope + rounding:
            return V_new, value_new, gradient
    return None
