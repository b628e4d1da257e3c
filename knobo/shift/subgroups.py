"""For whom does it work? Rates and AUROC in each subgroup, and how far the subgroups lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._resampling import percentile_interval, resample_weights
from knobo.errors import InputError
from knobo.shift._checks import check_bootstrap, encode_groups
from knobo.shift._curves import Curve
from knobo.shift._decision import Decision
from knobo.shift.subgroup_report import RATES, SubgroupReport

Array = NDArray[np.float64]

_FEW_NUMBERS = 10


def check_subgroups(
    y: ArrayLike,
    proba: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    metadata: pd.DataFrame,
    *,
    positive: Any = None,
    threshold: float | None = None,
    intersections: bool = False,
    min_count: int = 20,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 500,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> SubgroupReport:
    """Compare the subgroups of each metadata column.

    Parameters
    ----------
    y : array-like of shape (n,)
    proba : array-like of shape (n, K)
    classes : sequence of length K
    metadata : DataFrame of shape (n, any)
        Such as sex, age, device. A column of numbers with more than 10 distinct values is cut at its median (cut it
        yourself for other bounds); a missing entry is a level of its own, ``missing``.
    positive : label, optional
        The class that counts as positive; by default the second of two.
    threshold : float, optional
        A case is called positive where its probability is at least this (:func:`threshold_at_specificity` finds one);
        by default where the class is the most probable.
    intersections : bool
        Also compare every combination of the levels of two columns.
    min_count : int
        A rate over fewer cases than this is left out (NaN) and enters no comparison: over positives for TPR, over
        negatives for FPR, over calls for PPV, over both kinds for AUROC.
    groups : array-like of shape (n,), optional
        Patient of each case, for the intervals.
    n_bootstrap : int
        0 gives no intervals.
    confidence : float in (0, 1)
    random_state : int, Generator or None

    Returns
    -------
    SubgroupReport

    Raises
    ------
    InputError
        If lengths differ or an argument cannot be used.

    References
    ----------
    Hardt, Price & Srebro, *Equality of opportunity in supervised learning*, NeurIPS 2016 (gaps of TPR and FPR).
    """
    check_bootstrap(n_bootstrap, confidence)
    decision = Decision.of(y, proba, classes, positive, threshold)
    n = len(decision.truth)
    if len(metadata) != n:
        raise InputError(f"There are {n} labels but metadata has {len(metadata)} rows; pass one row a case.")
    if metadata.shape[1] == 0:
        raise InputError("metadata has no column; pass at least one.")
    units = None if groups is None else encode_groups(groups, n, "metadata")
    levels = {str(name): read_levels(metadata.iloc[:, i]) for i, name in enumerate(metadata.columns)}
    if intersections:
        for first, second in combinations(list(levels), 2):
            pairs = pd.Series(levels[first]) + " × " + pd.Series(levels[second])
            levels[f"{first} × {second}"] = pairs.to_numpy(dtype=str)
    members = {(name, str(level)): column == level for name, column in levels.items() for level in np.unique(column)}
    inside = np.array(list(members.values()), dtype=np.float64).T
    rng = np.random.default_rng(random_state)
    estimate = _rates(decision, inside, np.ones((1, n)))[0]
    support = _support(decision, inside)
    estimate[support < min_count] = np.nan
    chunks = [_rates(decision, inside, weights) for weights in resample_weights(n, units, n_bootstrap, rng)]
    draws = np.concatenate(chunks) if chunks else np.empty((0, *estimate.shape))
    draws[:, support < min_count] = np.nan
    index = pd.MultiIndex.from_tuples(list(members), names=["column", "level"])
    table = pd.DataFrame({"n": inside.sum(axis=0).astype(int)}, index=index)
    table["n_positive"] = (decision.truth @ inside).astype(int)
    for r, rate in enumerate(RATES):
        table[rate] = estimate[:, r]
        table[f"{rate}_low"], table[f"{rate}_high"] = percentile_interval(draws[:, :, r], confidence)
    gaps = [_gap(name, index, estimate, draws, confidence) for name in levels]
    return SubgroupReport(table, pd.concat(gaps), decision.positive, min_count, confidence)


def read_levels(column: pd.Series[Any]) -> NDArray[Any]:
    """Level of each case as text; numbers are cut at their median, missing entries are a level."""
    missing = column.isna().to_numpy() | (column.astype(str) == "").to_numpy()
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and column[~missing].nunique() > _FEW_NUMBERS:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        middle = float(np.nanmedian(values))
        text = np.where(values > middle, f"above {middle:g}", f"up to {middle:g}")
    else:
        text = column.astype(str).to_numpy(dtype=str)
    return np.where(missing, "missing", text)


def _rates(decision: Decision, inside: Array, weights: Array) -> Array:
    """Rates of shape (B, groups, rates) under case weights of shape (B, n)."""
    truth, call = decision.truth, decision.call
    share = {
        "accuracy": (decision.correct, np.ones_like(truth)),
        "tpr": (truth & call, truth),
        "fpr": (~truth & call, ~truth),
        "ppv": (truth & call, call),
    }
    with np.errstate(invalid="ignore"):  # 0 / 0: a resample without such a case
        columns = [
            (weights @ (inside * top[:, None])) / (weights @ (inside * bottom[:, None]))
            for top, bottom in share.values()
        ]
    areas = []
    for group in inside.T > 0:
        areas.append(Curve.of(truth[group], decision.score[group], weights[:, group]).auroc())
    return np.stack([*columns, np.stack(areas, axis=1)], axis=2)


def _support(decision: Decision, inside: Array) -> Array:
    """Cases that each rate rests on, of shape (groups, rates)."""
    positive, negative = decision.truth @ inside, ~decision.truth @ inside
    called, every = decision.call @ inside, inside.sum(axis=0)
    return np.stack([every, positive, negative, called, np.minimum(positive, negative)], axis=1)


def _gap(name: str, index: pd.MultiIndex, estimate: Array, draws: Array, confidence: float) -> pd.DataFrame:
    """Difference and ratio of the two levels that lie furthest apart, for each rate."""
    here = np.flatnonzero(index.get_level_values("column") == name)
    rows = {}
    for r, rate in enumerate(RATES):
        values = estimate[here, r]
        if np.sum(~np.isnan(values)) < 2:
            continue
        most, least = here[np.nanargmax(values)], here[np.nanargmin(values)]
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs = np.stack([draws[:, most, r] - draws[:, least, r], draws[:, least, r] / draws[:, most, r]], axis=1)
            ratio = estimate[least, r] / estimate[most, r]
        low, high = percentile_interval(np.where(np.isfinite(pairs), pairs, np.nan), confidence)
        rows[(name, rate)] = {
            "highest": index[most][1],
            "lowest": index[least][1],
            "gap": estimate[most, r] - estimate[least, r],
            "gap_low": low[0],
            "gap_high": high[0],
            "ratio": ratio,
            "ratio_low": low[1],
            "ratio_high": high[1],
        }
    names = ["highest", "lowest", *(f"{what}{end}" for what in ("gap", "ratio") for end in ("", "_low", "_high"))]
    keys = (
        pd.MultiIndex.from_tuples(list(rows), names=["column", "rate"])
        if rows
        else pd.MultiIndex.from_arrays([[], []], names=["column", "rate"])
    )
    return pd.DataFrame(list(rows.values()), index=keys, columns=names)
