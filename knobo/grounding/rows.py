"""One concept's rows, as the solver sees them on a CPU, and what the rows of all concepts share.

A concept's rows (a few megabytes) fit a core's cache, and time goes where they are read. So no Hessian is formed: a
conjugate-gradient step multiplies by it in one sweep over blocks of rows, each of which stays in the second-level cache
for the product with X and the one with its transpose. Fits on the same rows with other weights, such as the folds of a
cross-validation, share the sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.extmath import randomized_svd

from knobo.heads.solver import one_blas_thread

Array = NDArray[Any]  # float32 or float64, as the embeddings are

_BLOCK_BYTES = 2**19  # of rows: a quarter of a present-day core's second-level cache
_BLOCK_PRODUCTS = 1_000_000  # up to here OpenBLAS multiplies without packing, measured to be twice as fast
_MOST_AXES = 64
_SAMPLE = 2048


@dataclass(frozen=True)
class Basis:
    """Mean of the embeddings and the axes along which they vary most: the preconditioner that all concepts share.

    Attributes
    ----------
    mean : ndarray of shape (d,)
    axes : ndarray of shape (d, r)
        Orthonormal.
    variance : ndarray of shape (r, 1)
        Along each axis.
    rest : float
        Mean variance along all other directions.
    """

    mean: Array
    axes: Array
    variance: Array
    rest: float

    @classmethod
    def of(cls, X: Array, rows: NDArray[np.intp] | None = None, seed: int = 0) -> Basis:
        """Estimate from at most 2,048 of the rows (default: of all): a rough basis costs sweeps, not accuracy.

        The axes come from randomised subspace iteration (Halko, Martinsson & Tropp, SIAM Review 53(2), 2011).
        """
        chosen = np.arange(len(X)) if rows is None else rows
        if len(chosen) > _SAMPLE:
            chosen = np.random.default_rng(seed).choice(chosen, _SAMPLE, replace=False)
        mean = X[chosen].mean(axis=0)
        sample = X[chosen] - mean
        r = min(_MOST_AXES, *sample.shape)
        with one_blas_thread():
            _, singular, axes = randomized_svd(sample, r, n_iter=2, power_iteration_normalizer="QR", random_state=seed)
        variance = singular**2 / len(sample)
        rest = (float(np.vdot(sample, sample)) / len(sample) - float(variance.sum())) / max(X.shape[1] - r, 1)
        return cls(mean, np.ascontiguousarray(axes.T), variance[:, None].astype(X.dtype), max(rest, 0.0))


class ConceptRows:
    """A :class:`knobo.grounding.newton.Problem` of one concept.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64, C-contiguous
        Its precision is that of all that is computed.
    y : ndarray of shape (n,)
        1 or 0.
    S : ndarray of shape (n, c)
        Weights of the rows in each column, 0 where a column leaves a row out.
    ridge : float or ndarray of shape (d, c)
    basis : Basis
        Of the data that X was drawn from.
    """

    def __init__(self, X: Array, y: Array, S: Array, *, ridge: Array | float, basis: Basis) -> None:
        self.X, self.y, self.S = X, y[:, None].astype(X.dtype), S.astype(X.dtype, copy=False)
        self.ridge, self.basis = np.asarray(ridge, dtype=X.dtype), basis
        rows = max(16, min(_BLOCK_BYTES // X[:1].nbytes, _BLOCK_PRODUCTS // (X.shape[1] * S.shape[1])))
        self.blocks = [slice(i, i + rows) for i in range(0, len(X), rows)]

    @property
    def xp(self) -> Any:
        return np

    def origin(self) -> tuple[Array, Array, Array]:
        """Weights, intercepts and logits of zero."""
        (n, d), c = self.X.shape, self.S.shape[1]
        return np.zeros((d, c), self.X.dtype), np.zeros((1, c), self.X.dtype), np.zeros((n, c), self.X.dtype)

    def logits(self, W: Array, b: Array) -> Array:
        """Log-odds of the rows, (n, c)."""
        return self.X @ W + (b - self.basis.mean @ W)

    def curvature(self, logits: Array) -> Array:
        h = expit(logits)
        h *= 1 - h
        h *= self.S
        return h

    def slope(self, logits: Array, W: Array) -> tuple[Array, Array]:
        residual = self._residual(logits)
        total = residual.sum(axis=0, keepdims=True)
        product = self.ridge * W
        for block in self.blocks:
            product += self.X[block].T @ residual[block]
        product -= self.basis.mean[:, None] * total
        return product, total

    def curve(self, h: Array, V: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        weights = np.ascontiguousarray(V[0])
        shift = V[1] - self.basis.mean @ weights
        product = self.ridge * weights
        change, weighted = np.empty_like(h), np.empty_like(h)
        for block in self.blocks:
            np.matmul(self.X[block], weights, out=change[block])
            change[block] += shift
            np.multiply(change[block], h[block], out=weighted[block])
            product += self.X[block].T @ weighted[block]
        total = weighted.sum(axis=0, keepdims=True)
        product -= self.basis.mean[:, None] * total
        return (product, total), change

    def along(self, logits: Array, change: Array, W: Array, step: Array) -> Array:
        data = np.einsum("nc,nc->c", self._residual(logits + change), change)
        return (data + np.einsum("dc,dc->c", self.ridge * (W + step), step))[None]

    def value(self, logits: Array, W: Array) -> Array:
        losses = self.S * (np.logaddexp(0, logits) - self.y * logits)
        penalty = 0.5 * self.ridge * W * W
        return losses.sum(axis=0, keepdims=True, dtype=float) + penalty.sum(axis=0, keepdims=True, dtype=float)

    def preconditioner(self, total: Array) -> Callable[[Array], Array]:
        basis, ridge = self.basis, self.ridge.mean(dtype=self.X.dtype)
        elsewhere = 1 / (total * basis.axes.dtype.type(basis.rest) + ridge)
        inside = 1 / (total * basis.variance + ridge) - elsewhere
        return lambda R: elsewhere * R + basis.axes @ (inside * (basis.axes.T @ R))

    def _residual(self, logits: Array) -> Array:
        residual = expit(logits)
        residual -= self.y
        residual *= self.S
        return residual
