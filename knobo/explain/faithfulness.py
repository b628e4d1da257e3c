"""Is the explanation true? On data whose making is known, count the contributions that name what made the label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from knobo.errors import InputError
from knobo.explain.contributions import rank

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation


def check_causes(why: Explanation, effects: pd.DataFrame | ArrayLike, *, max_concepts: int = 3) -> pd.DataFrame:
    """Compare the largest contributions with what is known to make the classes differ.

    A contribution is true when its concept really sets the class apart and its weight has that sign: naming a concept
    that has no effect, or a right one with the wrong sign, is an error. The mean of the column ``true`` is the share
    of top contributions that are true causes.

    Parameters
    ----------
    why : Explanation
    effects : DataFrame or array-like of shape (K, m)
        What is known: positive where the concept makes the class more likely, negative where less likely, 0 where it
        has nothing to do with it. A DataFrame has one row a class and one column a concept id, in any order.
    max_concepts : int
        How many contributions of each case are compared: the largest in absolute value, to the class that ``why``
        explains (the predicted one, unless it was turned to another by ``for_class``).

    Returns
    -------
    DataFrame
        Columns ``case``, ``class``, ``rank`` (from 1), ``concept``, ``contribution``, ``effect`` and ``true``.

    Raises
    ------
    InputError
        If ``effects`` lacks a class or concept, holds other than finite numbers, or ``max_concepts`` is below 1.
    """
    if max_concepts < 1:
        raise InputError(f"max_concepts is {max_concepts}; compare at least 1 contribution.")
    known = _check_effects(why, effects)
    rows = []
    for i, k in enumerate(why.explained.tolist()):
        values = why.contributions[i, k]
        for place, j in enumerate(rank(values, why.weights[k], max_concepts).top.tolist(), start=1):
            rows.append(
                {
                    "case": why.cases[i],
                    "class": why.classes[k],
                    "rank": place,
                    "concept": why.bank.ids[j],
                    "contribution": values[j],
                    "effect": known[k, j],
                    "true": bool(why.weights[k, j] * known[k, j] > 0),
                }
            )
    return pd.DataFrame(rows, columns=["case", "class", "rank", "concept", "contribution", "effect", "true"])


def _check_effects(why: Explanation, effects: pd.DataFrame | ArrayLike) -> np.ndarray:
    if isinstance(effects, pd.DataFrame):
        table = effects.set_axis(effects.index.map(str), axis=0)
        lacking = sorted({str(c) for c in why.classes} - set(table.index)) or sorted(set(why.bank.ids) - set(table))
        if lacking:
            raise InputError(
                f"effects says nothing of {', '.join(lacking)}; give one row a class, one column a concept."
            )
        effects = table.loc[[str(c) for c in why.classes], list(why.bank.ids)]
    known = np.asarray(effects, dtype=np.float64)
    if known.shape != why.weights.shape or not np.isfinite(known).all():
        raise InputError(
            f"effects must be finite and of shape {why.weights.shape}, one row a class; got {known.shape}."
        )
    return known
