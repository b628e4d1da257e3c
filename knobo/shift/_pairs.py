"""Which level of a column goes with which label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from knobo._validation import show
from knobo.errors import InputError
from knobo.shift._checks import check_column
from knobo.shift._deal import Ints

_MOST_LEVELS = 20


def choose_pairs(codes: Ints, level_codes: Ints, labels: NDArray[Any], levels: NDArray[Any]) -> dict[int, int]:
    """Give each label the level that goes with it most often, each level to as equal a number of labels as can be."""
    if len(labels) < 2 or len(levels) < 2:
        name, only = ("y", labels[0]) if len(labels) < 2 else ("column", levels[0])
        raise InputError(f"{name} holds {show(only)} only; a tie needs at least two labels and two levels.")
    if len(levels) > _MOST_LEVELS:
        raise InputError(
            f"column has {len(levels)} levels, such as {show(levels[0])} and {show(levels[1])}; cut it into a few "
            "(pandas.cut does it), or say which levels to use with pairs={label: level}."
        )
    together = np.zeros((len(labels), len(levels)))
    np.add.at(together, (codes, level_codes), 1.0)
    share = together / together.sum(axis=1, keepdims=True)
    must = len(labels) // len(levels)  # places that every level fills before any level takes one more
    places = np.hstack([*[share + len(labels)] * must, share])
    rows, columns = linear_sum_assignment(places, maximize=True)
    return {int(row): int(column % len(levels)) for row, column in zip(rows, columns, strict=True)}


def read_pairs(pairs: Mapping[Any, Any], labels: NDArray[Any], levels: NDArray[Any]) -> dict[int, int]:
    """Find the pairs' labels and levels, compared as text, among those of the data."""
    known = [{str(name): code for code, name in enumerate(names.tolist())} for names in (labels, levels)]
    for where, names, asked in (("y", known[0], pairs), ("column", known[1], pairs.values())):
        unknown = next((name for name in asked if str(name) not in names), None)
        if unknown is not None:
            raise InputError(f"pairs names {show(unknown)}, which {where} does not hold; it holds {', '.join(names)}.")
    tied = {known[0][str(label)]: known[1][str(level)] for label, level in pairs.items()}
    if len(tied) < 2 or len(set(tied.values())) < 2:
        raise InputError("pairs must have at least two labels and two different levels, or there is nothing to tie.")
    return tied


def tie_strength(y: ArrayLike, column: ArrayLike) -> float:
    """How strong the tie already is: mean over the labels of P(paired level | label), at least the lower end."""
    labels, codes = np.unique(check_column(y, "y"), return_inverse=True)
    levels, level_codes = np.unique(check_column(column, "column"), return_inverse=True)
    tied = choose_pairs(codes, level_codes, labels, levels)
    shares = [np.mean(level_codes[codes == label] == level) for label, level in tied.items()]
    return float(max(np.mean(shares), 1 / len(set(tied.values()))))
