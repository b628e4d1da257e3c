"""Concept proposals from retrieved passages, by a language model.

The model only points: what it quotes is looked up in the passage and replaced by the passage's own sentence, the words
of the finding are looked up in that sentence, and the entry comes from the linker. The filters judge the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from knobo.knowledge.align import align
from knobo.knowledge.corpus import Passage
from knobo.knowledge.filters import same_words
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.link import Candidate, ConceptLinker
from knobo.knowledge.llm import LanguageModel
from knobo.knowledge.mentions import Mention, MentionFinder
from knobo.knowledge.prompting import Asker, encode, pack, show
from knobo.knowledge.propose import Proposal

CHARS_A_CALL = 12_000  # a reply mostly quotes: as long as what it is about, it fits the 4,096 tokens of a reply
_LONGEST_ID = 200  # characters of an id that the model made up
_QUESTION = re.compile(r"(?:Is|Are) there (?:(an?) )?(.+)\?")
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_AROUND = " .?!\"'"


class _Proposed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    question: str
    passage_id: str
    sentence: str


class _ProposeReply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    concepts: list[_Proposed]


class LlmProposer:
    """Proposes the findings that a language model reads in passages; each passage is read once.

    Parameters
    ----------
    model : LanguageModel or Asker
    linker : ConceptLinker
    modality : str
        Such as ``"chest-xray"``; of entries with equal names the one of this modality is taken.
    classes : sequence of str
        Names that no finding may have; the model is told, and the filters check.
    threshold : float
        Least score of a link, in [0, 1]. A finding is linked when it also has the words of the entry's name or of one
        of its other names; else it stays unlinked. A disease needs the score alone, because a link to one refuses the
        proposal.
    """

    def __init__(
        self,
        model: LanguageModel | Asker,
        linker: ConceptLinker,
        modality: str = "",
        *,
        classes: Sequence[str] = (),
        threshold: float = 0.85,
    ) -> None:
        self.asker = model if isinstance(model, Asker) else Asker(model, modality)
        self.linker, self.modality, self.classes, self.threshold = linker, modality, tuple(classes), threshold
        self._found: dict[str, list[Proposal]] = {}

    def propose(self, passages: Iterable[Passage]) -> Iterator[Proposal]:
        """Proposals of every passage, in order; passages that were not read yet are read together."""
        passages = list(passages)
        self._read({passage.id: passage for passage in passages if passage.id not in self._found})
        for passage in passages:
            yield from self._found[passage.id]

    def _read(self, fresh: Mapping[str, Passage]) -> None:
        classes = encode(list(self.classes))
        replies = self.asker.ask(
            "propose",
            pack(fresh.values(), CHARS_A_CALL),
            lambda batch: {"classes": classes, "passages": show(batch)},
            _ProposeReply,
        )
        self._found.update((passage_id, []) for passage_id in fresh)
        for batch, reply in replies:
            shown = {passage.id: passage for passage in batch}
            names = [_clean(item.name) for item in reply.concepts]
            linked = self.linker.link_batch(names, k=10, threshold=self.threshold)
            for item, name, candidates in zip(reply.concepts, names, linked, strict=True):
                entry = choose(name, candidates, self.linker.kb, self.modality)
                holder = item.passage_id if item.passage_id in shown else batch[0].id
                self._found[holder].append(_proposal(item, name, entry, shown.get(item.passage_id)))


def choose(name: str, candidates: Sequence[Candidate], kb: KnowledgeBase, modality: str) -> KbEntry | None:
    """The entry that a name means: by the same words, or a disease that is written nearly the same."""
    entries = [(kb[found.id], found.alias) for found in candidates]
    exact = [entry for entry, alias in entries if same_words(alias) == same_words(name)]
    fitting = [entry for entry in exact if not modality or entry.modality in ("", modality)]
    near = [entry for entry, _ in entries[:1] if entry.kind == "disease"]
    return next(iter((*fitting, *exact, *near)), None)


def _proposal(item: _Proposed, name: str, entry: KbEntry | None, passage: Passage | None) -> Proposal:
    """The proposal with the passage's own sentence; without one it is left empty, and the filters say why."""
    sentences = align(item.sentence, passage.text) if passage else ()
    sentence, mention = find_named(sentences, [entry or KbEntry(id="own", name=name)] if name else [])
    phrase = sentence[mention.start : mention.end] if mention else ""
    if phrase.lower() == name.lower() and mention and mention.start > 0:
        name = phrase  # as it is written inside a sentence
    return Proposal(
        name=entry.name if entry else name,
        phrase=phrase,
        passage_id=passage.id if passage else item.passage_id[:_LONGEST_ID],
        sentence=sentence,
        polarity=mention.polarity if mention else "asserted",
        by_name=mention.by_name if mention else False,
        entry_id=entry.id if entry else None,
        article="" if entry else _article(item.question, name),
    )


def find_named(sentences: Sequence[str], entries: Sequence[KbEntry]) -> tuple[str, Mention | None]:
    """First sentence that names one of the entries, and where; else all sentences' first and None."""
    finder = MentionFinder(entries)
    for sentence in sentences:
        for mention in finder.find(sentence):
            return sentence, mention
    return (sentences[0] if sentences else ""), None


def _clean(name: str) -> str:
    return _ARTICLE.sub("", name.strip(_AROUND))


def _article(question: str, name: str) -> Literal["", "a", "an"]:
    """The article that the model's question gives the name; nothing else of that question is used."""
    match = _QUESTION.fullmatch(question.strip())
    if match is None or match[2].lower() != name.lower():
        return ""
    return "an" if match[1] == "an" else "a" if match[1] == "a" else ""
