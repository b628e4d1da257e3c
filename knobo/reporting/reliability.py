"""Do the probabilities mean what they say? Numbers and the points of a reliability diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.heads import calibration_metrics, reliability_table

_MOST_BINS = 10
_PER_BIN = 10


def reliability(truth: NDArray[Any], proba: NDArray[np.float64], classes: NDArray[Any]) -> dict[str, Any]:
    """Compare the probability of the predicted class with how often it is right, in bins of equal size.

    Parameters
    ----------
    truth : ndarray of shape (n,), str
    proba : ndarray of shape (n, K)
    classes : ndarray of shape (K,)

    Returns
    -------
    dict
        ``bins``: rows of ``n``, ``predicted`` (mean probability), ``observed`` (share that is right) and the 95 %
        interval ``low``, ``high`` of that share; ``error``: their mean distance, weighted by n (expected calibration
        error); ``brier``: mean squared distance of the probabilities to the label, from 0 to 2.

    References
    ----------
    Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, arXiv:1706.04599, equation 3 (there with bins
    of equal width). Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the
    American Statistical Association 22, 1927 (the interval).
    """
    names = classes.astype(str)
    right = names[proba.argmax(axis=1)] == truth
    confidence = proba.max(axis=1)
    n_bins = int(np.clip(len(truth) // _PER_BIN, 1, _MOST_BINS))
    bins = []
    for predicted, observed, n in reliability_table(right, confidence, n_bins=n_bins).to_numpy(np.float64).tolist():
        low, high = _wilson(observed, n)
        bins.append({"n": int(n), "predicted": predicted, "observed": observed, "low": low, "high": high})
    codes = (truth[:, None] == names[None, :]).argmax(axis=1)
    metrics = calibration_metrics(codes, proba, np.arange(len(names)), n_bins=n_bins)
    return {
        "bins": bins,
        "error": float(metrics["calibration_error"]),
        "brier": float(metrics["brier"]),
        "confidence": float(confidence.mean()),
        "accuracy": float(right.mean()),
    }


def _wilson(share: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share of n."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)
