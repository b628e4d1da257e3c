"""BM25 by bm25s: every score is computed when the index is made, and a query adds up columns of a sparse matrix."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import InputError
from knobo.knowledge.bm25_words import K1, B, words


class MemoryScores:
    """Scores of all words in all passages, in memory or memory-mapped."""

    def __init__(self, scores: Any) -> None:
        self._scores = scores

    @classmethod
    def index(cls, texts: Iterable[str]) -> MemoryScores:
        """Score the texts; the vocabulary is sorted so that the same corpus gives the same files."""
        from bm25s import BM25

        documents = [words(text) for text in texts]
        vocabulary = {word: i for i, word in enumerate(sorted({word for document in documents for word in document}))}
        if not vocabulary:
            raise InputError("The corpus holds no words that can be searched; check that it is text.")
        scores = BM25(k1=K1, b=B, method="lucene", backend="numpy")
        ids = [[vocabulary[word] for word in document] for document in documents]
        scores.index((ids, vocabulary), create_empty_token=False, show_progress=False)
        return cls(scores)

    @classmethod
    def load(cls, folder: Path) -> MemoryScores:
        from bm25s import BM25

        return cls(BM25.load(folder, mmap=True, allow_pickle=False, show_progress=False))

    def save(self, folder: Path) -> None:
        self._scores.save(folder, allow_pickle=False, show_progress=False)

    def best(self, query: str, k: int) -> list[tuple[int, float]]:
        """Rows and scores of the k best passages, ties in the order of the corpus."""
        known = [word for word in words(query) if word in self._scores.vocab_dict]
        if not known:
            return []
        scores = self._scores.get_scores(known)
        return [(int(row), float(scores[row])) for row in _best(scores, k)]


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Rows of the k highest positive scores; ties in the order of the rows."""
    if k < len(scores):
        lowest = np.partition(scores, len(scores) - k)[len(scores) - k]
        rows = np.flatnonzero((scores >= lowest) & (scores > 0))
    else:
        rows = np.flatnonzero(scores > 0)
    return rows[np.argsort(-scores[rows], kind="stable")][:k]
