"""Downloaded datasets to manifests. The layouts, as published, are data: ``datasets.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import pandas as pd

from knobo.errors import FileError, InputError
from knobo.images.dataset_tables import Layout, raw_table, require_columns
from knobo.storage import write_text

_SEX = {"m": "M", "male": "M", "f": "F", "female": "F"}
_NUMBERS = ("age", "label_weight")
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom")
_UNKNOWN = "UNK"
_ANSWER = "answer:"  # marks columns of answers that a reader of tables found by itself


def list_datasets() -> pd.DataFrame:
    """Return a table of the datasets that :func:`load_dataset` reads.

    Returns
    -------
    DataFrame
        Index ``name``; columns ``title``, ``modality``, ``labels``, ``access``, ``page``.
    """
    columns = ["title", "modality", "labels", "access", "page"]
    return pd.DataFrame.from_dict(_layouts(), orient="index")[columns].rename_axis("name")


def load_dataset(
    name: str, root: str | Path, *, images: str | Path | None = None, missing: str = "error"
) -> pd.DataFrame:
    """Turn a dataset that was downloaded and unpacked into a manifest.

    Parameters
    ----------
    name : str
        One of :func:`list_datasets`, such as ``"nih-chestxray14"``.
    root : str or Path
        Folder that holds the published files, under their published names.
    images : str or Path, optional
        Folder of the images, if that is another one.
    missing : {"error", "drop"}
        What to do about images that the tables list and the folder lacks, as after a partial download.

    Returns
    -------
    DataFrame with one row an image
        ``image`` (path), and where the dataset has them ``label``, ``patient``, ``lesion``, ``study``, ``split``,
        ``view``, ``sex`` (M, F), ``age`` (years), ``location`` (on the body), ``site`` (where from) and ``report``;
        then the dataset's own findings and criteria, which :func:`knobo.images.concept_columns` reads. Blank is
        unknown; nothing is guessed. Findings mined from reports keep CheXpert's -1 for *uncertain*.

    Raises
    ------
    InputError
        If the name is unknown, or no image is left.
    FileError
        If a table or an image is missing; it says where the dataset is to be had, and on which terms.
    FormatError
        If a table has not the published columns.
    """
    layout = _layout(name)
    if missing not in ("error", "drop"):
        raise InputError(f"missing must be 'error' or 'drop', got {missing!r}.")
    root = Path(root)
    if not root.is_dir():
        raise FileError(f"{layout['title']}: there is no folder {root}. Get it from {layout['page']}.")
    raw = raw_table(layout, root)
    for column, (source, pattern) in layout.get("extract", {}).items():
        require_columns(layout, raw, [source], "its table")
        raw[column] = raw[source].str.extract(pattern, expand=False)
    paths = _image_paths(layout, raw, root if images is None else Path(images))
    here = paths.notna()
    if not here.all():
        _report_missing(layout, raw, here, root if images is None else Path(images), drop=missing == "drop")
        raw, paths = raw[here].reset_index(drop=True), paths[here].reset_index(drop=True)
    if "report_file" in layout:
        raw["report"] = _reports(layout, raw, root)
    return pd.concat([paths.rename("image"), _described(layout, raw), _answers(layout, raw)], axis=1)


def write_manifest(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table of :func:`load_dataset` as CSV that :func:`knobo.images.read_manifest` reads; return the path.

    Images below the folder of the file become relative to it, so that the folder can be moved as a whole.
    """
    folder = Path(path).resolve().parent
    names = [Path(image).resolve() for image in frame["image"]]
    relative = [str(name.relative_to(folder)) if name.is_relative_to(folder) else str(name) for name in names]
    whole = [name for name in frame.select_dtypes("float") if (frame[name].dropna() % 1 == 0).all()]
    return write_text(path, frame.assign(image=relative).astype(dict.fromkeys(whole, "Int64")).to_csv(index=False))


@cache
def _layouts() -> dict[str, dict[str, Any]]:
    return json.loads(Path(__file__).with_name("datasets.json").read_text(encoding="utf-8"))


