"""BM25 retrieval (Robertson and Zaragoza 2009, doi:10.1561/1500000019) by bm25s in memory or by tantivy on disk.

Both engines see the same words and give the same scores. A folder holds the passages, the engine's files and a manifest
with the hash of the corpus; it is made anew only when the corpus, the engine, the settings or the format have changed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from knobo.errors import FileError, FormatError, InputError, KnoboError
from knobo.knowledge import bm25_disk
from knobo.knowledge.bm25_disk import DiskScores
from knobo.knowledge.bm25_memory import MemoryScores
from knobo.knowledge.bm25_words import K1, B
from knobo.knowledge.corpus import Passage
from knobo.knowledge.passages import Hit, StoredPassages, check_folder, check_k, check_passages, read_manifest
from knobo.storage import atomic_path, write_json

__all__ = ["Bm25Index", "Engine", "Hit"]

Engine = Literal["memory", "disk"]

MEMORY_UP_TO = 100_000  # passages; beyond, "auto" takes the disk engine for a folder
_FORMAT = "knobo.bm25"
_VERSIONS = (1, 2)  # 1 has no engine: it is bm25s
_SETTINGS = {"k1": K1, "b": B, "method": "lucene", "tokens": "knobo.knowledge.text 1"}


class _Scores(Protocol):
    def best(self, query: str, k: int) -> list[tuple[int, float]]: ...


class Bm25Index:
    """Passages that can be searched by words. Make one with :meth:`build` or :meth:`load`.

    Attributes
    ----------
    corpus_hash : str
        SHA-256 over all passages in order.
    engine : str
        ``"memory"`` (bm25s) or ``"disk"`` (tantivy).
    """

    def __init__(self, passages: Sequence[Passage], scores: _Scores, corpus_hash: str, engine: Engine) -> None:
        self._passages = passages
        self._scores = scores
        self.corpus_hash = corpus_hash
        self.engine: Engine = engine

    def __len__(self) -> int:
        return len(self._passages)

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        folder: str | Path | None = None,
        *,
        engine: Engine | Literal["auto"] = "auto",
    ) -> Bm25Index:
        """Index passages, or open the folder when it already holds them.

        Parameters
        ----------
        passages : iterable of Passage
            Read once.
        folder : str or Path, optional
            Where to keep the index; without it the index lives in memory. The disk engine grows in
            ``.<folder>.partial`` beside it; a build that was cut off is continued from there.
        engine : {"auto", "memory", "disk"}
            What scores the passages. ``"memory"`` is bm25s: about 7 kB of memory a passage while it is built, 1 kB
            afterwards. ``"disk"`` is tantivy (extra ``disk``): bounded memory, a fifth of the index, slower on few
            passages. ``"auto"`` opens whatever engine the folder has; otherwise it takes the disk engine for a folder
            of more than 100,000 passages if tantivy is installed.

        Raises
        ------
        InputError
            If there are no passages, two have the same id, none holds a word, the folder holds something other than an
            index, or the engine has another name or lacks a folder.
        FileError
            If the folder cannot be written.
        MissingDependencyError
            If the disk engine is asked for and tantivy is not installed.
        """
        _check_engine(engine, folder)
        if folder is None:
            kept = list(passages)
            digest = check_passages(kept)
            return cls(kept, MemoryScores.index(passage.text for passage in kept), digest, "memory")
        target = Path(folder)
        check_folder(target, _FORMAT)
        with _beside(target) as scratch:
            stored = StoredPassages.write(scratch, passages)
            digest = check_passages(stored)
            if not _is_current(target, digest, engine):
                chosen = engine if engine != "auto" else _choose(len(stored))
                _write(target, stored, digest, chosen)
        return cls.load(target)

    @classmethod
    def load(cls, folder: str | Path, *, corpus_hash: str | None = None) -> Bm25Index:
        """Open an index folder; scores are memory-mapped and passages are read when they are hit.

        Raises
        ------
        FileError
            If there is no index in the folder.
        FormatError
            If the index has another version or other settings, is damaged, or belongs to a corpus other than
            ``corpus_hash``.
        MissingDependencyError
            If the disk engine made it and tantivy is not installed.
        """
        manifest = _manifest(Path(folder), corpus_hash)
        try:
            passages = StoredPassages(Path(folder))
            scores = _open(Path(folder), passages, manifest["engine"])
            return cls(passages, scores, str(manifest["corpus_hash"]), manifest["engine"])
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
        return [Hit(self._passages[row], score) for row, score in self._scores.best(query, k)]

    def __iter__(self) -> Iterator[Passage]:
        return (self._passages[row] for row in range(len(self)))


def _check_engine(engine: str, folder: str | Path | None) -> None:
    if engine not in ("auto", *get_args(Engine)):
        raise InputError(f"engine is 'auto', 'memory' or 'disk', got {engine!r}.")
    if engine == "disk" and folder is None:
        raise InputError("The disk engine keeps its index in a folder; give one, or take engine='memory'.")


def _choose(n: int) -> Engine:
    return "disk" if n > MEMORY_UP_TO and bm25_disk.installed() else "memory"


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A scratch folder on the disk of the target."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            yield Path(scratch)
    except KnoboError:
        raise
    except OSError as error:
        raise FileError(f"Cannot write {target}: {error.strerror or error}. Choose another place.") from error


def _manifest(folder: Path, corpus_hash: str | None) -> dict[str, Any]:
    manifest = read_manifest(folder, _FORMAT, _VERSIONS, corpus_hash)
    if manifest.get("settings") != _SETTINGS or manifest.setdefault("engine", "memory") not in get_args(Engine):
        raise FormatError(f"The index in {folder} was made with other settings; delete it and build it anew.")
    return manifest


def _open(folder: Path, passages: StoredPassages, engine: Engine) -> _Scores:
    if engine == "disk":
        return DiskScores(folder / bm25_disk.FOLDER, passages)
    return MemoryScores.load(folder)


def _is_current(folder: Path, digest: str, engine: str) -> bool:
    try:
        if engine not in ("auto", _manifest(folder, digest)["engine"]):
            return False
        Bm25Index.load(folder)
    except (FormatError, OSError):
        return False
    return True


def _write(target: Path, stored: StoredPassages, digest: str, engine: Engine) -> None:
    """Put the index beside the stored passages, the manifest last, and all of it in place of the target."""
    folder, texts = stored.folder, (passage.text for passage in stored)
    if engine == "disk":
        partial = target.with_name(f".{target.name}.partial")
        growing = partial / f"{digest[:16]}-1"  # named after the corpus, so that no other build goes on with it
        bm25_disk.write(growing, texts)
        growing.rename(folder / bm25_disk.FOLDER)
        shutil.rmtree(partial)
    else:
        MemoryScores.index(texts).save(folder)
    manifest = {"corpus_hash": digest, "n_passages": len(stored), "engine": engine, "settings": _SETTINGS}
    write_json(folder / "manifest.json", {"format": _FORMAT, "format_version": _VERSIONS[-1], **manifest})
    with atomic_path(target) as part:
        part.mkdir()
        for path in folder.iterdir():
            path.rename(part / path.name)
