"""Groups of concepts in or out together: a group lasso in place of the L1 norm, solved to the same certificate.

    J(W, b) = loss + λ R(W; P) + α (ρ Σ_k Σ_g √|g| ‖W_kg‖₂ + (1 − ρ)/2 ‖W‖²)

W_kg are the weights of the concepts of group g in class k. The norm has its corner where all of them are zero, so a
group is in or out of a class as a whole.

The outer loop is the solver's: proximal Newton on a working set, of whole blocks (k, g) here. The inner problem is
solved by accelerated proximal steps with one step length a block. The prox of a norm plus slopes that start at zero is
the one after the other.

References
----------
Yuan & Lin, *Model selection and estimation in regression with grouped variables*, JRSS B 68:49, 2006.
Yu, *On decomposing the proximal map*, NeurIPS 2013 (the prox of the sum).
O'Donoghue & Candès, *Adaptive restart for accelerated gradient schemes*, Found. Comput. Math. 15, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knobo.heads.objective import Array, Penalty, balance_rows, log_probabilities
from knobo.heads.problem import Problem
from knobo.heads.solver import Certificate, Solution

_FIRST_WORKING_SET = 64
_FAR = 3e-3  # KKT residual above which a rough Hessian is good enough
_INNER_STEPS = 5000


@dataclass(frozen=True)
class GroupPenalty:
    """Slopes and curvature of each weight, and a norm of each block of weights.

    Attributes
    ----------
    slopes : Penalty of shape (R, m)
        The prior and the ridge, without L1.
    codes : ndarray of shape (m,), intp
        Group 0 … G − 1 of each concept.
    norms : ndarray of shape (G,)
        Weight of the norm of each group's block, in each class.
    scale : ndarray of shape (m,)
        The weights that it is given are divided by this first; see :meth:`scaled`.
    """

    slopes: Penalty
    codes: NDArray[np.intp]
    norms: Array
    scale: Array

    def value(self, W: Array) -> float:
        """Value of the penalty at weights ``W``."""
        W = W / self.scale
        return float((self._block_norms(W) * self.norms).sum()) + self.slopes.value(W)

    def scaled(self, scale: Array) -> GroupPenalty:
        """The same penalty as a function of ``W · scale``."""
        return GroupPenalty(self.slopes, self.codes, self.norms, self.scale * scale)

    def residual(self, W: Array, gradient: Array) -> Array:
        """Distance of ``−gradient`` to the subdifferential at ``W``, as :meth:`Penalty.residual`; for scale 1 only."""
        norm = self._block_norms(W)[:, self.codes]
        inside = norm > 0
        unit = np.divide(W, norm, out=np.zeros_like(W), where=inside)
        within = self.slopes.residual(W, gradient + self.norms[self.codes] * unit)
        outside = self.slopes.excess(-gradient)
        over = self._block_norms(outside)[:, self.codes]
        left = np.divide(over - self.norms[self.codes], over, out=np.zeros_like(W), where=over > 0)
        return np.where(inside, within, np.abs(outside) * np.maximum(left, 0.0))

    def conjugate(self, pull: Array) -> float:
        """Convex conjugate at ``pull``, which without curvature must lie within the slopes and the norms' balls."""
        norm = self._block_norms(self.slopes.excess(pull * self.scale))
        curvature = self.slopes.ridge[:, :1]
        if not curvature.any():
            return 0.0
        return float((np.maximum(norm - self.norms, 0.0) ** 2 / (2.0 * curvature)).sum())

    def largest_mix(self, pull: Array) -> float:
        """Largest t in [0, 1] with a finite conjugate at t·pull, by bisection from below."""
        if self.slopes.ridge.any() or self._fits(pull * self.scale):
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self._fits(middle * pull * self.scale) else (low, middle)
        return low

    def as_slopes(self, alone: NDArray[np.intp]) -> Penalty:
        """The penalty of concepts that are a group each: there the norm is L1."""
        up, down, ridge = (part[:, alone] for part in (self.slopes.up, self.slopes.down, self.slopes.ridge))
        norms = self.norms[self.codes[alone]]
        return Penalty(up + norms, down + norms, ridge)

    def strongest_pull(self, pull: Array) -> float:
        """Smallest weight of √|g| norms that keeps all weights at zero against ``pull``."""
        sizes = np.bincount(self.codes)
        return float((self._block_norms(self.slopes.excess(pull)) / np.sqrt(sizes)).max())

    def _fits(self, pull: Array) -> bool:
        return bool((self._block_norms(self.slopes.excess(pull)) <= self.norms).all())

    def _block_norms(self, W: Array) -> Array:
        """Norm of each block, shape (R, G)."""
        squares = np.zeros((len(W), len(self.norms)))
        np.add.at(squares.T, self.codes, (W * W).T)
        return np.sqrt(squares)


