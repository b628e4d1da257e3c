"""The findings of the bank with what they were taken from, and the weights that go against the literature."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from knobo.explain import Explanation
from knobo.explain.style import readable, signed
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


def conflicts(why: Explanation) -> list[dict[str, Any]]:
    """Weights with the opposite sign of the literature, largest first, as ``head.prior_conflicts`` gives them.

    For two classes those of the second. ``edits`` are what a reader may answer, as JSON of :mod:`knobo`'s edits.
    """
    if why.prior_signs is None:
        return []
    first = 1 if len(why.classes) == 2 else 0
    pairs = [(k, j) for k, j in np.argwhere(why.agreement < 0).tolist() if k >= first]
    confidence = why.bank.prior_matrix(why.classes)[1]
    rows = []
    for k, j in sorted(pairs, key=lambda pair: -abs(float(why.weights[pair]))):
        concept, label, sign = why.bank.concepts[j], why.classes[k], int(why.prior_signs[k, j])
        target = {"concept": concept.id, "class_name": label.item() if isinstance(label, np.generic) else label}
        rows.append(
            {
                "finding": concept.name,
                "class": readable(label),
                "sign": sign,
                "confidence": f"{confidence[k, j]:.2f}",
                "weight": signed(float(why.weights[k, j])),
                "citation": citation(why.citation(label, concept.id)),
                "veto": json.dumps({"edit": "veto", **target, "why": "sign against the literature"}),
                "force": json.dumps({"edit": "force_sign", **target, "sign": sign, "why": "sign of the literature"}),
            }
        )
    return rows


def _sentences(evidence: list[Any]) -> list[Citation]:
    found = [cited for cited in map(citation, evidence) if cited is not None]
    return list(dict.fromkeys(found))[:_MOST_SENTENCES]
