"""L2-regularised logistic regression: Newton steps by preconditioned conjugate gradients, for many fits side by side.

The solver sees its data only through the sums over rows of a :class:`Problem`, of which there are two: the rows of one
concept in a core's cache (:mod:`knobo.grounding.rows`) and many concepts at once on a GPU
(:mod:`knobo.grounding.batched`). Arrays are NumPy's or torch's. A *column* is one fit; columns never see one another:
what comes out of one does not change, to the last bit, with what the others weigh.

References
----------
Lin, Weng & Keerthi, *Trust region Newton method for logistic regression*, JMLR 9, 2008: Newton by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Array = Any  # of NumPy or torch; a leading dimension "..." is absent on the CPU
Pair = tuple[Array, Array]  # what belongs to the weights, (..., d, c), and to the intercepts, (..., 1, c)

TOL = 1e-4  # probabilities, also of other rows, are then within 3e-4 of the optimum, see benchmarks/grounding.py
_MOST_NEWTON = 100
_MOST_CG = 250


class Problem(Protocol):
    """Sums over the rows of ``S · log-loss(y, X W + b) + ½ ridge W²``, of embeddings that are centred on the fly."""

    @property
    def xp(self) -> Any:
        """The module numpy or torch."""

    def curvature(self, logits: Array) -> Array:
        """Second derivative of each row's loss, times its weight, (..., n, c)."""

    def slope(self, logits: Array, W: Array) -> Pair:
        """Gradient."""

    def curve(self, h: Array, V: Pair) -> tuple[Pair, Array]:
        """The Hessian with row curvatures ``h`` times V, and the change (..., n, c) of the logits along V."""

    def along(self, logits: Array, change: Array, W: Array, step: Array) -> Array:
        """Derivative of the objective along a step, at the step's end, (..., 1, c)."""

    def value(self, logits: Array, W: Array) -> Array:
        """Objective, (..., 1, c), in float64."""

    def preconditioner(self, total: Array) -> Callable[[Array], Array]:
        """Approximate inverse of the weights' Hessian where the row curvatures sum up to ``total``."""


@dataclass(frozen=True)
class Minimum:
    """Where the solver stopped.

    Attributes
    ----------
    W : array of shape (..., d, c)
    b : array of shape (..., 1, c)
        Intercept for centred embeddings.
    logits : array of shape (..., n, c)
    error : array of shape (..., 1, c)
        Estimated root mean square distance of a logit from its optimum.
    """

    W: Array
    b: Array
    logits: Array
    error: Array


def minimise(problem: Problem, W: Array, b: Array, logits: Array, *, tol: float = TOL) -> Minimum:
    """Minimise the objective of each column.

    Parameters
    ----------
    problem : Problem
    W, b, logits : arrays of shapes (..., d, c), (..., 1, c), (..., n, c)
        Where to begin.
    tol : float
        Stop when the estimated error of the logits (:attr:`Minimum.error`) is smaller.
    """
    xp = problem.xp
    slope = problem.slope(logits, W)
    for iteration in range(_MOST_NEWTON + 1):
        h = problem.curvature(logits)
        total = h.sum(-2)[..., None, :] + 1e-30
        solve = _with_intercept(problem.preconditioner(total), total)
        error = xp.sqrt(_dot(slope, solve(slope)) / total)
        active = error > tol
        if iteration == _MOST_NEWTON or not active.any():
            break
        step, change = _newton_step(problem, h, slope, solve, active, total, tol)
        t = _step_length(problem, W, logits, slope, step, change)
        W, b, logits = W + t * step[0], b + t * step[1], logits + t * change
        slope = problem.slope(logits, W)
    return Minimum(W, b, logits, error)


def _dot(A: Pair, B: Pair) -> Array:
    return (A[0] * B[0]).sum(-2)[..., None, :] + A[1] * B[1]


def _with_intercept(weights: Callable[[Array], Array], total: Array) -> Callable[[Pair], Pair]:
    return lambda R: (weights(R[0]), R[1] / total)


def _newton_step(
    problem: Problem,
    h: Array,
    slope: Pair,
    solve: Callable[[Pair], Pair],
    active: Array,
    total: Array,
    tol: float,
) -> tuple[Pair, Array]:
    """Newton step of the active columns and the change of the logits along it; the other columns stay."""
    xp = problem.xp
    step, change = (xp.zeros_like(slope[0]), xp.zeros_like(slope[1])), xp.zeros_like(h)
    residual = (-slope[0], -slope[1])
    direction = z = solve(residual)
    energy = _dot(residual, z)
    # A quarter of the energy at first, then as exact as the next Newton step can use: its error goes with the square of
    # the logits' error (energy / total). Never more exact than the end needs.
    enough = xp.maximum(xp.minimum(4 * energy / total, xp.full_like(energy, 0.25)) * energy, 0.25 * tol**2 * total)
    for _ in range(_MOST_CG):
        product, along = problem.curve(h, direction)
        length = xp.where(active, energy / xp.where(active, _dot(direction, product), 1.0), 0.0)
        step = (step[0] + length * direction[0], step[1] + length * direction[1])
        residual = (residual[0] - length * product[0], residual[1] - length * product[1])
        along *= length
        change += along
        z = solve(residual)
        energy, before = _dot(residual, z), energy
        active = active & (energy > enough)
        if not active.any():
            break
        ratio = xp.where(active, energy / xp.where(active, before, 1.0), 0.0)
        direction = (z[0] + ratio * direction[0], z[1] + ratio * direction[1])
    return step, change


def _step_length(problem: Problem, W: Array, logits: Array, slope: Pair, step: Pair, change: Array) -> Array:
    """1 for a column whose full step ends downhill or nearly level; else the largest of 1, ½, ¼ … that goes down."""
    t = problem.xp.ones_like(slope[1])
    unsure = problem.along(logits, change, W, step[0]) > -0.1 * _dot(slope, step)
    if not unsure.any():
        return t
    before = problem.value(logits, W)
    rounding = 1e-7 * abs(before)
    for _ in range(30):
        unsure = unsure & (problem.value(logits + t * change, W + t * step[0]) > before + rounding)
        if not unsure.any():
            break
        t = problem.xp.where(unsure, t / 2, t)
    return t
