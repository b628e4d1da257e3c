"""Dense retrieval: passages as vectors of a text encoder, kept in a folder of shards and searched by inner product.

Every search ends in an exact comparison with the stored float16 vectors; an approximate index only names candidates.
A build that was cut off goes on after its last whole shard, and a grown corpus encodes only the shards that changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from knobo.errors import FileError, FormatError, InputError, KnoboError
from knobo.knowledge import ann
from knobo.knowledge.corpus import Passage
from knobo.knowledge.passages import Hit, StoredPassages, check_folder, check_k, check_passages, read_manifest
from knobo.knowledge.vectors import Encode, Shards, encode_texts, encoder_name, same_vectors, write_shards
from knobo.storage import write_json

Kind = Literal["flat", "hnsw", "rabitq"]

FLAT_UP_TO = 50_000  # passages; beyond, "auto" takes HNSW
HNSW_UP_TO = 1_000_000  # passages; beyond, "auto" takes RaBitQ
_FORMAT = "knobo.dense"
_VERSION = 1
_SCORES_AT_ONCE = 1 << 25


class DenseIndex:
    """Passages that can be searched by meaning. Make one with :meth:`build` or :meth:`load`.

    Attributes
    ----------
    corpus_hash : str
        SHA-256 over all passages in order, the same as that of a ``Bm25Index``.
    kind : str
        ``"flat"`` (every vector is compared), ``"hnsw"`` (a graph names the candidates) or ``"rabitq"`` (codes of one
        bit a number name them).
    dimension : int
        Length of a vector.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], encode_query: Encode) -> None:
        self.corpus_hash: str = manifest["corpus_hash"]
        self.kind: Kind = manifest["kind"]
        self.dimension: int = manifest["dimension"]
        self._passages = StoredPassages(folder)
        self._vectors = Shards(folder, manifest["shards"], manifest["shard_size"], len(self._passages), self.dimension)
        self._ann = ann.Candidates(folder, self.kind, len(self)) if self.kind != "flat" else None
        self._encode_query = encode_query

    def __len__(self) -> int:
        return len(self._passages)

    def __iter__(self) -> Iterator[Passage]:
        return (self._passages[row] for row in range(len(self)))

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        encode: Encode,
        folder: str | Path,
        *,
        kind: Kind | Literal["auto"] = "auto",
        shard_size: int = 8192,
        encode_query: Encode | None = None,
    ) -> DenseIndex:
        """Encode and index passages, or open the folder when it already holds them.

        Parameters
        ----------
        passages : iterable of Passage
            Read once.
        encode : callable
            Takes a list of n texts and gives an array of shape (n, d), such as :func:`load_text_encoder` makes. Its
            attribute ``name``, or else the name of the function, is kept and checked later.
        folder : str or Path
            Where to keep the index. Until it is complete it grows in ``.<folder>.partial`` beside it; a build that
            was cut off is continued from there.
        kind : {"auto", "flat", "hnsw", "rabitq"}
            How to search. ``"auto"`` compares every vector up to 50,000 passages, takes HNSW (Malkov and Yashunin 2020,
            doi:10.1109/TPAMI.2018.2889473) up to 1 million and RaBitQ behind inverted lists (Gao and Long 2024,
            doi:10.1145/3654970, faiss 1.11 or newer) beyond, in about an eighth of the memory.
        shard_size : int
            Passages that are encoded at once and lost at most when a build is cut off.
        encode_query : callable, optional
            Another encoder for queries, for models that come as a pair.

        Raises
        ------
        InputError
            If there are no passages, two have the same id, the folder holds something other than an index, or the
            encoder gives something other than one finite vector for each text.
        MissingDependencyError
            If faiss is needed and not installed.
        """
        target = Path(folder)
        part = _check_build(target, kind, shard_size)
        stored = _store(part, passages)
        digest = check_passages(stored)
        chosen = _choose(kind, len(stored))
        try:
            found = cls.load(target, encode, digest, encode_query=encode_query)
        except (FormatError, FileError):
            found = None
        if found is not None and found.kind == chosen:
            shutil.rmtree(part)
            return found
        del found  # Windows replaces no folder with open files
        manifest = {"corpus_hash": digest, "n_passages": len(stored), "encoder": encoder_name(encode)}
        manifest |= {"kind": chosen, "settings": ann.SETTINGS[chosen], "shard_size": shard_size}
        _write(part, stored, encode, manifest, reuse=target)
        _promote(part, target)
        return cls.load(target, encode, digest, encode_query=encode_query)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        encode: Encode,
        corpus_hash: str | None = None,
        *,
        encode_query: Encode | None = None,
    ) -> DenseIndex:
        """Open an index folder; vectors are memory-mapped and passages are read when they are hit.

        The first passage is encoded and compared with its stored vector, so that no other encoder slips in.

        Raises
        ------
        FileError
            If there is no index in the folder.
        FormatError
            If the index has another version or other settings, is damaged, or belongs to another encoder or to a
            corpus other than ``corpus_hash``.
        MissingDependencyError
            If faiss is needed and not installed.
        """
        manifest = read_manifest(Path(folder), _FORMAT, (_VERSION,), corpus_hash)
        if manifest.get("settings") != ann.SETTINGS.get(str(manifest.get("kind"))):
            raise FormatError(f"The index in {folder} was made with other settings; delete it and build it anew.")
        if manifest.get("encoder") != encoder_name(encode):
            raise FormatError(
                f"The index in {folder} was made with the encoder {manifest.get('encoder')}, not "
                f"{encoder_name(encode)}; load that encoder, or build the index anew."
            )
        try:
            index = cls(Path(folder), manifest, encode_query or encode)
        except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise FormatError(f"The index in {folder} is damaged ({error}); delete it and build it anew.") from error
        if not same_vectors(
            encode_texts(encode, [index._passages[0].text]), index._vectors.take(np.zeros(1, dtype=np.intp))
        ):
            raise FormatError(
                f"The encoder {encoder_name(encode)} no longer gives the vectors in {folder}: its weights or settings "
                "are others. Load the encoder that built the index, or build it anew."
            )
        return index

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Passages whose vectors have the highest inner product with that of the query.

        Parameters
        ----------
        query : str
        k : int
            Passages to return; fewer when there are fewer, none when the query is blank or its vector is zero.

        Returns
        -------
        list of Hit
            Best first; equal scores keep the order of the corpus.
        """
        return self.search_batch([query], k)[0]

    def search_batch(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """Answer many queries at once; the same as :meth:`search` for each, in less time."""
        check_k(k)
        if isinstance(queries, str):
            raise InputError("queries is a list of texts; for a single one call search.")
        asked = [i for i, query in enumerate(queries) if query.strip()]
        answers: list[list[Hit]] = [[] for _ in queries]
        if not asked:
            return answers
        vectors = encode_texts(self._encode_query, [queries[i] for i in asked], self.dimension)
        step = max(1, _SCORES_AT_ONCE // len(self))
        for start in range(0, len(asked), step):
            block = vectors[start : start + step]
            for i, vector, rows in zip(asked[start:], block, self._candidates(block, k), strict=False):
                answers[i] = self._exact(vector, rows, k) if vector.any() else []
        return answers

    def _candidates(self, queries: NDArray[np.float32], k: int) -> Iterable[NDArray[np.intp]]:
        return self._vectors.best(queries, k) if self._ann is None else self._ann.search(queries, k)

    def _exact(self, query: NDArray[np.float32], rows: NDArray[np.intp], k: int) -> list[Hit]:
        scores = (self._vectors.take(rows).astype(np.float64) * query).sum(axis=1)  # equal vectors, equal scores
        order = np.argsort(-scores, kind="stable")[:k]
        return [Hit(self._passages[int(rows[i])], float(scores[i])) for i in order]


def _check_build(target: Path, kind: str, shard_size: int) -> Path:
    """Check the arguments and give the folder in which the index grows."""
    if kind not in ("auto", *get_args(Kind)):
        raise InputError(f"kind is 'auto', 'flat', 'hnsw' or 'rabitq', got {kind!r}.")
    if shard_size < 1:
        raise InputError(f"shard_size is a number of passages, at least 1, got {shard_size}.")
    check_folder(target, _FORMAT)
    return target.with_name(f".{target.name}.partial")


def _choose(kind: str, n: int) -> str:
    chosen = kind if kind != "auto" else "flat" if n <= FLAT_UP_TO else "hnsw" if n <= HNSW_UP_TO else "rabitq"
    if chosen != "flat":
        ann.need_faiss(chosen)  # before hours of encoding, not after
    return chosen


def _store(part: Path, passages: Iterable[Passage]) -> StoredPassages:
    try:
        part.mkdir(parents=True, exist_ok=True)
        return StoredPassages.write(part, passages)
    except KnoboError:
        raise
    except OSError as error:
        raise FileError(f"Cannot write {part}: {error.strerror or error}. Choose another place.") from error


def _write(part: Path, stored: StoredPassages, encode: Encode, manifest: dict[str, Any], *, reuse: Path) -> None:
    """Complete the folder ``part``; shards that are there, or in ``reuse``, are kept. The manifest comes last."""
    texts, size = (passage.text for passage in stored), manifest["shard_size"]
    names, dimension = write_shards(part, texts, encode, size, reuse=reuse)
    kept = {*names, *StoredPassages.FILES, "manifest.json"}
    if manifest["kind"] != "flat":
        vectors = Shards(part, names, size, len(stored), dimension)
        ann.write(part, manifest["kind"], vectors, len(stored), dimension)
        kept.add(ann.FILE)
    for path in part.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    manifest |= {"dimension": dimension, "shards": names}
    write_json(part / "manifest.json", {"format": _FORMAT, "format_version": _VERSION, **manifest})


def _promote(part: Path, target: Path) -> None:
    """Put the complete folder in its place. If this is cut off, the next build finds all shards again."""
    old = target.with_name(f".{target.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if target.exists():
            target.rename(old)
        part.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        raise FileError(
            f"Cannot replace {target}: {error.strerror or error}. Close what uses it; {part} holds the new index."
        ) from error
    shutil.rmtree(old, ignore_errors=True)
