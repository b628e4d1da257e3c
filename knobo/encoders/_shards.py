"""Files of the embedding store: written once, named by what they hold, never changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from knobo.errors import FormatError
from knobo.storage import atomic_path

SUFFIX = ".safetensors"
KEY_BYTES = 32

Keys = NDArray[np.uint8]
Rows = NDArray[np.float32]


class Shard(NamedTuple):
    """Keys of shape (n, 32), uint8, and their rows of shape (n, d), float32."""

    keys: Keys
    rows: Rows


def write_shard(folder: Path, keys: Keys, rows: Rows) -> Path:
    """Write a shard under the digest of its bytes, so that two writers cannot be in each other's way."""
    data = save({"keys": np.ascontiguousarray(keys), "rows": np.ascontiguousarray(rows)})
    path = folder / (hashlib.sha256(data).hexdigest()[:KEY_BYTES] + SUFFIX)
    with atomic_path(path) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # else a power cut could leave the name without the bytes
    return path


def list_shards(folder: Path) -> list[Path]:
    """Shards of a folder, sorted by name; unfinished ones are in hidden folders and do not count."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def read_keys(path: Path) -> Keys:
    """Read the keys alone, unchecked.

    Raises
    ------
    FormatError
        If it is no shard.
    FileNotFoundError
        If it is gone.
    """
    return _read(path, "keys")


def read_shard(path: Path) -> Shard:
    """Read a whole shard, with :func:`check_shard` before; errors as there."""
    check_shard(path)
    return Shard(_read(path, "keys"), _read(path, "rows"))


def read_rows(path: Path, numbers: NDArray[np.intp]) -> Rows:
    """Read some rows, unchecked: shape (len(numbers), d)."""
    try:
        with safe_open(path, framework="numpy") as file:
            rows = file.get_slice("rows")
            n, d = rows.get_shape()
            if 4 * len(numbers) > n:
                whole: Rows = file.get_tensor("rows")
                return whole[numbers]
            some = np.empty((len(numbers), d), np.float32)
            for k, number in enumerate(numbers):
                some[k] = rows[int(number)]
            return some
    except SafetensorError as error:
        raise FormatError(f"{path} is damaged ({error}).") from error


def check_shard(path: Path) -> None:
    """Check that a shard holds the bytes that it was written with.

    Raises
    ------
    FormatError
        If it does not.
    FileNotFoundError
        If it is gone.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest()[:KEY_BYTES] != path.name.removesuffix(SUFFIX):
        raise FormatError(f"{path} is damaged: its bytes are not those that it was written with.")


def _read(path: Path, name: str) -> NDArray[Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            array: NDArray[Any] = file.get_tensor(name)
            return array
    except SafetensorError as error:
        raise FormatError(f"{path} is damaged ({error}).") from error
