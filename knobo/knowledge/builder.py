"""Corpus and class names to a concept bank: retrieve, propose, filter, link, accept, breadth first.

The queue starts with the classes; each accepted concept is put at its end, until the bank holds enough concepts or
the queue is empty. The same input gives the same bank, byte for byte; with a language model the same answers do.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tqdm.auto import tqdm

from knobo.bank import Concept, ConceptBank, PriorSign, slug
from knobo.errors import BudgetError, InputError
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.classes import TaskClass, resolve_classes
from knobo.knowledge.corpus import Passage, corpus_files, corpus_path, read_corpus
from knobo.knowledge.filters import (
    FILTERS,
    MODEL_FILTERS,
    NOT_ENTAILED,
    FilterContext,
    Verdict,
    is_cited,
    is_new,
    is_prose,
    judge,
    same_words,
)
from knobo.knowledge.index_folder import index_folders, open_index
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.link import ConceptLinker
from knobo.knowledge.passages import Retriever
from knobo.knowledge.prior import make_evidence, read_prior
from knobo.knowledge.propose import ExtractiveProposer, Proposal
from knobo.knowledge.wording import question, worth

if TYPE_CHECKING:
    from knobo.knowledge.build_llm import ModelAdviser
    from knobo.knowledge.llm import LanguageModel

_QUERY_WORDS = {"chest-xray": "chest radiograph sign", "skin-lesion": "dermoscopy sign"}
_LINK_THRESHOLD = 0.85
_LONGEST = 200  # characters of a rejected name that are kept


def build_bank(
    classes: Iterable[str] | Mapping[str, Iterable[str]],
    corpus: str | Path | Iterable[Passage] | Retriever,
    *,
    modality: str = "",
    n_concepts: int = 150,
    linker: str | Path | ConceptLinker = "open",
    k_passages: int = 20,
    max_evidence: int = 4,
    index_folder: str | Path | None = None,
    model: LanguageModel | None = None,
    groundable: Callable[[str], bool] | None = None,
    progress: bool = False,
) -> ConceptBank:
    """Build a concept bank from a text corpus, without a language model or with one.

    Parameters
    ----------
    classes : iterable of str, or mapping of str to iterable of str
        Class names, or class names with their synonyms. Underscores are blanks; the knowledge base adds synonyms, so
        ``"copd"`` finds "chronic obstructive pulmonary disease".
    corpus : str, Path, iterable of Passage, or Retriever
        A shipped corpus (``"chest-xray"``, ``"skin-lesion"``), a folder or a file (see :func:`read_corpus`), of which
        a BM25 index is made; or an index of any kind: a folder that :func:`open_index` opens, or the index itself.
    modality : str
        Such as ``"chest-xray"``; only its findings are taken. Empty takes the name of a shipped corpus, else all.
    n_concepts : int
        Stop after so many concepts.
    linker : str, Path or ConceptLinker
        ``"open"``, a knowledge base in JSONL, or a linker.
    k_passages : int
        Passages retrieved for each query.
    max_evidence : int
        Sentences kept for each concept.
    index_folder : str or Path, optional
        Where to keep the index that is made of a corpus between runs; without it the index lives in memory.
    model : LanguageModel, optional
        Proposes findings, judges them and gives the prior; everything that it quotes is looked up in the passages.
        Without it the findings of the knowledge base are looked for, and the prior is read from the sentences.
    groundable : callable, optional
        Takes the name of a finding that passed everything else, and says whether images or reports can teach it; see
        :func:`knobo.knowledge.verdicts.is_groundable`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    ConceptBank
        With evidence, CUIs where an open source gives one, and the parameter prior. ``provenance`` holds the corpus
        and knowledge-base hashes, the settings, and every rejected candidate with its reason.

    Raises
    ------
    InputError
        If a class is known to neither corpus nor knowledge base, or no concept was accepted.
    FileError, FormatError
        If the corpus or the knowledge base cannot be read.
    BudgetError, ModelError
        If the model's budget is spent, or it gives no usable answer. A rerun takes what was answered from the cache
        of the model and goes on.
    """
    if min(n_concepts, k_passages, max_evidence) < 1:
        raise InputError("n_concepts, k_passages and max_evidence must each be at least 1.")
    if not isinstance(linker, ConceptLinker):
        linker = ConceptLinker.load(linker)
    name = str(corpus) if isinstance(corpus, (str, Path)) else ""
    modality = modality or (name if name in _QUERY_WORDS and corpus_path(name) != Path(name) else "")
    index = _retriever(corpus, index_folder)
    task, kb = resolve_classes(classes, linker.kb)
    adviser = None
    if model is not None:
        from knobo.knowledge.build_llm import ModelAdviser

        adviser = ModelAdviser(model, linker, modality, task)
    build = _Build(task, kb, index, linker, modality, k_passages, max_evidence, adviser, groundable)
    settings: dict[str, Any] = {"n_concepts": n_concepts, "k_passages": k_passages, "max_evidence": max_evidence}
    settings |= {"groundable": True} if groundable else {}
    settings |= {} if isinstance(index, Bm25Index) else {"retriever": type(index).__name__}
    try:
        build.run(n_concepts, progress=progress)
        return build.bank({"corpus": Path(name).name or "passages", **settings})
    except BudgetError as error:
        message = f"The build stopped with {len(build.cited)} concepts accepted. {error}"
        raise BudgetError(message, error.answers) from error


def _retriever(corpus: str | Path | Iterable[Passage] | Retriever, index_folder: str | Path | None) -> Retriever:
    """An index as it is, or the index of a corpus; text counts before indexes that lie beside it."""
    if isinstance(corpus, (str, Path)):
        is_index = Path(corpus).is_dir() and not corpus_files(Path(corpus)) and index_folders(Path(corpus))
        corpus = open_index(corpus) if is_index else read_corpus(corpus)
    if not hasattr(corpus, "search"):
        return Bm25Index.build(corpus, index_folder)
    if index_folder is not None:
        raise InputError("index_folder is for the index of a corpus, but an index was given; leave index_folder out.")
    return cast("Retriever", corpus)


class _Build:
    """The state of one build."""

    def __init__(
        self,
        task: list[TaskClass],
        kb: KnowledgeBase,
        index: Retriever,
        linker: ConceptLinker,
        modality: str,
        k_passages: int,
        max_evidence: int,
        adviser: ModelAdviser | None,
        groundable: Callable[[str], bool] | None,
    ) -> None:
        self.task, self.kb, self.index, self.linker, self.modality = task, kb, index, linker, modality
        self.k_passages, self.max_evidence = k_passages, max_evidence
        self.passages: dict[str, Passage] = {}
        self.context = FilterContext(task, kb, modality, self.passages)
        self.proposer = ExtractiveProposer(kb, modality=modality)
        self.cited: dict[str, list[Proposal]] = {}  # accepted entries, in order, and the sentences that name them
        self.entries: dict[str, KbEntry] = {}
        self.rejected: dict[tuple[str, str], Proposal] = {}
        self.refused: set[str] = set()  # candidates that need not be judged again
        self.adviser, self.groundable, self.n_queries = adviser, groundable, 0
        self.unread: list[Passage] = []  # retrieved, and not shown to the model yet
        self.n_read = 0  # shown to the model
        self.filters = FILTERS if adviser is None else MODEL_FILTERS
        self.cite_filters = (is_cited,) if adviser is None else (is_cited, is_prose)

    def run(self, n_concepts: int, *, progress: bool) -> None:
        """Work through the queue, breadth first."""
        words = _QUERY_WORDS.get(self.modality, "sign finding")
        queue = deque(f"{' '.join(item.wordings[:6])} {words}" for item in self.task)
        with tqdm(total=n_concepts, desc="Building bank", disable=not progress) as bar:
            while (queue or self.unread) and len(self.cited) < n_concepts:
                for entry in self._ask(queue, n_concepts - len(self.cited)):
                    queue.append(" ".join((entry.name, *entry.own_aliases[:4])))
                    bar.update()
        self._check()

    def _ask(self, queue: deque[str], room: int) -> list[KbEntry]:
        """Take queries, retrieve, propose, filter; return the entries that were accepted now.

        Without a model one query a round. With one all classes, then as many queries as give it enough to read.
        """
        if self.adviser is None:
            fresh: list[KbEntry] = []
            for proposal in self.proposer.propose(self._retrieve([queue.popleft()])):
                fresh += self._sift([proposal], room - len(fresh))
            return fresh
        # As many passages as fill the room at the yield so far; no more, because each costs tokens.
        enough = max(math.ceil(room * max(self.n_read, 1) / max(len(self.cited), 1)), self.k_passages)
        while queue and (self.n_queries < len(self.task) or len(self.unread) < enough):
            queries = [queue.popleft() for _ in range(min(len(queue), len(self.task)))]
            known = set(self.passages)
            hits = self._retrieve(queries)
            self.unread += [passage for passage in hits if passage.id not in known]
        batch, self.unread = self.unread[:enough], self.unread[enough:]
        self.n_read += len(batch)
        return self._sift(self.adviser.propose(batch), room)

    def _retrieve(self, queries: Sequence[str]) -> list[Passage]:
        """Passages that answer some queries; the best of each come first, so that no class fills the bank alone."""
        self.n_queries += len(queries)
        found = [self.index.search(query, self.k_passages) for query in queries]
        hits = list({hit.passage.id: hit.passage for rank in zip_longest(*found) for hit in rank if hit}.values())
        self.passages.update((passage.id, passage) for passage in hits)
        if self.adviser is not None:
            for passage in hits:
                self.proposer.read(passage)  # to know which classes are named
        return hits

    def _sift(self, proposals: Iterable[Proposal], room: int) -> list[KbEntry]:
        """Cite what is known, reject what a cheap filter refuses, and accept of the rest what there is room for."""
        pending: dict[str, list[Proposal]] = {}
        for proposal in proposals:
            key = proposal.entry_id or f"own:{same_words(proposal.name)}"
            if key in self.cited:
                self._cite(key, proposal)
            elif not (verdict := judge(proposal, self.context, self.filters)).ok:
                self._reject(proposal, verdict)
            elif key not in self.refused:
                pending.setdefault(key, []).append(proposal)
        fresh: list[KbEntry] = []
        while pending and len(fresh) < room:
            batch = {key: pending.pop(key) for key in list(pending)[: room - len(fresh)]}
            best = [min(proposals, key=worth) for proposals in batch.values()]
            for (key, proposals), first, verdict in zip(batch.items(), best, self._verdicts(best), strict=True):
                if (final := self._final(first, verdict)).ok:
                    fresh.append(self._accept(key, first, proposals))
                else:
                    self._reject(first, final)
                    self.refused |= set() if final == NOT_ENTAILED else {key}
        return fresh

    def _verdicts(self, proposals: Sequence[Proposal]) -> Sequence[Verdict]:
        if self.adviser is None:
            return [Verdict(True)] * len(proposals)
        return self.adviser.verdicts(proposals, list(self.context.accepted.values()))

    def _final(self, proposal: Proposal, verdict: Verdict) -> Verdict:
        """The model's verdict, then what depends on the concepts accepted since, then what the caller says."""
        same = self.context.accepted.get(same_words(verdict.same_as)) if verdict.same_as else None
        if verdict.ok and same is not None:
            return Verdict(False, f"the same as {same}, says the model")
        if not verdict.ok or not (verdict := is_new(proposal, self.context)).ok or self.groundable is None:
            return verdict
        return verdict if self.groundable(proposal.name) else Verdict(False, "not groundable")

    def _accept(self, key: str, first: Proposal, proposals: Sequence[Proposal]) -> KbEntry:
        entry = self.kb[key] if first.entry_id else KbEntry(id=key, name=first.name, article=first.article)
        self.entries[key], self.cited[key] = entry, [first]
        self.context.accept(entry.name, entry.cui)
        for proposal in proposals:
            self._cite(key, proposal)
        return entry

    def _reject(self, proposal: Proposal, verdict: Verdict) -> None:
        self.rejected.setdefault((proposal.name[:_LONGEST], verdict.reason), proposal)

    def _cite(self, key: str, proposal: Proposal) -> None:
        sentences = {cited.sentence for cited in self.cited[key]}
        if proposal.sentence not in sentences and judge(proposal, self.context, self.cite_filters).ok:
            self.cited[key].append(proposal)

    def _check(self) -> None:
        if not self.cited:
            counts = Counter(reason for _, reason in self.rejected)
            reasons = ", ".join(f"{n} {reason}" for reason, n in counts.most_common(5)) or "no finding was mentioned"
            raise InputError(
                f"No concept was accepted from {len(self.passages)} retrieved passages ({reasons}). Use a corpus that "
                "describes findings of these classes, check modality, or give a linker that knows them."
            )
        for item in self.task:
            if not item.known and not self._is_named(item):
                raise InputError(
                    f"Class {item.name!r} stands neither in the knowledge base nor in the corpus; give synonyms: "
                    f"classes={{{item.name!r}: ['another name', ...]}}."
                )

    def _is_named(self, item: TaskClass) -> bool:
        readings = self.proposer.readings
        return any(m.entry_id == item.entry_id for r in readings for s in r.sentences for m in s.mentions)

    def bank(self, settings: dict[str, Any]) -> ConceptBank:
        """Put the bank together."""
        concepts = tuple(self._concept(self.entries[entry_id], cited) for entry_id, cited in self.cited.items())
        ids = {entry_id: concept.id for entry_id, concept in zip(self.cited, concepts, strict=True)}
        provenance = {
            "made_by": f"knobo.build_bank {version('knobo')}",
            "settings": settings,
            "corpus_hash": getattr(self.index, "corpus_hash", None),
            "n_passages": len(self.index) if isinstance(self.index, Sized) else None,
            "n_passages_read": len(self.passages) if self.adviser is None else self.n_read,
            "n_queries": self.n_queries,
            "knowledge_base_hash": self.linker.kb.hash,
            "classes_without_passages": [item.name for item in self.task if not self._is_named(item)],
            "rejected": [
                {"name": name, "reason": reason, "passage_id": p.passage_id}
                for (name, reason), p in self.rejected.items()
            ],
        }
        prior = self._prior(ids)
        provenance |= {} if self.adviser is None else {"language_model": self.adviser.provenance()}
        return ConceptBank(
            concepts=concepts,
            classes=tuple(item.name for item in self.task),
            modality=self.modality,
            prior=prior,
            provenance=provenance,
        )

    def _prior(self, ids: Mapping[str, str]) -> tuple[PriorSign, ...]:
        if self.adviser is None:
            return read_prior(self.proposer.readings, self.task, ids, self.kb)
        entries = [(concept_id, self.entries[key]) for key, concept_id in ids.items()]
        return self.adviser.prior(entries, self.kb, {item.name: self._passages_about(item) for item in self.task})

    def _passages_about(self, item: TaskClass) -> list[Passage]:
        """Retrieved passages that name the class, best first."""
        hits = self.index.search(" ".join(item.wordings), max(len(self.passages), 1))
        retrieved = (self.passages.get(hit.passage.id) for hit in hits)
        return [p for p in retrieved if p is not None and item.is_named_in(f"{p.title} {p.text}")]

    def _concept(self, entry: KbEntry, cited: list[Proposal]) -> Concept:
        found = self.linker.link(entry.name, k=1, threshold=_LINK_THRESHOLD) if cited[0].entry_id else []
        linked = self.kb[found[0].id] if found else None
        best = sorted(cited, key=worth)[: self.max_evidence]
        return Concept(
            id=slug(entry.name),
            name=entry.name,
            question=question(entry),
            synonyms=self._synonyms(entry),
            cui=linked.cui if linked else None,
            cui_name=linked.source_name if linked and linked.cui else None,
            semantic_types=linked.semantic_types if linked else (),
            evidence=tuple(make_evidence(self.passages[p.passage_id], p.sentence) for p in best),
        )

    def _synonyms(self, entry: KbEntry) -> tuple[str, ...]:
        """Wordings of the entry and of its narrower entries; none that names a class."""
        wordings = [w for item in (entry, *self.kb.narrower(entry.id)) for w in item.wordings]
        distinct = {w.lower(): w for w in reversed(wordings) if w.lower() != entry.name.lower()}
        return tuple(w for w in reversed(distinct.values()) if not any(item.is_named_in(w) for item in self.task))
