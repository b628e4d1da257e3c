"""Published tables of a dataset, as they are, to one raw table with a row an image. Every cell is text."""

from __future__ import annotations

import json
import zipfile
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from knobo.errors import FileError, FormatError

Layout = Mapping[str, Any]
"""One entry of ``datasets.json``."""


def raw_table(layout: Layout, root: Path) -> pd.DataFrame:
    """Read the tables that a layout names.

    Raises
    ------
    FileError
        If one is missing or cannot be read.
    FormatError
        If one has not the published columns.
    """
    return _READERS[layout.get("reader", "tables")](layout, root)


def find_optional(root: Path, patterns: Sequence[str]) -> Path | None:
    """Return the first path that a pattern matches, in the order of the patterns; None where there is none."""
    return next((found[0] for pattern in patterns if (found := sorted(root.glob(pattern)))), None)


def find_file(layout: Layout, root: Path, patterns: Sequence[str]) -> Path:
    """Return the first path that a pattern matches, in the order of the patterns.

    Raises
    ------
    FileError
        If there is none.
    """
    found = find_optional(root, patterns)
    if found is None:
        raise FileError(
            f"{layout['title']}: there is no {patterns[0].removeprefix('**/')} in {root}. Give the folder that it was "
            f"unpacked to. Where to get it: {layout['page']} ({layout['access']})."
        )
    return found


def _find(layout: Layout, root: Path, table: Mapping[str, Any]) -> Path | None:
    return find_optional(root, table["file"]) if table.get("optional") else find_file(layout, root, table["file"])


