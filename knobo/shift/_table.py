"""Two sets of cases beside each other: each metric in and out of domain, their average and gap, with intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from knobo._resampling import percentile_interval
from knobo.shift.metrics import AUROC, SUMMARY, Cases
from knobo.shift.report import QUANTITIES

Array = NDArray[np.float64]
_N = len(SUMMARY)  # the other metrics of Cases are of single classes


def compare_two(
    source: Cases, target: Cases, n_bootstrap: int, confidence: float, seeds: tuple[int, int]
) -> pd.DataFrame:
    """Table of one model: metrics × (id, ood, average, gap) with the ends of their intervals."""
    sets = _share_classes(source, target)
    values = _quantities(*(cases.estimate()[:_N] for cases in sets))
    draws = _quantities(*(cases.bootstrap(n_bootstrap, seed)[:, :_N] for cases, seed in zip(sets, seeds, strict=True)))
    variances = [cases.auroc_variance() if cases.has_delong else np.nan for cases in sets]
    return _frame(values, draws, variances, confidence, bounded=True)


def compare_models_on(
    first: tuple[Cases, Cases],
    second: tuple[Cases, Cases],
    n_bootstrap: int,
    confidence: float,
    seeds: tuple[int, int],
) -> pd.DataFrame:
    """Table of differences, first model − second model, on the same (source, target); resamples are paired."""
    sets = list(zip(_share_classes(*first), _share_classes(*second), strict=True))
    values = _quantities(*(a.estimate()[:_N] - b.estimate()[:_N] for a, b in sets))
    draws = _quantities(
        *(
            (a.bootstrap(n_bootstrap, seed) - b.bootstrap(n_bootstrap, seed))[:, :_N]
            for (a, b), seed in zip(sets, seeds, strict=True)
        )
    )
    variances = [a.auroc_variance(b) if a.has_delong else np.nan for a, b in sets]
    return _frame(values, draws, variances, confidence, bounded=False)


def _share_classes(source: Cases, target: Cases) -> list[Cases]:
    shared = np.intersect1d(source.codes, target.codes)
    return [replace(cases, averaged=shared) for cases in (source, target)]


def _quantities(id_: Array, ood: Array) -> tuple[Array, ...]:
    return id_, ood, (id_ + ood) / 2, id_ - ood


def _frame(
    values: tuple[Array, ...], draws: tuple[Array, ...], variances: list[float], confidence: float, *, bounded: bool
) -> pd.DataFrame:
    """Put estimates and intervals side by side; ``variances`` are of the AUROC in and out of domain, NaN if unknown."""
    inside, outside = variances
    spread = (inside, outside, (inside + outside) / 4, inside + outside)
    columns: dict[str, Array] = {}
    for name, value, drawn, variance in zip(QUANTITIES, values, draws, spread, strict=True):
        low, high = percentile_interval(drawn, confidence)
        if len(drawn) and variance > 0:
            margin = norm.ppf((1 + confidence) / 2) * np.sqrt(variance)
            ends = np.array([value[AUROC] - margin, value[AUROC] + margin])
            low[AUROC], high[AUROC] = ends.clip(0, 1) if bounded and name != "gap" else ends
        columns |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns, index=pd.Index(SUMMARY, name="metric"))
