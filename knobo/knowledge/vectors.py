"""Vectors of a text encoder: asked for, checked, and kept in float16 shards that survive an interrupted build."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import FormatError, InputError
from knobo.storage import atomic_path

Encode = Callable[[list[str]], NDArray[Any]]

_COPY_UP_TO = 1 << 26  # numbers that are held as float32 once read (256 MiB); beyond, every pass reads the files
_SAME = 0.05  # relative distance within which two runs of one encoder stay, half precision and padding included


def encoder_name(encode: Encode) -> str:
    """Name under which an index remembers its encoder: its attribute ``name``, or that of the function or class."""
    named = encode if hasattr(encode, "__qualname__") else type(encode)
    return str(getattr(encode, "name", f"{named.__module__}.{named.__qualname__}"))


def encode_texts(encode: Encode, texts: list[str], dimension: int | None = None) -> NDArray[np.float32]:
    """One finite vector for each text, or an error that says what came instead."""
    given = encode(list(texts))
    try:
        vectors = np.ascontiguousarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"The encoder {encoder_name(encode)} gave no array of numbers ({error}).") from error
    wanted = (len(texts), dimension or "d")
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] != (dimension or max(1, vectors.shape[1])):
        raise InputError(f"The encoder {encoder_name(encode)} gave shape {vectors.shape}, expected {wanted}.")
    bad = np.flatnonzero(~(np.abs(vectors) <= np.finfo(np.float16).max).all(axis=1))
    if len(bad):
        raise InputError(
            f"The encoder {encoder_name(encode)} gave numbers beyond float16 or none for {texts[bad[0]][:60]!r}; "
            "use one that gives finite vectors of length 1 or so."
        )
    return vectors


def same_vectors(now: NDArray[Any], stored: NDArray[Any]) -> bool:
    if now.shape != stored.shape:
        return False
    stored = stored.astype(np.float32)
    return bool(np.linalg.norm(now - stored) <= _SAME * np.linalg.norm(stored) + 1e-6)


class Shards:
    """The float16 vectors of all passages, in files of ``size`` rows that are mapped when they are needed."""

    def __init__(self, folder: Path, names: list[str], size: int, n: int, dimension: int) -> None:
        paths = [folder / name for name in names]
        self._n_shards, self._size, self._shape = len(paths), size, (n, dimension)
        self._open = lru_cache(maxsize=128)(lambda i: _open_shard(paths[i]))  # without self: no cycle keeps files open
        shapes = [self._open(i).shape for i in range(len(names))]
        if shapes != [(min(size, n - start), dimension) for start in range(0, n, size)]:
            raise FormatError("its vectors do not fit its passages")
        self._copies: list[NDArray[np.float32]] = []

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """All vectors in order, shard by shard."""
        if not self._copies and np.prod(self._shape) <= _COPY_UP_TO:
            self._copies = [self._open(i).astype(np.float32) for i in range(self._n_shards)]
        yield from self._copies or (self._open(i).astype(np.float32) for i in range(self._n_shards))

    @cached_property
    def longest(self) -> float:
        """Length of the longest vector."""
        return max(float(np.sqrt(np.einsum("ij,ij->i", block, block).max())) for block in self.blocks())

    def take(self, rows: NDArray[np.intp]) -> NDArray[np.float16]:
        """Vectors of some rows."""
        vectors = np.empty((len(rows), self._shape[1]), dtype=np.float16)
        shards = rows // self._size
        for i in np.unique(shards):
            vectors[shards == i] = self._open(int(i))[rows[shards == i] - i * self._size]
        return vectors

    def best(self, queries: NDArray[np.float32], k: int) -> Iterator[NDArray[np.intp]]:
        """For each query, all rows that may be among the k best once rounding is taken away."""
        n, dimension = self._shape
        scores, start = np.empty((len(queries), n), dtype=np.float32), 0
        for block in self.blocks():
            np.matmul(queries, block.T, out=scores[:, start : start + len(block)])
            start += len(block)
        rounding = dimension * 2.0**-23 * self.longest * np.linalg.norm(queries, axis=1)
        for row, margin in zip(scores, rounding, strict=True):
            kth = np.partition(row, n - k)[n - k] if k < n else -np.inf
            yield np.flatnonzero(row >= kth - 2 * margin)


def write_shards(part: Path, texts: Iterable[str], encode: Encode, size: int, *, reuse: Path) -> tuple[list[str], int]:
    """Encode texts into shards of ``size`` in the folder ``part``; whole ones there, or in ``reuse``, are kept.

    Returns
    -------
    names : list of str
        Files in order.
    dimension : int
    """
    names: list[str] = []
    rows, dimension = iter(texts), 0
    while block := list(islice(rows, size)):
        names.append(_shard_name(len(names), encoder_name(encode), block))
        dimension = _write_shard(names[-1], part, reuse, encode, block, dimension)
    return names, dimension


def _shard_name(i: int, encoder: str, texts: list[str]) -> str:
    """A shard is named after its content, so that one of another corpus or encoder is never taken for it."""
    digest = hashlib.sha256(json.dumps([encoder, texts]).encode()).hexdigest()
    return f"vectors-{i:05d}-{digest[:16]}.npy"


def _write_shard(name: str, part: Path, reuse: Path, encode: Encode, texts: list[str], dimension: int) -> int:
    """Put one shard into ``part`` and return its dimension."""
    for path in (part / name, reuse / name):
        if path.is_file() and (kept := _still_true(path, encode, texts)):
            if path.parent != part:
                with atomic_path(part / name) as copy:
                    shutil.copy2(path, copy)
            return kept
    vectors = encode_texts(encode, texts, dimension or None)
    with atomic_path(part / name) as path:
        np.save(path, vectors.astype(np.float16))
    return vectors.shape[1]


def _still_true(path: Path, encode: Encode, texts: list[str]) -> int:
    """Dimension of an old shard, or 0 if it is damaged or the encoder gives another first vector today."""
    try:
        vectors = _open_shard(path)
    except (OSError, ValueError, EOFError):
        return 0
    if len(vectors) != len(texts) or not same_vectors(encode_texts(encode, texts[:1]), vectors[:1]):
        return 0
    return vectors.shape[1]


def _open_shard(path: Path) -> NDArray[np.float16]:
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    if vectors.dtype != np.float16 or vectors.ndim != 2:
        raise FormatError(f"{path.name} holds no float16 vectors")
    return vectors
