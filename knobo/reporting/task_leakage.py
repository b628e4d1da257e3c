"""How much more an activation tells of the label than the truth of its concept does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 6
_FEWEST = 30


def task_leakage(activation: NDArray[np.float64], truth: NDArray[np.float64], y: NDArray[Any]) -> dict[str, float]:
    """Concepts–task leakage of one concept: ``max(0, I(activation; y) − I(truth; y)) / H(y)``.

    Activations are put into bins of equal size; entropies have the Miller–Madow correction.

    Parameters
    ----------
    activation : ndarray of shape (n,)
    truth : ndarray of shape (n,)
        1, 0 or NaN.
    y : ndarray of shape (n,)
        Labels.

    Returns
    -------
    dict
        ``reading`` and ``truth``, the two informations as shares of the label's entropy, ``leakage``, and ``n``, the
        images with a known truth; NaN where these are fewer than 30 or all the same.

    References
    ----------
    Parisini et al., *Leakage and Interpretability in Concept-Based Models*, arXiv:2504.14094. Miller, *Note on the
    bias of information estimates*, 1955.
    """
    known = ~np.isnan(truth)
    n = int(known.sum())
    _, labels = np.unique(y[known], return_inverse=True)
    if n < _FEWEST or len(set(labels.tolist())) < 2 or len(set(truth[known].tolist())) < 2:
        return {"reading": np.nan, "truth": np.nan, "leakage": np.nan, "n": n}
    edges = np.unique(np.quantile(activation[known], np.linspace(0, 1, _BINS + 1)[1:-1]))
    whole = entropy(labels)
    reading = information(np.searchsorted(edges, activation[known], side="right"), labels) / whole
    stated = information(truth[known].astype(np.intp), labels) / whole
    return {"reading": reading, "truth": stated, "leakage": max(0.0, reading - stated), "n": n}


def entropy(codes: NDArray[np.intp]) -> float:
    """Entropy in nats of non-negative codes, shape (n,), with the Miller–Madow correction."""
    counts = np.bincount(codes)
    share = counts[counts > 0] / len(codes)
    return float(-(share * np.log(share)).sum() + (len(share) - 1) / (2 * len(codes)))


def information(a: NDArray[np.intp], b: NDArray[np.intp]) -> float:
    """Mutual information in nats of two lists of codes, both of shape (n,); at least 0."""
    joint = a * (int(b.max()) + 1) + b
    return max(0.0, entropy(a) + entropy(b) - entropy(joint))
