"""What can be said, and what cannot, about how well each concept is seen: on held-out images or at another hospital."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score

from knobo.errors import InputError
from knobo.grounding.quality import count_answers

Array = NDArray[np.float64]

MEASURES = ("auroc", "auroc_low", "auroc_high", "average_precision", "accuracy", "brier", "ece")
_BINS = 10


def certify(
    labels: Array,
    activations: Array,
    names: Iterable[str],
    *,
    groups: ArrayLike | None = None,
    domain: ArrayLike | None = None,
    min_count: int = 10,
    level: float = 0.95,
) -> pd.DataFrame:
    """Certify each concept: compare activations with answers that the scorer has not learnt from.

    Parameters
    ----------
    labels, activations : ndarray of shape (n, m)
        Answers (1, 0, or NaN for unknown) and activations in [0, 1].
    names : iterable of str, m of them
    groups : array-like of shape (n,), optional
        Such as patients: images of one group are not taken for independent in the interval.
    domain : array-like of shape (n,), optional
        Such as the hospital: one row for each concept in each domain instead of one for each concept.
    min_count : int
        A concept with fewer *yes* or fewer *no* answers abstains.
    level : float in (0, 1)
        Of the interval.

    Returns
    -------
    DataFrame, one row a concept, or indexed by concept and domain
        - ``n_yes``, ``n_no``, ``n_unknown``: support.
        - ``auroc`` with its interval ``auroc_low`` and ``auroc_high``; ``average_precision`` (a constant reaches the
          share of *yes*).
        - ``accuracy`` at activation 0.5; ``brier``, the mean squared distance of activation and answer.
        - ``ece``: expected calibration error, in 10 bins of equal width.
        - ``abstain``: True where it cannot be shown that the concept is seen, because there are fewer than
          ``min_count`` answers of a kind or the interval of the AUROC reaches down to 0.5.

    Raises
    ------
    InputError
        If the lengths differ.

    References
    ----------
    Interval: DeLong, DeLong & Clarke-Pearson, *Comparing the areas under two or more correlated receiver operating
    characteristic curves*, Biometrics 44(3), 1988; with groups its components are summed within each, after
    Obuchowski, *Nonparametric analysis of clustered ROC curve data*, Biometrics 53(2), 1997. A curve without a single
    error has no such variance; Hanley & McNeil's (Radiology 143(1), 1982) at half an error takes its place.
    Calibration error: Guo et al., *On calibration of modern neural networks*, ICML 2017, equation 5.
    """
    for what, column in (("groups", groups), ("domains", domain)):
        if column is not None and len(np.asarray(column)) != len(labels):
            raise InputError(f"There are {len(labels)} images but {len(np.asarray(column))} {what}; pass one an image.")
    names = list(names)
    cluster = np.arange(len(labels)) if groups is None else _codes(groups)
    if domain is None:
        return _table(labels, activations, names, cluster, min_count, level)
    places = pd.Series(np.asarray(domain)).astype(str).to_numpy()
    parts = {}
    for place in np.unique(places):
        here = places == place
        parts[place] = _table(labels[here], activations[here], names, cluster[here], min_count, level)
    table = pd.concat(parts, names=["domain"]).swaplevel()
    return table.loc[[(name, place) for name in names for place in parts]]


def delong_interval(
    labels: NDArray[Any], scores: Array, *, groups: NDArray[np.intp] | None = None, level: float = 0.95
) -> tuple[float, float, float]:
    """AUROC with an interval from DeLong's variance, cut to [0, 1].

    Parameters
    ----------
    labels : ndarray of shape (n,)
        1 or 0, both present at least twice.
    scores : ndarray of shape (n,)
    groups : ndarray of shape (n,), intp, optional
        Codes of groups of rows that are not independent.
    level : float

    Returns
    -------
    auroc, low, high : float
    """
    auroc, variance = delong_variance(labels, scores, groups=groups)
    margin = float(norm.ppf(0.5 + level / 2)) * variance**0.5
    return auroc, max(auroc - margin, 0.0), min(auroc + margin, 1.0)


def delong_variance(
    labels: NDArray[Any], scores: Array, *, groups: NDArray[np.intp] | None = None
) -> tuple[float, float]:
    """AUROC and DeLong's variance of it; arguments as in :func:`delong_interval`."""
    auroc, influence = auroc_influence(labels, scores)
    together = influence if groups is None else np.bincount(groups, influence)
    if auroc in (0.0, 1.0):
        n_yes = int((labels == 1).sum())
        n_no = len(labels) - n_yes
        return auroc, _hanley_mcneil(1 - 0.5 / (n_yes * n_no), n_yes, n_no)
    return auroc, float(together @ together)


def auroc_influence(labels: NDArray[Any], scores: Array) -> tuple[float, Array]:
    """AUROC and what each row adds to its error, shape (n,); the sum of squares is DeLong's variance."""
    yes, n_yes = labels == 1, int((labels == 1).sum())
    n_no = len(labels) - n_yes
    ranks, among = rankdata(scores), np.empty(len(scores))
    among[yes], among[~yes] = rankdata(scores[yes]), rankdata(scores[~yes])
    # Share of the rows of the other kind that each row is on the right side of (Sun & Xu 2014, equation 6).
    placed = np.where(yes, (ranks - among) / n_no, 1 - (ranks - among) / n_yes)
    auroc = float(placed[yes].mean())
    return auroc, (placed - auroc) / np.where(yes, np.sqrt(n_yes * (n_yes - 1)), np.sqrt(n_no * (n_no - 1)))


def calibration_error(labels: NDArray[Any], activations: Array, n_bins: int = _BINS) -> float:
    """Expected calibration error: mean over rows of |share of yes − mean activation| in the row's bin."""
    bins = np.minimum((activations * n_bins).astype(np.intp), n_bins - 1)
    return float(np.abs(np.bincount(bins, activations - labels)).sum() / len(labels))


def _table(
    labels: Array, activations: Array, names: Iterable[str], cluster: NDArray[np.intp], min_count: int, level: float
) -> pd.DataFrame:
    table = count_answers(labels, names)
    rows = []
    for truth, activation in zip(labels.T, activations.T, strict=True):
        known = ~np.isnan(truth)
        rows.append(_measure(truth[known], activation[known], cluster[known], level))
    table = table.join(pd.DataFrame(rows, index=table.index, columns=list(MEASURES), dtype=float))
    few = table[["n_yes", "n_no"]].min(axis=1) < min_count
    table["abstain"] = few | ~(table["auroc_low"] > 0.5)
    return table


def _measure(truth: Array, activation: Array, cluster: NDArray[np.intp], level: float) -> dict[str, float]:
    if not len(truth):
        return {}
    found = {
        "accuracy": float(np.mean((activation >= 0.5) == truth)),
        "brier": float(np.mean((activation - truth) ** 2)),
        "ece": calibration_error(truth, activation),
    }
    n_yes = int(truth.sum())
    if min(n_yes, len(truth) - n_yes) >= 2:
        interval = delong_interval(truth, activation, groups=cluster, level=level)
        found.update(zip(MEASURES, interval, strict=False))
        found["average_precision"] = float(average_precision_score(truth, activation))
    return found


def _hanley_mcneil(auroc: float, n_yes: int, n_no: int) -> float:
    both_yes, both_no = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc) + (n_yes - 1) * (both_yes - auroc**2) + (n_no - 1) * (both_no - auroc**2)
    return spread / (n_yes * n_no)


def _codes(groups: ArrayLike) -> NDArray[np.intp]:
    return np.asarray(pd.factorize(np.asarray(groups), use_na_sentinel=False)[0], dtype=np.intp)
