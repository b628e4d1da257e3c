"""Tables of images: a CSV file to paths, labels, reports and groups; columns of answers to concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knobo.errors import FileError, FormatError, InputError
from knobo.images.source import CHOICES, ImageFile, choose

_BLANK = ["", "NA", "N/A", "n/a", "NaN", "nan"]  # not pandas' list: there "None" is blank, here it is an answer
_NO = {"absent", "no", "none", "negative", "false", "0", "0.0"}
_YES = {"present", "yes", "positive", "true", "1", "1.0"}
_UNKNOWN = {"unknown", "uncertain", "?", ""}
_USUAL = {*_NO, "typical", "normal", "regular", "symmetric"}
_MOST_VALUES = 20


@dataclass(frozen=True)
class Manifest:
    """A table with one row an image.

    Attributes
    ----------
    frame : DataFrame of shape (n, columns)
        The whole table: everything that is not named below is metadata.
    paths : list of n Path or ImageFile
        Image files, all of which exist; an :class:`ImageFile` where the row chooses a frame or a window.
    labels, groups : ndarray of shape (n,), or None
        Class and group (such as the patient) of each image; none missing.
    reports : list of n str, or None
        Free text; a blank cell is an empty string.
    concepts : DataFrame of shape (n, m), or None
        Answers 1.0, 0.0 or NaN (see :func:`concept_columns`).
    """

    frame: pd.DataFrame
    paths: list[Path | ImageFile]
    labels: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    reports: list[str] | None = None
    concepts: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.frame)


def read_manifest(
    path: str | Path,
    *,
    image: str = "image",
    label: str | None = None,
    report: str | None = None,
    concepts: Sequence[str] = (),
    group: str | None = None,
) -> Manifest:
    """Read a CSV file that lists images.

    Parameters
    ----------
    path : str or Path
        CSV in UTF-8, with or without byte-order mark; comma, semicolon or tab between the columns. A blank cell,
        ``NA``, ``N/A`` and ``NaN`` are missing values. Columns ``frame`` and ``window``, if there are any, choose a
        picture of a file that holds several: a number from 0, or for the window of a DICOM file ``centre/width``.
    image : str
        Column of image paths, relative to the folder of the file.
    label, report, group : str, optional
        Columns of class labels, free-text reports, and groups such as patients.
    concepts : sequence of str
        Columns of answers, see :func:`concept_columns`.

    Raises
    ------
    FileError
        If the file cannot be read, or images that it lists are missing (all are counted, the first ones named).
    FormatError
        If it is no CSV table.
    InputError
        If a column is absent, a label or group is blank, a frame or window is none, or a concept column is of no use.
    """
    frame = read_table(Path(path), text=[name for name in (image, report, group) if name is not None])
    for column in (image, label, report, group, *concepts):
        if column is not None:
            require_column(frame, column, str(path))
    if frame.empty:
        raise InputError(f"{path} lists no images: it has a header and no rows.")
    return Manifest(
        frame=frame,
        paths=_paths(frame, image, Path(path)),
        labels=None if label is None else _complete(frame, label, str(path)),
        groups=None if group is None else _complete(frame, group, str(path)),
        reports=None if report is None else frame[report].fillna("").astype(str).tolist(),
        concepts=concept_columns(frame, concepts) if len(concepts) else None,
    )


def concept_columns(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Turn columns of expert answers into concepts.

    - ``0``/``1``, ``absent``/``present``, ``no``/``yes``, ``false``/``true``: one concept, named after the column.
    - Two other values, such as ``typical``/``atypical``: one concept, named "column: value", for the value that is not
      the usual one (``typical``, ``normal``, ``absent``, …) or, where neither is, for the second in the alphabet.
    - More values: one concept for each, named "column: value".
    - Several values in a cell, joined by ``|``: one concept for each value.

    A blank cell, ``unknown``, ``uncertain``, ``?`` and the number -1 (*uncertain* in CheXpert's labels) are unknown.
    Underscores become spaces in names.

    Parameters
    ----------
    frame : DataFrame of shape (n, …)
    columns : sequence of str

    Returns
    -------
    DataFrame of shape (n, m), float64
        1.0 present, 0.0 absent, NaN unknown; index as in ``frame``.

    Raises
    ------
    InputError
        If a column is absent, holds one value only, numbers other than 0 and 1, or more than 20 different values.
    """
    concepts: dict[str, pd.Series[float]] = {}
    for column in columns:
        require_column(frame, column, "the table")
        for name, answers in _column_concepts(frame[column], column).items():
            if name in concepts:
                raise InputError(f"Two concept columns give the same concept {name!r}; name each column once.")
            concepts[name] = answers
    return pd.DataFrame(concepts, index=frame.index)


