"""Care of an embedding store: what is in it, whether it is sound, and tidying it. Safe while others use it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from knobo.encoders._shards import Shard, list_shards, read_keys, read_shard, write_shard
from knobo.encoders.store import FORMAT, MANIFEST, VERSION
from knobo.errors import FileError, FormatError, InputError
from knobo.storage import read_json

_JOIN_ROWS = 16384
_STALE_SECONDS = 3600.0


class Tidied(NamedTuple):
    """What :func:`tidy_store` did."""

    joined: int
    duplicates: int
    damaged: int
    unfinished: int
    bytes_freed: int


def store_stats(path: str | Path) -> pd.DataFrame:
    """One row a shelf: ``shelf``, ``encoder``, ``scaled``, ``images``, ``shards``, ``megabytes``.

    Raises
    ------
    FileError
        If there is no store.
    FormatError
        If a manifest is broken; a shard that cannot be read counts as no images.
    """
    rows = []
    for folder in shelves(path):
        manifest = read_json(folder / MANIFEST, what=FORMAT, versions=(VERSION,))
        shards = list_shards(folder)
        keys: set[bytes] = set()
        for shard in shards:
            try:
                keys.update(key.tobytes() for key in read_keys(shard))
            except (FormatError, FileNotFoundError):
                continue
        size = sum(_size(shard) for shard in shards)
        rows.append((folder.name, manifest["spec"], manifest["scaled"], len(keys), len(shards), size / 1e6))
    return pd.DataFrame(rows, columns=["shelf", "encoder", "scaled", "images", "shards", "megabytes"])


def verify_store(path: str | Path) -> tuple[int, list[str]]:
    """Read every byte and compare it with the digest in the file's name.

    Returns
    -------
    n_images : int
        Rows in sound shards.
    problems : list of str
        One sentence a damaged file, naming it.

    Raises
    ------
    FileError
        If there is no store.
    """
    n, problems = 0, []
    for folder in shelves(path):
        try:
            read_json(folder / MANIFEST, what=FORMAT, versions=(VERSION,))
        except FormatError as error:
            problems.append(str(error))
        for shard in list_shards(folder):
            try:
                n += len(_sound(shard).keys)
            except FileNotFoundError:
                continue  # joined with others since the folder was listed
            except FormatError as error:
                problems.append(str(error))
    return n, problems


def tidy_store(path: str | Path, *, drop: str | None = None) -> Tidied:
    """Join small shards, and remove duplicate rows, damaged shards and what killed processes left.

    Rows are written in their new place before they leave the old one, and only what this call has read is removed.

    Parameters
    ----------
    path : str or Path
    drop : str, optional
        Name of a shelf that is removed with all its rows.

    Raises
    ------
    FileError
        If there is no store, or it cannot be written.
    InputError
        If there is no shelf of that name.
    """
    folders = list(shelves(path))
    before = _size(Path(path))
    if drop is not None:
        if drop not in [folder.name for folder in folders]:
            raise InputError(f"{path} has no shelf {drop!r}; it has {', '.join(f.name for f in folders) or 'none'}.")
        shutil.rmtree(Path(path) / drop)
        folders = [folder for folder in folders if folder.name != drop]
    joined = duplicates = damaged = unfinished = 0
    for folder in folders:
        counts = _tidy_shelf(folder)
        joined, duplicates, damaged = joined + counts[0], duplicates + counts[1], damaged + counts[2]
        unfinished += _sweep(folder)
    return Tidied(joined, duplicates, damaged, unfinished, max(0, before - _size(Path(path))))


def shelves(path: str | Path) -> Iterator[Path]:
    """Folders of a store that hold rows, by name.

    Raises
    ------
    FileError
        If there is no such folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileError(f"There is no store at {root}: no such folder. Check the path.")
    return iter(sorted(manifest.parent for manifest in root.glob(f"*/{MANIFEST}")))


def _tidy_shelf(folder: Path) -> tuple[int, int, int]:
    """Counts of shards joined, duplicate rows dropped, damaged shards removed."""
    joined = duplicates = damaged = 0
    seen: set[bytes] = set()
    group: list[Path] = []
    parts: list[Shard] = []
    for path in [*list_shards(folder), None]:
        if path is not None:
            try:
                shard = _sound(path)
            except FileNotFoundError:
                continue
            except FormatError:
                path.unlink(missing_ok=True)
                damaged += 1
                continue
            names = [key.tobytes() for key in shard.keys]
            new = np.array([name not in seen for name in names], dtype=bool)
            seen.update(names)
            duplicates += int((~new).sum())
            if new.all() and len(names) >= _JOIN_ROWS:
                continue
            group.append(path)
            parts.append(Shard(shard.keys[new], shard.rows[new]))
        if group and (path is None or sum(len(part.keys) for part in parts) >= _JOIN_ROWS):
            joined += _join(folder, group, parts)
            group, parts = [], []
    return joined, duplicates, damaged


def _join(folder: Path, group: list[Path], parts: list[Shard]) -> int:
    keys, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = write_shard(folder, keys, rows) if len(keys) else None
    gone = [path for path in group if path != keep]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _sound(path: Path) -> Shard:
    shard = read_shard(path)
    if len(shard.keys) != len(shard.rows) or not np.isfinite(shard.rows).all():
        raise FormatError(f"{path} is damaged: it does not hold one finite row a key.")
    return shard


def _sweep(folder: Path) -> int:
    """Remove hidden folders in which a process that is no more was writing."""
    removed = 0
    for path in folder.glob(".*"):
        try:
            stale = path.is_dir() and time.time() - path.stat().st_mtime > _STALE_SECONDS
        except FileNotFoundError:
            continue  # its writer has just finished
        if stale:
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
    return removed


def _size(path: Path) -> int:
    """Bytes of a file or of all files below a folder; files come and go meanwhile."""
    total = 0
    for file in [path] if path.is_file() else [Path(at, name) for at, _, names in os.walk(path) for name in names]:
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total
