"""Concept proposals from retrieved passages, without a language model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from knobo.knowledge.corpus import Passage
from knobo.knowledge.kb import KnowledgeBase
from knobo.knowledge.mentions import Mention, MentionFinder, Polarity
from knobo.knowledge.text import split_sentences


@dataclass(frozen=True)
class Proposal:
    """A finding that a passage names, with the sentence that names it.

    Attributes
    ----------
    name : str
        Preferred name of the finding.
    phrase : str
        The words of the sentence that name it.
    passage_id, sentence : str
        Where it stands; the sentence is a slice of the passage.
    polarity : {"asserted", "denied", "doubtful"}
        What the sentence says of it.
    by_name : bool
        True when the sentence uses the preferred name.
    entry_id : str or None
        Entry of the knowledge base that was found; None when a proposer knows none.
    article : {"", "a", "an"}
        What a question puts before the name, where no entry says it.
    """

    name: str
    phrase: str
    passage_id: str
    sentence: str
    polarity: Polarity = "asserted"
    by_name: bool = True
    entry_id: str | None = None
    article: Literal["", "a", "an"] = ""


@dataclass(frozen=True)
class SentenceReading:
    """A sentence and the entries that it mentions."""

    text: str
    mentions: tuple[Mention, ...]


@dataclass(frozen=True)
class PassageReading:
    """A passage, sentence by sentence, and the entries that its title names."""

    passage: Passage
    sentences: tuple[SentenceReading, ...]
    titled: frozenset[str]


class ExtractiveProposer:
    """Proposes the findings that the sentences of a passage mention.

    Parameters
    ----------
    kb : KnowledgeBase
        What can be found.
    modality : str
        Only entries of this modality, or of any, are looked for; empty looks for all.
    """

    def __init__(self, kb: KnowledgeBase, *, modality: str = "") -> None:
        self.kb = kb
        self._finder = MentionFinder(entry for entry in kb if not modality or entry.modality in ("", modality))
        self._readings: dict[Passage, PassageReading] = {}

    def propose(self, passages: Iterable[Passage]) -> Iterator[Proposal]:
        """Every mention of every passage, in order."""
        for passage in passages:
            for sentence in self.read(passage).sentences:
                for mention in sentence.mentions:
                    yield Proposal(
                        name=self.kb[mention.entry_id].name,
                        phrase=sentence.text[mention.start : mention.end],
                        passage_id=passage.id,
                        sentence=sentence.text,
                        polarity=mention.polarity,
                        by_name=mention.by_name,
                        entry_id=mention.entry_id,
                    )

    def read(self, passage: Passage) -> PassageReading:
        """Mentions of a passage; each passage is read once."""
        if passage not in self._readings:
            sentences = tuple(
                SentenceReading(text, tuple(self._finder.find(text))) for text in split_sentences(passage.text)
            )
            self._readings[passage] = PassageReading(passage, sentences, self._finder.names(passage.title))
        return self._readings[passage]

    @property
    def readings(self) -> list[PassageReading]:
        """All passages read so far, in the order of their ids."""
        return sorted(self._readings.values(), key=lambda reading: reading.passage.id)
