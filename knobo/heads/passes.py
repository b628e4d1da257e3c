"""Passes over the samples: loss and gradient, curvature, entropy, each in blocks that stay in the cache.

Blocks have a fixed size, are shared out over the cores, and their sums are added in order: the answer does not depend
on the number of cores. No array of the size samples x classes is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import joblib  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from knobo.heads.objective import Array, Penalty

Floats = NDArray[np.floating[Any]]
T = TypeVar("T")

_BLOCK = 2048  # samples; with 150 concepts in single precision 1.2 MB, about a core's cache
_ONE_CORE = 8 * _BLOCK  # up to here threads cost more than they save


@dataclass(frozen=True)
class Samples:
    """Standardised samples in one precision, with the constant one as last column where there is an intercept.

    Attributes
    ----------
    X : ndarray of shape (n, p), float32 or float64
    codes : ndarray of shape (n,)
        Index of each sample's class.
    sample_weight : ndarray of shape (n,)
        Sums to one.
    n_rows : int
        R: 1 for two classes, else their number.
    intercept : bool
        Whether the last column is the constant one.
    offset : ndarray of shape (n, R), optional
        Fixed part of the logits.
    """

    X: Floats
    codes: NDArray[np.intp]
    sample_weight: Array
    n_rows: int
    intercept: bool
    offset: Array | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def rounding(self) -> float:
        """Changes of the loss below this share of it are lost in rounding."""
        return 2e-7 if self.X.dtype == np.float32 else 1e-14

    def head(self, n: int) -> Samples:
        """The first n samples."""
        weight = self.sample_weight[:n] / self.sample_weight[:n].sum()
        offset = None if self.offset is None else self.offset[:n]
        return Samples(self.X[:n], self.codes[:n], weight, self.n_rows, self.intercept, offset)

    def loss_and_gradient(self, V: Array) -> tuple[float, Array]:
        """Weighted mean cross-entropy at weights V (R, p), and its derivative (R, p)."""

        def block(here: slice) -> tuple[float, Array]:
            logits, codes, s = self._logits(V, here), self.codes[here], self.sample_weight[here]
            losses, error = _losses_and_errors(logits, codes)
            error *= s.astype(error.dtype)
            return float(s @ losses), np.asarray(error @ self.X[here], dtype=np.float64)

        loss, gradient = 0.0, np.zeros_like(V)
        for part, slope in over_blocks(len(self), block):
            loss += part
            gradient += slope
        return loss, gradient

    def hessian(self, V: Array, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
        """Second derivatives of the loss by the weights (rows[j], columns[j]), sorted by row; shape (a, a)."""
        size = max(_BLOCK, len(rows))

        def block(here: slice) -> Array:
            p = _probabilities(self._logits(V, here))[-self.n_rows :].T
            return curvature(self.X[here], p, self.sample_weight[here], rows, columns)

        H: Array = np.zeros((len(rows), len(rows)))
        for part in over_blocks(len(self), block, size=size):
            H += part
        return H

    def lower_bound(self, V: Array, gradient: Array, pull: Array, penalty: Penalty) -> float:
        """Lower bound on the minimum of the objective with ``penalty``, from the Fenchel dual.

        As :func:`knobo.heads.objective.dual_bound`, at the probabilities of weights V, without a product with X.

        Parameters
        ----------
        V, gradient : ndarray of shape (R, p)
            Weights, and the gradient there.
        pull : ndarray of shape (R, p)
            As from :meth:`class_pull`.
        penalty : Penalty of shape (R, p − intercept)
            Of the standardised weights.
        """
        m = penalty.up.shape[1]
        frequencies: Array = np.asarray(np.bincount(self.codes, self.sample_weight, max(self.n_rows, 2)), np.float64)
        shift: Array = np.zeros_like(frequencies)
        keep = 1.0
        if self.intercept:
            missing = -gradient[:, -1]
            shift = np.array([-missing[0], missing[0]]) if self.n_rows == 1 else missing
            with np.errstate(divide="ignore", invalid="ignore"):
                keep = 1.0 / (1.0 + np.where(shift < 0, -shift / frequencies, 0.0).max())
        total = keep * -gradient[:, :m] + (1.0 - keep) * pull[:, :m]
        mix = penalty.largest_mix(total)

        def block(here: slice) -> float:
            q = _probabilities(self._logits(V, here)).astype(np.float64)
            if self.intercept:
                q = np.maximum(keep * (q + shift[:, None]) + (1.0 - keep) * frequencies[:, None], 0.0)
            s, own = self.sample_weight[here], (self.codes[here], np.arange(q.shape[1]))
            fixed = 0.0
            if self.offset is not None:
                error = q.copy()
                error[own] -= 1.0
                fixed = mix * float(np.einsum("n,kn,nk->", s, error[-self.n_rows :], self.offset[here]))
            q *= mix
            q[own] += 1.0 - mix
            return fixed - float(s @ xlogy(q, q).sum(axis=0))

        return sum(over_blocks(len(self), block)) - penalty.conjugate(mix * total)

    def class_pull(self) -> Array:
        """Minus the gradient (R, p) of the loss at the class frequencies: what draws the weights away from zero."""
        frequencies = np.bincount(self.codes, self.sample_weight, max(self.n_rows, 2))

        def block(here: slice) -> Array:
            onehot = self.codes[here] == np.arange(len(frequencies))[:, None]
            share = (onehot - frequencies[:, None])[-self.n_rows :] * self.sample_weight[here]
            return np.asarray(share.astype(self.X.dtype) @ self.X[here], dtype=np.float64)

        return np.sum(list(over_blocks(len(self), block)), axis=0)

    def _logits(self, V: Array, here: slice) -> Floats:
        """Logits (R, n) of some samples."""
        logits = np.ascontiguousarray((self.X[here] @ V.T.astype(self.X.dtype)).T)
        if self.offset is not None:
            logits += self.offset[here].T.astype(logits.dtype)
        return logits


def curvature(X: Floats, p: Floats, sample_weight: Array, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    """Second derivatives of the loss by the weights (rows[j], columns[j]), sorted by row; shape (a, a).

    They are Σ_i s_i x_ij x_il (δ_kk' p_ik − p_ik p_ik'): for the first term one symmetric product a row, for the
    second a single one.

    Parameters
    ----------
    X : ndarray of shape (n, p), float32 or float64
        The precision of the products.
    p : ndarray of shape (n, R)
        Probabilities of the rows' classes.
    """
    root = np.sqrt(sample_weight).astype(X.dtype)[:, None]
    H = np.zeros((len(rows), len(rows)))
    S = np.take(X, columns, axis=1)
    S *= root
    for row, (low, high) in enumerate(pairwise(np.searchsorted(rows, np.arange(p.shape[1] + 1)))):
        half = S[:, low:high] * np.sqrt(p[:, row, None])
        H[low:high, low:high] += half.T @ half
        S[:, low:high] *= p[:, row, None]
    H -= S.T @ S
    return H


def _probabilities(logits: Floats) -> Floats:
    """Class probabilities (K, n) of logits (R, n), which are overwritten."""
    if len(logits) == 1:
        logits = np.vstack([np.zeros_like(logits), logits])
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits


def _losses_and_errors(logits: Floats, codes: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Cross-entropy (n,) of each sample, and its derivative (R, n) by the logits (R, n), which are overwritten."""
    if len(logits) == 1:
        z = logits[0]
        against = np.where(codes == 1, -z, z)
        small = np.exp(-np.abs(z))
        losses = np.maximum(against, 0.0) + np.log1p(small)
        error = np.where(against > 0, 1.0, small) / (1.0 + small)
        return losses, np.where(codes == 1, -error, error)[None]
    own = codes, np.arange(len(codes))
    logits -= logits.max(axis=0)
    margin = logits[own]
    np.exp(logits, out=logits)
    total = logits.sum(axis=0)
    logits /= total
    logits[own] -= 1.0
    return np.log(total) - margin, logits


def over_blocks(n: int, function: Callable[[slice], T], *, size: int = _BLOCK) -> Iterator[T]:
    """Results of a function of each block of at most ``size`` of n samples, in order, from all cores."""
    blocks = [slice(first, min(first + size, n)) for first in range(0, n, size)]
    if n <= _ONE_CORE or joblib.cpu_count() == 1:
        yield from map(function, blocks)
        return
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:  # not kept: threads do not survive a fork
        yield from pool.map(function, blocks)