def make_group_penalty(slopes: Penalty, codes: NDArray[np.intp], strength: float) -> GroupPenalty:
    """Group penalty of ``strength`` α·ρ, whose norms weigh √|g| as in Yuan & Lin."""
    return GroupPenalty(slopes, codes, strength * np.sqrt(np.bincount(codes)), np.ones(len(codes)))


def solve_groups(
    problem: Problem,
    penalty: GroupPenalty,
    *,
    tol: float = 1e-8,
    max_iter: int = 100,
    start: tuple[Array, Array] | None = None,
) -> Solution:
    """Minimise the objective; parameters and result are those of :func:`knobo.heads.solver.solve`."""
    V = problem.null_weights() if start is None else problem.to_inner(*start)
    # The norms are in the units of the activations, so the weights are, too; b belongs to centred activations.
    unit = np.concatenate([problem.scale, np.ones(V.shape[1] - problem.m)])
    m, U = problem.m, V / unit
    log_p = log_probabilities(problem.logits(U * unit))
    value = problem.loss(log_p) + penalty.value(U[:, :m])
    n_iter = 0
    while True:
        gradient = problem.gradient(log_p) * unit
        residual = np.abs(gradient)  # of the intercepts
        residual[:, :m] = penalty.residual(U[:, :m], gradient[:, :m])
        residual /= unit
        worst = float(residual.max())
        if worst <= tol or n_iter == max_iter:
            break
        n_iter += 1
        rows, columns = _working_set(penalty, U, residual, m)
        H = problem.hessian(log_p, rows, columns, rough=worst > _FAR)
        H[np.diag_indices_from(H)] *= 1.0 + min(1e-3, 0.1 * worst) + 1e-10
        H *= unit[columns, None] * unit[columns]
        step = np.zeros_like(U)
        goal = worst * min(0.1, worst**0.5)
        u = _minimise_blocks(H, gradient[rows, columns], penalty, U, (rows, columns), goal * unit[columns])
        step[rows, columns] = u - U[rows, columns]
        moved = _line_search(problem, penalty, U, unit, value, step)
        if moved is None:  # rounding hides what is left
            break
        U, log_p, value = moved
    W = U[:, :m].copy()
    b = U[:, -1] - W @ problem.mean if problem.intercept else np.zeros(len(U))
    gap = value - problem.lower_bound(log_p, penalty)  # type: ignore[arg-type]
    if len(W) > 1:
        b -= b.mean()
        alone = np.flatnonzero((np.bincount(penalty.codes) == 1)[penalty.codes])
        W[:, alone] = balance_rows(W[:, alone], penalty.as_slopes(alone))
    return Solution(W, b, n_iter, Certificate(value, worst, max(gap, 0.0), tol, worst <= tol))


