"""The paper's prior: mean |tanh W − P| over the entries that the literature speaks of. It is not convex.

For a sign P = ±1, |tanh w − P| = 1 − P·tanh w, which is smooth. L1 keeps its corner: the weights are written as the
difference of two non-negative parts, and L-BFGS-B with these bounds does the rest, from zero weights or a given start.
What it returns is a local optimum: the certificate's residual is that of a stationary point, and its gap the distance
to a bound that the convex part of the objective gives, which holds but is not tight.

References
----------
Yang et al., *A Textbook Remedy for Domain Shifts*, NeurIPS 2024, arXiv:2405.14839 (the parameter prior).
Byrd, Lu, Nocedal & Zhu, *A limited memory algorithm for bound constrained optimization*, SIAM J. Sci. Comput. 16,
1995.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from knobo.heads.objective import Array, Penalty, log_probabilities
from knobo.heads.problem import Problem
from knobo.heads.solver import Certificate, Solution

_STEPS = 100  # L-BFGS steps that count as one Newton iteration
_MEMORY = 20


@dataclass(frozen=True)
class LocalCertificate(Certificate):
    """Certificate of a local optimum: ``kkt_residual`` is that of a stationary point, which need not be the minimum."""


@dataclass(frozen=True)
class TanhPenalty:
    """Elastic net, and Σ |pull|·|tanh w − sign(pull)|.

    Attributes
    ----------
    net : Penalty of shape (R, m)
    pull : ndarray of shape (R, m)
        λ·c·P / #(P ≠ 0).
    """

    net: Penalty
    pull: Array

    def value(self, W: Array) -> float:
        """Value of the penalty at weights ``W``."""
        return self.net.value(W) + float(np.abs(self.pull).sum() - (self.pull * np.tanh(W)).sum())


def make_tanh_penalty(net: Penalty, signs: Array, confidence: Array, prior_strength: float) -> TanhPenalty:
    """Penalty of the given elastic net and the mean of c·|tanh W − P| over P ≠ 0, times ``prior_strength``."""
    return TanhPenalty(net, prior_strength * confidence * signs / max(int(np.count_nonzero(signs)), 1))


def solve_tanh(
    problem: Problem,
    penalty: TanhPenalty,
    *,
    tol: float = 1e-8,
    max_iter: int = 100,
    start: tuple[Array, Array] | None = None,
) -> Solution:
    """Find a local minimum of the objective; parameters as in :func:`knobo.heads.solver.solve`.

    One of the ``max_iter`` iterations is 100 steps of L-BFGS.
    """
    V = problem.null_weights() if start is None else problem.to_inner(*start)
    net, m = problem.inner_penalty(penalty.net), problem.m
    split = bool((net.up + net.down).any())

    def smooth(V: Array) -> tuple[float, Array]:
        """The objective without the slopes, and its gradient."""
        log_p = log_probabilities(problem.logits(V))
        squashed = np.tanh(V[:, :m] / problem.scale)
        gradient = problem.gradient(log_p) + net.ridge * V
        gradient[:, :m] -= penalty.pull * (1.0 - squashed**2) / problem.scale
        prior = np.abs(penalty.pull).sum() - (penalty.pull * squashed).sum()
        return problem.loss(log_p) + 0.5 * float((net.ridge * V * V).sum()) + float(prior), gradient

    def flat(v: Array) -> tuple[float, Array]:
        value, gradient = smooth(v.reshape(V.shape))
        return value, gradient.ravel()

    def parts(v: Array) -> tuple[float, Array]:
        above, below = v.reshape(2, *V.shape)
        value, gradient = smooth(above - below)
        slopes = (net.up * above).sum() + (net.down * below).sum()
        return value + float(slopes), np.concatenate([gradient + net.up, net.down - gradient]).ravel()

    begin = np.concatenate([np.maximum(V, 0.0), np.maximum(-V, 0.0)]) if split else V
    found = minimize(
        parts if split else flat,
        begin.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * begin.size if split else None,
        options={
            "maxiter": _STEPS * max_iter,
            "maxfun": 2 * _STEPS * max_iter,
            "maxcor": _MEMORY,
            "ftol": 0.0,
            "gtol": tol,
        },
    )
    V = np.subtract(*found.x.reshape(2, *V.shape)) if split else found.x.reshape(V.shape)
    _, gradient = smooth(V)
    residual = Penalty(net.up, net.down, np.zeros_like(V)).residual(V, gradient)
    worst = float(residual.max())
    log_p = log_probabilities(problem.logits(V))
    W = V[:, :m] / problem.scale
    value = problem.loss(log_p) + penalty.value(W)
    gap = value - problem.lower_bound(log_p, penalty.net)
    b = V[:, -1] - W @ problem.mean if problem.intercept else np.zeros(len(V))
    b = b if len(b) == 1 else b - b.mean()
    n_iter = max(1, -(-int(found.nit) // _STEPS))
    return Solution(W, b, n_iter, LocalCertificate(value, worst, max(gap, 0.0), tol, worst <= tol))
