"""The findings of the bank with what they were taken from."""

from __future__ import annotations

from typing import Any

import numpy as np

from knobo.explain import Explanation
from knobo.explain.style import readable
from knobo.reporting.sections import Citation, citation

_MOST_SENTENCES = 4


def bank_view(why: Explanation) -> list[dict[str, Any]]:
    """One entry a concept in alphabetical order: question, identifier, evidence, and what is known of its signs."""
    used = np.abs(why.weights).max(axis=0) > 0
    entries = []
    for j, concept in enumerate(why.bank):
        signs = [sign for sign in why.bank.prior if sign.concept_id == concept.id]
        entries.append(
            {
                "name": concept.name,
                "cui": concept.cui,
                "question": concept.question,
                "used": bool(used[j]),
                "signs": [(readable(s.class_name), s.sign > 0, f"{s.confidence:.2f}") for s in signs],
                "evidence": _sentences([*concept.evidence, *(e for s in signs for e in s.evidence)]),
            }
        )
    return sorted(entries, key=lambda entry: str(entry["name"]).lower())


def _sentences(evidence: list[Any]) -> list[Citation]:
    found = [cited for cited in map(citation, evidence) if cited is not None]
    return list(dict.fromkeys(found))[:_MOST_SENTENCES]
