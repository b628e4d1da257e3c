"""BM25 retrieval (Robertson and Zaragoza 2009, doi:10.1561/1500000019) by bm25s, in memory or in a folder.

A folder holds the passages, the memory-mapped scores and a manifest with the hash of the corpus; it is made anew only
when the corpus, the settings or the format have changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import FormatError, InputError
from knobo.knowledge.corpus import Passage
from knobo.knowledge.text import tokenize
from knobo.storage import atomic_path, read_arrays, read_json, write_arrays, write_json

_FORMAT = "knobo.bm25"
_VERSION = 1
_SETTINGS = {"k1": 1.5, "b": 0.75, "method": "lucene", "tokens": "knobo.knowledge.text 1"}
_STOP = frozenset(
    """
    a an and are as at be by for from in is it its of on or that the this to was were with
    """.split()  # noqa: SIM905 - a list of words is read best as text
)


@dataclass(frozen=True)
class Hit:
    """A retrieved passage and its BM25 score (no unit; comparable within one query only)."""

    passage: Passage
    score: float


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
            digest = _check(kept)
            return cls(kept, _index(passage.text for passage in kept), digest)
        _check_ours(Path(folder))
        with tempfile.TemporaryDirectory() as scratch:
            stored = _Stored.write(Path(scratch), passages)
            digest = _check(stored)
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

        manifest = read_json(Path(folder) / "manifest.json", what=_FORMAT, versions=(_VERSION,))
        if manifest.get("settings") != _SETTINGS:
            raise FormatError(f"The index in {folder} was made with other settings; delete it and build it anew.")
        digest = str(manifest.get("corpus_hash"))
        if corpus_hash is not None and digest != corpus_hash:
            raise FormatError(
                f"The index in {folder} belongs to another corpus (hash {digest[:12]}, expected {corpus_hash[:12]}); "
                "build it anew or choose another folder."
            )
        try:
            scores = BM25.load(folder, mmap=True, allow_pickle=False, show_progress=False)
            return cls(_Stored(Path(folder)), scores, digest)
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
        if k < 1:
            raise InputError(f"k is the number of passages to return, at least 1, got {k}.")
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


def _check(passages: Iterable[Passage]) -> str:
    """Hash of the corpus; refuses an empty one and repeated ids."""
    digest, seen = hashlib.sha256(), set()
    for passage in passages:
        if passage.id in seen:
            raise InputError(f"Two passages have the id {passage.id!r}; give each its own.")
        seen.add(passage.id)
        digest.update(_to_line(passage))
    if not seen:
        raise InputError("There are no passages to index; check the corpus.")
    return digest.hexdigest()


def _check_ours(folder: Path) -> None:
    """An index replaces its folder, so a folder with anything else in it is refused."""
    if folder.is_dir() and any(folder.iterdir()):
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            manifest = None
        if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
            raise InputError(f"{folder} holds files that are no index; choose a new or an empty folder for the index.")


def _is_current(folder: Path, digest: str) -> bool:
    try:
        Bm25Index.load(folder, corpus_hash=digest)
    except (FormatError, OSError):
        return False
    return True


def _write(part: Path, stored: _Stored, digest: str) -> None:
    part.mkdir()
    _index(passage.text for passage in stored).save(part, allow_pickle=False, show_progress=False)
    for name in _Stored.FILES:
        shutil.copy2(stored.folder / name, part / name)
    manifest = {"corpus_hash": digest, "n_passages": len(stored), "settings": _SETTINGS}
    write_json(part / "manifest.json", {"format": _FORMAT, "format_version": _VERSION, **manifest})


def _to_line(passage: Passage) -> bytes:
    return json.dumps(asdict(passage), ensure_ascii=False).encode() + b"\n"


class _Stored(Sequence[Passage]):
    """Passages in a file of lines, each found by its offset."""

    FILES = ("passages.jsonl", "offsets.safetensors")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._offsets = read_arrays(folder / self.FILES[1])["offsets"]

    @classmethod
    def write(cls, folder: Path, passages: Iterable[Passage]) -> _Stored:
        offsets = [0]
        with (folder / cls.FILES[0]).open("wb") as file:
            for passage in passages:
                offsets.append(offsets[-1] + file.write(_to_line(passage)))
        write_arrays(folder / cls.FILES[1], {"offsets": np.asarray(offsets, dtype=np.int64)})
        return cls(folder)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: Any) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(row)
        with (self.folder / self.FILES[0]).open("rb") as file:
            file.seek(self._offsets[row])
            line = file.read(self._offsets[row + 1] - self._offsets[row])
        return Passage(**json.loads(line))
