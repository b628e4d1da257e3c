"""What the report says of the data: how many images of what, whether patients are shared, and how subgroups fare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo.explain.style import readable
from knobo.shift import evaluate

_MOST_VALUES = 8  # a column with more values than this is no subgroup, or is cut into thirds if it holds numbers
_FEWEST = 10  # images of a subgroup, below which a metric says next to nothing
_BOOTSTRAP = 400


def counts(truth: NDArray[Any], classes: NDArray[Any], domain: NDArray[Any] | None) -> dict[str, Any]:
    """Number of images by class (rows) and domain (columns); one column "images" where no domain is given."""
    places = np.full(len(truth), "images") if domain is None else domain
    columns = list(dict.fromkeys(places.tolist()))
    rows = [
        {"name": readable(name), "counts": [int(np.sum((truth == str(name)) & (places == c))) for c in columns]}
        for name in classes
    ]
    total = {"name": "all", "counts": [int(np.sum(places == c)) for c in columns]}
    return {"columns": columns, "rows": [*rows, total], "by_domain": domain is not None}


def split_check(groups: ArrayLike | None, train_groups: ArrayLike | None) -> dict[str, Any]:
    """How many patients there are here and in training, and how many are in both; numbers only, no names."""
    here = None if groups is None else set(np.asarray(groups).astype(str).tolist())
    there = None if train_groups is None else set(np.asarray(train_groups).astype(str).tolist())
    return {
        "here": None if here is None else len(here),
        "training": None if there is None else len(there),
        "both": None if here is None or there is None else len(here & there),
    }


def subgroups(
    truth: NDArray[Any],
    proba: NDArray[np.float64],
    classes: NDArray[Any],
    metadata: pd.DataFrame | None,
    groups: ArrayLike | None,
) -> list[dict[str, Any]]:
    """Accuracy and AUROC within the values of each metadata column that has few of them."""
    tables = []
    for name, column in [] if metadata is None else metadata.items():
        members = _members(column)
        large = {value: rows for value, rows in members.items() if len(rows) >= _FEWEST}
        if len(large) > 1:
            rows = [_row(value, rows, truth, proba, classes, groups) for value, rows in large.items()]
            tables.append({"name": str(name), "rows": rows, "left_out": len(members) - len(large)})
    return tables


def _members(column: pd.Series[Any]) -> dict[str, NDArray[np.intp]]:
    """Rows of each value, in order; numbers of many values are cut into thirds, and text of many values has none."""
    known = column.dropna()
    if known.nunique() <= _MOST_VALUES:
        found = {str(value): (column == value).to_numpy() for value in sorted(known.unique(), key=_by_value)}
    elif pd.api.types.is_numeric_dtype(known):
        thirds = pd.qcut(column, 3, duplicates="drop")
        least = float(known.min())  # the first third begins just below it
        found = {
            f"{max(part.left, least):g} to {part.right:g}": (thirds == part).to_numpy()
            for part in thirds.cat.categories
        }
    else:
        return {}
    return {name: np.flatnonzero(rows) for name, rows in [*found.items(), ("not known", column.isna())] if rows.any()}


def _by_value(value: Any) -> tuple[bool, Any]:
    """Numbers by size, then texts by letter, so that a column of both can be sorted."""
    return (True, str(value)) if isinstance(value, str) else (False, float(value))


def _row(
    value: str,
    rows: NDArray[np.intp],
    truth: NDArray[Any],
    proba: NDArray[np.float64],
    classes: NDArray[Any],
    groups: ArrayLike | None,
) -> dict[str, Any]:
    own = None if groups is None else np.asarray(groups)[rows]
    if own is not None and len(set(own.tolist())) < 2:
        own = None
    metrics = evaluate(truth[rows], proba[rows], classes, groups=own, n_bootstrap=_BOOTSTRAP)
    return {"name": value, "n": len(rows), **{name: _interval(metrics.loc[name]) for name in ("accuracy", "auroc")}}


def _interval(row: pd.Series[float]) -> dict[str, Any]:
    at, low, high = (None if np.isnan(row[name]) else float(row[name]) for name in ("estimate", "low", "high"))
    known = at is not None and low is not None and high is not None
    return {
        "value": "undefined" if at is None else f"{at:.3f}",
        "interval": f"{low:.3f} to {high:.3f}" if known else "",
        "at": at,
        "low": low if known else None,
        "high": high if known else None,
    }
