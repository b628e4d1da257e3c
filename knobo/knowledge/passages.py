"""What the retrievers share: hits, passages kept in a file and found by their offset, and the hash of a corpus."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from knobo.errors import FormatError, InputError
from knobo.knowledge.corpus import Passage
from knobo.storage import read_arrays, read_json, write_arrays

_FIRST_FIELDS = ("id", "source", "title", "text", "url", "year")


@dataclass(frozen=True)
class Hit:
    """A retrieved passage and its score (no unit; comparable within one query of one retriever only)."""

    passage: Passage
    score: float


class Retriever(Protocol):
    """Anything that finds passages for a query: ``Bm25Index``, ``DenseIndex``, ``HybridRetriever`` or your own."""

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """At most k passages, the best first."""
        ...


class StoredPassages(Sequence[Passage]):
    """Passages in a file of lines, each found by its offset and read when it is asked for."""

    FILES = ("passages.jsonl", "offsets.safetensors")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._offsets = read_arrays(folder / self.FILES[1])["offsets"]

    @classmethod
    def write(cls, folder: Path, passages: Iterable[Passage]) -> StoredPassages:
        """Write passages into an existing folder; 8 bytes are held for each."""
        offsets = array("q", [0])
        with (folder / cls.FILES[0]).open("wb") as file:
            for passage in passages:
                offsets.append(offsets[-1] + file.write(to_line(passage)))
        write_arrays(folder / cls.FILES[1], {"offsets": np.asarray(offsets, dtype=np.int64)})
        return cls(folder)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Passage]:
        with (self.folder / self.FILES[0]).open("rb") as file:
            for line in file:
                yield Passage(**json.loads(line))

    def __getitem__(self, row: Any) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(row)
        with (self.folder / self.FILES[0]).open("rb") as file:
            file.seek(self._offsets[row])
            line = file.read(self._offsets[row + 1] - self._offsets[row])
        return Passage(**json.loads(line))


def to_line(passage: Passage) -> bytes:
    """A passage as one line of JSON; a field that came after the first six is left out where it holds its default.

    The hash of a corpus that does not use a new field therefore stays the same.
    """
    values: dict[str, Any] = {}
    for item in fields(passage):
        value = getattr(passage, item.name)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if item.name in _FIRST_FIELDS or value != default:
            values[item.name] = value
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def check_passages(passages: Sequence[Passage]) -> str:
    """SHA-256 over all passages in order; 8 bytes are held for each.

    Parameters
    ----------
    passages : sequence of Passage
        Read a second time where two ids have the same hash.

    Raises
    ------
    InputError
        If there are none, or two have the same id.
    """
    digest, ids = hashlib.sha256(), array("q")
    for passage in passages:
        ids.append(hash(passage.id))
        digest.update(to_line(passage))
    if not ids:
        raise InputError("There are no passages to index; check the corpus.")
    hashes = np.sort(np.frombuffer(ids, dtype=np.int64))
    suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if suspects:
        _refuse_repeats(passage.id for passage in passages if hash(passage.id) in suspects)
    return digest.hexdigest()


def _refuse_repeats(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise InputError(f"Two passages have the id {name!r}; give each its own.")
        seen.add(name)


def check_k(k: int) -> None:
    """Refuse a number of passages below 1."""
    if k < 1:
        raise InputError(f"k is the number of passages to return, at least 1, got {k}.")


def check_folder(folder: Path, what: str) -> None:
    """Refuse a folder that holds anything but an index of the kind ``what``, because an index replaces its folder."""
    if folder.is_dir() and any(folder.iterdir()):
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            manifest = None
        if not isinstance(manifest, dict) or manifest.get("format") != what:
            raise InputError(f"{folder} holds files that are no index; choose a new or an empty folder for the index.")


def read_manifest(folder: Path, what: str, versions: tuple[int, ...], corpus_hash: str | None) -> dict[str, Any]:
    """Manifest of an index folder.

    Raises
    ------
    FileError
        If there is none.
    FormatError
        If it has another kind or version, or belongs to a corpus other than ``corpus_hash``.
    """
    manifest = read_json(folder / "manifest.json", what=what, versions=versions)
    digest = str(manifest.get("corpus_hash"))
    if corpus_hash is not None and digest != corpus_hash:
        raise FormatError(
            f"The index in {folder} belongs to another corpus (hash {digest[:12]}, expected {corpus_hash[:12]}); "
            "build it anew or choose another folder."
        )
    return manifest
