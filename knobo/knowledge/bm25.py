"""BM25 retrieval (Robertson and Zaragoza 2009, doi:10.1561/1500000019) by bm25s, in memory or in a folder.

A folder holds the passages, the memory-mapped scores and a manifest with the hash of the corpus; it is made anew only
when the corpus, the settings or the format have changed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import FormatError, InputError
from knobo.knowledge.corpus import Passage
from knobo.knowledge.passages import Hit, StoredPassages, check_folder, check_k, check_passages, read_manifest
from knobo.knowledge.text import tokenize
from knobo.storage import atomic_path, write_json

__all__ = ["Bm25Index", "Hit"]

_FORMAT = "knobo.bm25"
_VERSION = 1
_SETTINGS = {"k1": 1.5, "b": 0.75, "method": "lucene", "tokens": "knobo.knowledge.text 1"}
_STOP = frozenset(
    """
    a an and are as at be by for from in is it its of on or that the this to was were with
    """.split()  # noqa: SIM905 - a list of words is read best as text
)


class Bm25Index:
    """Passages that can be searched by words. Make one with :meth:`build` or :meth:`load`.

    Attributes
    ----------
    corpus_hash : str
        SHA-256 over all passages in order.
    """

    def __init__(self, passages: Sequence[Passage], scores: Any, corpus_hash: str) -> None:
        self._passages = passages
        self._scores = scores
        self.corpus_hash = corpus_hash

    def __len__(self) -> int:
        return len(self._passages)

    @classmethod
    def build(cls, passages: Iterable[Passage], folder: str | Path | None = None) -> Bm25Index:
        """Index passages, or open the folder when it already holds them.

        Parameters
        ----------
        passages : iterable of Passage
            Read once.
        folder : str or Path, optional
            Where to keep the index; without it the index lives in memory.

        Raises
        ------
        InputError
            If there are no passages, two have the same id, or the folder holds something other than an index.
        """
        if folder is None:
            kept = list(passages)
            digest = check_passages(kept)
            return cls(kept, _index(passage.text for passage in kept), digest)
        check_folder(Path(folder), _FORMAT)
        with tempfile.TemporaryDirectory() as scratch:
            stored = StoredPassages.write(Path(scratch), passages)
            digest = check_passages(stored)
            if not _is_current(Path(folder), digest):
                with atomic_path(folder) as part:
                    _write(part, stored, digest)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: str | Path, *, corpus_hash: str | None = None) -> Bm25Index:
        """Open an index folder; scores are memory-mapped and passages are read when they are hit.

        Raises
        ------
        FileError
            If there is no index in the folder.
        FormatError
            If the index has another version or other settings, or belongs to a corpus other than ``corpus_hash``.
        """
        from bm25s import BM25

        manifest = read_manifest(Path(folder), _FORMAT, (_VERSION,), corpus_hash)
        if manifest.get("settings") != _SETTINGS:
            raise FormatError(f"The index in {folder} was made with other settings; delete it and build it anew.")
        try:
            scores = BM25.load(folder, mmap=True, allow_pickle=False, show_progress=False)
            return cls(StoredPassages(Path(folder)), scores, str(manifest["corpus_hash"]))
        except (OSError, ValueError, KeyError) as error:
            raise FormatError(f"The index in {folder} is damaged ({error}); delete it and build it anew.") from error

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Best passages for a query.

        Parameters
        ----------
        query : str
        k : int
            Most passages to return; fewer when fewer share a word with the query.

        Returns
        -------
        list of Hit
            Best first; equal scores keep the order of the corpus.
        """
        check_k(k)
        known = [word for word in _words(query) if word in self._scores.vocab_dict]
        if not known:
            return []
        scores = self._scores.get_scores(known)
        return [Hit(self._passages[int(row)], float(scores[row])) for row in _best(scores, k)]

    def __iter__(self) -> Iterator[Passage]:
        return (self._passages[row] for row in range(len(self)))


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Rows of the k highest positive scores; ties in the order of the rows."""
    if k < len(scores):
        lowest = np.partition(scores, len(scores) - k)[len(scores) - k]
        rows = np.flatnonzero((scores >= lowest) & (scores > 0))
    else:
        rows = np.flatnonzero(scores > 0)
    return rows[np.argsort(-scores[rows], kind="stable")][:k]


def _words(text: str) -> list[str]:
    return [token.stem for token in tokenize(text) if token.lower.isalnum() and token.lower not in _STOP]


def _index(texts: Iterable[str]) -> Any:
    """bm25s index of the texts; the vocabulary is sorted so that the same corpus gives the same files."""
    from bm25s import BM25

    documents = [_words(text) for text in texts]
    vocabulary = {word: i for i, word in enumerate(sorted({word for document in documents for word in document}))}
    if not vocabulary:
        raise InputError("The corpus holds no words that can be searched; check that it is text.")
    scores = BM25(k1=_SETTINGS["k1"], b=_SETTINGS["b"], method=_SETTINGS["method"], backend="numpy")
    ids = [[vocabulary[word] for word in document] for document in documents]
    scores.index((ids, vocabulary), create_empty_token=False, show_progress=False)
    return scores


def _is_current(folder: Path, digest: str) -> bool:
    try:
        Bm25Index.load(folder, corpus_hash=digest)
    except (FormatError, OSError):
        return False
    return True


def _write(part: Path, stored: StoredPassages, digest: str) -> None:
    part.mkdir()
    _index(passage.text for passage in stored).save(part, allow_pickle=False, show_progress=False)
    for name in StoredPassages.FILES:
        shutil.copy2(stored.folder / name, part / name)
    manifest = {"corpus_hash": digest, "n_passages": len(stored), "settings": _SETTINGS}
    write_json(part / "manifest.json", {"format": _FORMAT, "format_version": _VERSION, **manifest})
