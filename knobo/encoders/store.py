"""The embedding store: rows by encoder, preprocessing and content of the image, safe to kill and to share."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.encoders._shards import KEY_BYTES, Rows, check_shard, list_shards, read_keys, read_rows, write_shard
from knobo.encoders._stat import FileState, StatCache, file_state
from knobo.encoders.base import Encoder
from knobo.encoders.decode import READING
from knobo.errors import FileError, FormatError, InputError
from knobo.images import ImageSource, read_image
from knobo.images.source import picture_digest
from knobo.storage import read_json, write_json

FORMAT = "knobo.embeddings"
VERSION = 1
MANIFEST = "manifest.json"
STATS = "stat.sqlite"


class EmbeddingStore:
    """A folder that keeps embeddings, for any number of encoders.

    Parameters
    ----------
    path : str or Path
        The folder; made when the first row is kept.
    flush_rows, flush_seconds : int, float
        Rows are written when so many have come together, or when so long has passed since the last ones were. What a
        killed process loses is no more than that.
    trust_stat : bool
        Take a file for unchanged, without reading it, while its size, inode, modification and change time are those
        of when it was read. Safe on local disks; leave it off where a server makes up these times.

    Notes
    -----
    One subfolder an encoder and way of reading: a ``manifest.json`` that says which, and shards, safetensors files with
    SHA-256 digests of image files and their rows. A shard is named by the digest of its own bytes, is written under
    another name first, and is never changed; the folder's listing is the list of shards. So a killed process leaves no
    half shard, two processes write beside each other without a lock, and a damaged shard is noticed when it is first
    used: its images are computed again.
    """

    def __init__(
        self, path: str | Path, *, flush_rows: int = 4096, flush_seconds: float = 30.0, trust_stat: bool = False
    ) -> None:
        self.path = Path(path)
        self.flush_rows = flush_rows
        self.flush_seconds = flush_seconds
        self.trust_stat = trust_stat
        self.stats = StatCache(self.path / STATS) if trust_stat else None

    def shelf(self, encoder: Encoder, *, scaled: bool = False) -> Shelf:
        """Open the place of one encoder and way of reading.

        Raises
        ------
        InputError
            If the encoder has no fingerprint.
        FormatError
            If the folder was written by another version.
        """
        digest = getattr(encoder, "fingerprint", None)
        if digest is None:
            raise InputError(
                f"{type(encoder).__name__} has no fingerprint(), so a store could not tell when its numbers change. "
                "Give it that method (any text that changes when they do), or leave the store out."
            )
        identity = {"encoder": digest(), "reading": READING, "scaled": scaled}
        name = hashlib.sha256(repr(sorted(identity.items())).encode()).hexdigest()[:16]
        return Shelf(self, self.path / name, {"spec": encoder.spec, **identity})

    def key(self, source: ImageSource) -> tuple[bytes, FileState | None]:
        """Digest of an image, 32 bytes, and the state of its file before it was read.

        A file counts by its bytes, and by the frame and window that are chosen in it; anything else by its pixels.

        Raises
        ------
        FileError, InputError, InputTypeError
            As :func:`knobo.images.read_image`.
        """
        if not isinstance(source, str | os.PathLike):
            rgb = read_image(source)
            return hashlib.sha256(f"pixels {rgb.shape}".encode() + rgb.tobytes()).digest(), None
        try:
            state = file_state(source)
            known = self.stats.look_up(source, state) if self.stats else None
            key = known or _digest(source)
        except OSError as error:
            read_image(source)  # says what is wrong with it
            raise FileError(f"Cannot read {source}: {error.strerror or error}.") from error
        if self.stats and not known:
            self.stats.remember(source, state, key)
        return picture_digest(key, source), state

    def __sklearn_clone__(self) -> EmbeddingStore:
        return self


class Shelf:
    """The rows of one encoder; made by :meth:`EmbeddingStore.shelf`. One thread adds, any may ask what is there."""

    def __init__(self, store: EmbeddingStore, folder: Path, identity: dict[str, Any]) -> None:
        self.store = store
        self.folder = folder
        self._identity = identity
        self._places: dict[bytes, tuple[int, int]] = {}
        self._shards: list[Path] = []
        self._seen: set[str] = set()
        self._sound: set[int] = set()
        self._waiting: dict[bytes, Rows] = {}
        self._flushed = time.monotonic()
        if (folder / MANIFEST).exists():
            read_json(folder / MANIFEST, what=FORMAT, versions=(VERSION,))
        self._refresh()

    def __contains__(self, key: bytes) -> bool:
        return key in self._places or key in self._waiting

    def __len__(self) -> int:
        return len(self._places) + len(self._waiting)

    def add(self, keys: Sequence[bytes], rows: Rows) -> None:
        """Keep rows; they are on disk when :meth:`flush` has run, which this calls when enough have come together."""
        for key, row in zip(keys, rows, strict=True):
            if key not in self._places:
                self._waiting[key] = row.copy()
        due = time.monotonic() - self._flushed > self.store.flush_seconds
        if due or len(self._waiting) >= self.store.flush_rows:
            self.flush()

    def flush(self) -> None:
        """Write what has come since the last time, and take notice of what other processes wrote.

        Raises
        ------
        FileError
            If the folder cannot be written.
        """
        self._flushed = time.monotonic()
        if self.store.stats:
            self.store.stats.flush()
        if not self._waiting:
            return
        if not (self.folder / MANIFEST).exists():
            write_json(self.folder / MANIFEST, {"format": FORMAT, "format_version": VERSION, **self._identity})
        keys = np.frombuffer(b"".join(self._waiting), np.uint8).reshape(-1, KEY_BYTES)
        path = write_shard(self.folder, keys, np.stack(list(self._waiting.values())))
        self._sound.add(len(self._shards))
        self._include(path, keys)
        self._waiting.clear()
        self._refresh()

    def rows(self, keys: Sequence[bytes]) -> tuple[Rows, NDArray[np.bool_]]:
        """Look rows up.

        Returns
        -------
        rows : ndarray of shape (n_found, d), float32
        found : ndarray of shape (len(keys),), bool
            False for keys that are not, or no longer, there.
        """
        found: dict[int, Rows] = {}
        by_shard: dict[int, list[tuple[int, int]]] = {}
        for k, key in enumerate(keys):
            if key in self._waiting:
                found[k] = self._waiting[key]
            elif key in self._places:
                shard, row = self._places[key]  # noted now: reading may find that rows have moved
                by_shard.setdefault(shard, []).append((k, row))
        for shard, members in by_shard.items():
            read = self._read(shard, np.array([row for _, row in members], np.intp))
            found.update(zip((k for k, _ in members), read, strict=False))
        there = np.array([k in found for k in range(len(keys))], dtype=bool)
        return np.stack([found[k] for k in sorted(found)]) if found else np.empty((0, 0), np.float32), there

    def _read(self, shard: int, numbers: NDArray[np.intp]) -> Sequence[Rows] | Rows:
        """Read rows of a shard; none if it is gone or damaged, and then it is forgotten."""
        path = self._shards[shard]
        try:
            if shard not in self._sound:
                check_shard(path)
                self._sound.add(shard)
            return read_rows(path, numbers)
        except FileNotFoundError:  # another process has joined it with others
            self._forget(shard)
            self._refresh()
        except FormatError as error:
            self._forget(shard)
            warnings.warn(
                f"{error} Its images are computed again; `knobo store gc` removes it.", RuntimeWarning, stacklevel=2
            )
        return ()

    def _forget(self, shard: int) -> None:
        self._places = {key: place for key, place in self._places.items() if place[0] != shard}

    def _refresh(self) -> None:
        """Take in shards that are new in the folder."""
        for path in list_shards(self.folder):
            if path.name in self._seen:
                continue
            try:
                self._include(path, read_keys(path))
            except FileNotFoundError:
                continue
            except FormatError as error:
                self._seen.add(path.name)
                warnings.warn(f"{error} `knobo store gc` removes it.", RuntimeWarning, stacklevel=2)

    def _include(self, path: Path, keys: NDArray[np.uint8]) -> None:
        self._seen.add(path.name)
        data = np.ascontiguousarray(keys).tobytes()
        for row in range(len(keys)):
            self._places[data[row * KEY_BYTES : (row + 1) * KEY_BYTES]] = (len(self._shards), row)
        self._shards.append(path)


def _digest(path: str | os.PathLike[str]) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
