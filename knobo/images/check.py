"""What is wrong with a set of images: unreadable, twice, odd, blank, without a label, or in two splits at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from knobo.errors import InputError
from knobo.images.look import Look, look
from knobo.images.manifest import Manifest, choices, read_table, require_column
from knobo.images.source import ImageFile, choose

Source: TypeAlias = "Path | ImageFile | InputError | None"

_USUAL = {"label": ("label",), "group": ("patient", "lesion"), "split": ("split",)}
_BLOCK = 2048
_ROBUST = 0.6745  # 0.75 quantile of the normal distribution
_LEAST_RATIO = 1.25  # of sides, or of aspect ratios: less is not odd, however regular the rest may be
_COLUMNS = ["severity", "problem", "image", "detail"]


def check_images(
    manifest: str | Path | Manifest | pd.DataFrame,
    *,
    image: str = "image",
    label: str | None = None,
    group: str | None = None,
    split: str | None = None,
    min_per_class: int = 10,
    near: float = 0.12,
    outlier: float = 3.5,
    progress: bool = False,
) -> pd.DataFrame:
    """Look at every image of a manifest and list what is wrong.

    Parameters
    ----------
    manifest : str, Path, Manifest or DataFrame
        A CSV file as for :func:`read_manifest`, what that returned, or a table of :func:`load_dataset`. Paths in a CSV
        file are relative to its folder; in a table, to the working directory.
    image, label, group, split : str, optional
        Columns with the path, the class, the patient (or whatever must stay together) and the split. By default
        ``label``, ``patient`` (or ``lesion``) and ``split``, where the table has them.
    min_per_class : int
        Classes with fewer images are listed.
    near : float
        Images whose perceptual hashes differ in at most this share of the bits are near duplicates.
    outlier : float
        Sizes and intensities with a larger modified z-score are listed.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row a problem, errors first: ``severity`` (``error`` or ``warning``), ``problem``, ``image`` (path as in the
        manifest, and frame and window if chosen; empty for what concerns no single image), ``detail``.

        Errors: ``unreadable``, ``blank``, ``no label``, ``no patient``, ``patient in two splits``, ``duplicate`` in two
        splits or with two labels. Warnings: other duplicates, ``near duplicate``, ``odd size``, ``odd intensity``,
        ``small class``.

    Raises
    ------
    InputError
        If a column is absent, or the manifest is empty.

    Notes
    -----
    Duplicates are files with the same content, in which the same frame and window are chosen. Near duplicates are
    found by the signs of the 16 x 16 lowest frequencies of a cosine transform (pHash; Zauner, *Implementation and
    benchmarking of perceptual image hash functions*, 2010), each image against every earlier one; those of one patient
    in one split are not listed. Odd is a modified z-score (Iglewicz and Hoaglin, *How to detect and handle outliers*,
    1993) of the logarithms of the shorter side and of the aspect ratio (if they are off by more than a quarter), and of
    the mean and the standard deviation of the grey values.
    """
    frame, names, sources = opened(manifest, image)
    columns = _columns(frame, label=label, group=group, split=split)
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 1)) as pool:
        found_looks = pool.map(look, sources)
        looks = list(tqdm(found_looks, total=len(names), disable=not progress, desc="checking", unit="image"))
    found = [
        *_unreadable(looks, names),
        *_blank_cells(columns, names),
        *_in_two_splits(columns),
        *_duplicates(looks, names, columns),
        *_near_duplicates(looks, names, columns, near),
        *_outliers(looks, names, outlier),
        *_small_classes(columns, min_per_class),
    ]
    return pd.DataFrame(found, columns=_COLUMNS).sort_values("severity", kind="stable", ignore_index=True)


def opened(manifest: str | Path | Manifest | pd.DataFrame, image: str) -> tuple[pd.DataFrame, list[str], list[Source]]:
    """Return the table, and the name and the source of each image.

    A source is None where the cell of the path is blank, and an error where those of the frame or window are wrong.
    """
    if isinstance(manifest, Manifest):
        frame, folder = manifest.frame, Path()
    elif isinstance(manifest, pd.DataFrame):
        frame, folder = manifest, Path()
    else:
        frame, folder = read_table(Path(manifest), text=[image, *_USUAL["group"]]), Path(manifest).parent
    require_column(frame, image, "the manifest")
    if frame.empty:
        raise InputError("The manifest lists no images: it has a header and no rows.")
    cells = frame[image].fillna("").astype(str).str.strip().tolist()
    sources: list[Source]
    if isinstance(manifest, Manifest):
        sources = list(manifest.paths)
    else:
        rows = zip(cells, choices(frame), strict=True)
        sources = [_source(folder / cell, *chosen) if cell else None for cell, chosen in rows]
    chosen = [source.choice if isinstance(source, ImageFile) else "" for source in sources]
    return frame, [f"{cell}{choice}" for cell, choice in zip(cells, chosen, strict=True)], sources


def _source(path: Path, frame: Any, window: Any) -> Source:
    try:
        return choose(path, frame, window)
    except InputError as error:
        return error


def _columns(frame: pd.DataFrame, **named: str | None) -> dict[str, pd.Series[Any]]:
    """Label, group and split, where the table has them."""
    found = {}
    for role, name in named.items():
        if name is not None:
            require_column(frame, name, "the manifest")
        name = name or next((usual for usual in _USUAL[role] if usual in frame.columns), None)
        if name is not None:
            found[role] = frame[name].reset_index(drop=True)
    return found


def _unreadable(looks: list[Look], names: list[str]) -> Iterator[tuple[str, str, str, str]]:
    for seen, name in zip(looks, names, strict=True):
        if seen.error:
            yield "error", "unreadable", name, seen.error
        elif seen.spread == 0:
            yield "error", "blank", name, f"All pixels have the grey value {seen.mean:.0f}."


def _blank_cells(columns: dict[str, pd.Series[Any]], names: list[str]) -> Iterator[tuple[str, str, str, str]]:
    for role, problem in (("label", "no label"), ("group", "no patient")):
        if role in columns:
            cells = columns[role]
            for row in np.flatnonzero(cells.isna() | (cells.astype(str).str.strip() == "")):
                yield "error", problem, names[row], f"Column {cells.name!r} is blank; fill it or drop the row."


def _in_two_splits(columns: dict[str, pd.Series[Any]]) -> Iterator[tuple[str, str, str, str]]:
    if not {"group", "split"} <= columns.keys():
        return
    counts = pd.crosstab(columns["group"], columns["split"])
    for name, row in counts[(counts > 0).sum(axis=1) > 1].iterrows():
        where = ", ".join(f"{split} ({count})" for split, count in row.items() if count)
        detail = f"{str(columns['group'].name).capitalize()} {name} has images in {where}."
        yield "error", "patient in two splits", "", detail


def _duplicates(
    looks: list[Look], names: list[str], columns: dict[str, pd.Series[Any]]
) -> Iterator[tuple[str, str, str, str]]:
    first: dict[str, int] = {}
    for row, seen in enumerate(looks):
        if seen.error:
            continue
        other = first.setdefault(seen.digest, row)
        if other == row:
            continue
        apart = _apart(columns, row, other)
        detail = f"The same content as {names[other]}" if names[row] != names[other] else "Listed more than once"
        yield "error" if apart else "warning", "duplicate", names[row], f"{detail}{apart}."


def _apart(columns: dict[str, pd.Series[Any]], row: int, other: int) -> str:
    """Say in which of split and label two images differ."""
    pairs = {role: (columns[role][row], columns[role][other]) for role in ("split", "label") if role in columns}
    return "".join(f"; {role} {one} and {two}" for role, (one, two) in pairs.items() if str(one) != str(two))


def _near_duplicates(
    looks: list[Look], names: list[str], columns: dict[str, pd.Series[Any]], near: float
) -> Iterator[tuple[str, str, str, str]]:
    """Each image and the closest earlier one, if that is near."""
    rows = np.array([row for row, seen in enumerate(looks) if seen.spread > 0], dtype=int)
    if len(rows) < 2:
        return
    signs = np.array([looks[row].bits for row in rows]).astype(np.float32) * 2 - 1
    whose = _codes(columns, rows)
    contents = pd.factorize(np.array([looks[row].digest for row in rows]))[0]
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        stop = min(start + _BLOCK, len(rows))
        shares = (1.0 - signs[block] @ signs[:stop].T / signs.shape[1]) / 2.0
        shares[np.arange(start, stop)[:, None] <= np.arange(stop)] = 1.0
        shares[contents[block, None] == contents[:stop]] = 1.0
        shares[whose[block, None] == whose[:stop]] = 1.0
        closest = shares.argmin(axis=1)
        for n in np.flatnonzero(shares.min(axis=1) <= near):
            row, other = int(rows[start + n]), int(rows[closest[n]])
            detail = (
                f"Like {names[other]} ({shares[n, closest[n]]:.0%} of the hash differ){_apart(columns, row, other)}."
            )
            yield "warning", "near duplicate", names[row], detail


def _codes(columns: dict[str, pd.Series[Any]], rows: NDArray[Any]) -> NDArray[Any]:
    """One number for each patient and split; images without a patient have one each."""
    if "group" not in columns:
        return np.arange(len(rows))
    groups = pd.factorize(columns["group"])[0]
    groups = np.where(groups < 0, len(groups) + np.arange(len(groups)), groups)
    splits = pd.factorize(columns["split"])[0] if "split" in columns else np.zeros(len(groups), int)
    return (groups * (splits.max() + 2) + splits)[rows]


def _outliers(looks: list[Look], names: list[str], limit: float) -> Iterator[tuple[str, str, str, str]]:
    rows = [row for row, seen in enumerate(looks) if not seen.error]
    if not rows:
        return
    sizes = np.array([(looks[row].width, looks[row].height) for row in rows], dtype=float)
    sides = [np.log(sizes.min(axis=1)), np.log(sizes[:, 0] / sizes[:, 1])]
    odd_size = np.max([_z(side, least=np.log(_LEAST_RATIO)) for side in sides], axis=0)
    greys = np.array([(looks[row].mean, looks[row].spread) for row in rows])
    odd_grey = np.maximum(_z(greys[:, 0]), _z(greys[:, 1]))
    usual = np.median(sizes, axis=0)
    for n in np.flatnonzero(odd_size > limit):
        detail = f"{sizes[n, 0]:.0f} x {sizes[n, 1]:.0f} pixels, usual is {usual[0]:.0f} x {usual[1]:.0f}."
        yield "warning", "odd size", names[rows[n]], detail
    for n in np.flatnonzero(odd_grey > limit):
        detail = (
            f"Mean grey {greys[n, 0]:.0f}, standard deviation {greys[n, 1]:.0f}; usual are "
            f"{np.median(greys[:, 0]):.0f} and {np.median(greys[:, 1]):.0f}."
        )
        yield "warning", "odd intensity", names[rows[n]], detail


def _z(values: NDArray[np.float64], least: float = 0.0) -> NDArray[np.float64]:
    """Size of the modified z-score, 0 for deviations up to ``least``.

    Where more than half of the values are the same, their mean absolute deviation stands in for the median one.
    """
    away = np.abs(values - np.median(values))
    scale = np.median(away) / _ROBUST or away.mean() * np.sqrt(np.pi / 2)
    return np.where(away > least, away / max(scale, 1e-12), 0.0)


def _small_classes(columns: dict[str, pd.Series[Any]], least: int) -> Iterator[tuple[str, str, str, str]]:
    if "label" not in columns:
        return
    counts = columns["label"].value_counts()
    for name, count in counts[counts < least].items():
        yield "warning", "small class", "", f"Class {name} has fewer than {least} images: {count}."