def _layout(name: str) -> Layout:
    if name in _layouts():
        return _layouts()[name]
    close = get_close_matches(name.lower(), _layouts(), n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(f"There is no dataset {name!r}.{hint} The names are {', '.join(_layouts())}.")


def _filled(layout: Layout, raw: pd.DataFrame, templates: Sequence[str]) -> list[list[str]]:
    """One list a template: the paths of all rows, empty where a field is blank."""
    fields = sorted({field for text in templates for _, field, _, _ in Formatter().parse(text) if field})
    require_columns(layout, raw, fields, "its table")
    known = raw[fields].notna().all(axis=1)
    rows = raw[fields].astype(str).to_dict("records")
    return [[t.format_map(row) if ok else "" for row, ok in zip(rows, known, strict=True)] for t in templates]


def _image_paths(layout: Layout, raw: pd.DataFrame, folder: Path) -> pd.Series[Any]:
    """Path of each image, None where there is none."""
    templates = layout["image"]
    by_name = any(template.startswith("**/") for template in templates)
    find = _finder(folder) if by_name else _beneath(folder)
    choices = zip(*_filled(layout, raw, templates), strict=True)
    found = [next((path for name in names if name and (path := find(name))), None) for names in choices]
    return pd.Series(found, index=raw.index, dtype=object)


def _beneath(folder: Path) -> Callable[[str], str | None]:
    def find(name: str) -> str | None:
        path = folder / name
        return str(path) if path.is_file() else None

    return find


def _finder(folder: Path) -> Callable[[str], str | None]:
    """Find images by file name, wherever they were unpacked to below a folder."""
    index: dict[str, str] = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            if name.lower().endswith(_ENDINGS):
                index.setdefault(name, os.path.join(place, name))
    return lambda name: index.get(name.removeprefix("**/"))


def _report_missing(layout: Layout, raw: pd.DataFrame, here: pd.Series[Any], folder: Path, *, drop: bool) -> None:
    lost = int((~here).sum())
    if drop and lost < len(here):
        return
    example = next(name for name in _filled(layout, raw[~here].head(1), layout["image"][:1])[0])
    way_out = "" if lost == len(here) else ' To go on with those that are there: missing="drop".'
    raise FileError(
        f"{layout['title']}: {lost} of {len(here)} images are not in {folder}, such as {example.removeprefix('**/')}. "
        f"Where to get them: {layout['page']} ({layout['access']}). If they are elsewhere, give that folder as "
        f"images.{way_out}"
    )


def _reports(layout: Layout, raw: pd.DataFrame, root: Path) -> list[str | None]:
    @cache
    def text(path: Path) -> str:
        return path.read_text(encoding="utf-8", errors="replace").strip()

    choices = zip(*_filled(layout, raw, layout["report_file"]), strict=True)
    paths = [next((root / name for name in names if name and (root / name).is_file()), None) for names in choices]
    return [None if path is None else text(path) for path in paths]


def _described(layout: Layout, raw: pd.DataFrame) -> pd.DataFrame:
    """The columns that have the same name in every dataset; those without any value are left out."""
    raw = raw.assign(label=_hot(layout, raw)) if "one_hot" in layout else raw
    columns: dict[str, pd.Series[Any]] = {}
    for name, sources in layout["columns"].items():
        there = [source for source in ([sources] if isinstance(sources, str) else sources) if source in raw.columns]
        values = raw[there].bfill(axis=1).iloc[:, 0] if there else None
        if values is None or values.isna().all():
            continue
        if name == "sex":
            values = values.str.strip().str.lower().map(_SEX)
        elif name in _NUMBERS:
            values = pd.to_numeric(values, errors="coerce")
        columns[name] = values if name == "label" else values.mask(values == _UNKNOWN)
    return pd.DataFrame(columns, index=raw.index)


def _hot(layout: Layout, raw: pd.DataFrame) -> pd.Series[Any]:
    classes = layout["one_hot"]
    require_columns(layout, raw, classes, "its table of labels")
    scores = raw[classes].apply(pd.to_numeric)
    return scores.idxmax(axis=1).where(scores.max(axis=1) > 0)


def _answers(layout: Layout, raw: pd.DataFrame) -> pd.DataFrame:
    """Findings as 1.0, 0.0, -1.0 (uncertain) or NaN; criteria as the dataset's own words."""
    found = [name for name in raw.columns if name.startswith(_ANSWER)]
    parts = [raw[found].rename(columns=lambda name: name.removeprefix(_ANSWER)).astype(float)]
    if "findings" in layout:
        there = [name for name in layout["findings"] if name in raw.columns]
        if not layout.get("findings_optional"):
            require_columns(layout, raw, layout["findings"], "its table")
        parts.append(raw[there].apply(pd.to_numeric))
    if "piped" in layout:
        column, values = layout["piped"]["column"], layout["piped"]["values"]
        require_columns(layout, raw, [column], "its table")
        cells = raw[column].str.split("|")
        parts.append(
            pd.DataFrame({value: [float(value in cell) for cell in cells] for value in values}, index=raw.index)
        )
    if "answers" in layout:
        require_columns(layout, raw, layout["answers"], "its table")
        parts.append(raw[layout["answers"]].mask(raw[layout["answers"]] == _UNKNOWN))
    return pd.concat(parts, axis=1)
