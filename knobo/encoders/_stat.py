"""What a file looked like when its bytes were read, so that it need not be read again while it looks the same."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from knobo.errors import FileError

_SETTLED_NS = 2_000_000_000
_BUSY_SECONDS = 60.0

AnyPath = str | os.PathLike[str]


class FileState(NamedTuple):
    """Where a file is, its size in bytes, and when its bytes and its entry last changed, in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def file_state(path: AnyPath) -> FileState:
    """Ask the file system; raises OSError if the file is not there."""
    found = os.stat(path)
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def same_file(path: Any, before: FileState) -> bool:
    """Whether the bytes are those of ``before``; a new link or owner, which touch the entry only, do not matter."""
    return file_state(path)[:4] == before[:4]


class StatCache:
    """Keys of files by path and state, in an SQLite file that several processes may use.

    A file that was changed less than two seconds before it was read is not remembered: it could change again within
    the resolution of the clock. The time of change cannot be set back as that of modification can.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._new: dict[str, tuple[str, bytes]] = {}

    def look_up(self, path: AnyPath, state: FileState) -> bytes | None:
        """Key of a file that looks as it did, or None."""
        if self._connection is None and not self.path.exists():
            return None
        with self._open() as connection:
            row = connection.execute("SELECT state, key FROM files WHERE path = ?", (_name(path),)).fetchone()
        return row[1] if row is not None and row[0] == repr(tuple(state)) else None

    def remember(self, path: AnyPath, state: FileState, key: bytes) -> None:
        """Keep the key of a file until :meth:`flush`, unless it is too young."""
        if time.time_ns() - max(state.modified, state.changed) > _SETTLED_NS:
            with self._lock:
                self._new[_name(path)] = (repr(tuple(state)), key)

    def flush(self) -> None:
        """Write what is new, and close the file until it is needed again.

        Raises
        ------
        FileError
            If the file cannot be written, or is no SQLite file.
        """
        if self._new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as connection, connection:
                rows = [(path, state, key) for path, (state, key) in self._new.items()]
                connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
                self._new.clear()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)
                    self._connection.execute(
                        "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, key BLOB) WITHOUT ROWID"
                    )
                yield self._connection
            except sqlite3.Error as error:
                raise FileError(f"Cannot use {self.path} ({error}). Delete it: it only saves time.") from error


def _name(path: AnyPath) -> str:
    return os.path.abspath(path)
