"""JSON Lines to passages: chunks as MedRAG publishes them, and articles of Wikipedia.

A chunk is ``{"id": …, "title": …, "content": …}``, mostly with ``contents`` (title and content) and sometimes a
``PMID``; an article is ``{"id": …, "title": …, "text": …, "url": …}``, where short lines without a full stop are
headings. ``source`` or ``journal``, ``year``, ``language`` and ``licence`` are taken where they are given.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from knobo.errors import FormatError
from knobo.knowledge.corpus import MAX_CHARS, OVERLAP, Passage, cut, cut_blocks, find_year, language_code, open_corpus

_LONGEST = 1 << 26  # bytes of a line; the longest article of Wikipedia has some 2 MB
_TEXTS = ("content", "contents", "text")
_HEADING = 80  # characters of the longest line that may be a heading
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no file can hold


def read_jsonl(path: str | Path, *, name: str | None = None, counts: Counter[str] | None = None) -> Iterator[Passage]:
    """Read a file of JSON Lines, one line at a time.

    Parameters
    ----------
    path : str or Path
        ``.jsonl`` or ``.jsonl.gz``.
    name : str, optional
        First part of the ids, default the name of the file.
    counts : collections.Counter, optional
        Is filled while reading: ``"documents"``, ``"without_text"`` (these give no passage) and ``"passages"``.

    Yields
    ------
    Passage
        Id ``<name>:<id of the line>:<n>``, where lines with the same id that follow each other are numbered on.

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If it is empty, cut off, a git-LFS pointer, no JSON Lines, or a line lacks a field. The message names the file
        and the line.
    """
    file, counts = Path(path), Counter() if counts is None else counts
    source = re.sub(r"\.jsonl(\.gz)?$", "", file.name, flags=re.IGNORECASE)
    last, n = "", 0
    for where, record in _records(file):
        counts["documents"] += 1
        key = f"{name or file.name}:{_key(record, where)}"
        if key != last:
            last, n = key, 0
        facts, start = _facts(record, source, where), n
        for title, piece in _pieces(record, where):
            n += 1
            counts["passages"] += 1
            yield Passage(id=f"{key}:{n}", title=title, text=piece, **facts)
        counts["without_text"] += n == start


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every line that holds something, and where it stands."""
    n = 0
    with open_corpus(path) as file:
        while line := file.readline(_LONGEST):
            n += 1
            where = f"{path}, line {n}"
            if len(line) == _LONGEST and not line.endswith(b"\n"):
                raise FormatError(f"{where}: longer than {_LONGEST >> 20} MB; write one JSON object a line.")
            if text := line.strip():
                yield where, _parse(text, where, ended=line.endswith(b"\n"))
    if not n:
        raise FormatError(f"{path} is empty; fetch it anew.")


def _parse(line: bytes, where: str, *, ended: bool) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: the text is not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        if ended:
            raise FormatError(
                f"{where}: no JSON ({error}); write one object a line, or fetch the file anew."
            ) from error
        raise FormatError(f"{where}: the last line is cut off ({error}); fetch the file anew.") from error
    if not isinstance(record, dict):
        raise FormatError(f"{where}: expected an object, got {type(record).__name__}; write one object a line.")
    return record


def _key(record: dict[str, Any], where: str) -> str:
    for field in ("id", "PMID", "pmid"):
        value = record.get(field)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return _clean(str(value))
    raise FormatError(f"{where}: no id; give each line an 'id' (text or number) or a 'PMID'.")


def _pieces(record: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Title and text of every passage of a line."""
    field = next((field for field in _TEXTS if field in record), None)
    if field is None:
        found = ", ".join(map(repr, record)) or "nothing"
        raise FormatError(
            f"{where}: no text; expected one of the fields {', '.join(_TEXTS)}, found {found}. Rename the field."
        )
    text, title = _string(record, field, where), _clean(_string(record, "title", where))
    if field != "text":
        for piece in cut(_clean(text), MAX_CHARS, OVERLAP):
            yield title, piece
        return
    for heading, blocks in _sections(text, title):
        for piece in cut_blocks(blocks):
            yield (f"{title}. {heading}" if heading and title else heading or title), piece


def _sections(text: str, title: str) -> Iterator[tuple[str, list[str]]]:
    """Paragraphs of an article under their headings; lines that are only a heading end up as no text."""
    lines = [line for line in map(_clean, text.split("\n")) if line]
    heading, blocks = "", list[str]()
    for i, line in enumerate(lines):
        if len(line) <= _HEADING and line[-1].isalnum() and i + 1 < len(lines):
            if blocks:
                yield heading, blocks
            heading, blocks = ("" if line == title else line), []
        else:
            blocks.append(line)
    if blocks:
        yield heading, blocks


def _facts(record: dict[str, Any], source: str, where: str) -> dict[str, Any]:
    given = {
        field: _clean(_string(record, field, where))
        for field in ("source", "journal", "url", "language", "licence", "license")
    }
    pmid = record.get("PMID", record.get("pmid"))
    address = f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" if str(pmid).isdigit() else None
    return {
        "source": given["source"] or given["journal"] or source,
        "url": given["url"] or address,
        "year": find_year(str(record.get("year", ""))),
        "language": language_code(given["language"]) or None,
        "licence": given["licence"] or given["license"] or None,
    }


def _string(record: dict[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if value is not None and not isinstance(value, str):
        raise FormatError(f"{where}: {field!r} must be text, got {type(value).__name__}; write it in quotation marks.")
    return value or ""


def _clean(text: str) -> str:
    return " ".join(_SURROGATE.sub("\ufffd", text).split())
