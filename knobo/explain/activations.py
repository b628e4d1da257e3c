"""What the activations of many images show: which findings go together, and which images show one most and least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knobo.errors import InputError
from knobo.explain._checks import check_concepts

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation


class Prototypes(NamedTuple):
    """Positions of the cases that show a concept most (strongest first) and least (weakest first)."""

    most: NDArray[np.intp]
    least: NDArray[np.intp]


def prototypes(why: Explanation, concept_id: str, n_cases: int = 4) -> Prototypes:
    """Find the cases with the highest and the lowest activation of a concept.

    Parameters
    ----------
    why : Explanation
    concept_id : str
    n_cases : int
        Of each kind; fewer where there are fewer, and no case is of both kinds.

    Raises
    ------
    InputError
        If there is no such concept, fewer than two cases, or ``n_cases`` is below 1.
    """
    [column] = check_concepts(concept_id, why.bank.ids)
    if n_cases < 1 or len(why) < 2:
        raise InputError(f"Prototypes need n_cases of at least 1 and 2 cases, got {n_cases} and {len(why)}.")
    order = np.argsort(-why.activations[:, column], kind="stable")
    few = min(n_cases, len(order) // 2)
    return Prototypes(order[:few], order[::-1][:few])


def concept_correlation(why: Explanation, method: Literal["pearson", "spearman"] = "pearson") -> pd.DataFrame:
    """Correlate the activations of concepts over cases; NaN where an activation never changes.

    Two concepts that always go together share their weight in an arbitrary way: read them as one.

    Parameters
    ----------
    why : Explanation
        Of as many cases as there are at hand.
    method : {"pearson", "spearman"}

    Returns
    -------
    DataFrame of shape (m, m)
        Indexed by concept id both ways.

    Raises
    ------
    InputError
        If there are fewer than three cases, or no such method.
    """
    if method not in ("pearson", "spearman"):
        raise InputError(f"method must be 'pearson' or 'spearman', got {method!r}.")
    if len(why) < 3:
        raise InputError(f"A correlation needs at least 3 cases, got {len(why)}.")
    return pd.DataFrame(why.activations, columns=list(why.bank.ids)).corr(method=method)
