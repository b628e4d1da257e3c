"""Does a device or a marker stand in for the finding? Scores with and without it, case against case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._resampling import percentile_interval, resample_weights
from knobo._validation import show
from knobo.errors import InputError
from knobo.shift._checks import check_bootstrap, check_column, encode_groups
from knobo.shift._curves import Curve
from knobo.shift._decision import Decision

Array = NDArray[np.float64]

_ROWS = (
    "tpr_with",
    "tpr_without",
    "tpr_difference",
    "fpr_with",
    "fpr_without",
    "fpr_difference",
    "auroc_with",
    "auroc_without",
    "auroc_helped",
    "auroc_misled",
    "auroc_difference",
)


def check_shortcut(
    y: ArrayLike,
    proba: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    present: ArrayLike,
    *,
    positive: Any = None,
    threshold: float | None = None,
    min_count: int = 10,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 500,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Test by a binary column, such as a chest drain or a printed marker, whether scores follow it.

    Within one class the thing should make no difference. Where it does, cases with it and cases without it may also
    differ otherwise (a drain goes with a larger pneumothorax): the test shows an association, not a cause.

    Parameters
    ----------
    y, proba, classes
        As in :func:`check_subgroups`.
    present : array-like of shape (n,)
        True, 1, or the later of two words in the alphabet where the thing is present.
    positive, threshold, groups, n_bootstrap, confidence, random_state
        As in :func:`check_subgroups`.
    min_count : int
        Fewest cases of each class with it, and without it.

    Returns
    -------
    DataFrame with the columns ``estimate``, ``low``, ``high``
        ``tpr_…`` and ``fpr_…`` with it, without it, and their difference; ``auroc_with`` and ``auroc_without`` among
        such cases; ``auroc_helped``: positives with it against negatives without it, ``auroc_misled``: positives
        without it against negatives with it, and ``auroc_difference`` = helped − misled, far above 0 where scores
        follow the thing.

    Raises
    ------
    InputError
        If the column is not binary, or one of the four combinations has fewer than ``min_count`` cases.

    References
    ----------
    Borkan et al., *Nuanced metrics for measuring unintended bias with real data for text classification*, WWW 2019
    (AUROC across subgroups). Oakden-Rayner et al., *Hidden stratification causes clinically meaningful failures in
    machine learning for medical imaging*, CHIL 2020 (chest drains).
    """
    check_bootstrap(n_bootstrap, confidence)
    decision = Decision.of(y, proba, classes, positive, threshold)
    column = check_column(present, "present")
    levels = np.unique(column)
    if len(column) != len(decision.truth):
        raise InputError(f"There are {len(decision.truth)} labels but {len(column)} entries in present.")
    if len(levels) != 2:
        raise InputError(f"present holds {len(levels)} different values; a shortcut test needs two, such as 0 and 1.")
    there = column == levels[1]
    for name, side in (("positive", decision.truth), ("negative", ~decision.truth)):
        for level, which in zip(levels, (~there, there), strict=True):
            if np.sum(side & which) < min_count:
                raise InputError(
                    f"There are {np.sum(side & which)} {name} cases with present = {show(level)}, fewer than the "
                    f"{min_count} that are needed; add cases or lower min_count."
                )
    units = None if groups is None else encode_groups(groups, len(there), "present")
    rng = np.random.default_rng(random_state)
    draws = [_measure(decision, there, weights) for weights in resample_weights(len(there), units, n_bootstrap, rng)]
    low, high = percentile_interval(np.concatenate(draws) if draws else np.empty((0, len(_ROWS))), confidence)
    estimate = _measure(decision, there, np.ones((1, len(there))))[0]
    return pd.DataFrame({"estimate": estimate, "low": low, "high": high}, index=pd.Index(_ROWS, name="measure"))


def _measure(decision: Decision, there: NDArray[np.bool_], weights: Array) -> Array:
    """All measures under weights of shape (B, n); shape (B, measures)."""
    truth, call, score = decision.truth, decision.call.astype(np.float64), decision.score

    def rate(which: NDArray[np.bool_]) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(weights[:, which] @ call[which] / weights[:, which].sum(axis=1))

    def area(which: NDArray[np.bool_]) -> Array:
        return Curve.of(truth[which], score[which], weights[:, which]).auroc()

    tpr, fpr = ([rate(side & there), rate(side & ~there)] for side in (truth, ~truth))
    helped, misled = area(truth == there), area(truth != there)
    return np.stack(
        [*tpr, tpr[0] - tpr[1], *fpr, fpr[0] - fpr[1], area(there), area(~there), helped, misled, helped - misled],
        axis=1,
    )
