"""Files of reports: JSON Lines or CSV with an id and a text each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from knobo.errors import FileError, FormatError, InputError


def read_reports(path: str | Path, *, id_field: str = "id", text_field: str = "text") -> pd.DataFrame:
    """Read reports from ``.jsonl`` (or ``.ndjson``) or ``.csv``.

    Parameters
    ----------
    path : str or Path
        UTF-8.
    id_field, text_field : str
        Fields or columns that hold the identifier and the text. A missing, null or blank text is an empty report.

    Returns
    -------
    DataFrame of shape (n, 2)
        Columns ``id`` and ``text``, both str, in the order of the file.

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If a line is broken or lacks its id or text.
    InputError
        If the file is of another kind, or a column is missing.
    """
    source = Path(path)
    suffix = source.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".csv"):
        raise InputError(f"{source}: reports come as .jsonl (one object a line, with id and text) or as .csv.")
    try:
        if suffix == ".csv":
            return _from_csv(source, id_field, text_field)
        with source.open(encoding="utf-8-sig") as lines:
            rows = list(_from_lines(lines, source, id_field, text_field))
    except OSError as error:
        raise FileError(f"Cannot read {source}: {error.strerror or error}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{source} is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    return pd.DataFrame(rows, columns=["id", "text"])


def _from_csv(source: Path, id_field: str, text_field: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(source, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise FormatError(f"{source} is not a CSV table: {error}. Its first line names the columns.") from error
    for column in (id_field, text_field):
        if column not in frame:
            raise InputError(f"{source} has no column {column!r}. It has: {', '.join(map(str, frame.columns))}.")
    return frame[[id_field, text_field]].set_axis(["id", "text"], axis=1)


def _from_lines(lines: Any, source: Path, id_field: str, text_field: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise FormatError(f"{source}, line {number} is not JSON ({error}). Write one object a line.") from error
        for field in (id_field, text_field):
            if not isinstance(record, dict) or field not in record:
                raise FormatError(f"{source}, line {number} has no field {field!r}. Each line needs an id and a text.")
        text = record[text_field]
        if not isinstance(text, str | None):
            raise FormatError(f"{source}, line {number}: field {text_field!r} is {type(text).__name__}, expected text.")
        yield str(record[id_field]), text or ""
