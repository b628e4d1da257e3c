"""Corpus and class names to a concept bank: retrieve, propose, filter, link, accept, breadth first.

The queue starts with the classes; each accepted concept is put at its end, until the bank holds enough concepts or
the queue is empty. The same input gives the same bank, byte for byte.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from knobo.bank import Concept, ConceptBank, slug
from knobo.errors import InputError
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.classes import TaskClass, resolve_classes
from knobo.knowledge.corpus import Passage, corpus_path, read_corpus
from knobo.knowledge.filters import FilterContext, is_cited, judge
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.link import ConceptLinker
from knobo.knowledge.prior import make_evidence, read_prior
from knobo.knowledge.propose import ExtractiveProposer, Proposal

_QUERY_WORDS = {"chest-xray": "chest radiograph sign", "skin-lesion": "dermoscopy sign"}
_LINK_THRESHOLD = 0.85
_LEANS = re.compile(r"(?:It|Its|They|Their|This|These|Such|In such|The combination|Further|Other)\b|.* inside it\b")
_DEFINES = re.compile(r"(?:,[^,]*,| \([^)]*\))?\s*(?:is|are|means?|consists? of|describes?)\b")


def build_bank(
    classes: Iterable[str] | Mapping[str, Iterable[str]],
    corpus: str | Path | Iterable[Passage],
    *,
    modality: str = "",
    n_concepts: int = 150,
    linker: str | Path | ConceptLinker = "open",
    k_passages: int = 20,
    max_evidence: int = 4,
    index_folder: str | Path | None = None,
    progress: bool = False,
) -> ConceptBank:
    """Build a concept bank from a text corpus, without a language model.

    Parameters
    ----------
    classes : iterable of str, or mapping of str to iterable of str
        Class names, or class names with their synonyms. Underscores are blanks; the knowledge base adds synonyms, so
        ``"copd"`` finds "chronic obstructive pulmonary disease".
    corpus : str, Path, or iterable of Passage
        A shipped corpus (``"chest-xray"``, ``"skin-lesion"``), a folder or a file; see :func:`read_corpus`.
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
        Where to keep the search index between runs; without it the index lives in memory.
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
    """
    if min(n_concepts, k_passages, max_evidence) < 1:
        raise InputError("n_concepts, k_passages and max_evidence must each be at least 1.")
    if not isinstance(linker, ConceptLinker):
        linker = ConceptLinker.load(linker)
    name = str(corpus) if isinstance(corpus, (str, Path)) else ""
    modality = modality or (name if name in _QUERY_WORDS and corpus_path(name) != Path(name) else "")
    passages = read_corpus(corpus) if isinstance(corpus, (str, Path)) else corpus
    index = Bm25Index.build(passages, index_folder)
    task, kb = resolve_classes(classes, linker.kb)
    build = _Build(task, kb, index, linker, modality, k_passages, max_evidence)
    build.run(n_concepts, progress=progress)
    settings = {"n_concepts": n_concepts, "k_passages": k_passages, "max_evidence": max_evidence}
    return build.bank({"corpus": Path(name).name or "passages", **settings})


class _Build:
    """The state of one build."""

    def __init__(
        self,
        task: list[TaskClass],
        kb: KnowledgeBase,
        index: Bm25Index,
        linker: ConceptLinker,
        modality: str,
        k_passages: int,
        max_evidence: int,
    ) -> None:
        self.task, self.kb, self.index, self.linker, self.modality = task, kb, index, linker, modality
        self.k_passages, self.max_evidence = k_passages, max_evidence
        self.passages: dict[str, Passage] = {}
        self.context = FilterContext(task, kb, modality, self.passages)
        self.proposer = ExtractiveProposer(kb, modality=modality)
        self.cited: dict[str, list[Proposal]] = {}  # accepted entries, in order, and the sentences that name them
        self.rejected: dict[tuple[str, str], Proposal] = {}
        self.n_queries = 0

    def run(self, n_concepts: int, *, progress: bool) -> None:
        """Work through the queue, breadth first."""
        words = _QUERY_WORDS.get(self.modality, "sign finding")
        queue = deque(f"{' '.join(item.wordings[:6])} {words}" for item in self.task)
        with tqdm(total=n_concepts, desc="Building bank", disable=not progress) as bar:
            while queue and len(self.cited) < n_concepts:
                for entry in self._ask(queue.popleft(), n_concepts - len(self.cited)):
                    queue.append(" ".join((entry.name, *entry.own_aliases[:4])))
                    bar.update()
        self._check()

    def _ask(self, query: str, room: int) -> list[KbEntry]:
        """Retrieve, propose, filter; return the entries that were accepted now."""
        self.n_queries += 1
        hits = self.index.search(query, self.k_passages)
        self.passages.update((hit.passage.id, hit.passage) for hit in hits)
        fresh: list[KbEntry] = []
        for proposal in self.proposer.propose(hit.passage for hit in hits):
            entry = self.kb[str(proposal.entry_id)]
            if entry.id in self.cited:
                self._cite(entry, proposal)
                continue
            verdict = judge(proposal, self.context)
            if not verdict.ok:
                self.rejected.setdefault((proposal.name, verdict.reason), proposal)
            elif len(fresh) < room:
                self.context.accept(entry.name, entry.cui)
                self.cited[entry.id] = [proposal]
                fresh.append(entry)
        return fresh

    def _cite(self, entry: KbEntry, proposal: Proposal) -> None:
        sentences = {cited.sentence for cited in self.cited[entry.id]}
        if proposal.sentence not in sentences and is_cited(proposal, self.context).ok:
            self.cited[entry.id].append(proposal)

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
        concepts = tuple(self._concept(self.kb[entry_id], cited) for entry_id, cited in self.cited.items())
        ids = {entry_id: concept.id for entry_id, concept in zip(self.cited, concepts, strict=True)}
        unnamed = [item.name for item in self.task if not self._is_named(item)]
        provenance = {
            "made_by": f"knobo.build_bank {version('knobo')}",
            "settings": settings,
            "corpus_hash": self.index.corpus_hash,
            "n_passages": len(self.index),
            "n_passages_read": len(self.passages),
            "n_queries": self.n_queries,
            "knowledge_base_hash": self.linker.kb.hash,
            "classes_without_passages": unnamed,
            "rejected": [
                {"name": name, "reason": reason, "passage_id": p.passage_id}
                for (name, reason), p in self.rejected.items()
            ],
        }
        return ConceptBank(
            concepts=concepts,
            classes=tuple(item.name for item in self.task),
            modality=self.modality,
            prior=read_prior(self.proposer.readings, self.task, ids, self.kb),
            provenance=provenance,
        )

    def _concept(self, entry: KbEntry, cited: list[Proposal]) -> Concept:
        found = self.linker.link(entry.name, k=1, threshold=_LINK_THRESHOLD)
        linked = self.kb[found[0].id] if found else None
        best = sorted(cited, key=_worth)[: self.max_evidence]
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


def _worth(proposal: Proposal) -> tuple[int, bool, bool, bool, bool]:
    """Best evidence first: it states the finding, stands by itself, defines it, opens with it, and uses its name."""
    order = {"asserted": 0, "denied": 1, "doubtful": 2}
    start = proposal.sentence.find(proposal.phrase)
    rest = proposal.sentence[start + len(proposal.phrase) :]
    opens = start <= len("The ")
    leans = _LEANS.match(proposal.sentence) is not None
    return order[proposal.polarity], leans, not (opens and _DEFINES.match(rest)), not opens, not proposal.by_name


def question(entry: KbEntry) -> str:
    """The question that a concept answers: "Is there a pleural effusion?", "Are there bullae?"."""
    last = entry.name.split()[-1]
    plural = not entry.article and last.endswith(("s", "ae")) and not last.endswith(("ss", "is", "us"))
    verb = "Are" if plural else "Is"
    return f"{verb} there {entry.article + ' ' if entry.article else ''}{entry.name}?"
