"""The bootstrap over cases or patients, as weights on the cases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CHUNK = 2_000_000  # weights held at a time: 16 MB


def resample_weights(
    n: int, groups: NDArray[np.intp] | None, n_bootstrap: int, rng: np.random.Generator
) -> Iterator[Array]:
    """How often each of ``n`` cases was drawn, in chunks of shape (resamples, n); whole ``groups`` are drawn if any."""
    n_units = n if groups is None else int(groups.max()) + 1
    step = max(1, _CHUNK // n)
    for start in range(0, n_bootstrap, step):
        rows = min(step, n_bootstrap - start)
        drawn = rng.integers(n_units, size=(rows, n_units)) + n_units * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n_units).reshape(rows, n_units).astype(np.float64)
        yield weights if groups is None else weights[:, groups]


def percentile_interval(draws: Array, confidence: float) -> tuple[Array, Array]:
    """Lower and upper ends, each of shape (n_metrics,), of draws of shape (n_bootstrap, n_metrics); NaN if none."""
    low, high = np.full((2, draws.shape[1]), np.nan)
    for column, values in enumerate(draws.T):
        known = values[~np.isnan(values)]
        if len(known):
            low[column], high[column] = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return low, high
