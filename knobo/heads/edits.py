"""What a reader may change in a head: small records that say what and why; to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from knobo.errors import FormatError, InputError
from knobo.storage import read_json, write_json

_FORMAT = "knobo.edits"
_VERSION = 1

Concept = str | int  # a name, or the position of a column


@dataclass(frozen=True)
class Edit:
    """Base of the edits.

    Attributes
    ----------
    why : str
        The reason, for the change log.
    who, when : str or None
        Who asked for it, and when; left out of the log unless given.
    """

    edit: ClassVar[str] = ""
    why: str = field(default="", kw_only=True)
    who: str | None = field(default=None, kw_only=True)
    when: str | None = field(default=None, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """The edit as JSON can hold it, with its kind in the field ``edit``."""
        values = {name: v.item() if isinstance(v, np.generic) else v for name, v in asdict(self).items()}
        return {"edit": self.edit, **{name: v for name, v in values.items() if v is not None and v != ""}}


@dataclass(frozen=True)
class Veto(Edit):
    """Keep the weight of a concept at zero, for one class or (``class_name=None``) for all."""

    edit: ClassVar[str] = "veto"
    concept: Concept
    class_name: Any = None


@dataclass(frozen=True)
class ForceSign(Edit):
    """Let a concept speak only for (``sign=1``) or only against (``sign=-1``) a class; its weight may still be zero."""

    edit: ClassVar[str] = "force_sign"
    concept: Concept
    class_name: Any
    sign: int

    def __post_init__(self) -> None:
        if self.sign not in (-1, 1):
            raise InputError(f"The sign of {self.concept!r} must be 1 (for) or -1 (against), got {self.sign!r}.")


@dataclass(frozen=True)
class Pin(Edit):
    """Fix the weight of a concept in the logit of a class; all other weights are fitted around it."""

    edit: ClassVar[str] = "pin"
    concept: Concept
    class_name: Any
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.value, Real) or isinstance(self.value, bool) or not np.isfinite(self.value):
            raise InputError(f"The weight of {self.concept!r} must be a finite number, got {self.value!r}.")


@dataclass(frozen=True)
class Release(Edit):
    """Take back earlier edits of a weight, for one class or (``class_name=None``) for all."""

    edit: ClassVar[str] = "release"
    concept: Concept
    class_name: Any = None


@dataclass(frozen=True)
class Rename(Edit):
    """Give a concept another name; what it measures stays."""

    edit: ClassVar[str] = "rename"
    concept: Concept
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"The new name of {self.concept!r} must be a text with a letter in it, got {self.name!r}.")


@dataclass(frozen=True)
class Merge(Edit):
    """Make one concept of two that mean the same: ``keep`` stays, with the mean of both log-odds as its own."""

    edit: ClassVar[str] = "merge"
    keep: Concept
    absorb: Concept


KINDS: dict[str, type[Edit]] = {kind.edit: kind for kind in (Veto, ForceSign, Pin, Release, Rename, Merge)}


def edit_from_dict(record: Mapping[str, Any]) -> Edit:
    """Read an edit that :meth:`Edit.to_dict` wrote.

    Raises
    ------
    FormatError
        If the kind is unknown, or a field is missing, unknown or broken.
    """
    values = dict(record) if isinstance(record, Mapping) else {}
    kind = KINDS.get(values.pop("edit", None) or "")
    if kind is None:
        raise FormatError(f"An edit needs a field 'edit', one of {', '.join(KINDS)}; got {record!r}.")
    known = [part.name for part in fields(kind)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise FormatError(f"The edit {kind.edit!r} has no field {unknown[0]!r}; it takes {', '.join(known)}.")
    try:
        return kind(**values)
    except (TypeError, InputError) as error:
        raise FormatError(f"The edit {kind.edit!r} is broken: {error} Found: {dict(record)}.") from error


def read_edits(path: str | Path) -> list[Edit]:
    """Read edits from a JSON document.

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If it is no ``knobo.edits`` document, or an edit is broken.
    """
    records = read_json(path, what=_FORMAT, versions=(_VERSION,)).get("edits")
    if not isinstance(records, list):
        raise FormatError(f"{path}: the field 'edits' must be a list of edits.")
    return [edit_from_dict(record) for record in records]


def write_edits(path: str | Path, edits: Sequence[Edit]) -> Path:
    """Write edits as a JSON document and return the path."""
    records = [edit.to_dict() for edit in edits]
    return write_json(path, {"format": _FORMAT, "format_version": _VERSION, "edits": records})


def log_entry(edits: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """An entry of a change log, with the time of now."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"when": now, "edits": edits, **facts}
