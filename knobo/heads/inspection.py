"""What a fitted head rests on: its weights as a table, how many concepts decide, how they agree with the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from knobo._validation import check_fitted
from knobo.errors import InputError
from knobo.heads._checks import check_share, row_classes
from knobo.heads.base import LinearHead, class_weights
from knobo.heads.objective import Array


def count_concepts(head: LinearHead) -> pd.Series[int]:
    """Number of concepts with a weight other than zero, for each class."""
    check_fitted(head, "coef_")
    W, _ = class_weights(head)
    return pd.Series(np.count_nonzero(W, axis=1), index=pd.Index(head.classes_, name="class"), name="n_concepts")


def effective_concepts(head: LinearHead) -> float:
    """NEC, the mean number of concepts with a weight over the classes: the size of the whole explanation.

    References
    ----------
    Srivastava et al., *VLG-CBM: Training Concept Bottleneck Models with Vision-Language Guidance*, NeurIPS 2024,
    arXiv:2408.01432.
    """
    return float(count_concepts(head).mean())


def contributing_concepts(
    head: LinearHead, X: ArrayLike, *, share: float = 0.95, reference: ArrayLike | None = None
) -> pd.Series[int]:
    """NCC: how many concepts, the strongest first, make up ``share`` of each decision.

    The contributions are those to the logit of the class that is predicted, w · (a − reference); their sizes
    without sign add up to the whole.

    Parameters
    ----------
    head : fitted head
    X : array-like of shape (n, m)
        Activations.
    share : float in (0, 1)
    reference : array-like of shape (m,), optional
        Activations that contribute nothing; default: the mean of X.

    Returns
    -------
    Series of length n
        0 where nothing contributes.
    """
    check_share("share", share)
    predicted = head.predict(X)
    A = np.asarray(X, dtype=np.float64)
    centre = A.mean(axis=0) if reference is None else np.asarray(reference, dtype=np.float64)
    if centre.shape != A.shape[1:]:
        raise InputError(f"reference must have {A.shape[1]} values, one a concept; got shape {centre.shape}.")
    rows = class_weights(head)[0][np.searchsorted(head.classes_, predicted)]
    sizes = -np.sort(-np.abs(rows * (A - centre)), axis=1)
    total = sizes.sum(axis=1, keepdims=True)
    counts = (sizes.cumsum(axis=1) < share * total * (1 - 1e-12)).sum(axis=1) + (total[:, 0] > 0)
    index = X.index if isinstance(X, pd.DataFrame) else None
    return pd.Series(counts, index=index, name="n_concepts")


def prior_agreement(head: LinearHead) -> pd.DataFrame:
    """How far the signs of the weights agree with the literature.

    Of all weights other than zero for which the literature gives a sign, also where ``prior=None`` fitted without it.

    Returns
    -------
    DataFrame, one row a class and one for ``"all"``
        ``n`` such weights; the ``share`` whose sign agrees, each counting once (``share``), by the confidence of the
        sign (``by_confidence``), and by its size (``by_weight``); NaN where there is none. For two classes the rows
        are the log-odds of the second, and ``"all"``.
    """
    check_fitted(head, "coef_")
    signs, confidence = head._signs("sign")
    stated = (signs != 0) & (head.coef_ != 0)
    agrees = stated & (signs * head.coef_ > 0)
    kinds = {"share": np.ones_like(confidence), "by_confidence": confidence, "by_weight": np.abs(head.coef_)}
    parts: list[tuple[Any, Any]] = [(label, row) for row, label in enumerate(row_classes(head))]
    rows = {
        label: {
            "n": int(stated[part].sum()),
            **{name: _share(agrees[part], stated[part], weight[part]) for name, weight in kinds.items()},
        }
        for label, part in [*parts, ("all", slice(None))]
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def _share(agrees: Any, stated: Any, weight: Array) -> float:
    total = float(weight[stated].sum())
    return float(weight[agrees].sum()) / total if total > 0 else float("nan")
