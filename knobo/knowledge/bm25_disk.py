"""BM25 by tantivy, for corpora that should not be held in memory: compressed postings on disk, block-max pruning.

tantivy names candidates; their scores are then computed from their words, because tantivy fixes k1 at 1.2 and rounds
lengths to one byte. Hits and scores are therefore those of the engine in memory, as far as tantivy names them.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from math import log
from pathlib import Path
from typing import Any

from knobo.errors import FileError, InputError, MissingDependencyError
from knobo.knowledge.bm25_words import K1, B, words
from knobo.knowledge.passages import StoredPassages

FOLDER = "words.tantivy"
_HEAP = 128 * 2**20  # bytes that the writer holds before it writes a segment
_COMMIT_EVERY = 250_000  # passages; those after the last commit are indexed again when a build was cut off
_SPARE = 30  # candidates beyond k
_TIE = 1e-5  # relative difference below which two scores of tantivy may be one: it adds in float32, in any order


def installed() -> bool:
    return find_spec("tantivy") is not None


def write(folder: Path, texts: Iterable[str]) -> None:
    """Index texts into a folder, or go on after the last commit of a build of the same texts that was cut off.

    Raises
    ------
    InputError
        If no text holds a word.
    FileError
        If the folder cannot be written, or another process is writing it.
    MissingDependencyError
        If tantivy is not installed.
    """
    tantivy = _tantivy()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        index = _open(folder)
        writer = index.writer(heap_size=_HEAP, num_threads=1)  # one thread: what is committed is a prefix of the rows
        done = index.searcher().num_docs
        for row, text in enumerate(texts):
            if row < done:
                continue
            found = words(text)
            writer.add_document(tantivy.Document(words=" ".join(found), row=row, length=len(found)))
            if row % _COMMIT_EVERY == _COMMIT_EVERY - 1:
                writer.commit()
        writer.commit()
        writer.wait_merging_threads()
    except (OSError, ValueError) as error:
        raise FileError(
            f"Cannot write {folder}: {error}. Check the space that is left, and that no other process builds it."
        ) from error
    index.reload()
    if not _total_length(index.searcher()):
        raise InputError("The corpus holds no words that can be searched; check that it is text.")


class DiskScores:
    """An index that :func:`write` made, and the passages that belong to it."""

    def __init__(self, folder: Path, passages: StoredPassages) -> None:
        index = _tantivy().Index.open(str(folder))
        self._schema, self._searcher, self._passages = index.schema, index.searcher(), passages
        if self._searcher.num_docs != len(passages):
            raise ValueError(f"it holds {self._searcher.num_docs} of {len(passages)} passages")
        self._mean = _total_length(self._searcher) / len(passages)

    def best(self, query: str, k: int) -> list[tuple[int, float]]:
        """Rows and scores of the k best passages, ties in the order of the corpus."""
        asked = Counter(words(query))
        weights = {word: times * self._idf(word) for word, times in asked.items()}
        scored = [(row, self._score(row, weights)) for row in self._candidates(asked, k)]
        return sorted(scored, key=lambda hit: (-hit[1], hit[0]))[:k]

    def _candidates(self, asked: Counter[str], k: int) -> list[int]:
        make, should = _tantivy().Query, _tantivy().Occur.Should
        terms = [(should, make.term_query(self._schema, "words", word, "freq")) for word in asked.elements()]
        wanted = k + _SPARE
        while True:
            hits = self._searcher.search(make.boolean_query(terms), wanted, count=False).hits
            if len(hits) < wanted or hits[-1][0] < (1 - _TIE) * hits[k - 1][0]:
                return self._searcher.fast_field_values("row", [address for _, address in hits])
            wanted *= 4  # the k-th hit has more equals than were asked for; the first of the corpus may be among them

    def _idf(self, word: str) -> float:
        n, count = len(self._passages), self._searcher.doc_freq("words", word)
        return log(1 + (n - count + 0.5) / (count + 0.5))

    def _score(self, row: int, weights: dict[str, float]) -> float:
        counts = Counter(found := words(self._passages[row].text))
        rest = K1 * (1 - B + B * len(found) / self._mean)
        return sum(weight * counts[word] / (counts[word] + rest) for word, weight in weights.items())


def _open(folder: Path) -> Any:
    """The index that grows in a folder; an unreadable one is begun anew."""
    try:
        return _tantivy().Index(_schema(), path=str(folder))
    except (OSError, ValueError):
        shutil.rmtree(folder)
        folder.mkdir()
        return _tantivy().Index(_schema(), path=str(folder))


def _schema() -> Any:
    builder = _tantivy().SchemaBuilder()
    builder.add_text_field("words", tokenizer_name="whitespace", index_option="freq")
    builder.add_integer_field("row", fast=True)
    builder.add_integer_field("length", fast=True)
    return builder.build()


def _total_length(searcher: Any) -> int:
    query = _tantivy().Query.all_query()
    return int(searcher.aggregate(query, {"total": {"sum": {"field": "length"}}})["total"]["value"])


def _tantivy() -> Any:
    try:
        return import_module("tantivy")
    except ImportError as error:
        raise MissingDependencyError(
            "tantivy is not installed. Install knobo[disk], or build the index with engine='memory'."
        ) from error
