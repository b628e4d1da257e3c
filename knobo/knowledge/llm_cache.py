"""Answers of a language model on disk, by the hash of everything that shapes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from knobo.errors import FormatError, KnoboError
from knobo.storage import read_json, write_json

_FORMAT = "knobo.answer"


def cache_key(**parts: Any) -> str:
    """Hash of named parts, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """Key to the JSON text of an answer; one file an entry, written atomically, or in memory without a folder.

    Parameters
    ----------
    folder : Path, optional
        Entries are ``<folder>/<two digits>/<key>.json``. Threads and processes may share it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._memory: dict[str, dict[str, Any]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        """An entry, its ``"text"`` and the facts beside it; None if there is none, or if it is damaged."""
        if self.folder is None:
            return self._memory.get(key)
        path = self._path(self.folder, key)
        if not path.is_file():
            return None
        try:
            document = read_json(path, what=_FORMAT, versions=(1,))
        except (KnoboError, RecursionError):
            return None
        text = document.get("text")
        intact = isinstance(text, str) and document.get("key") == key and document.get("sha256") == _digest(text)
        return document if intact else None

    def put(self, key: str, text: str, **facts: Any) -> None:
        """Store an answer, over what was there.

        Raises
        ------
        FileError
            If the folder cannot be written.
        """
        if self.folder is None:
            self._memory[key] = {"text": text, **facts}
            return
        document = {"format": _FORMAT, "format_version": 1, "key": key, "sha256": _digest(text), "text": text, **facts}
        write_json(self._path(self.folder, key), document)

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        if len(key) != 64:
            raise FormatError(f"{key!r} is no key of the cache; make it with cache_key.")
        return folder / key[:2] / f"{key}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
