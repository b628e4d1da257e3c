"""A licensed UMLS export, MRCONSO.RRF and MRSTY.RRF, read into a knowledge base.

The columns are those of the UMLS Reference Manual, chapter 3, table "Concept Names and Sources"
(https://www.ncbi.nlm.nih.gov/books/NBK9685/): fields end in ``|``, rows in a line feed, text is UTF-8. A release is
sorted by CUI, but nothing here rests on it: the rows that are kept are sorted, in parts that wait in a temporary folder
when there are many, so the answer does not depend on the order of the rows and memory does not grow with the files.
UMLS names are licensed; they go into the knowledge base of the person who holds the licence and nowhere else.
"""

from __future__ import annotations

import gzip
import heapq
import json
import re
import tempfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, groupby, islice
from pathlib import Path
from sys import intern
from typing import IO, Any, cast

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge.kb import KbEntry, Kind, KnowledgeBase

_CONSO, _CONSO_COLUMNS = "MRCONSO.RRF", 18
_STY, _STY_COLUMNS = "MRSTY.RRF", 6
_CUI = re.compile(r"C[0-9]{7}")
_TUI = re.compile(r"T[0-9]{3}")
_CODES = {"MSH": "MESH:", "ICD10": "ICD10:", "ICD10CM": "ICD10CM:", "HPO": ""}  # HPO's codes bring their prefix
_FINDINGS = frozenset({"T033", "T034", "T184", "T190", "T020"})  # finding, test result, sign or symptom, abnormality
_DISEASES = frozenset({"T047", "T048", "T191", "T019"})  # disease, mental disorder, neoplasm, congenital
_DEVICES = frozenset({"T074", "T075", "T203"})
_PART = 250_000  # rows that are sorted in memory at once, about 100 MB

_Row = tuple[Any, ...]  # its first value is the CUI


def read_umls(
    folder: str | Path,
    *,
    languages: Sequence[str] = ("ENG",),
    sources: Collection[str] | None = None,
    semantic_types: Collection[str] | None = None,
    suppress: bool = True,
) -> KnowledgeBase:
    """Read a UMLS export into a knowledge base, one entry a concept.

    Parameters
    ----------
    folder : str or Path
        Holds MRCONSO.RRF and MRSTY.RRF, plain or ``.gz``, itself or in its folder ``META``.
    languages : sequence of str
        Values of the column LAT to keep; the name is taken from the first language that has one.
    sources : collection of str, optional
        Values of the column SAB to keep, such as ``{"MSH", "RADLEX"}``; all when it is not given.
    semantic_types : collection of str, optional
        Concepts to keep, by identifier (``"T047"``) or name (``"Disease or Syndrome"``) of one of their types.
    suppress : bool
        Leave out the names that UMLS marks as obsolete or suppressible (column SUPPRESS is O, E or Y).

    Returns
    -------
    KnowledgeBase
        By CUI. The name is the preferred atom (ISPREF=Y) of the preferred form (STT=PF) of the preferred term (TS=P),
        or what comes closest; other names are aliases. ``semantic_types`` holds ``"T047 Disease or Syndrome"``, and
        ``codes`` those of MeSH, ICD-10 and HPO among the names that are kept. ``kind`` is that of the entry of the
        shipped knowledge base with the same CUI, because UMLS counts pleural effusion among the diseases; else it
        follows from the types: a finding where one type says so, or a disease, or a device. What is none of these
        (anatomy, procedures) is a ``"finding"`` for want of a better word; leave it out with ``semantic_types``.

    Raises
    ------
    FileError, FormatError, InputError
        If a file cannot be read, a row is broken (the message names file and line), or no concept is left.
    """
    chosen = {"languages": languages, "sources": sources, "semantic_types": semantic_types}
    entries = iter_umls(folder, **chosen, suppress=suppress)  # type: ignore[arg-type]
    if (first := next(entries, None)) is None:
        given = ", ".join(f"{name}={value!r}" for name, value in chosen.items() if value is not None)
        raise InputError(f"No concept of {folder} is left with {given}, suppress={suppress}; ask for more.")
    return KnowledgeBase(chain([first], entries))


def iter_umls(
    folder: str | Path,
    *,
    languages: Sequence[str] = ("ENG",),
    sources: Collection[str] | None = None,
    semantic_types: Collection[str] | None = None,
    suppress: bool = True,
) -> Iterator[KbEntry]:
    """Entries of :func:`read_umls` one by one, in bounded memory, however large the files are.

    Up to 250,000 rows are sorted in memory; more wait in a temporary folder that only the user can read and that is
    removed at the end.
    """
    for name, value in (("languages", languages), ("sources", sources), ("semantic_types", semantic_types)):
        if isinstance(value, str):
            raise InputError(f"{name} must be a list of texts, got {value!r}; write [{value!r}].")
    if not languages:
        raise InputError("languages is empty; name at least one, such as 'ENG'.")
    conso, sty = _locate(Path(folder), _CONSO), _locate(Path(folder), _STY)
    ranks = {language: rank for rank, language in reversed(list(enumerate(languages)))}
    kept = None if sources is None else frozenset(sources)
    wanted = None if semantic_types is None else frozenset(semantic_types)
    return _join(_in_order(_names(conso, ranks, kept, suppress)), _in_order(_types(sty)), wanted)