def _working_set(penalty: GroupPenalty, U: Array, residual: Array, m: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns, sorted by row, of the blocks to move: all that are in, and those that most should be."""
    inside = penalty._block_norms(U[:, :m]) > 0
    violation = np.where(inside, 0.0, penalty._block_norms(residual[:, :m]))
    sizes = np.broadcast_to(np.bincount(penalty.codes), inside.shape)
    room = max(_FIRST_WORKING_SET, int(sizes[inside].sum()))
    order = np.argsort(-violation, axis=None, kind="stable")
    order = order[violation.ravel()[order] > 0]
    fits = np.cumsum(sizes.ravel()[order]) <= room
    fits[:1] = True
    inside.ravel()[order[fits]] = True
    chosen = np.ones(U.shape, dtype=bool)  # intercepts always
    chosen[:, :m] = inside[:, penalty.codes]
    rows, columns = np.nonzero(chosen)
    return rows, columns


def _minimise_blocks(
    H: Array,
    gradient: Array,
    penalty: GroupPenalty,
    U: Array,
    at: tuple[NDArray[np.intp], NDArray[np.intp]],
    goal: Array,
) -> Array:
    """Minimise the quadratic with ``gradient`` and ``H`` at U[at], plus the penalty, over the weights ``at``."""
    rows, columns = at
    m, begin = len(penalty.codes), U[at]
    free = columns == m
    safe = np.minimum(columns, m - 1)
    ridge = np.where(free, 0.0, penalty.slopes.ridge[rows, safe])
    up = np.where(free, 0.0, penalty.slopes.up[rows, safe])
    down = np.where(free, 0.0, penalty.slopes.down[rows, safe])
    norms = np.append(penalty.norms, 0.0)
    codes = np.append(penalty.codes, len(penalty.norms))
    _, block = np.unique(rows * len(norms) + codes[columns], return_inverse=True)
    norm_weight = norms[codes[columns]]
    H = H + np.diag(ridge)
    linear = gradient + ridge * begin - H @ begin

    largest = np.zeros(block.max() + 1)
    np.maximum.at(largest, block, H.diagonal())
    root = np.sqrt(np.maximum(largest, 1e-12 * H.diagonal().max() + 1e-300))[block]
    step = 1.0 / (root**2 * np.linalg.eigvalsh(H / root / root[:, None])[-1] * (1.0 + 1e-12))
    over_step, bound_up, bound_down = norm_weight * step, up * step, down * step

    def prox(v: Array) -> Array:
        v = np.maximum(v - bound_up, 0.0) + np.minimum(v + bound_down, 0.0)
        norm = np.sqrt(np.bincount(block, v * v))[block]
        return v * np.maximum(1.0 - np.divide(over_step, norm, out=np.ones_like(norm), where=norm > 0), 0.0)

    return _accelerated(prox, lambda u: H @ u + linear, step, begin, goal)


def _accelerated(
    prox: Callable[[Array], Array], gradient: Callable[[Array], Array], step: Array, u: Array, goal: Array
) -> Array:
    """Accelerated proximal gradient, restarted where the momentum points uphill, until steps promise ``goal``."""
    ahead, momentum = u, 1.0
    for _ in range(_INNER_STEPS):
        new = prox(ahead - step * gradient(ahead))
        moved = ahead - new
        if (np.abs(moved) <= 0.5 * step * goal).all():
            return new
        if moved @ ((new - u) / step) > 0:
            momentum = 1.0
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = new + (momentum - 1.0) / following * (new - u)
        u, momentum = new, following
    return u


def _line_search(
    problem: Problem, penalty: GroupPenalty, U: Array, unit: Array, value: float, step: Array
) -> tuple[Array, Array, float] | None:
    """Largest of 1, ½, ¼ … of the step that lowers the objective; None if there is none."""
    if not step.any():
        return None
    logits, change = problem.logits(U * unit), problem.X @ (step * unit).T
    rounding = 1e-14 * max(abs(value), 1e-8)
    for halvings in range(40):
        t = 0.5**halvings
        log_p = log_probabilities(logits + t * change)
        new = U + t * step
        value_new = problem.loss(log_p) + penalty.value(new[:, : problem.m])
        if value_new <= value + rounding:
            return new, log_p, value_new
    return None
