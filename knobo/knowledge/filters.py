"""Filters on proposed concepts, cheapest first. Each is one function: a proposal in, a verdict with its reason out.

None of them trusts the text of a passage: whatever it says, a concept enters a bank only with a sentence that stands
in a retrieved passage and that holds the words of the concept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from knobo.bank import slug
from knobo.knowledge.classes import TaskClass
from knobo.knowledge.corpus import Passage
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.propose import Proposal
from knobo.knowledge.text import tokenize

_NAME = re.compile(r"[^\W_][\w\s\-'’,.%/()]*")
_LONGEST_NAME = 60  # characters
_MOST_WORDS = 8
_LONGEST_SENTENCE = 1000  # characters
_MARKUP = re.compile(r"</?(?!(?:i|b|u|em|strong|su[bp])>)[a-z][^>]*>|<[|!]|```|[{}]|https?://|javascript:")
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.]{0,60}\b(?:instructions?|prompts?|rules|filters?|previous)\b"
    r"|\b(?:system|assistant|developer|user) ?(?:prompt|message)?:|\bas an ai\b|\bpassage_id\b|\[/?inst\]"
    r"|(?<!we )(?<!they )(?<!authors )(?<!to )\b(?:add|accept|output|return|propose)\b"
    r"[^.]{0,30}\b(?:concepts?|candidates?)\b"
)


@dataclass(frozen=True)
class Verdict:
    """Whether a proposal passes a filter, and why not; ``same_as`` is what a judge holds to be the same finding."""

    ok: bool
    reason: str = ""
    same_as: str = ""


@dataclass
class FilterContext:
    """What the filters compare a proposal with.

    Attributes
    ----------
    classes : sequence of TaskClass
    kb : KnowledgeBase
    modality : str
        Empty means that every entry may be seen.
    passages : mapping of str to Passage
        The passages that were retrieved, by id.
    accepted : dict of str to str
        Comparable words of every accepted name, and that name.
    accepted_cuis : dict of str to str
        UMLS identifiers of the accepted concepts, and their names.
    ids : dict of str to str
        Ids of the accepted concepts, and their names.
    """

    classes: Sequence[TaskClass]
    kb: KnowledgeBase
    modality: str
    passages: Mapping[str, Passage]
    accepted: dict[str, str] = field(default_factory=dict)
    accepted_cuis: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def accept(self, name: str, cui: str | None) -> None:
        """Remember an accepted concept."""
        self.accepted[same_words(name)] = self.ids[slug(name)] = name
        if cui is not None:
            self.accepted_cuis[cui] = name

    def entry(self, proposal: Proposal) -> KbEntry | None:
        """Entry of the knowledge base that a proposal names, if it names one."""
        return None if proposal.entry_id is None else self.kb[proposal.entry_id]


Filter = Callable[[Proposal, FilterContext], Verdict]
_PASS = Verdict(True)
NOT_ENTAILED = Verdict(False, "not entailed by its sentence, says the model")


def is_well_formed(proposal: Proposal, context: FilterContext) -> Verdict:
    """The name is a short plain phrase, without markup or links."""
    name = proposal.name
    plain = _NAME.fullmatch(name) and slug(name) and "//" not in name and "\n" not in name
    if not plain or len(name) > _LONGEST_NAME or len(name.split()) > _MOST_WORDS:
        return Verdict(False, "not a short plain name")
    return _PASS


def names_no_class(proposal: Proposal, context: FilterContext) -> Verdict:
    """The concept is no class of the task: not by its words, a synonym, a CUI, or as a kind of disease.

    A sign that implies a class (a meniscus, of an effusion) is what a concept should be, and passes.
    """
    entry = context.entry(proposal)
    broader = _kinds(entry, context.kb) if entry else frozenset()
    cuis = entry.cuis if entry else frozenset()
    for item in context.classes:
        if item.entry_id in broader or cuis & item.cuis or item.is_named_in(proposal.name):
            return Verdict(False, f"names class {item.name}")
    return _PASS


def _kinds(entry: KbEntry, kb: KnowledgeBase) -> frozenset[str]:
    """The entry, and for a disease everything that it is a kind of."""
    return kb.broader(entry.id) if entry.kind == "disease" else frozenset({entry.id})


def is_visible(proposal: Proposal, context: FilterContext) -> Verdict:
    """The concept is something that is seen, and seen in this modality."""
    entry = context.entry(proposal)
    if entry is not None and entry.kind == "disease":
        return Verdict(False, "a disease, not a finding")
    if entry is not None and context.modality and entry.modality not in ("", context.modality):
        return Verdict(False, f"not a finding of {context.modality}")
    return _PASS


def is_cited(proposal: Proposal, context: FilterContext) -> Verdict:
    """The cited passage was retrieved, the sentence stands in it word for word, and the words stand in the sentence."""
    passage = context.passages.get(proposal.passage_id)
    if passage is None:
        return Verdict(False, "cites a passage that was not retrieved")
    if not proposal.sentence or proposal.sentence not in passage.text:
        return Verdict(False, "the sentence does not stand in the passage")
    if not proposal.phrase or proposal.phrase not in proposal.sentence:
        return Verdict(False, "the sentence does not name the finding")
    return _PASS


def is_new(proposal: Proposal, context: FilterContext) -> Verdict:
    """No accepted concept has the same words, the same id or the same CUI."""
    other = context.accepted.get(same_words(proposal.name)) or context.ids.get(slug(proposal.name))
    entry = context.entry(proposal)
    if other is None and entry is not None and entry.cui is not None:
        other = context.accepted_cuis.get(entry.cui)
    return _PASS if other is None else Verdict(False, f"the same as {other}")


def is_prose(proposal: Proposal, context: FilterContext) -> Verdict:
    """The sentence is written for a reader: not endless, no markup or code, and no order to a model in its passage.

    A net for what a model may be talked into; the guard is that the sentence and the words of the finding are there.
    """
    if len(proposal.sentence) > _LONGEST_SENTENCE:
        return Verdict(False, "the sentence is too long to be checked")
    if _MARKUP.search(proposal.sentence.lower()):
        return Verdict(False, "the sentence is markup, not prose")
    if gives_orders(context.passages[proposal.passage_id]):
        return Verdict(False, "the passage gives orders to a model")
    return _PASS


def gives_orders(passage: Passage) -> bool:
    """Whether a passage addresses a model: tells it to ignore, to accept, or plays a part of a conversation."""
    return _ORDERS.search(f"{passage.title}\n{passage.text}".lower()) is not None


FILTERS: tuple[Filter, ...] = (is_well_formed, names_no_class, is_visible, is_cited, is_new)
MODEL_FILTERS: tuple[Filter, ...] = (is_well_formed, names_no_class, is_visible, is_cited, is_prose, is_new)


def judge(proposal: Proposal, context: FilterContext, filters: Sequence[Filter] = FILTERS) -> Verdict:
    """First refusal, or a pass."""
    for check in filters:
        verdict = check(proposal, context)
        if not verdict.ok:
            return verdict
    return _PASS


def same_words(name: str) -> str:
    """Words of a name without order, endings, spelling, the article "a" or a genitive's "s"."""
    words = (token for token in tokenize(name) if token.lower.isalnum() and token.lower not in ("a", "s"))
    return " ".join(sorted(token.stem for token in words))