def _join(names: Iterator[_Row], types: Iterator[_Row], wanted: frozenset[str] | None) -> Iterator[KbEntry]:
    """Put the names and the types of a concept together; both come in the order of the CUIs."""
    with closing(cast("Any", names)), closing(cast("Any", types)):
        known = {cui: entry.kind for entry in KnowledgeBase.read() for cui in entry.cuis}
        type_groups = groupby(types, key=lambda row: row[0])
        cui, group = next(type_groups, ("", iter(())))
        for concept, rows in groupby(names, key=lambda row: row[0]):
            while cui and cui < concept:
                cui, group = next(type_groups, ("", iter(())))
            found = tuple(dict.fromkeys(intern(row[1]) for row in group)) if cui == concept else ()
            texts, codes = zip(*(row[3:] for row in rows), strict=True)
            name, *aliases = dict.fromkeys(texts)
            entry = KbEntry(
                id=concept,
                name=name,
                cui=concept,
                source="UMLS",
                codes=tuple(dict.fromkeys(filter(None, codes))),
                aliases=tuple(aliases),
                semantic_types=found,
                kind=known.get(concept) or _kind(found),
            )
            if wanted is None or entry.is_of_type(wanted):
                yield entry


def _kind(types: Collection[str]) -> Kind:
    numbers = {value[:4] for value in types}
    if numbers & _FINDINGS:
        return "finding"
    return "disease" if numbers & _DISEASES else "device" if numbers & _DEVICES else "finding"


def _names(path: Path, languages: dict[str, int], sources: frozenset[str] | None, suppress: bool) -> Iterator[_Row]:
    """CUI, rank (lowest is preferred), AUI, text and code (or nothing) of each name that is kept."""
    for number, row in _rows(path, _CONSO_COLUMNS):
        cui, lat, ts, _, stt, _, ispref, aui, _, _, _, sab, _, own, text, _, flag, _ = row
        _check(path, number, "CUI", cui, _CUI.fullmatch(cui))
        _check(path, number, "ISPREF", ispref, ispref in ("Y", "N"))
        _check(path, number, "SUPPRESS", flag, flag in ("O", "E", "Y", "N"))
        _check(path, number, "STR", text, text)
        if lat in languages and (sources is None or sab in sources) and not (suppress and flag != "N"):
            rank = 8 * languages[lat] + 4 * (ts != "P") + 2 * (stt != "PF") + (ispref != "Y")
            yield cui, rank, aui, text, _CODES[sab] + own if sab in _CODES and own else ""


def _types(path: Path) -> Iterator[_Row]:
    """CUI, and identifier and name of one semantic type."""
    for number, (cui, tui, _, name, _, _) in _rows(path, _STY_COLUMNS):
        _check(path, number, "CUI", cui, _CUI.fullmatch(cui))
        _check(path, number, "TUI", tui, _TUI.fullmatch(tui))
        _check(path, number, "STY", name, name)
        yield cui, f"{tui} {name}"


def _check(path: Path, number: int, column: str, value: str, good: object) -> None:
    if not good:
        raise FormatError(
            f"{path}, line {number}: column {column} holds {value[:40]!r}, which is not as UMLS documents it. "
            "Export the file again with MetamorphoSys."
        )


def _rows(path: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields; only a line feed ends a row, whatever else Unicode counts as a line break."""
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                fields = line.decode("utf-8").split("|")
                if len(fields) != columns + 1 or fields.pop() not in ("\n", "\r\n", ""):
                    raise FormatError(
                        f"{path}, line {number}: {columns} fields that each end in '|' were expected. "
                        "Was the copy complete?"
                    )
                yield number, fields
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}, line {number}: the text is not UTF-8 ({error.reason}).") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path}, after line {number}: broken gzip data ({error}). Was the copy complete?") from error
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}. Check the file.") from error


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _locate(folder: Path, name: str) -> Path:
    for place in (folder, folder / "META"):
        for path in (place / name, place / f"{name}.gz"):
            if path.is_file():
                return path
    raise FileError(
        f"{folder} holds no {name} or {name}.gz, nor does its folder META. UMLS comes from https://uts.nlm.nih.gov "
        "with a licence; unpack it and give the folder with its .RRF files."
    )


def _in_order(rows: Iterable[_Row]) -> Iterator[_Row]:
    """Rows sorted; beyond ``_PART`` of them, in parts on disk that are merged."""
    remaining = iter(rows)
    part = sorted(islice(remaining, _PART))
    if len(part) < _PART:
        yield from part
        return
    with tempfile.TemporaryDirectory(prefix="knobo-umls-") as scratch:
        parts: list[Path] = []
        while part:
            parts.append(_write_part(Path(scratch) / f"{len(parts)}.jsonl", part))
            part = sorted(islice(remaining, _PART))
        del part
        yield from heapq.merge(*map(_read_part, parts))


def _write_part(path: Path, rows: list[_Row]) -> Path:
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    except OSError as error:
        raise FileError(
            f"Cannot write {path}: {error.strerror or error}. Sorting needs about as much room as the names that are "
            "kept; set TMPDIR to a larger disk."
        ) from error
    return path


def _read_part(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield tuple(json.loads(line))
