"""Do the probabilities mean what they say? Numbers and the points of a reliability diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    order = np.argsort(confidence, kind="stable")
    n_bins = int(np.clip(len(truth) // _PER_BIN, 1, _MOST_BINS))
    bins = []
    for part in np.array_split(order, n_bins):
        observed = float(right[part].mean())
        low, high = _wilson(observed, len(part))
        predicted = float(confidence[part].mean())
        bins.append({"n": len(part), "predicted": predicted, "observed": observed, "low": low, "high": high})
    distance = np.array([abs(row["predicted"] - row["observed"]) for row in bins])
    member = truth[:, None] == names[None, :]
    return {
        "bins": bins,
        "error": float(np.average(distance, weights=[row["n"] for row in bins])),
        "brier": float(((proba - member) ** 2).sum(axis=1).mean()),
        "confidence": float(confidence.mean()),
        "accuracy": float(right.mean()),
    }


def _wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share of n."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)
