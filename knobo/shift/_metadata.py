"""One column of a metadata table: categories or numbers, and why it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knobo._validation import show

Ints = NDArray[np.intp]

_FEW_NUMBERS = 10  # a numeric column with no more distinct values counts as categories
_MOST_LEVELS = 20


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the table: the rows that can be used, their codes or numbers, or why there are none."""

    kind: str
    rows: Ints
    values: NDArray[Any]
    levels: NDArray[Any]
    note: str

    @classmethod
    def read(cls, series: pd.Series[Any], patients: Ints | None, min_count: int, cv: int) -> Column:
        known = series.notna().to_numpy() & (series.astype(str) != "").to_numpy()
        numeric = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
        if numeric and series[known].nunique() > _FEW_NUMBERS:
            rows = np.flatnonzero(known)
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)[rows]
            finite = np.isfinite(values)
            short = "" if finite.sum() >= max(min_count, 2 * cv) else f"only {int(finite.sum())} numbers"
            return cls("number", rows[finite], values[finite], np.empty(0), short)
        text = series.astype(str).to_numpy()
        levels, counts = np.unique(text[known].astype(str), return_counts=True)
        kept = levels[counts >= max(min_count, cv)]
        note = ""
        if len(kept) < 2:
            note = f"fewer than two levels with at least {max(min_count, cv)} cases"
        elif len(kept) > _MOST_LEVELS:
            note = f"{len(kept)} levels; cut it into at most {_MOST_LEVELS}"
        if note:
            return cls("category", np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), kept, note)
        rows = np.flatnonzero(known & np.isin(text, kept))
        codes = np.searchsorted(kept, text[rows].astype(str)).astype(np.intp)
        if patients is not None:
            owners = [len(np.unique(patients[rows[codes == level]])) for level in range(len(kept))]
            if min(owners) < cv:
                few = kept[int(np.argmin(owners))]
                note = f"level {show(few)} has {min(owners)} patients, fewer than {cv} folds"
        return cls("category", rows, codes, kept, note)

    def as_levels(self) -> NDArray[Any]:
        """The level of each row; numbers are cut at their median."""
        if self.kind == "category":
            return self.levels[self.values]
        middle = float(np.median(self.values))
        return np.where(self.values > middle, f"above {middle:g}", f"up to {middle:g}")
