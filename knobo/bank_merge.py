"""What holds when several banks are put together: whose wording, which evidence, and which prior signs."""

from __future__ import annotations

from collections.abc import Iterable

from knobo.bank_records import Concept, PriorSign, slug


def union_of_concepts(concepts: Iterable[Concept]) -> tuple[Concept, ...]:
    """One concept an id, with the wording of the first and the evidence of all."""
    found: dict[str, Concept] = {}
    for concept in concepts:
        known = found.setdefault(concept.id, concept)
        evidence = tuple(dict.fromkeys((*known.evidence, *concept.evidence)))
        found[concept.id] = known.model_copy(update={"evidence": evidence})
    return tuple(found.values())


def agreed_signs(signs: Iterable[PriorSign]) -> tuple[PriorSign, ...]:
    """One sign for each class and concept: of equal ones the most confident, of contradictory ones none."""
    best: dict[tuple[str, str], PriorSign] = {}
    contradicted = set()
    for sign in signs:
        pair = (slug(sign.class_name), sign.concept_id)
        known = best.setdefault(pair, sign)
        if known.sign != sign.sign:
            contradicted.add(pair)
        elif sign.confidence > known.confidence:
            best[pair] = sign
    return tuple(sign for pair, sign in best.items() if pair not in contradicted)