def _column_concepts(values: pd.Series[Any], column: str) -> dict[str, pd.Series[float]]:
    name = column.replace("_", " ")
    words = _words(values, column)
    cells = words.map(lambda cell: {part.strip() for part in cell.split("|")} - {""}, na_action="ignore")
    several = cells.dropna().map(len).gt(1).any()
    distinct = sorted(set().union(*cells.dropna()))
    if len(distinct) < 2:
        held = f"one value only ({distinct[0]!r})" if distinct else "no value at all"
        raise InputError(f"Concept column {column!r} holds {held}; a concept needs present and absent. Leave it out.")
    if len(distinct) > _MOST_VALUES:
        raise InputError(
            f"Concept column {column!r} holds {len(distinct)} different values ({', '.join(distinct[:3])}, …), more "
            f"than {_MOST_VALUES}; expected answers such as 0/1 or absent/present."
        )
    if not several and set(distinct) <= _NO | _YES:
        chosen = {name: _YES}
        if len({word in _YES for word in distinct}) < 2:
            raise InputError(f"Concept column {column!r} holds one value only ({distinct}); leave it out.")
    elif not several and len(distinct) == 2:
        usual = [word for word in distinct if word.lower() in _USUAL]
        value = next(word for word in reversed(distinct) if usual != [word])
        chosen = {_value_name(name, value): {value}}
    else:
        chosen = {_value_name(name, value): {value} for value in distinct}
    return {key: _answers(cells, wanted, column) for key, wanted in chosen.items()}


def _answers(cells: pd.Series[Any], wanted: set[str], column: str) -> pd.Series[float]:
    answers = cells.map(lambda cell: float(bool(cell & wanted)), na_action="ignore").astype(float)
    if answers.min() == 1:
        raise InputError(f"Concept column {column!r}: every image has the value {'/'.join(wanted)!r}; leave it out.")
    return answers


def _words(values: pd.Series[Any], column: str) -> pd.Series[Any]:
    """Answers as words, NaN where unknown; yes/no words in lower case."""
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: "1", False: "0"})
    if pd.api.types.is_numeric_dtype(values):
        known = values.where(values != -1)
        odd = known[known.notna() & ~known.isin([0, 1])]
        if len(odd):
            raise InputError(
                f"Concept column {column!r} holds {odd.iloc[0]:g}; numbers must be 1 (present), 0 (absent) or blank. "
                "Write other answers as words."
            )
        return known.map({1: "1", 0: "0"})
    return values.astype(object).where(values.notna()).map(_word, na_action="ignore")


def _word(value: Any) -> Any:
    word = str(value).strip()
    lower = word.lower()
    if lower in _UNKNOWN:
        return np.nan
    return lower if lower in _NO | _YES else word


def _value_name(name: str, value: str) -> str:
    return f"{name}: {value.replace('_', ' ')}"


def read_table(path: Path, text: list[str]) -> pd.DataFrame:
    """Read a CSV file; columns in ``text``, and what chooses pictures, stay text. Raises as :func:`read_manifest`."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            header = next((line for line in lines if line.strip()), "")
        separator = max(",;\t", key=header.count)
        types: Any = dict.fromkeys((*text, *CHOICES), str)  # "007" is a patient, not seven
        frame = pd.read_csv(
            path, sep=separator, encoding="utf-8-sig", dtype=types, keep_default_na=False, na_values=_BLANK
        )
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not UTF-8 text ({error.reason}); save it as CSV UTF-8.") from error
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}. Check the path.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise FormatError(
            f"{path} is not a CSV table ({error}); save it with one header line and one row an image."
        ) from error
    frame.columns = frame.columns.astype(str).str.strip()
    return frame


def require_column(frame: pd.DataFrame, column: str, where: str) -> None:
    """See that a table has a column.

    Raises
    ------
    InputError
        If not; it says which are there.
    """
    if column in frame.columns:
        return
    have = [str(name) for name in frame.columns]
    close = get_close_matches(column, have, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(f"No column {column!r} in {where}; the columns are {', '.join(have)}.{hint}")


def _paths(frame: pd.DataFrame, image: str, manifest: Path) -> list[Path | ImageFile]:
    names = _complete(frame, image, str(manifest))
    paths = [manifest.parent / str(name).strip() for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        shown = ", ".join(str(path) for path in missing[:3])
        more = ", …" if len(missing) > 3 else ""
        raise FileError(
            f"{len(missing)} of the {len(paths)} images listed in {manifest} are missing: {shown}{more}. "
            f"Paths are relative to {manifest.parent}; mend them or drop the rows."
        )
    return _chosen(frame, paths, manifest)


def _chosen(frame: pd.DataFrame, paths: list[Path], manifest: Path) -> list[Path | ImageFile]:
    """Add what the columns ``frame`` and ``window`` choose."""
    sources: list[Path | ImageFile] = []
    for row, (path, cells) in enumerate(zip(paths, choices(frame), strict=True)):
        try:
            sources.append(choose(path, *cells))
        except InputError as error:
            raise InputError(f"{manifest}, row {row + 1} after the header: {error}") from error
    return sources


def choices(frame: pd.DataFrame) -> list[tuple[Any, Any]]:
    """Cells of the columns ``frame`` and ``window`` in each row, None where the table lacks them."""
    columns = [frame[name] if name in frame.columns else [None] * len(frame) for name in CHOICES]
    return list(zip(*columns, strict=True))


def _complete(frame: pd.DataFrame, column: str, where: str) -> NDArray[Any]:
    """Return the values of a column in which nothing may be blank; words as str."""
    values = frame[column]
    words = not pd.api.types.is_numeric_dtype(values)
    blank = values.isna() | (values.astype(str).str.strip() == "")
    if blank.any():
        row = int(np.flatnonzero(blank)[0])
        raise InputError(
            f"Column {column!r} of {where} is blank in {int(blank.sum())} rows (first in row {row + 1} after the "
            "header); fill them or drop the rows."
        )
    return np.array(values.astype(str).str.strip().tolist()) if words else values.to_numpy()
