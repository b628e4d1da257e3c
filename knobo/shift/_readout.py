"""How well a metadata column can be read off the concepts, the embedding or the label, on patients not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knobo._resampling import percentile_interval, resample_weights
from knobo._validation import knobo_errors
from knobo.shift._curves import Curve

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


def read_out(features: Array, column: NDArray[Any], groups: Ints | None, cv: int, seed: int) -> Array:
    """Held-out predictions of a column by a linear model: probabilities (n, L) of codes or values (n, 1) of numbers."""
    folds: Any
    if column.dtype.kind == "i":
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        stratified = StratifiedKFold if groups is None else StratifiedGroupKFold
        folds = stratified(cv, shuffle=True, random_state=seed)
    else:
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 7)))
        folds = KFold(cv, shuffle=True, random_state=seed) if groups is None else GroupKFold(cv)
    method = "predict_proba" if column.dtype.kind == "i" else "predict"
    with knobo_errors():
        found = cross_val_predict(model, features, column, groups=groups, cv=folds, method=method)
    return np.asarray(found, dtype=np.float64).reshape(len(column), -1)


def read_score(
    column: NDArray[Any], predicted: Array, groups: Ints | None, n_bootstrap: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """AUROC (mean over levels, one against the rest; of codes) or R² (of numbers), with a bootstrap interval."""
    score = _auroc if column.dtype.kind == "i" else _r2
    draws = [
        score(column, predicted, weights)
        for weights in resample_weights(len(column), groups, n_bootstrap, np.random.default_rng(seed))
    ]
    low, high = percentile_interval(np.concatenate(draws)[:, None], confidence) if draws else (np.full(1, np.nan),) * 2
    return float(score(column, predicted, np.ones((1, len(column))))[0]), float(low[0]), float(high[0])


def within_label(column: NDArray[Any], predicted: Array, label: Ints) -> float:
    """The same among cases of one label only: what is read beyond the label. NaN where no label has both kinds.

    AUROC counts only pairs of cases with the same label; R² is the squared correlation (0 where it is negative) after
    the means of each label have been taken away from both.
    """
    if column.dtype.kind == "i":
        levels = range(1, 2) if predicted.shape[1] == 2 else range(predicted.shape[1])
        wins, pairs = 0.0, 0.0
        for code in np.unique(label):
            here = label == code
            for level in levels:
                is_level = column[here] == level
                n_pairs = float(is_level.sum() * (~is_level).sum())
                if n_pairs:
                    curve = Curve.of(is_level, predicted[here, level], np.ones((1, int(here.sum()))))
                    wins, pairs = wins + n_pairs * float(curve.auroc()[0]), pairs + n_pairs
        return wins / pairs if pairs else float("nan")
    sides = [remove_means(values, label) for values in (column.astype(np.float64), predicted[:, 0])]
    spread = np.prod([float(side @ side) for side in sides]) ** 0.5
    together = float(sides[0] @ sides[1]) / spread if spread > 0 else 0.0
    return max(together, 0.0) ** 2


def remove_means(values: Array, label: Ints) -> Array:
    """Take the mean of each label away from values of shape (n,) or (n, m)."""
    member = np.eye(int(label.max()) + 1)[label]
    means = (member.T @ values) / np.maximum(member.sum(axis=0), 1).reshape(-1, *[1] * (values.ndim - 1))
    return values - means[label]


def _auroc(column: NDArray[Any], predicted: Array, weights: Array) -> Array:
    levels = range(1, 2) if predicted.shape[1] == 2 else range(predicted.shape[1])
    return np.mean([Curve.of(column == level, predicted[:, level], weights).auroc() for level in levels], axis=0)


def _r2(column: NDArray[Any], predicted: Array, weights: Array) -> Array:
    total = weights.sum(axis=1)
    mean = weights @ column / total
    spread = weights @ column**2 - total * mean**2
    return 1 - weights @ (column - predicted[:, 0]) ** 2 / spread
