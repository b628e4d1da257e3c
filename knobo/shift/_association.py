"""How strongly a metadata column and something else hang together, corrected for what chance alone would give."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo._resampling import percentile_interval, resample_weights

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


def cramers_v(first: Ints, second: Ints, weights: Array, *, corrections: int = 1) -> Array:
    """Bias-corrected Cramér's V of two columns of codes under weights of shape (B, n); shape (B,), in [0, 1].

    ``corrections=2`` is for bootstrap resamples, which carry the bias of small samples twice.

    References
    ----------
    Bergsma, *A bias-correction for Cramér's V and Tschuprow's T*, J. Korean Statistical Society 42(3), 2013.
    """
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    cell = np.eye(rows * columns)[first * columns + second]
    total = weights.sum(axis=1)
    share = (weights @ cell / total[:, None]).reshape(-1, rows, columns)
    expected = share.sum(axis=2, keepdims=True) * share.sum(axis=1, keepdims=True)
    squares = np.divide((share - expected) ** 2, expected, out=np.zeros_like(share), where=expected > 0)
    phi2 = squares.sum(axis=(1, 2)) - corrections * (rows - 1) * (columns - 1) / (total - 1)
    least = np.minimum(*(size - 1 - (size - 1) ** 2 / (total - 1) for size in (rows, columns)))
    return np.sqrt(np.clip(phi2 / np.maximum(least, 1e-12), 0.0, 1.0))


def explained_variance(codes: Ints, values: Array, weights: Array, *, corrections: int = 1) -> Array:
    """Share of the variance of ``values`` (n,) between the levels of ``codes`` (n,): η², corrected for chance; (B,).

    References
    ----------
    Kelley, *An unbiased correlation ratio measure*, PNAS 21(9), 1935 (one correction).
    """
    member = np.eye(int(codes.max()) + 1)[codes]
    centred = values - values.mean()
    total = weights.sum(axis=1)
    size, sums = weights @ member, weights @ (member * centred[:, None])
    between = np.divide(sums**2, size, out=np.zeros_like(sums), where=size > 0).sum(axis=1)
    grand = (weights @ centred) ** 2 / total
    spread = weights @ centred**2 - grand
    eta2 = np.divide(between - grand, spread, out=np.zeros_like(spread), where=spread > 0)
    lost = member.shape[1] - 1
    for _ in range(corrections):
        eta2 = 1 - (1 - eta2) * (total - 1) / np.maximum(total - 1 - lost, 1)
    return np.clip(eta2, 0.0, 1.0)


def association(
    label: Ints, column: NDArray[Any], groups: Ints | None, n_bootstrap: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Cramér's V of label and a column of codes, or η² of a column of numbers over the labels, with its interval."""
    measure: Any = cramers_v if column.dtype.kind == "i" else explained_variance
    draws = [
        measure(label, column, weights, corrections=2)
        for weights in resample_weights(len(label), groups, n_bootstrap, np.random.default_rng(seed))
    ]
    low, high = percentile_interval(np.concatenate(draws)[:, None], confidence) if draws else (np.full(1, np.nan),) * 2
    return float(measure(label, column, np.ones((1, len(label))))[0]), float(low[0]), float(high[0])
