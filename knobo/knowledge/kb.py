"""The knowledge base that a linker searches: findings and diseases, their names, and UMLS identifiers where known."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from knobo.bank import slug
from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge.text import spellings
from knobo.storage import shipped_path

Kind = Literal["finding", "device", "disease"]

_TYPE = re.compile(r"^(T\d{3}) ")


class KbEntry(BaseModel):
    """One finding, device or disease.

    Attributes
    ----------
    id : str
        Identifier inside the knowledge base; the CUI or ``knobo:`` and the name when it is not given.
    name : str
        Preferred name.
    cui, other_cuis, source_name, source : str
        UMLS identifier, further identifiers of the same thing, the name in the open source, and that source.
    codes : tuple of str
        Identifiers in other vocabularies with their prefix: ``"HP:0001640"``, ``"MESH:D011014"``, ``"ICD10CM:J90"``,
        ``"DOID:552"``.
    aliases, own_aliases : tuple of str
        Other names from the source, and wordings that were added for knobo.
    semantic_types : tuple of str
        UMLS semantic types, where known: identifiers (``"T047"``), names, or both (``"T047 Disease or Syndrome"``).
    kind : str
        A ``"finding"`` may become a concept and carry a prior sign; a ``"device"`` may become a concept but never
        speaks for a disease; a ``"disease"`` is what a class may be, and is never a concept.
    modality : str
        Images on which it is seen, such as ``"chest-xray"``; empty means any.
    article : str
        ``"a"`` or ``"an"`` when the name is countable.
    broader : tuple of str
        Ids of entries that are present whenever this one is.
    denied_by : tuple of str
        Wordings that say that it is absent ("normal heart size").
    class_names : tuple of str
        Short names of the class in data sets ("bcc", "edema"); never looked for in running text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    cui: str | None = Field(default=None, pattern=r"^C\d{7}$")
    other_cuis: tuple[str, ...] = ()
    source_name: str | None = None
    source: str = ""
    codes: tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]*:\S+$")], ...] = ()
    aliases: tuple[str, ...] = ()
    own_aliases: tuple[str, ...] = ()
    semantic_types: tuple[str, ...] = ()
    kind: Kind = "finding"
    modality: str = ""
    article: Literal["", "a", "an"] = ""
    broader: tuple[str, ...] = ()
    denied_by: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_id(cls, fields: object) -> object:
        if isinstance(fields, dict) and "id" not in fields and isinstance(fields.get("name"), str):
            return {"id": fields.get("cui") or f"knobo:{slug(fields['name'])}", **fields}
        return fields

    @property
    def wordings(self) -> tuple[str, ...]:
        """Name and aliases in British and American spelling, without repeats."""
        given = (self.name, *self.own_aliases, *self.aliases)
        return tuple(dict.fromkeys(variant for wording in given for variant in spellings(wording)))

    @property
    def cuis(self) -> frozenset[str]:
        """All UMLS identifiers."""
        return frozenset((self.cui, *self.other_cuis)) - {None}  # type: ignore[return-value]

    def is_of_type(self, wanted: Collection[str]) -> bool:
        """Whether one of the semantic types is wanted, by its identifier, its name, or both."""
        return any(part in wanted for value in self.semantic_types for part in (value, *_TYPE.split(value)[1:]))


class KnowledgeBase:
    """Entries in order, found by id.

    Parameters
    ----------
    entries : iterable of KbEntry
        Ids are unique, and ``broader`` names entries of the same knowledge base.

    Raises
    ------
    InputError
        If there are no entries or an id is wrong.
    """

    def __init__(self, entries: Iterable[KbEntry]) -> None:
        self.entries = tuple(entries)
        if not self.entries:
            raise InputError("A knowledge base needs at least one entry.")
        self._by_id = {entry.id: entry for entry in self.entries}
        if len(self._by_id) < len(self.entries):
            twice = next(i for i, n in Counter(entry.id for entry in self.entries).items() if n > 1)
            raise InputError(f"Two entries of the knowledge base have the id {twice!r}; give each its own.")
        for entry in self.entries:
            if unknown := [i for i in entry.broader if i not in self._by_id]:
                raise InputError(
                    f"Entry {entry.id!r} names {unknown[0]!r} as broader, which is not in the knowledge base."
                )

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[KbEntry]:
        return iter(self.entries)

    def __getitem__(self, entry_id: str) -> KbEntry:
        return self._by_id[entry_id]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over all entries in order."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(entry.model_dump_json().encode() + b"\n")
        return digest.hexdigest()

    def broader(self, entry_id: str) -> frozenset[str]:
        """The entry and everything that is present whenever it is."""
        found, queue = {entry_id}, [entry_id]
        while queue:
            fresh = [parent for parent in self[queue.pop()].broader if parent not in found]
            found.update(fresh)
            queue += fresh
        return frozenset(found)

    def narrower(self, entry_id: str) -> list[KbEntry]:
        """Entries that imply this one, in order, without itself."""
        return [entry for entry in self.entries if entry.id != entry_id and entry_id in self.broader(entry.id)]

    @classmethod
    def read(cls, path: str | Path = "open") -> KnowledgeBase:
        """Read a JSONL file with one :class:`KbEntry` a line, or ``"open"``, the knowledge base that ships with knobo.

        Raises
        ------
        FileError
            If the file cannot be read.
        FormatError
            If a line is broken (the message names it).
        """
        source = shipped_path("concepts", "kb", "open_kb.jsonl") if str(path) == "open" else Path(path)
        try:
            lines = source.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise FileError(
                f"Cannot read knowledge base {source}: {error.strerror or error}. Give a JSONL file or 'open'."
            ) from error
        except UnicodeDecodeError as error:
            raise FormatError(f"Knowledge base {source} is not UTF-8 text ({error.reason}).") from error
        return cls(_parse(line, source, number) for number, line in enumerate(lines, 1) if line.strip())


def _parse(line: str, source: Path, number: int) -> KbEntry:
    try:
        return KbEntry.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the line"
        raise FormatError(f"{source}, line {number}: field {where} is broken: {first['msg']}. Mend it.") from error
    except ValueError as error:
        raise FormatError(f"{source}, line {number} is not JSON ({error}). Write one entry a line.") from error
