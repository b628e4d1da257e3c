"""An expert corrects findings, one after the other: in which order, and how far does it help?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo.errors import InputError
from knobo.explain._checks import check_truth
from knobo.explain.tables import concept_auroc

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation

Array = NDArray[np.float64]
Policy = Literal["contribution", "uncertainty", "certificate", "random"]


def correction_order(
    why: Explanation, policy: Policy = "contribution", *, known: NDArray[np.bool_] | None = None, random_state: int = 0
) -> NDArray[np.intp]:
    """Decide for each case which concept to ask an expert about first.

    Concepts without a weight in any class change nothing; they and those whose truth is not known come last.

    Parameters
    ----------
    why : Explanation
    policy : {"contribution", "uncertainty", "certificate", "random"}
        The largest absolute contribution to the predicted class first; the activation nearest to 0.5 first; the
        lowest AUROC first (a concept without one before all); or at random.
    known : ndarray of bool of shape (n, m), optional
        Whether the truth is known.
    random_state : int
        Seed of the random order.

    Returns
    -------
    ndarray of intp of shape (n, m)
        Each row holds the positions of the concepts in the order in which to ask.

    Raises
    ------
    InputError
        If there is no such policy.

    References
    ----------
    Shin et al., *A Closer Look at the Intervention Procedure of Concept Bottleneck Models*, ICML 2023, section 3
    (uncertainty and contribution as criteria).
    """
    if policy not in get_args(Policy):
        raise InputError(f"There is no policy {policy!r}; choose one of {', '.join(get_args(Policy))}.")
    n, m = why.activations.shape
    rng = np.random.default_rng(random_state)
    tie = rng.random((n, m))
    if policy == "contribution":
        score = -np.abs(why.contributions[np.arange(n), why.logits.argmax(axis=1)])
    elif policy == "uncertainty":
        score = np.abs(why.activations - 0.5)
    elif policy == "certificate":
        score = np.broadcast_to(np.nan_to_num(concept_auroc(why), nan=-1.0), (n, m))
    else:
        score = tie
    asked = np.broadcast_to((why.weights != 0).any(axis=0), (n, m))
    asked = asked if known is None else asked & known
    return np.lexsort((tie, score, ~asked), axis=1)


def correct(
    why: Explanation,
    truth: pd.DataFrame | ArrayLike,
    n_concepts: int | None = None,
    *,
    policy: Policy = "contribution",
    random_state: int = 0,
) -> Explanation:
    """Put the truth in the place of activations; see :meth:`Explanation.correct`."""
    T = check_truth(truth, len(why), why.bank.ids)
    most = T.shape[1] if n_concepts is None else _check_number(n_concepts, T.shape[1])
    order = correction_order(why, policy, known=~np.isnan(T), random_state=random_state)[:, :most]
    A = why.activations.copy()
    new = np.take_along_axis(T, order, axis=1)
    np.put_along_axis(A, order, np.where(np.isnan(new), np.take_along_axis(A, order, axis=1), new), axis=1)
    return replace(why, activations=A)


def intervention_curve(
    why: Explanation,
    y: ArrayLike,
    truth: pd.DataFrame | ArrayLike,
    *,
    policies: Sequence[Policy] = ("random", "uncertainty", "contribution"),
    max_concepts: int | None = None,
    n_repeats: int = 10,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure the accuracy after an expert has corrected 0, 1, 2, … concepts of each case.

    Parameters
    ----------
    why : Explanation
    y : array-like of shape (n,)
        True classes.
    truth : DataFrame or array-like of shape (n, m), in [0, 1]
        What the expert says, one column a concept (a DataFrame's by id, in any order); NaN where not known.
    policies : sequence of {"contribution", "uncertainty", "certificate", "random"}
        In which order the expert is asked; see :func:`correction_order`. Orders are decided before the first answer.
    max_concepts : int, optional
        Where the curve ends; by default when all concepts with a weight are corrected.
    n_repeats : int
        Random orders to average over.
    random_state : int
        Seed.

    Returns
    -------
    DataFrame
        Columns ``policy``, ``n_corrected``, ``accuracy`` and ``spread``: the standard deviation over random orders,
        0 for the other policies.

    Raises
    ------
    InputError
        If shapes do not fit, a label is not among the classes, or nothing is known of any concept with a weight.

    References
    ----------
    Koh et al., *Concept Bottleneck Models*, ICML 2020, section 5 and figure 4.
    """
    T = check_truth(truth, len(why), why.bank.ids)
    rows = check_targets(why, y)
    if n_repeats < 1:
        raise InputError(f"n_repeats is {n_repeats}; average over at least 1 random order.")
    known = ~np.isnan(T)
    useful = int((known.any(axis=0) & (why.weights != 0).any(axis=0)).sum())
    if useful == 0:
        raise InputError("truth says nothing about any concept that has a weight; there is nothing to correct.")
    most = useful if max_concepts is None else min(_check_number(max_concepts, T.shape[1]), useful)
    frames = []
    for policy in dict.fromkeys(policies):
        seeds = range(random_state, random_state + (n_repeats if policy == "random" else 1))
        orders = [correction_order(why, policy, known=known, random_state=seed)[:, :most] for seed in seeds]
        curves = np.array([_accuracies(why, rows, T, order) for order in orders])
        points = {"n_corrected": np.arange(most + 1), "accuracy": curves.mean(axis=0), "spread": curves.std(axis=0)}
        frames.append(pd.DataFrame({"policy": policy, **points}))
    if not frames:
        raise InputError("policies is empty; choose at least one order in which the expert is asked.")
    return pd.concat(frames, ignore_index=True)


def _accuracies(why: Explanation, rows: NDArray[np.intp], truth: Array, order: NDArray[np.intp]) -> list[float]:
    """Accuracy after 0, 1, …, ``order.shape[1]`` corrections; each adds its change to the logits."""
    logits, every = why.logits, np.arange(len(why))
    changes = np.nan_to_num(truth - why.activations, nan=0.0)
    right = [float((logits.argmax(axis=1) == rows).mean())]
    for column in order.T:
        logits = logits + changes[every, column][:, None] * why.weights[:, column].T
        right.append(float((logits.argmax(axis=1) == rows).mean()))
    return right


def check_targets(why: Explanation, y: ArrayLike) -> NDArray[np.intp]:
    """Return the position of each case's true class, shape (n,)."""
    labels = np.asarray(y)
    if labels.shape != (len(why),) or len(why) == 0:
        raise InputError(f"y has shape {labels.shape}; pass one label for each of the {len(why)} cases, at least 1.")
    return np.array([why.class_index(label) for label in labels.tolist()], dtype=np.intp)


def _check_number(n_concepts: Any, m: int) -> int:
    if not 0 <= n_concepts <= m or int(n_concepts) != n_concepts:
        raise InputError(f"The number of concepts to correct is {n_concepts!r}; it must be whole, from 0 to {m}.")
    return int(n_concepts)
