"""How well each concept can be read off images that its grounding function has not seen."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score


def count_answers(labels: NDArray[np.float64], names: Iterable[str]) -> pd.DataFrame:
    """Count yes, no and unknown for each concept.

    Parameters
    ----------
    labels : ndarray of shape (n, m)
        1, 0 or NaN.
    names : iterable of str, m of them

    Returns
    -------
    DataFrame with one row a concept and the columns n_yes, n_no, n_unknown
    """
    counts = {
        "n_yes": (labels == 1).sum(axis=0),
        "n_no": (labels == 0).sum(axis=0),
        "n_unknown": np.isnan(labels).sum(axis=0),
    }
    return pd.DataFrame(counts, index=pd.Index(list(names), name="concept"))


def held_out_quality(
    labels: NDArray[np.float64], activations: NDArray[np.float64], names: Iterable[str]
) -> pd.DataFrame:
    """Score held-out activations against the known answers.

    Parameters
    ----------
    labels, activations : ndarray of shape (n, m)
        Answers (1, 0, NaN) and out-of-fold activations in [0, 1].
    names : iterable of str, m of them

    Returns
    -------
    DataFrame with one row a concept
        ``auroc``; ``accuracy`` at activation 0.5; ``brier``, the mean squared distance of activation and answer
        (0 is best; the rate's own variance is what a constant would reach).
    """
    rows = []
    for truth, activation in zip(labels.T, activations.T, strict=True):
        known = ~np.isnan(truth)
        t, a = truth[known], activation[known]
        rows.append(
            {"auroc": roc_auc_score(t, a), "accuracy": np.mean((a >= 0.5) == t), "brier": np.mean((a - t) ** 2)}
        )
    columns = ["auroc", "accuracy", "brier"]
    return pd.DataFrame(rows, index=pd.Index(list(names), name="concept"), columns=columns, dtype=float)
