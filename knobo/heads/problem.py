"""The data of a head's objective in the form that the solver works on: standardised, with the intercept as a column."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from knobo.heads.objective import Array, Penalty, balance_rows, dual_bound, log_loss, log_probabilities, loss_derivative

_BLOCK = 4_000_000  # numbers in one block of samples while the Hessian is summed


class Problem:
    """The data of one objective, standardised once and shared by all penalties along a path.

    Columns are centred (where there is an intercept) and divided by their standard deviation, and
    :meth:`inner_penalty` is scaled to match: the optimum is that of the given activations, while the numerics do not
    depend on their units.

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
    offset : ndarray of shape (n, R), optional
        Fixed part of each sample's logits, such as that of weights that a reader has set.
    """

    def __init__(
        self,
        A: Array,
        codes: NDArray[np.intp],
        sample_weight: Array,
        *,
        n_classes: int,
        intercept: bool = True,
        offset: Array | None = None,
    ) -> None:
        used = sample_weight > 0
        self.offset = None if offset is None else offset[used]
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

    def logits(self, V: Array) -> Array:
        """Logits of standardised weights, shape (n, R)."""
        own: Array = self.X @ V.T
        return own if self.offset is None else own + self.offset

    def null_weights(self) -> Array:
        """Standardised weights of the model without concepts: class frequencies only."""
        V = np.zeros((self.n_rows, self.X.shape[1]))
        if self.intercept:
            frequencies = np.bincount(self.codes, self.sample_weight, self.n_classes)
            log_odds = np.log(np.maximum(frequencies, 1e-6))
            V[:, -1] = log_odds[1] - log_odds[0] if self.n_rows == 1 else log_odds - log_odds.mean()
        return V

    def lower_bound(self, log_p: Array, penalty: Penalty) -> float:
        """Lower bound on the minimum of the objective with ``penalty``, from the dual."""
        data = self.X[:, : self.m], self.codes, self.sample_weight
        return dual_bound(log_p, *data, penalty.scaled(self.scale), intercept=self.intercept, offset=self.offset)

    def separated(self, W: Array, b: Array) -> bool:
        """True when weights W (R, m) and intercepts b (R,) put every sample strictly on its class's side."""
        log_p = log_probabilities(self.logits(self.to_inner(W, b)))
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
