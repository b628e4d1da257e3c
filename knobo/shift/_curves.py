"""Ranking metrics under many weightings of the cases at once, as a bootstrap needs them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Curve(NamedTuple):
    """Weight of the positives and of the negatives at or above each distinct score, from the highest down.

    Both have shape (B, T + 1), one row a weighting; the first column is zero and the last the total.
    """

    hits: Array
    alarms: Array

    @classmethod
    def of(cls, positive: NDArray[Any], score: Array, weights: Array) -> Curve:
        """Count under ``weights`` ≥ 0 of shape (B, n); ``positive`` (1 or 0) and ``score`` have shape (n,)."""
        order = np.argsort(-score, kind="stable")
        last = np.flatnonzero(np.diff(score[order], append=np.nan) != 0)  # ties count together
        sides = []
        for side in (positive[order] == 1, positive[order] != 1):
            counted = np.zeros((len(weights), len(last) + 1))
            counted[:, 1:] = np.cumsum(weights[:, order] * side, axis=1)[:, last]
            sides.append(counted)
        return cls(*sides)

    def auroc(self) -> Array:
        """Chance that a positive scores above a negative, ties counting half; NaN without both, shape (B,)."""
        height = (self.hits[:, 1:] + self.hits[:, :-1]) / 2
        with np.errstate(invalid="ignore"):
            return (height * np.diff(self.alarms)).sum(axis=1) / (self.hits[:, -1] * self.alarms[:, -1])

    def average_precision(self) -> Array:
        """Mean precision over the positives (scikit-learn's definition); NaN without a positive, shape (B,)."""
        flagged = self.hits[:, 1:] + self.alarms[:, 1:]
        precision = np.divide(self.hits[:, 1:], flagged, out=np.zeros_like(flagged), where=flagged > 0)
        with np.errstate(invalid="ignore"):
            return (precision * np.diff(self.hits)).sum(axis=1) / self.hits[:, -1]

    def sensitivity(self, specificity: float) -> Array:
        """Highest sensitivity of a threshold that keeps at least this specificity; NaN without both, shape (B,)."""
        allowed = (1 - specificity) * self.alarms[:, -1:]
        best = np.where(self.alarms <= allowed + 1e-9, self.hits, 0.0).max(axis=1)
        with np.errstate(invalid="ignore"):
            return np.where(self.alarms[:, -1] > 0, best / self.hits[:, -1], np.nan)


def binned_error(confidence: Array, correct: Array, weights: Array, n_bins: int) -> Array:
    """Expected calibration error under many weightings, in bins of equal width; shape (B,)."""
    bins = np.minimum((confidence * n_bins).astype(np.intp), n_bins - 1)
    offset = np.zeros((len(confidence), n_bins))
    offset[np.arange(len(confidence)), bins] = confidence - correct
    return np.abs(weights @ offset).sum(axis=1) / weights.sum(axis=1)
