"""The inner problem of the solver: a convex quadratic plus slopes on either side of zero."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from knobo.heads.objective import Array, Penalty


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
        slope[np.isinf(slope)] = 0.0  # of forbidden signs; their weights stay at zero
        moving = np.flatnonzero((u != 0) | (residual > 0))
        direction = np.zeros_like(u)
        try:
            direction[moving] = _damped_solve(H[np.ix_(moving, moving)], -(gradient + slope)[moving], damping)
        except LinAlgError:  # rounding made H indefinite
            damping *= 10.0
            continue
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
