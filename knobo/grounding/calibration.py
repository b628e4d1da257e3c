"""Scores that only rank, turned into activations of which 0.5 means something.

All three ways end in a slope and an offset for each concept, ``activation = sigmoid(slope · score + offset)``, with a
slope of at least zero: calibration never changes which of two images has more of a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit

from knobo.errors import InputError

Array = NDArray[np.float64]
Calibration = Literal["none", "offset", "mixture", "platt"]

CALIBRATIONS: tuple[Calibration, ...] = ("none", "offset", "mixture", "platt")
_RANGE = 0.02, 0.98  # of a prevalence that is estimated
_TINY = 1e-12


@dataclass(frozen=True)
class Line:
    """Slope and offset of the log-odds in a score, and where they came from."""

    slope: float
    offset: float
    how: Calibration


def calibrate(
    scores: Array,
    how: Calibration,
    *,
    prevalence: float | None = None,
    labels: Array | None = None,
    min_count: int = 5,
) -> Line:
    """Calibrate the scores of one concept.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Log-odds as the model has them, of images like those that activations are wanted for.
    how : {"none", "offset", "mixture", "platt"}
        - "none": take the scores as they are.
        - "offset": keep the slope and move the scores until the mean activation is the prevalence.
        - "mixture": find the two groups of images. Scores are modelled as two normal distributions of one variance,
          whose shares are the prevalence and the rest; the posterior is a logistic function of the score. If the
          scores show no two groups, the slope falls towards 0 and every activation towards the prevalence.
        - "platt": fit slope and offset to the labelled scores. With fewer than ``min_count`` labels of a kind the
          concept falls back to "mixture".
    prevalence : float in (0, 1), optional
        Share of images with the finding. Default: 0.5 for "offset"; estimated for "mixture".
    labels : ndarray of shape (n,), optional
        1, 0, or NaN for unknown; for "platt".
    min_count : int

    Returns
    -------
    Line

    Raises
    ------
    InputError
        If an option is unknown or out of range.

    References
    ----------
    "platt": Platt, *Probabilistic outputs for support vector machines*, 1999, with its smoothed targets.
    "offset": Saerens, Latinne & Decaestecker, *Adjusting the outputs of a classifier to new a priori probabilities*,
    Neural Computation 14(1), 2002, gives the reason: a wrong prior is a constant in the log-odds.
    "mixture": expectation-maximisation (Dempster, Laird & Rubin, 1977) for two normals of equal variance.
    """
    if how not in CALIBRATIONS:
        raise InputError(f"Unknown calibration {how!r}; use one of {', '.join(CALIBRATIONS)}.")
    if prevalence is not None and not 0 < prevalence < 1:
        raise InputError(f"A prevalence must lie between 0 and 1, got {prevalence}.")
    if how == "platt":
        known = np.zeros(len(scores), dtype=bool) if labels is None else ~np.isnan(labels)
        truth = labels[known] if labels is not None else np.empty(0)
        if min((truth == 1).sum(), (truth == 0).sum()) >= max(min_count, 1):
            return _platt(scores[known], truth)
        how = "mixture"
    if how == "mixture":
        return _mixture(scores, prevalence)
    if how == "offset":
        return Line(1.0, _offset(scores, 0.5 if prevalence is None else prevalence), "offset")
    return Line(1.0, 0.0, "none")


def _offset(scores: Array, prevalence: float) -> float:
    wanted = float(logit(prevalence))
    low, high = wanted - float(scores.max()), wanted - float(scores.min())
    if high - low < _TINY:
        return low
    return float(brentq(lambda b: float(expit(scores + b).mean()) - prevalence, low - 1e-6, high + 1e-6))


def _mixture(scores: Array, prevalence: float | None, n_iter: int = 500) -> Line:
    share = 0.3 if prevalence is None else prevalence
    spread = float(scores.std())
    if spread < _TINY:
        return Line(0.0, float(logit(share)), "mixture")
    z = (scores - scores.mean()) / spread
    cut = np.quantile(z, 1 - share)
    responsible = expit(4 * (z - cut))
    slope = offset = 0.0
    for _ in range(n_iter):
        if prevalence is None:
            share = float(np.clip(responsible.mean(), *_RANGE))
        upper = float(responsible @ z / max(responsible.sum(), _TINY))
        lower = float((1 - responsible) @ z / max((1 - responsible).sum(), _TINY))
        variance = float((responsible * (z - upper) ** 2 + (1 - responsible) * (z - lower) ** 2).mean()) + 1e-3
        new = max((upper - lower) / variance, 0.0)
        offset = float(logit(share)) - new * (upper + lower) / 2
        responsible = expit(new * z + offset)
        done, slope = abs(new - slope) < 1e-6, new
        if done:
            break
    return Line(slope / spread, offset - slope * float(scores.mean()) / spread, "mixture")


def _platt(scores: Array, labels: Array) -> Line:
    n_yes, n_no = int(labels.sum()), int((1 - labels).sum())
    target = np.where(labels == 1, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2))
    mean, spread = float(scores.mean()), max(float(scores.std()), _TINY)
    z = (scores - mean) / spread

    def loss(at: Array) -> tuple[float, Array]:
        line = at[0] * z + at[1]
        residual = expit(line) - target
        return float((np.logaddexp(0, line) - target * line).sum()), np.array([residual @ z, residual.sum()])

    start = np.array([1.0, logit(n_yes / (n_yes + n_no))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    return Line(float(found[0]) / spread, float(found[1] - found[0] * mean / spread), "platt")