def require_columns(layout: Layout, frame: pd.DataFrame, columns: Sequence[str], where: str) -> None:
    """See that a table has columns.

    Raises
    ------
    FormatError
        If it lacks one.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        have = ", ".join(map(str, frame.columns[:12]))
        raise FormatError(
            f"{layout['title']}: {where} lacks the column {missing[0]!r}; it has {have}. Is it the published file, of "
            "a release that knobo knows?"
        )


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
            sep="\t" if path.suffix == ".tab" else ",",
        )
    except (OSError, ValueError, EOFError, pd.errors.ParserError) as error:
        raise FileError(f"Cannot read {path} ({error}). Download it again.") from error


def _tables(layout: Layout, root: Path) -> pd.DataFrame:
    """Tables one below the other, then those joined to them."""
    parts = []
    for table in layout["stack"]:
        path = _find(layout, root, table)
        if path is not None:
            part = _read_csv(path)
            parts.append(part.assign(split=table["split"]) if "split" in table else part)
    frame = pd.concat(parts, ignore_index=True)
    for table in layout.get("join", []):
        path = _find(layout, root, table)
        if path is None:
            continue
        other = _read_csv(path)
        for side in (frame, other):
            require_columns(layout, side, table["on"], path.name)
        fresh = table.get("take") or [name for name in other.columns if name not in frame.columns]
        frame = frame.merge(other[[*table["on"], *fresh]].drop_duplicates(table["on"]), on=table["on"], how="left")
    if "lists" in layout:
        frame["split"] = _listed(layout, root, frame)
    return frame


def _listed(layout: Layout, root: Path, frame: pd.DataFrame) -> pd.Series[Any]:
    """Splits that are published as lists of file names; a name in no list has none."""
    lists = layout["lists"]
    require_columns(layout, frame, [lists["column"]], "the table")
    splits: dict[str, str] = {}
    for split in ("train", "test"):
        path = find_optional(root, [lists[split]])
        if path is not None:
            splits |= dict.fromkeys(path.read_text(encoding="utf-8").split(), split)
    return frame[lists["column"]].map(splits)


def _chexpert_plus(layout: Layout, root: Path) -> pd.DataFrame:
    frame = _tables(layout, root)
    require_columns(layout, frame, ["path_to_image"], "its table")
    path = find_optional(root, layout["label_files"])
    if path is None:
        return frame
    with path.open(encoding="utf-8") as lines:
        labels = pd.DataFrame([json.loads(line) for line in lines if line.strip()])
    return frame.merge(labels.drop_duplicates("path_to_image"), on="path_to_image", how="left")


def _vindr(layout: Layout, root: Path) -> pd.DataFrame:
    """One row an image: what most of its readers saw."""
    frame = _tables(layout, root)
    spellings = [name for name in ("Other diseases", "Other disease") if name in frame.columns]  # they differ by split
    if spellings:
        frame["Other diseases"] = frame[spellings].bfill(axis=1).iloc[:, 0]
    require_columns(layout, frame, ["image_id", *layout["findings"]], "its table of labels")
    votes = frame[layout["findings"]].apply(pd.to_numeric).groupby([frame["image_id"], frame["split"]], sort=False)
    return (votes.mean() > 0.5).astype(float).reset_index()


def _openi(layout: Layout, root: Path) -> pd.DataFrame:
    folder = find_file(layout, root, layout["report_folders"])
    rows = []
    for path in sorted(folder.glob("*.xml")):
        try:
            report = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            raise FormatError(f"{path} is not XML ({error}). Unpack the reports again.") from error
        sections = {
            (node.get("Label") or "").lower(): " ".join((node.text or "").split())
            for node in report.iter("AbstractText")
        }
        uid = report.find("uId")
        shared = {
            "uid": path.stem if uid is None else uid.get("id"),
            "report": "\n".join(f"{name.upper()}: {text}" for name, text in sections.items() if text),
            **{name: sections.get(name) or None for name in ("findings", "impression")},
            **{
                kind: "|".join(node.text or "" for node in report.iter(kind)) or None for kind in ("major", "automatic")
            },
        }
        rows += [{**shared, "image_id": image.get("id")} for image in report.iter("parentImage")]
    return pd.DataFrame(rows)


def _folders(layout: Layout, root: Path) -> pd.DataFrame:
    """Classes by folder."""
    first = next(iter(layout["splits"]))
    base = find_file(layout, root, [f"{folder}/{first}" for folder in layout["folders"]]).parent
    rows = [
        {"file": str(path.relative_to(root)), "class": name, "split": split}
        for folder, split in layout["splits"].items()
        for name in layout["classes"]
        for path in sorted(base.glob(f"{folder}/{name}/{layout['inside']}"))
    ]
    return pd.DataFrame(rows, columns=["file", "class", "split"])


def _imagenome(layout: Layout, root: Path) -> pd.DataFrame:
    frame = _tables(layout, root)
    require_columns(layout, frame, ["dicom_id", "path"], "its table of splits")
    load = _scene_graphs(layout, root)
    graphs = [load(dicom_id) for dicom_id in frame["dicom_id"]]
    for field in ("gender", "age_decile"):
        frame[field] = [graph.get(field) for graph in graphs]
    answers = pd.DataFrame([_affirmed(graph) for graph in graphs], index=frame.index)
    return pd.concat([frame, answers[sorted(answers.columns)].add_prefix("answer:")], axis=1)


def _scene_graphs(layout: Layout, root: Path) -> Callable[[str], dict[str, Any]]:
    """Return a function from the name of an image to its scene graph, empty where there is none."""
    folders = [root / name for name in layout["graphs"] if any((root / name).glob("*_SceneGraph.json"))]
    if folders:

        def from_folder(name: str) -> dict[str, Any]:
            path = folders[0] / f"{name}_SceneGraph.json"
            return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

        return from_folder
    archive = zipfile.ZipFile(find_file(layout, root, [layout["graph_archive"]]))
    members = {Path(name).name: name for name in archive.namelist()}

    def from_archive(name: str) -> dict[str, Any]:
        member = members.get(f"{name}_SceneGraph.json")
        return json.loads(archive.read(member)) if member else {}

    return from_archive


def _affirmed(graph: Mapping[str, Any]) -> dict[str, float]:
    """1.0 for what any region affirms, 0.0 for what is only denied; "kind|yes|name" are the graph's words."""
    answers: dict[str, float] = {}
    for region in graph.get("attributes", []):
        for statement in (part for sentence in region.get("attributes", []) for part in sentence):
            kind, answer, name = statement.split("|", 2)
            if kind != "nlp":  # "normal" and "abnormal" are no findings
                answers[name] = max(answers.get(name, 0.0), float(answer == "yes"))
    return answers


