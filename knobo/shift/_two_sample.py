"""Do two samples come from one distribution? Tests whose unit is the patient where patients are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knobo.errors import InputError
from knobo.grounding.certificate import delong_interval, delong_variance

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


def permuted_sides(side: NDArray[np.bool_], units: Ints, n: int, rng: np.random.Generator) -> Array:
    """Sides (1: source) as they are and, below, with the sides of whole units dealt out anew; shape (n + 1, cases)."""
    of_unit = np.zeros(int(units.max()) + 1)
    of_unit[units] = side
    dealt = np.array([of_unit, *(rng.permutation(of_unit) for _ in range(n))])
    return dealt[:, units]


def kolmogorov_smirnov(values: Array, sides: Array) -> Array:
    """Largest distance of the two distribution functions, for each row of ``sides``; shape (rows,)."""
    order = np.argsort(values, kind="stable")
    last = np.flatnonzero(np.diff(values[order], append=np.nan) != 0)
    inside, outside = (
        np.cumsum(side[:, order], axis=1)[:, last] / side.sum(axis=1, keepdims=True) for side in (sides, 1 - sides)
    )
    return np.abs(inside - outside).max(axis=1)


def permutation_p(found: Array) -> float:
    """Share of the rearrangements that reach the first value, which counts itself."""
    return float(np.mean(found >= found[0] - 1e-12))


def squared_mmd(features: Array, sides: Array, chunk: int) -> Array:
    """Unbiased squared maximum mean discrepancy under an RBF kernel, for each row of ``sides``; shape (rows,).

    The kernel's width is the median distance (of at most 1,000 cases). ``chunk`` rows of the kernel are held at a time.

    References
    ----------
    Gretton et al., *A kernel two-sample test*, JMLR 13, 2012, equation 3.
    """
    scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-12)
    squares = (scaled**2).sum(axis=1)
    some = slice(None, None, -(-len(scaled) // 1000))
    nearby = squares[some, None] + squares[None, some] - 2 * scaled[some] @ scaled[some].T
    apart = nearby[np.triu_indices(len(nearby), 1)]
    width = max(float(np.median(apart)), 1e-12)
    inner, across, total = np.zeros(len(sides)), np.zeros(len(sides)), 0.0
    for start in range(0, len(scaled), chunk):
        rows = slice(start, start + chunk)
        distances = squares[rows, None] + squares[None] - 2 * scaled[rows] @ scaled.T
        kernel = np.exp(-np.maximum(distances, 0.0) / width)
        to_source = kernel @ sides.T
        inner += (sides[:, rows].T * to_source).sum(axis=0)
        across += ((1 - sides[:, rows]).T * to_source).sum(axis=0)
        total += float(kernel.sum())
    m = sides.sum(axis=1)
    n = sides.shape[1] - m
    outer = total - inner - 2 * across
    return (inner - m) / (m * (m - 1)) + (outer - n) / (n * (n - 1)) - 2 * across / (m * n)


def classifier_test(
    features: Array, side: NDArray[np.bool_], units: Ints, confidence: float, rng: np.random.Generator
) -> dict[str, float]:
    """Fit a logistic regression on half of the patients to tell the samples apart, and test it on the other half.

    References
    ----------
    Lopez-Paz & Oquab, *Revisiting classifier two-sample tests*, ICLR 2017 (with the AUROC in place of the accuracy).
    """
    chosen = np.zeros(int(units.max()) + 1, dtype=bool)
    of_unit = np.zeros(len(chosen), dtype=bool)
    of_unit[units] = side
    for which in (True, False):
        these = rng.permutation(np.flatnonzero(of_unit == which))
        chosen[these[: len(these) // 2]] = True
    train = chosen[units]
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    score = model.fit(features[train], side[train]).decision_function(features[~train])
    truth, group = side[~train].astype(np.intp), np.unique(units[~train], return_inverse=True)[1]
    if min(np.bincount(truth, minlength=2)) < 2:
        raise InputError("There are too few cases for a test: each set needs at least four cases and four patients.")
    auroc, low, high = delong_interval(truth, score, groups=group, level=confidence)
    spread = delong_variance(truth, score, groups=group)[1] ** 0.5
    p = float(norm.sf((auroc - 0.5) / spread)) if spread > 0 else float(auroc <= 0.5)
    return {"classifier_auroc": auroc, "classifier_low": low, "classifier_high": high, "classifier_p": p}
