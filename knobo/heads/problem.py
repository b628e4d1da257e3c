"""The data of a head's objective in the form that the solver works on: standardised, with the intercept as a column."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.heads.objective import Array, Penalty, balance_rows, dual_bound, log_loss, log_probabilities, loss_derivative
from knobo.heads.passes import Samples, curvature, over_blocks

_BLOCK = 4_000_000  # numbers in one block of samples while the Hessian is summed
_LARGE = 200_000  # numbers from which on a copy in single precision pays


class Problem:
    """The data of one objective, standardised once and shared by all penalties along a path.

    Columns are centred (where there is an intercept) and divided by their standard deviation, and
    :meth:`inner_penalty` is scaled to match: the optimum is that of the given activations, while the numerics do not
    depend on their units.

    Parameters
    ----------
    A : ndarray of shape (n, m), float32 or float64
        Activations; kept, not copied.
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
        whole = bool(used.all())
        self.A = A if whole else A[used]
        self.offset = offset if whole or offset is None else offset[used]
        self.codes = codes if whole else codes[used]
        self.sample_weight = sample_weight[used] / sample_weight.sum()
        self.n_rows = 1 if n_classes == 2 else n_classes
        self.n_classes = n_classes
        self.intercept = intercept
        self.mean, spread = _mean_and_spread(self.A, self.sample_weight, centred=intercept)
        self.scale = np.where(spread == 0, 1.0, spread)
        self._divisor = np.where(spread == 0, np.inf, spread)  # makes a constant column zero

    @cached_property
    def X(self) -> Array:  # noqa: N802
        """Standardised activations in double precision, with the constant one as last column; (n, m + intercept)."""
        return _standardised(self.A, self.mean, self._divisor, self.intercept, np.float64)

    @cached_property
    def double(self) -> Samples:
        """All samples in double precision."""
        return Samples(self.X, self.codes, self.sample_weight, self.n_rows, self.intercept, self.offset)

    @cached_property
    def single(self) -> Samples:
        """All samples in single precision, in an order of which each beginning is like a random sample."""
        order = _mixed_order(self.codes)
        return Samples(
            _standardised(self.A, self.mean, self._divisor, self.intercept, np.float32, order),
            self.codes[order],
            self.sample_weight[order],
            self.n_rows,
            self.intercept,
            None if self.offset is None else self.offset[order],
        )

    @cached_property
    def pull(self) -> Array:
        """Minus the gradient of the loss at the class frequencies, shape (R, m + intercept)."""
        return (self.single if self.large else self.double).class_pull()

    @property
    def large(self) -> bool:
        """Whether single precision is worth its own copy."""
        return self.A.size > _LARGE

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
        V = np.zeros((self.n_rows, self.m + self.intercept))
        if self.intercept:
            frequencies = np.bincount(self.codes, self.sample_weight, self.n_classes)
            log_odds = np.log(np.maximum(frequencies, 1e-6))
            V[:, -1] = log_odds[1] - log_odds[0] if self.n_rows == 1 else log_odds - log_odds.mean()
        return V

    def lower_bound(self, log_p: Array, penalty: Penalty) -> float:
        """Lower bound on the minimum of the objective with ``penalty``, from the dual."""
        data = self.X[:, : self.m], self.codes, self.sample_weight
        return dual_bound(log_p, *data, penalty.scaled(self.scale), intercept=self.intercept, offset=self.offset)

    def logits(self, V: Array) -> Array:
        """Logits of standardised weights, shape (n, R)."""
        own: Array = self.X @ V.T
        return own if self.offset is None else own + self.offset

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

        Parameters
        ----------
        rough : bool
            Use single precision and evenly spaced samples only, about twice as many as there are weights.
        """
        stride = max(1, len(self.X) // max(2 * len(rows), 2000)) if rough else 1
        dtype = np.float32 if rough else np.float64
        H = np.zeros((len(rows), len(rows)))
        size = max(_BLOCK // len(rows), 256) * stride
        for first in range(0, len(self.X), size):
            here = slice(first, first + size, stride)
            p = np.exp(log_p[here, -self.n_rows :]).astype(dtype)
            H += curvature(self.X[here].astype(dtype, copy=False), p, self.sample_weight[here] * stride, rows, columns)
        return H


def _mean_and_spread(A: Array, sample_weight: Array, *, centred: bool) -> tuple[Array, Array]:
    """Mean (zero unless ``centred``) and root mean squared distance to it of each column."""
    m = A.shape[1]

    def total(here: slice) -> Array:
        return np.asarray(sample_weight[here] @ A[here])

    mean: Array = np.zeros(m)
    if centred:
        for part in over_blocks(len(A), total):
            mean += part

    def spread(here: slice) -> tuple[Array, Array]:
        block = A[here] - mean
        largest = np.abs(block).max(axis=0)
        block *= block
        return np.asarray(sample_weight[here] @ block), largest

    squares, largest = np.zeros(m), np.zeros(m)
    for square, top in over_blocks(len(A), spread):
        squares += square
        np.maximum(largest, top, out=largest)
    scale = np.sqrt(squares)
    constant = scale <= 1e-12 * (largest + np.abs(mean))  # what rounding leaves of a column that never changes
    return mean, np.where(constant, 0.0, scale)


def _standardised(
    A: Array,
    mean: Array,
    divisor: Array,
    intercept: bool,
    dtype: type[np.floating[Any]],
    order: NDArray[np.intp] | None = None,
) -> NDArray[Any]:
    m = A.shape[1]
    X = np.empty((len(A), m + intercept), dtype=dtype)
    X[:, m:] = 1.0

    def fill(here: slice) -> None:
        np.divide((A[here] if order is None else A[order[here]]) - mean, divisor, out=X[here, :m], casting="same_kind")

    for _ in over_blocks(len(A), fill):
        pass
    return X


def _mixed_order(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """A fixed order of the samples in which every beginning holds the classes in their proportions."""
    order = np.random.default_rng(0).permutation(len(codes))
    by_class = order[np.argsort(codes[order], kind="stable")]
    counts = np.bincount(codes)
    rank = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    return by_class[np.argsort(rank, kind="stable")]
