"""Linking: text to ranked entries of a knowledge base, found by character 3-grams and judged by words.

The search is scispaCy's candidate generation (Neumann et al. 2019, doi:10.18653/v1/W19-5034): TF-IDF vectors of the
character 3-grams of every alias, and the nearest aliases by cosine. scispaCy itself is optional: its index builder
refuses scipy >= 1.11, so the index is built here and handed to its ``CandidateGenerator``; where scispaCy is not
installed the same index gives the same candidates without it. What it finds is judged by how well the words agree
(:mod:`knobo.knowledge.word_match`). The search is exact and its ties are ordered, so the answer is the same on every
run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from knobo.bank import slug
from knobo.errors import InputError, MissingDependencyError
from knobo.knowledge.abbreviations import expand_abbreviations, find_abbreviations
from knobo.knowledge.alias_index import AliasIndex, AliasTable
from knobo.knowledge.candidates import Candidate, LinkedMention, closeness
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.word_runs import word_runs

__all__ = ["AliasIndex", "Candidate", "ConceptLinker", "LinkedMention"]

Engine = Literal["auto", "scispacy", "knobo"]

_N_ALIASES = 30  # aliases looked up for each mention, as in scispaCy's linker
_OF_WORDS = 0.9  # share of the agreement of words in a match; the rest is the cosine, which orders equal ones
_NEAR = 0.4  # least cosine in running text, where most runs of words are near nothing and judging them takes long
_ALONE, _RIVALLED = 0.5, 2.0  # powers of the match where no other entry comes near, and where one is as good


class ConceptLinker:
    """Links text to the entries of a knowledge base.

    Parameters
    ----------
    kb : KnowledgeBase
    engine : {"auto", "scispacy", "knobo"}
        Whether scispaCy's ``CandidateGenerator`` answers; ``"auto"`` takes it when it is installed. Both give the
        same candidates.
    index : str or Path, optional
        Folder that keeps the index: opened, memory-mapped, where it is there, else made and written. It pays from some
        ten thousand names on.

    Raises
    ------
    MissingDependencyError
        If scispaCy is asked for and not installed.
    FormatError
        If the index belongs to another knowledge base or is damaged.
    InputError
        If the folder ``index`` holds something else.
    """

    def __init__(self, kb: KnowledgeBase, *, engine: Engine = "auto", index: str | Path | None = None) -> None:
        if engine not in ("auto", "scispacy", "knobo"):
            raise InputError(f"engine is 'auto', 'scispacy' or 'knobo', got {engine!r}.")
        if engine == "scispacy" and find_spec("scispacy") is None:
            raise MissingDependencyError(
                "scispaCy is not installed. Install knobo[umls] (it needs numpy < 2), or use engine='knobo'."
            )
        self.kb = kb
        self.engine = engine
        self._table = AliasTable.make(kb) if index is None else AliasTable.kept(kb, index)
        self._last_types: tuple[frozenset[str], NDArray[np.bool_], NDArray[np.bool_]] | None = None

    @classmethod
    def load(
        cls, name: str | Path = "open", *, engine: Engine = "auto", index: str | Path | None = None
    ) -> ConceptLinker:
        """Make a linker over ``"open"``, the knowledge base that ships with knobo, or over a JSONL file.

        Raises
        ------
        FileError, FormatError
            If the file cannot be read or a line of it is broken.
        """
        return cls(KnowledgeBase.read(name), engine=engine, index=index)

    def link(
        self, text: str, *, k: int = 5, threshold: float = 0.85, semantic_types: Collection[str] | None = None
    ) -> list[Candidate]:
        """Entries that ``text`` may mean, best first.

        Parameters
        ----------
        text : str
            A mention such as ``"blunted costophrenic angle"``, not a whole sentence; or the name of a class in a data
            set, such as ``"Edema"`` (``class_names`` of an entry).
        k : int
            Most candidates to return.
        threshold : float
            Least score, in [0, 1]; below it a text stays unlinked rather than wrong. At the default, chosen on the
            development part of ``benchmarks/linking.py``, nine answers in ten are right even where every other text
            means nothing in the knowledge base.
        semantic_types : collection of str, optional
            Only entries of one of these types are looked at: identifiers (``"T047"``) or names.
        """
        return self.link_batch([text], k=k, threshold=threshold, semantic_types=semantic_types)[0]

    def link_batch(
        self,
        texts: Sequence[str],
        *,
        k: int = 5,
        threshold: float = 0.85,
        semantic_types: Collection[str] | None = None,
    ) -> list[list[Candidate]]:
        """Link many texts at once; one list of candidates for each."""
        if isinstance(texts, str):
            raise InputError("texts must be a sequence of texts; put the one text in a list or call link.")
        wanted = _checked(k, threshold, semantic_types)
        found = self._generate(list(texts), max(_N_ALIASES, k), wanted) if texts else []
        for text, candidates in zip(texts, found, strict=True):
            if all(score < 1.0 for score, _ in candidates.values()):
                named = self._of_class.get(slug(text), [])
                candidates |= {e.id: (1.0, text) for e in named if wanted is None or e.is_of_type(wanted)}
        return [self._rank(candidates, k, threshold) for candidates in found]

    def link_in_text(
        self,
        text: str,
        *,
        k: int = 5,
        threshold: float = 0.95,
        semantic_types: Collection[str] | None = None,
        abbreviations: Mapping[str, str] | None = None,
    ) -> list[LinkedMention]:
        """Link the runs of words in a sentence or passage that come close to a name.

        Parameters
        ----------
        text : str
            Runs of up to six words within one sentence and between two punctuation marks are looked up. Where they
            overlap, the best score counts, then the alias of the most similar length, the longest run, the first.
        k, threshold, semantic_types
            As in :meth:`link`; the threshold is higher, because most runs of words name nothing. It was chosen on the
            validation captions of ``benchmarks/linking.py``, where a lower one found no more.
        abbreviations : mapping of str to str, optional
            Long forms to use for short ones; those that ``text`` defines itself when it is not given.

        Returns
        -------
        list of LinkedMention
            In the order of the text, without overlap.
        """
        known = find_abbreviations(text) if abbreviations is None else abbreviations
        runs = [(start, end, expand_abbreviations(text[start:end], known)) for start, end in word_runs(text)]
        queries = list(dict.fromkeys(query for _, _, query in runs))
        wanted = _checked(k, threshold, semantic_types)
        answers = self._generate(queries, max(_N_ALIASES, k), wanted, _NEAR) if queries else []
        found = {q: tuple(self._rank(answer, k, threshold)) for q, answer in zip(queries, answers, strict=True)}
        mentions = [LinkedMention(*run, found[run[2]]) for run in runs if found[run[2]]]
        taken: list[LinkedMention] = []
        for mention in sorted(mentions, key=closeness):
            if all(mention.end <= other.start or other.end <= mention.start for other in taken):
                taken.append(mention)
        return sorted(taken, key=lambda mention: mention.start)

    def _rank(self, found: dict[str, tuple[float, str]], k: int, threshold: float) -> list[Candidate]:
        best = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
        kept = [(self.kb[entry_id], score, alias) for entry_id, (score, alias) in best if score >= threshold]
        return [
            Candidate(entry.cui, entry.name, score, alias, entry.id, entry.semantic_types, entry.codes)
            for entry, score, alias in kept[:k]
        ]

    def _generate(
        self, texts: list[str], n_aliases: int, wanted: frozenset[str] | None, least: float = 0.0
    ) -> list[dict[str, tuple[float, str]]]:
        """Best score and alias of each entry of each text that has an alias with at least the cosine ``least``."""
        scispacy = self.engine == "scispacy" or (self.engine == "auto" and find_spec("scispacy") is not None)
        if scispacy and wanted is None:  # scispaCy cannot leave types out before it cuts the list of aliases
            near = [
                [(c.concept_id, *pair) for c in candidates for pair in zip(c.similarities, c.aliases, strict=True)]
                for candidates in self._scispacy(texts, n_aliases)
            ]
        else:
            near = self._nearest(texts, n_aliases, wanted)
        return [
            self._judge(text, [item for item in found if item[1] >= least])
            for text, found in zip(texts, near, strict=True)
        ]

    def _nearest(
        self, texts: list[str], n_aliases: int, wanted: frozenset[str] | None
    ) -> list[list[tuple[str, float, str]]]:
        """Entry, cosine and alias of what is near each text."""
        entries, aliases = (None, None) if wanted is None else self._of_type(wanted)
        vectors = self._table.vectorizer.transform(texts)
        return [
            [
                (self.kb.entries[owner].id, 1.0 - distance, self._table.aliases[number])
                for number, distance in zip(numbers.tolist(), distances.tolist(), strict=True)
                for owner in self._table.owners(number).tolist()
                if entries is None or entries[owner]
            ]
            for numbers, distances in self._table.index.knnQueryBatch(vectors, k=n_aliases, allowed=aliases)
        ]

    def _judge(self, text: str, near: list[tuple[str, float, str]]) -> dict[str, tuple[float, str]]:
        """Highest score of each entry, and of equally good aliases the first in the alphabet."""
        best: dict[str, tuple[float, str]] = {}
        for entry_id, cosine, alias in near:
            match = round(_OF_WORDS * self._table.matcher.agreement(text, alias) + (1 - _OF_WORDS) * cosine, 6)
            if entry_id not in best or (-match, alias) < (-best[entry_id][0], best[entry_id][1]):
                best[entry_id] = match, alias
        first, second = sorted([0.0, 0.0, *(match for match, _ in best.values())])[:-3:-1]
        return {
            entry_id: (_score(match, second if match == first else first), alias)
            for entry_id, (match, alias) in best.items()
        }

    def _of_type(self, wanted: frozenset[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which entries are of a wanted type, and which aliases belong to one; the last answer is remembered."""
        if self._last_types is None or self._last_types[0] != wanted:
            entries = np.array([entry.is_of_type(wanted) for entry in self.kb], dtype=bool)
            self._last_types = (wanted, entries, self._table.owned_by(entries))
        return self._last_types[1:]

    @cached_property
    def _of_class(self) -> dict[str, list[KbEntry]]:
        """Entries by the names that data sets give their classes."""
        found: dict[str, list[KbEntry]] = {}
        for entry in self.kb:
            for name in entry.class_names:
                found.setdefault(slug(name), []).append(entry)
        return found

    @cached_property
    def _scispacy(self) -> Any:
        from scispacy.candidate_generation import CandidateGenerator
        from scispacy.linking_utils import Entity
        from scispacy.linking_utils import KnowledgeBase as ScispacyKnowledgeBase

        entities = [Entity(entry.id, entry.name, list(entry.wordings), list(entry.semantic_types)) for entry in self.kb]
        return CandidateGenerator(
            ann_index=self._table.index,
            tfidf_vectorizer=self._table.vectorizer,
            ann_concept_aliases_list=self._table.aliases,
            kb=ScispacyKnowledgeBase(entities),
        )


def _score(match: float, rival: float) -> float:
    nearness = min(1.0, rival / match) if match > 0.0 else 0.0
    return float(round(match ** (_ALONE + (_RIVALLED - _ALONE) * nearness**4), 6))


def _checked(k: int, threshold: float, semantic_types: Collection[str] | None) -> frozenset[str] | None:
    if isinstance(semantic_types, str):
        raise InputError(f"semantic_types must be a list of types, got {semantic_types!r}; put it in a list.")
    if k < 1 or not 0.0 <= threshold <= 1.0:
        raise InputError(f"k must be at least 1 and threshold in [0, 1], got {k} and {threshold}.")
    return None if semantic_types is None else frozenset(semantic_types)
