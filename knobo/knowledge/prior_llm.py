"""The parameter prior by a language model: three-valued, and no sign without a sentence that was found.

A class is asked about together with all concepts, on the passages that name it. A sign is kept when its sentence
stands in one of these passages and names the concept; "unknown", silence and contradiction mean no sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from knobo.bank import Evidence, PriorSign
from knobo.knowledge.align import align
from knobo.knowledge.classes import TaskClass
from knobo.knowledge.corpus import Passage
from knobo.knowledge.filters import gives_orders, same_words
from knobo.knowledge.kb import KbEntry
from knobo.knowledge.mentions import MentionFinder
from knobo.knowledge.prior import MAX_EVIDENCE, make_evidence
from knobo.knowledge.prompting import Asker, as_data, encode, pack, show
from knobo.knowledge.propose_llm import find_named
from knobo.knowledge.text import split_sentences

CONCEPTS_A_CALL = 200
CHARS_A_CALL = 32_000


class _Signed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    concept: str
    verdict: Literal["supports", "against", "unknown"]
    confidence: float
    passage_id: str
    sentence: str


class _PriorReply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    signs: list[_Signed]


@dataclass(frozen=True)
class Subject:
    """A concept that the prior is asked about: its id, its entry, and all entries that name it or a kind of it."""

    id: str
    entry: KbEntry
    entries: tuple[KbEntry, ...]


@dataclass
class _Votes:
    confidence: dict[int, float] = field(default_factory=dict)  # sign to the first confidence given
    evidence: dict[str, Evidence] = field(default_factory=dict)


def ask_prior(
    asker: Asker, classes: Sequence[TaskClass], subjects: Sequence[Subject], passages: Mapping[str, Sequence[Passage]]
) -> tuple[tuple[PriorSign, ...], int]:
    """Signs of all classes and concepts.

    Parameters
    ----------
    asker : Asker
    classes : sequence of TaskClass
    subjects : sequence of Subject
        The concepts, in the order of the bank.
    passages : mapping of str to sequence of Passage
        For each class name the passages that name it, best first; of those that name a concept the first 32,000
        characters are shown.

    Returns
    -------
    signs : tuple of PriorSign
        Ordered by class, then by concept.
    n_dropped : int
        Answers that were left out: no such concept, no such sentence, or both signs for one pair.
    """
    finder = MentionFinder({entry.id: entry for subject in subjects for entry in subject.entries}.values())
    useful = {p.id for about in passages.values() for p in about if any(map(finder.find, split_sentences(p.text)))}
    shown = {
        item.name: next(iter(pack((p for p in passages[item.name] if p.id in useful), CHARS_A_CALL)), [])
        for item in classes
    }
    batches = [
        [(item, subject) for subject in subjects[start : start + CONCEPTS_A_CALL]]
        for item in classes
        if shown[item.name]
        for start in range(0, len(subjects), CONCEPTS_A_CALL)
    ]

    def fields(batch: Sequence[tuple[TaskClass, Subject]]) -> dict[str, str]:
        item = batch[0][0]
        concepts = as_data({"concept": subject.entry.name} for _, subject in batch)
        return {"class": encode(item.wordings[0]), "concepts": concepts, "passages": show(shown[item.name])}

    votes: dict[tuple[str, str], _Votes] = {}
    n_dropped = 0
    for batch, reply in asker.ask("prior", batches, fields, _PriorReply):
        item = batch[0][0]
        found = {same_words(subject.entry.name): subject for _, subject in batch}
        for answer in reply.signs:
            n_dropped += not _count(votes, item, found.get(same_words(answer.concept)), answer, shown[item.name])
    return _signs(votes, classes, subjects), n_dropped + sum(len(vote.confidence) > 1 for vote in votes.values())


def _count(
    votes: dict[tuple[str, str], _Votes],
    item: TaskClass,
    subject: Subject | None,
    answer: _Signed,
    passages: Iterable[Passage],
) -> bool:
    """Take an answer, and say whether it could be used."""
    if answer.verdict == "unknown":
        return True
    passage = next((passage for passage in passages if passage.id == answer.passage_id), None)
    if subject is None or passage is None:
        return False
    sentence, mention = find_named(align(answer.sentence, passage.text), subject.entries)
    if mention is None or gives_orders(passage) or not answer.confidence > 0.0:
        return False
    vote = votes.setdefault((item.name, subject.id), _Votes())
    vote.confidence.setdefault(1 if answer.verdict == "supports" else -1, round(min(answer.confidence, 1.0), 4))
    vote.evidence.setdefault(sentence, make_evidence(passage, sentence))
    return True


def _signs(
    votes: Mapping[tuple[str, str], _Votes], classes: Sequence[TaskClass], subjects: Sequence[Subject]
) -> tuple[PriorSign, ...]:
    signs = []
    for key in ((item.name, subject.id) for item in classes for subject in subjects):
        if key in votes and len(votes[key].confidence) == 1:
            ((sign, confidence),) = votes[key].confidence.items()
            evidence = tuple(votes[key].evidence.values())[:MAX_EVIDENCE]
            signs.append(
                PriorSign(
                    class_name=key[0],
                    concept_id=key[1],
                    sign=1 if sign > 0 else -1,
                    confidence=confidence,
                    evidence=evidence,
                )
            )
    return tuple(signs)
