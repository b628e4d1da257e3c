"""How good is the bottleneck on one's own data? Cross-validated, beside a linear probe and the expert's own answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

from knobo._validation import check_labels, knobo_errors
from knobo.classifier import ConceptBottleneckClassifier, linear_probe
from knobo.heads import ConceptHeadCV
from knobo.heads.solver import one_blas_thread
from knobo.shift import evaluate


def cross_validate(
    clf: ConceptBottleneckClassifier,
    embeddings: NDArray[Any],
    y: NDArray[Any],
    concepts: pd.DataFrame | None,
    *,
    expert: bool = True,
    cv: int = 5,
    groups: NDArray[Any] | None = None,
    random_state: int = 0,
) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """Cross-validate a bottleneck and its two yardsticks on the same folds.

    Parameters
    ----------
    clf : ConceptBottleneckClassifier
        Unfitted. In each fold its scorer and its head see the training part only.
    embeddings : ndarray of shape (n, d)
    y : ndarray of shape (n,)
    concepts : DataFrame of shape (n, m) or None
        Answers 1, 0 or NaN; None if the classifier needs none.
    expert : bool
        Also fit the head on the answers themselves (an unknown answer counts as 0.5): what the concepts could
        reach if the images were read as their annotator read them.
    cv : int
        Number of folds, stratified by class.
    groups : ndarray of shape (n,), optional
        Such as patients; a group never straddles two folds.
    random_state : int

    Returns
    -------
    table : DataFrame
        Columns model, metric, estimate, low, high, with 95 % bootstrap intervals over images (or groups) of the
        pooled held-out predictions.
    probabilities : dict of ndarray of shape (n, K)
        Held-out class probabilities of each model.
    """
    classes, codes = check_labels(y, len(embeddings), min_per_class=cv)
    folds: list[Any] = _folds(codes, cv, groups, random_state)
    given = {"concepts": concepts, "groups": groups}
    params = {name: value for name, value in given.items() if value is not None}
    with knobo_errors(), one_blas_thread():
        probabilities = {
            "bottleneck": cross_val_predict(clf, embeddings, y, cv=folds, method="predict_proba", params=params),
            "linear probe": cross_val_predict(linear_probe(), embeddings, y, cv=folds, method="predict_proba"),
        }
        if expert and concepts is not None:
            answers = concepts.fillna(0.5).to_numpy()
            probabilities["expert concepts"] = cross_val_predict(
                ConceptHeadCV(), answers, y, cv=folds, method="predict_proba"
            )
    tables = {
        name: evaluate(y, proba, classes, groups=groups, random_state=random_state)
        for name, proba in probabilities.items()
    }
    return pd.concat(tables, names=["model", "metric"]).reset_index(), probabilities


def _folds(codes: NDArray[np.intp], cv: int, groups: NDArray[Any] | None, random_state: int) -> list[Any]:
    blank = np.empty(len(codes))
    if groups is None:
        return list(StratifiedKFold(cv, shuffle=True, random_state=random_state).split(blank, codes))
    return list(StratifiedGroupKFold(cv, shuffle=True, random_state=random_state).split(blank, codes, groups))
