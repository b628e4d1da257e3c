"""How far two annotations of the same reports agree."""

from __future__ import annotations

import numpy as np
import pandas as pd

from knobo.errors import InputError


def annotation_agreement(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Compare two tables of answers concept by concept, over the cells that both answer.

    Parameters
    ----------
    a, b : DataFrame of shape (n, any)
        Answers 1, 0 or NaN with the same index; concepts that only one holds are left out.

    Returns
    -------
    DataFrame of shape (n_shared, 6), indexed by concept
        ``n`` (cells that both answer), ``only_a`` and ``only_b`` (cells that one of them answers), ``agreement`` (share
        of the n), ``kappa`` (Cohen 1960, doi:10.1177/001316446002000104; NaN where both always give the same single
        answer), ``f1`` of ``a`` with ``b`` as the reference (NaN where neither says 1).

    Raises
    ------
    InputError
        If the rows differ, no concept is shared, or an answer is none of 1, 0 and NaN.
    """
    if not a.index.equals(b.index):
        raise InputError(f"The two annotations are of different rows ({len(a)} and {len(b)}); give them one index.")
    shared = [concept for concept in a.columns if concept in set(b.columns)]
    if not shared:
        raise InputError("The two annotations have no concept in common; their columns are concept ids.")
    rows = []
    for concept in shared:
        left, right = (_answers(table[concept]) for table in (a, b))
        both = ~(np.isnan(left) | np.isnan(right))
        x, y = left[both], right[both]
        n = len(x)
        agreement = float((x == y).mean()) if n else np.nan
        chance = float(x.mean() * y.mean() + (1 - x.mean()) * (1 - y.mean())) if n else np.nan
        positives = x.sum() + y.sum()
        rows.append(
            {
                "n": n,
                "only_a": int((~np.isnan(left) & np.isnan(right)).sum()),
                "only_b": int((np.isnan(left) & ~np.isnan(right)).sum()),
                "agreement": agreement,
                "kappa": (agreement - chance) / (1 - chance) if n and chance < 1 else np.nan,
                "f1": 2 * float((x * y).sum()) / positives if positives else np.nan,
            }
        )
    return pd.DataFrame(rows, index=pd.Index(shared, name="concept"))


def _answers(column: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=float)
    wrong = column[column.notna().to_numpy() & ~np.isin(values, [0.0, 1.0])]
    if len(wrong):
        raise InputError(f"Concept {column.name!r} has the answer {wrong.tolist()[0]!r}; answers are 1, 0 or missing.")
    return values
