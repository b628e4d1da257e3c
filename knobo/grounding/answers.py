"""What an expert's columns and the reports answer, brought into one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knobo._validation import knobo_errors
from knobo.bank import ConceptBank, load_bank, slug
from knobo.errors import InputError
from knobo.grounding.annotate import annotate_reports


def concept_answers(
    n: int,
    bank: ConceptBank | str | Path | None,
    concepts: pd.DataFrame | None,
    reports: Sequence[str | None] | None,
) -> tuple[ConceptBank, pd.DataFrame]:
    """Bring an expert's answers and the reports' into one table.

    Parameters
    ----------
    n : int
        Number of images.
    bank : ConceptBank, str, Path or None
        ``None`` makes a bank from the columns of ``concepts``.
    concepts : DataFrame of shape (n, any), optional
        Answers 1, 0 or NaN; the columns are concept ids or names.
    reports : sequence of str of length n, optional
        They fill the expert's gaps.

    Returns
    -------
    bank : ConceptBank
    answers : DataFrame of shape (n, m)
        Columns are ids of those concepts that anybody speaks of.

    Raises
    ------
    InputError
        If nobody answers, the lengths differ, or a column is no concept of the bank.
    """
    if concepts is None and reports is None:
        raise InputError(
            "There are no concept answers to learn from: pass reports=, or concepts=; or use an encoder with a text "
            "side, such as 'whyxrayclip', which reads concepts by its own words; or give the classifier a fitted "
            "scorer as scorer=FrozenEstimator(scorer)."
        )
    for what, given in (("rows of concept answers", concepts), ("reports", reports)):
        if given is not None and len(given) != n:
            raise InputError(f"There are {n} images but {len(given)} {what}; pass one an image.")
    loaded = as_bank(bank, () if concepts is None else concepts.columns)
    if reports is not None:
        answers = annotate_reports(reports, loaded)
    else:
        answers = pd.DataFrame(np.nan, index=range(n), columns=list(loaded.ids))
    if concepts is not None:
        expert = _by_concept_id(concepts, loaded)
        answers[list(expert.columns)] = expert.combine_first(answers[list(expert.columns)])
    return loaded, answers.loc[:, answers.notna().any()]


def as_bank(bank: ConceptBank | str | Path | None, names: Iterable[Any]) -> ConceptBank:
    """The bank itself, the one that is named, or one made of the names of the concepts."""
    if isinstance(bank, ConceptBank):
        return bank
    if bank is not None:
        return load_bank(bank)
    found = {slug(str(name)): str(name).replace("_", " ") for name in names}
    if not found:
        raise InputError("There is no bank that says what to look for: pass bank=, such as 'chest-xray'.")
    return ConceptBank.from_names(found)


def _by_concept_id(concepts: pd.DataFrame, bank: ConceptBank) -> pd.DataFrame:
    unknown = [str(name) for name in concepts.columns if slug(str(name)) not in bank]
    if unknown:
        raise InputError(
            f"The bank has no concept {unknown[0]!r} ({len(unknown)} unknown column(s) in all). "
            f"It holds: {', '.join(bank.ids[:12])}{', …' if len(bank) > 12 else ''}."
        )
    with knobo_errors():
        expert = concepts.astype(float).reset_index(drop=True)
    return expert.rename(columns={name: slug(str(name)) for name in concepts.columns})
