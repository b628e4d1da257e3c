"""Parts of an explanation: some cases, some concepts, one class against another. Sums stay exact."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import InputError
from knobo.explain._checks import check_concepts, check_positions

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation

Array = NDArray[np.float64]


def select_cases(why: Explanation, cases: Any) -> Explanation:
    """Return the explanation of some cases."""
    rows = check_positions(cases, len(why))
    return replace(
        why,
        activations=why.activations[rows],
        case_ids=[why.cases[i] for i in rows],
        images=None if why.images is None else [why.images[i] for i in rows],
        rest=why.rest[rows],
    )


def select_concepts(why: Explanation, concepts: Any) -> Explanation:
    """Return the explanation by some concepts; what the others contribute goes to the base and to ``rest``."""
    columns = check_concepts(concepts, why.bank.ids)
    out = np.setdiff1d(np.arange(len(why.bank)), columns)
    return replace(
        why,
        activations=why.activations[:, columns],
        weights=why.weights[:, columns],
        intercept=why.intercept + why.weights[:, out] @ why.reference[out],
        reference=why.reference[columns],
        bank=why.bank.subset([why.bank.ids[j] for j in columns]),
        prior_signs=None if why.prior_signs is None else why.prior_signs[:, columns],
        quality=None if why.quality is None else why.quality.iloc[columns],
        rest=why.rest + why.contributions[:, :, out].sum(axis=2),
    )


def contrast(why: Explanation, label: Any, other: Any) -> Explanation:
    """Set one class against another; see :meth:`Explanation.contrast`."""
    k, other_k = why.class_index(label), why.class_index(other)
    if k == other_k:
        raise InputError(f"A contrast needs two classes, got {str(label)!r} twice.")

    def difference(rows: Array) -> Array:
        one_way = rows[k] if len(why.classes) == 2 else rows[k] - rows[other_k]  # of two, a row is the log-odds already
        return np.stack([-one_way, one_way])

    return replace(
        why,
        weights=difference(why.weights),
        intercept=difference(why.intercept),
        classes=why.classes[[other_k, k]],
        prior_signs=None if why.prior_signs is None else np.sign(difference(why.prior_signs)),
        rest=difference(why.rest.T).T,
        label=why.classes[k],
    )
