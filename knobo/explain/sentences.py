"""A prediction in plain words: what speaks for it, what against, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from knobo.errors import InputError
from knobo.explain._checks import check_concepts
from knobo.explain.contributions import rank
from knobo.explain.style import chance, readable, signed

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation

Places = Mapping[str, str | Sequence[str | None]]


def case_sentences(why: Explanation, places: Places | None = None, max_concepts: int = 3) -> list[str]:
    """Write one sentence a case; see :meth:`Explanation.sentences`."""
    if max_concepts < 1:
        raise InputError(f"max_concepts is {max_concepts}; name at least 1 concept.")
    where = _check_places(why, places or {})
    return [_sentence(why, i, int(k), where, max_concepts) for i, k in enumerate(why.explained)]


def _sentence(why: Explanation, i: int, k: int, where: Mapping[str, Sequence[str | None]], most: int) -> str:
    values = why.contributions[i, k]
    order = rank(values, why.weights[k], len(values)).top.tolist()
    named = [j for j in order if abs(values[j]) >= 0.05]  # less is written as 0.0
    sides = [j for j in named if values[j] > 0][:most], [j for j in named if values[j] < 0][:most]
    phrases = [", ".join(f"{_finding(why, i, j, where)} ({signed(values[j], 1)})" for j in side) for side in sides]
    parts = [phrases[0] or "nothing speaks for it", f"against: {phrases[1]}" if phrases[1] else ""]
    others = float(values.sum() + why.rest[i, k] - values[sides[0] + sides[1]].sum())
    parts.append(f"all else {signed(others, 1)}" if abs(others) >= 0.05 else "")
    name = readable(why.classes[k])
    if why.label is not None and len(why.classes) == 2:  # a contrast: the probability is of these two only
        name = f"{name} rather than {readable(why.classes[1 - k])}"
    return f"{name[:1].upper()}{name[1:]} {chance(why.probabilities[i, k])}: {'; '.join(filter(None, parts))}."


def _finding(why: Explanation, i: int, j: int, where: Mapping[str, Sequence[str | None]]) -> str:
    """Say whether the finding is there: a contribution of what is *absent* must not read as if it was present."""
    concept, value, usual = why.bank.concepts[j], why.activations[i, j], why.reference[j]
    if value < usual:
        return f"no {concept.name}" if value < 0.5 else f"{concept.name} less clear than usual"
    place = where[concept.id][i] if concept.id in where else None
    wording = f"{concept.name} in the {place}" if place else concept.name
    return wording if value >= 0.5 else f"possible {wording}"


def _check_places(why: Explanation, places: Places) -> dict[str, Sequence[str | None]]:
    checked: dict[str, Sequence[str | None]] = {}
    for concept_id, words in places.items():
        check_concepts(concept_id, why.bank.ids)
        each = [words] * len(why) if isinstance(words, str) else list(words)
        if len(each) != len(why):
            raise InputError(f"There are {len(why)} cases but {len(each)} places of {concept_id!r}; pass one a case.")
        checked[concept_id] = each
    return checked
