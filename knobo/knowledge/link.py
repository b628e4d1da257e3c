"""Linking: text to ranked entries of a knowledge base, by character 3-grams.

The search is scispaCy's candidate generation (Neumann et al. 2019, doi:10.18653/v1/W19-5034): TF-IDF vectors of the
character 3-grams of every alias, and the nearest aliases by cosine. scispaCy itself is optional: its index builder
refuses scipy >= 1.11, so the index is built here and handed to its ``CandidateGenerator``; where scispaCy is not
installed the same index gives the same candidates without it. The search is exact and its ties are ordered, so the
answer is the same on every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from knobo.errors import InputError, MissingDependencyError
from knobo.knowledge.kb import KnowledgeBase

_N_ALIASES = 30  # aliases looked up for each mention, as in scispaCy's linker


@dataclass(frozen=True)
class Candidate:
    """An entry that a text may mean.

    Attributes
    ----------
    cui : str or None
        UMLS identifier; None when no open source gives one.
    name : str
        Preferred name of the entry.
    score : float
        Cosine between the text and the nearest alias, in [0, 1].
    alias : str
        That alias.
    id : str
        Identifier of the entry in the knowledge base.
    """

    cui: str | None
    name: str
    score: float
    alias: str
    id: str


class AliasIndex:
    """Exact nearest neighbours by cosine, behind the one method that scispaCy calls.

    Parameters
    ----------
    vectors : sparse matrix of shape (n_aliases, n_features)
        Rows of unit length.
    """

    def __init__(self, vectors: sparse.csr_matrix) -> None:
        self._columns = sparse.csc_matrix(vectors.T)

    def knnQueryBatch(  # noqa: N802 - nmslib's name
        self, vectors: sparse.csr_matrix, k: int = 10, num_threads: int = 1
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Nearest aliases of each row: their numbers and cosine distances (1 − cosine), nearest first.

        Equal distances keep the order of the aliases. ``num_threads`` is accepted and not used.
        """
        similarities = sparse.csr_matrix(vectors @ self._columns)
        return [_nearest(similarities, row, k) for row in range(similarities.shape[0])]


class ConceptLinker:
    """Links text to the entries of a knowledge base.

    Parameters
    ----------
    kb : KnowledgeBase
    engine : {"auto", "scispacy", "knobo"}
        Whether scispaCy's ``CandidateGenerator`` answers; ``"auto"`` takes it when it is installed. Both give the
        same candidates.

    Raises
    ------
    MissingDependencyError
        If scispaCy is asked for and not installed.
    """

    def __init__(self, kb: KnowledgeBase, *, engine: Literal["auto", "scispacy", "knobo"] = "auto") -> None:
        if engine not in ("auto", "scispacy", "knobo"):
            raise InputError(f"engine is 'auto', 'scispacy' or 'knobo', got {engine!r}.")
        if engine == "scispacy" and find_spec("scispacy") is None:
            raise MissingDependencyError(
                "scispaCy is not installed. Install knobo[umls] (it needs numpy < 2), or use engine='knobo'."
            )
        self.kb = kb
        self.engine = engine
        owners: dict[str, list[str]] = {}
        for entry in kb:
            for alias in entry.wordings:
                owners.setdefault(alias, []).append(entry.id)
        self._owners = owners
        self._aliases = list(owners)
        self._vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), dtype=np.float32)
        self._index = AliasIndex(self._vectorizer.fit_transform(self._aliases))

    @classmethod
    def load(cls, name: str | Path = "open", *, engine: Literal["auto", "scispacy", "knobo"] = "auto") -> ConceptLinker:
        """Make a linker over ``"open"``, the knowledge base that ships with knobo, or over a JSONL file.

        Raises
        ------
        FileError, FormatError
            If the file cannot be read or a line of it is broken.
        """
        return cls(KnowledgeBase.read(name), engine=engine)

    def link(self, text: str, *, k: int = 5, threshold: float = 0.7) -> list[Candidate]:
        """Entries that ``text`` may mean, best first.

        Parameters
        ----------
        text : str
            A mention such as ``"blunted costophrenic angle"``, not a whole sentence.
        k : int
            Most candidates to return.
        threshold : float
            Least score, in [0, 1]; below it a text stays unlinked rather than wrong.
        """
        return self.link_batch([text], k=k, threshold=threshold)[0]

    def link_batch(self, texts: Sequence[str], *, k: int = 5, threshold: float = 0.7) -> list[list[Candidate]]:
        """Link many texts at once; one list of candidates for each."""
        if isinstance(texts, str):
            raise InputError("texts must be a sequence of texts; put the one text in a list or call link.")
        if k < 1 or not 0.0 <= threshold <= 1.0:
            raise InputError(f"k must be at least 1 and threshold in [0, 1], got {k} and {threshold}.")
        found = self._generate(list(texts), max(_N_ALIASES, k)) if texts else []
        return [self._rank(candidates, k, threshold) for candidates in found]

    def _rank(self, found: dict[str, tuple[float, str]], k: int, threshold: float) -> list[Candidate]:
        best = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
        kept = [(self.kb[entry_id], score, alias) for entry_id, (score, alias) in best if score >= threshold]
        return [Candidate(entry.cui, entry.name, score, alias, entry.id) for entry, score, alias in kept[:k]]

    def _generate(self, texts: list[str], n_aliases: int) -> list[dict[str, tuple[float, str]]]:
        """Best score and alias of each candidate entry of each text."""
        if self.engine == "scispacy" or (self.engine == "auto" and find_spec("scispacy") is not None):
            return [
                {item.concept_id: _best(zip(item.similarities, item.aliases, strict=True)) for item in candidates}
                for candidates in self._scispacy(texts, n_aliases)
            ]
        answers = []
        for numbers, distances in self._index.knnQueryBatch(self._vectorizer.transform(texts), k=n_aliases):
            scored: dict[str, list[tuple[float, str]]] = {}
            for number, distance in zip(numbers.tolist(), distances.tolist(), strict=True):
                for owner in self._owners[self._aliases[number]]:
                    scored.setdefault(owner, []).append((1.0 - distance, self._aliases[number]))
            answers.append({owner: _best(pairs) for owner, pairs in scored.items()})
        return answers

    @cached_property
    def _scispacy(self) -> Any:
        from scispacy.candidate_generation import CandidateGenerator
        from scispacy.linking_utils import Entity
        from scispacy.linking_utils import KnowledgeBase as ScispacyKnowledgeBase

        entities = [Entity(entry.id, entry.name, list(entry.wordings), list(entry.semantic_types)) for entry in self.kb]
        return CandidateGenerator(
            ann_index=self._index,
            tfidf_vectorizer=self._vectorizer,
            ann_concept_aliases_list=self._aliases,
            kb=ScispacyKnowledgeBase(entities),
        )


def _nearest(similarities: sparse.csr_matrix, row: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    start, end = similarities.indptr[row], similarities.indptr[row + 1]
    numbers = similarities.indices[start:end].astype(np.int64)
    # Six decimals: the order of a sum must not decide between two aliases that are equally near.
    distances = np.round(1.0 - similarities.data[start:end], 6).astype(np.float32)
    order = np.lexsort((numbers, distances))[:k]
    return numbers[order], distances[order]


def _best(pairs: Any) -> tuple[float, str]:
    """Highest score, and of equally near aliases the first in the alphabet."""
    score, alias = min(pairs, key=lambda pair: (-pair[0], pair[1]))
    return round(score, 6), alias
