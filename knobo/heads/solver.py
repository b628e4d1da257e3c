"""Exact solver of the head's convex objective: proximal Newton on a growing working set of weights.

Each iteration (i) takes as working set the non-zero weights and the zeros whose optimality condition fails most,
(ii) minimises the second-order model of the loss plus the exact penalty over it, (iii) searches along that step for
sufficient decrease of the true objective. It ends when the optimality conditions hold for *all* weights.

Columns are centred (where there is an intercept) and divided by their standard deviation inside, with the penalty
scaled to match, so the answer is that of the original problem while the numerics do not depend on units.

References
----------
Lee, Sun & Saunders, *Proximal Newton-type methods for minimizing composite functions*, SIAM J. Optim. 24(3), 2014.
Johnson & Guestrin, *Blitz: a principled meta-algorithm for scaling sparse optimization*, ICML 2015 (working sets).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from knobo.heads.objective import Array, Penalty, balance_rows, dual_bound, log_loss, log_probabilities, loss_derivative

_FIRST_WORKING_SET = 64
_FAR = 3e-3  # KKT residual above which a rough Hessian is good enough
_BLOCK = 4_000_000  # numbers in one block of samples while the Hessian is summed


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


class Problem:
    """The data of one objective, standardised once and shared by all penalties along a path.

    Parameters
    ----------
    A : ndarray of shape (n, m)
        Activations.
    codes : ndarray of shape (n,), intp
        Index of each sample's class, 0 … K − 1.
    sample_weight : ndarray of shape (n,)
        Non-negative, not all zero; divided by their sum.
    n_classes : int
        K.
    intercept : bool
        Whether b is free.
    """

    def __init__(
        self,
        A: Array,
        codes: NDArray[np.intp],
        sample_weight: Array,
        *,
        n_classes: int,
        intercept: bool = True,
    ) -> None:
        used = sample_weight > 0
        self.codes = codes[used]
        self.sample_weight = sample_weight[used] / sample_weight.sum()
        self.n_rows = 1 if n_classes == 2 else n_classes
        self.n_classes = n_classes
        self.intercept = intercept
        A = A[used]
        self.mean = self.sample_weight @ A if intercept else np.zeros(A.shape[1])
        centred = A - self.mean
        scale = np.sqrt(self.sample_weight @ centred**2)
        constant = scale <= 1e-12 * np.abs(A).max(axis=0, initial=0.0)
        centred[:, constant] = 0.0
        self.scale = np.where(constant, 1.0, scale)
        self.X = np.empty((len(A), A.shape[1] + intercept))
        np.divide(centred, self.scale, out=self.X[:, : A.shape[1]])
        self.X[:, A.shape[1] :] = 1.0

    @property
    def m(self) -> int:
        """Number of concepts."""
        return len(self.scale)

    def inner_penalty(self, penalty: Penalty) -> Penalty:
        """The penalty of the standardised weights, with free intercepts as last column."""
        scaled = penalty.scaled(self.scale)
        free = np.zeros((self.n_rows, int(self.intercept)))
        return Penalty(*(np.hstack([part, free]) for part in (scaled.up, scaled.down, scaled.ridge)))

    def to_inner(self, W: Array, b: Array) -> Array:
        """Standardised weights of given weights."""
        inner = W * self.scale
        return np.hstack([inner, (b + W @ self.mean)[:, None]]) if self.intercept else inner

    def to_outer(self, V: Array, penalty: Penalty) -> tuple[Array, Array]:
        """Weights and intercepts of given standardised weights; of equivalent ones the smallest."""
        W = V[:, : self.m] / self.scale
        b = V[:, -1] - W @ self.mean if self.intercept else np.zeros(self.n_rows)
        if self.n_rows == 1:
            return W, b
        return balance_rows(W, penalty), b - b.mean()

    def null_weights(self) -> Array:
        """Standardised weights of the model without concepts: class frequencies only."""
        V = np.zeros((self.n_rows, self.X.shape[1]))
        if self.intercept:
            frequencies = np.bincount(self.codes, self.sample_weight, self.n_classes)
            log_odds = np.log(np.maximum(frequencies, 1e-6))
            V[:, -1] = log_odds[1] - log_odds[0] if self.n_rows == 1 else log_odds - log_odds.mean()
        return V

    def separated(self, W: Array, b: Array) -> bool:
        """True when weights W (R, m) and intercepts b (R,) put every sample strictly on its class's side."""
        log_p = log_probabilities(self.X @ self.to_inner(W, b).T)
        own = log_p[np.arange(len(self.codes)), self.codes].copy()
        log_p[np.arange(len(self.codes)), self.codes] = -np.inf
        return bool((own > log_p.max(axis=1)).all())

    def gradient(self, log_p: Array) -> Array:
        """Gradient of the loss by the standardised weights, shape (R, m + intercept)."""
        return loss_derivative(log_p, self.codes, self.sample_weight).T @ self.X

    def loss(self, log_p: Array) -> float:
        """Weighted mean cross-entropy."""
        return log_loss(log_p, self.codes, self.sample_weight)

    def hessian(self, log_p: Array, rows: NDArray[np.intp], columns: NDArray[np.intp], *, rough: bool = False) -> Array:
        """Second derivatives of the loss by the weights (rows[j], columns[j]), sorted by row; shape (a, a).

        They are Σ_i s_i x_ij x_il (δ_kk' p_ik − p_ik p_ik'): for the first term one symmetric product a row, for
        the second a single one.

        Parameters
        ----------
        rough : bool
            Use single precision and evenly spaced samples only, about twice as many as there are weights.
        """
        stride = max(1, len(self.X) // max(2 * len(rows), 2000)) if rough else 1
        dtype = np.float32 if rough else np.float64
        p = np.exp(log_p[::stride, -self.n_rows :]).astype(dtype)
        root = np.sqrt(self.sample_weight[::stride, None] * stride)
        H = np.zeros((len(rows), len(rows)))
        bounds = np.searchsorted(rows, np.arange(self.n_rows + 1))
        size = max(_BLOCK // len(rows), 256)
        for first in range(0, len(p), size):
            here = slice(first, first + size)
            S = np.take((self.X[::stride][here] * root[here]).astype(dtype), columns, axis=1)
            for row, (low, high) in enumerate(pairwise(bounds)):
                half = S[:, low:high] * np.sqrt(p[here, row, None])
                H[low:high, low:high] += half.T @ half
                S[:, low:high] *= p[here, row, None]
            H -= S.T @ S
        return H


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
        Where to begin; changes the time, not the answer.

    Returns
    -------
    Solution
    """
    inner = problem.inner_penalty(penalty)
    V = problem.null_weights() if start is None else problem.to_inner(*start)
    logits = problem.X @ V.T
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
        if moved is None:
            break
        V, logits, log_p, value = moved
    W, b = problem.to_outer(V, penalty)
    gap = value - _lower_bound(problem, penalty, log_p)
    return Solution(W, b, n_iter, Certificate(value, worst, max(gap, 0.0), tol, worst <= tol))


def _lower_bound(problem: Problem, penalty: Penalty, log_p: Array) -> float:
    return dual_bound(
        log_p,
        problem.X[:, : problem.m],
        problem.codes,
        problem.sample_weight,
        penalty.scaled(problem.scale),
        intercept=problem.intercept,
    )


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


def minimise_quadratic(
    H: Array, gradient: Array, slopes: Penalty, u: Array, *, tol: float, max_iter: int = 100
) -> Array:
    """Minimise a convex quadratic plus slopes on either side of zero, by projected Newton steps within orthants.

    On one choice of signs the function is a plain quadratic. Its minimiser is found by a Cholesky solve; weights that
    would change sign on the way stop at zero. The best of the steps 1, ½, ¼ … 1/512 is taken. Where only short steps
    help, damping turns the direction towards the steepest descent, which always helps.

    Parameters
    ----------
    H : ndarray of shape (a, a)
        Positive definite Hessian.
    gradient : ndarray of shape (a,)
        Gradient of the quadratic at ``u``.
    slopes : Penalty of shape (a,), without curvature
    u : ndarray of shape (a,)
        Where to begin.
    tol : float
        Largest :meth:`Penalty.residual` to accept.

    Returns
    -------
    ndarray of shape (a,)
    """
    steps = 0.5 ** np.arange(10)
    damping = 1e-2
    for _ in range(max_iter):
        residual = slopes.residual(u, gradient)
        if residual.max() <= tol or damping > 1e6:
            break
        sign = np.where(u != 0, np.sign(u), -np.sign(gradient))
        slope = np.where(sign > 0, slopes.up, -slopes.down)
        moving = np.flatnonzero((u != 0) | (residual > 0))
        direction = np.zeros_like(u)
        direction[moving] = _damped_solve(H[np.ix_(moving, moving)], -(gradient + slope)[moving], damping)
        ends = u[:, None] + direction[:, None] * steps
        ends[slopes.kinked[:, None] & (ends * sign[:, None] < 0)] = 0.0
        moves = ends - u[:, None]
        change = (gradient + slope) @ moves + 0.5 * np.einsum("at,at->t", moves, H @ moves)
        best = int(change.argmin())
        if change[best] >= 0:
            damping *= 10.0
            continue
        damping = damping / 4.0 if best == 0 else damping * (4.0 if best > 1 else 1.0)
        u = ends[:, best]
        gradient = gradient + H @ moves[:, best]
    return u


def _damped_solve(H: Array, b: Array, damping: float) -> Array:
    """Solve (H + damping·diag H) x = b, overwriting H."""
    H[np.diag_indices_from(H)] *= 1.0 + damping
    return np.asarray(cho_solve(cho_factor(H, lower=True, overwrite_a=True, check_finite=False), b, check_finite=False))


def _line_search(
    problem: Problem, penalty: Penalty, V: Array, logits: Array, value: float, step: Array, slope: float
) -> tuple[Array, Array, Array, float] | None:
    """Largest of 1, ½, ¼ … of the step with sufficient decrease; None when rounding hides any decrease."""
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
