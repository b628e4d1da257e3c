"""The parameter prior read from the passages: which finding speaks for a class, and which against it.

A sign needs a sentence about the class: one that names it and no other disease, or one of a passage that names no
other disease at all. A finding that such a sentence states counts +1, one that it denies −1. A doubtful sentence, a
comparison or a passage that does not name the class counts nothing: unknown means no pull.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from knobo.bank import Evidence, PriorSign
from knobo.knowledge.classes import TaskClass
from knobo.knowledge.corpus import Passage
from knobo.knowledge.kb import KnowledgeBase
from knobo.knowledge.mentions import Mention
from knobo.knowledge.propose import PassageReading, SentenceReading

_COMPARISON = re.compile(
    r"\b(?:imitat\w*|mistaken|confus\w*|look the same|cannot be told|simulat\w*|favours? another|differential|"
    r"distinction|must not)\b"
)
_COORDINATED = re.compile(r"\s*,?\s*(?:and|or)\s+(?:\w+\s+)?")

MAX_EVIDENCE = 5  # sentences kept for each sign; the confidence counts all of them


@dataclass
class _Votes:
    """Sentences for and against, each with its passage."""

    stated: dict[str, Passage] = field(default_factory=dict)
    denied: dict[str, Passage] = field(default_factory=dict)


def read_prior(
    readings: Iterable[PassageReading], classes: Sequence[TaskClass], concepts: Mapping[str, str], kb: KnowledgeBase
) -> tuple[PriorSign, ...]:
    """Signs of all classes and concepts that the passages speak of.

    Parameters
    ----------
    readings : iterable of PassageReading
    classes : sequence of TaskClass
    concepts : mapping of str to str
        Entry of the knowledge base and the id of the concept made from it, in the order of the bank.
    kb : KnowledgeBase

    Returns
    -------
    tuple of PriorSign
        Ordered by class, then by concept. With p sentences for and q against, the sign is that of p − q and the
        confidence |p − q| / (p + q + 1); a draw is unknown.
    """
    votes: dict[tuple[str, str], _Votes] = {}
    for reading in readings:
        about_all = _subject_of_passage(reading, classes, kb)
        for sentence in reading.sentences:
            subject = _subject(_diseases(sentence, classes, kb), classes, kb)
            if subject is None and not _diseases(sentence, classes, kb):
                subject = about_all
            if subject is not None and not _compares(sentence, classes, kb):
                _count(votes, subject, sentence, reading.passage, kb)
    signs = (
        _sign(votes.get((item.entry_id, entry_id)), item.name, concept_id)
        for item in classes
        for entry_id, concept_id in concepts.items()
    )
    return tuple(sign for sign in signs if sign is not None)


@dataclass(frozen=True)
class _Subject:
    """The class that a sentence is about; ``whole`` is False when it speaks of one kind of the class only."""

    entry_id: str
    whole: bool


def _diseases(sentence: SentenceReading, classes: Sequence[TaskClass], kb: KnowledgeBase) -> frozenset[str]:
    task = {item.entry_id for item in classes}
    named = (mention.entry_id for mention in sentence.mentions)
    return frozenset(entry_id for entry_id in named if entry_id in task or kb[entry_id].kind == "disease")


def _compares(sentence: SentenceReading, classes: Sequence[TaskClass], kb: KnowledgeBase) -> bool:
    """Whether the sentence doubts the disease, or says what can be taken for what."""
    named = _diseases(sentence, classes, kb)
    doubted = any(m.polarity == "doubtful" for m in sentence.mentions if m.entry_id in named)
    return doubted or bool(_COMPARISON.search(sentence.text.lower()))


def _subject(diseases: frozenset[str], classes: Sequence[TaskClass], kb: KnowledgeBase) -> _Subject | None:
    """The one class that all these diseases are, or are kinds of; of two that fit, the narrower ("COVID-19")."""
    if not diseases:
        return None
    task = [item.entry_id for item in classes]
    fitting = [item for item in task if all(item in kb.broader(disease) for disease in diseases)]
    fitting = [item for item in fitting if not any(item in kb.broader(other) for other in fitting if other != item)]
    return _Subject(fitting[0], whole=fitting[0] in diseases) if len(fitting) == 1 else None


def _subject_of_passage(reading: PassageReading, classes: Sequence[TaskClass], kb: KnowledgeBase) -> _Subject | None:
    """The class that the whole passage is about: the first sentence names it, and no other disease comes up."""
    if not reading.sentences or not _diseases(reading.sentences[0], classes, kb):
        return None
    everywhere = frozenset().union(*(_diseases(sentence, classes, kb) for sentence in reading.sentences))
    return _subject(everywhere, classes, kb)


def _count(
    votes: dict[tuple[str, str], _Votes],
    subject: _Subject,
    sentence: SentenceReading,
    passage: Passage,
    kb: KnowledgeBase,
) -> None:
    for mention in sentence.mentions:
        if kb[mention.entry_id].kind != "finding" or _is_listed_with_disease(mention, sentence, kb):
            continue
        if mention.polarity == "asserted":
            for entry_id in kb.broader(mention.entry_id):
                votes.setdefault((subject.entry_id, entry_id), _Votes()).stated[sentence.text] = passage
        elif mention.polarity == "denied" and subject.whole:
            votes.setdefault((subject.entry_id, mention.entry_id), _Votes()).denied[sentence.text] = passage


def _is_listed_with_disease(mention: Mention, sentence: SentenceReading, kb: KnowledgeBase) -> bool:
    """In "interstitial oedema and viral pneumonia" the first is a second subject, not a sign of the second."""
    for other in sentence.mentions:
        if kb[other.entry_id].kind == "disease":
            first, second = sorted((mention, other), key=lambda m: m.start)
            if _COORDINATED.fullmatch(sentence.text[first.end : second.start]):
                return True
    return False


def _sign(votes: _Votes | None, class_name: str, concept_id: str) -> PriorSign | None:
    if votes is None or len(votes.stated) == len(votes.denied):
        return None
    difference, total = len(votes.stated) - len(votes.denied), len(votes.stated) + len(votes.denied)
    sentences = votes.stated if difference > 0 else votes.denied
    return PriorSign(
        class_name=class_name,
        concept_id=concept_id,
        sign=1 if difference > 0 else -1,
        confidence=round(abs(difference) / (total + 1), 4),
        evidence=tuple(make_evidence(passage, text) for text, passage in list(sentences.items())[:MAX_EVIDENCE]),
    )


def make_evidence(passage: Passage, sentence: str) -> Evidence:
    """Cite a sentence; it counts as verified only when it stands in the passage."""
    return Evidence(
        passage_id=passage.id,
        source=passage.source,
        title=passage.title,
        sentence=sentence,
        url=passage.url,
        year=passage.year,
        verified=sentence in passage.text,
        licence=passage.licence,
    )