def _scin(layout: Layout, root: Path) -> pd.DataFrame:
    """One row a photograph; a case has up to three."""
    cases = _tables(layout, root)
    require_columns(layout, cases, ["case_id", "image_1_path", "weighted_skin_condition_label"], "its table")
    weights = cases["weighted_skin_condition_label"].map(
        lambda cell: literal_eval(cell) if isinstance(cell, str) else {}
    )
    cases["condition"] = weights.map(lambda weight: max(weight, key=weight.get) if weight else None)
    cases["weight"] = weights.map(lambda weight: max(weight.values()) if weight else None)
    for prefix in layout["tick_boxes"]:
        boxes = [name for name in cases.columns if name.startswith(prefix)]
        ticked = cases[boxes].eq("YES")
        answers = ticked.astype(float).where(ticked.any(axis=1), axis=0)
        cases = cases.drop(columns=boxes).join(answers.add_prefix("answer:"))
    numbers = [n for n in (1, 2, 3) if f"image_{n}_path" in cases.columns]
    photographs = pd.concat(
        [cases.assign(name=cases[f"image_{n}_path"], shot_type=cases.get(f"image_{n}_shot_type")) for n in numbers]
    )
    photographs = photographs[photographs["name"].notna()].sort_index(kind="stable").reset_index(drop=True)
    return photographs.assign(name=photographs["name"].str.rsplit("/", n=1).str[-1])


def _ph2(layout: Layout, root: Path) -> pd.DataFrame:
    path = find_file(layout, root, layout["table"])
    codes = layout["codes"]
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        cells = [cell.strip() for cell in line.split("||")]
        if len(cells) < 6 or not cells[1].startswith("IMD"):
            continue
        asymmetry, *criteria = (cell.strip() for cell in cells[4].split("|"))
        rows.append(
            {
                "name": cells[1],
                "histology": cells[2] or None,
                "diagnosis": codes["diagnosis"].get(cells[3]),
                "asymmetry": codes["asymmetry"].get(asymmetry),
                **dict(zip(layout["answers"][1:-1], map(codes["criteria"].get, criteria), strict=False)),
                "colors": "|".join(codes["colors"][code] for code in cells[5].split() if code in codes["colors"]),
            }
        )
    return pd.DataFrame(rows)


def _derm7pt(layout: Layout, root: Path) -> pd.DataFrame:
    """Two rows a case: its dermoscopic and its clinical image."""
    cases = _tables(layout, root)
    require_columns(layout, cases, ["case_num", "derm", "clinic"], "meta.csv")
    cases["split"] = None
    for split, name in layout["indexes"].items():
        path = find_optional(root, [name])
        if path is not None:
            cases.loc[_read_csv(path)["indexes"].astype(int), "split"] = split
    views = {"dermoscopic": "derm", "clinical": "clinic"}
    both = [cases.assign(view=view, file=cases[column]) for view, column in views.items()]
    return pd.concat(both).sort_index(kind="stable").reset_index(drop=True)


_READERS: dict[str, Callable[[Layout, Path], pd.DataFrame]] = {
    "tables": _tables,
    "chexpert_plus": _chexpert_plus,
    "vindr": _vindr,
    "openi": _openi,
    "folders": _folders,
    "imagenome": _imagenome,
    "scin": _scin,
    "ph2": _ph2,
    "derm7pt": _derm7pt,
}
