"""Make open_kb.jsonl from three open sources and the choice in selection.csv.

    python make_open_kb.py padchest_findings.csv hpo_umls.jsonl allXREFinDO.tsv

The first file is PadChest's tree of findings as a table (columns ``finding``, ``parent``, ``depth``, ``cui``), the
second has one term of the Human Phenotype Ontology a line (``hpo``, ``cui``, ``name``, ``synonyms``), the third is the
Disease Ontology's own report of its cross-references (``id``, ``label``, ``xref``). Every identifier in the result is
copied from one of them; names of our own stand apart in ``own_aliases``.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CODES = ("MESH", "ICD10CM")  # of the Disease Ontology's cross-references, those that are kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("padchest", type=Path)
    parser.add_argument("hpo", type=Path)
    parser.add_argument("do", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "open_kb.jsonl")
    arguments = parser.parse_args()
    padchest, hpo, do = read_padchest(arguments.padchest), read_hpo(arguments.hpo), read_do(arguments.do)
    with (HERE / "selection.csv").open(encoding="utf-8", newline="") as file:
        entries = [make_entry(row, padchest, hpo, do) for row in csv.DictReader(file)]
    check(entries)
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
    arguments.out.write_text("".join(lines), encoding="utf-8")
    linked = sum(entry["cui"] is not None for entry in entries)
    coded = sum(bool(entry["codes"]) for entry in entries)
    print(f"{len(entries)} entries, {linked} with a CUI, {coded} with another code: {arguments.out}")


def read_padchest(path: Path) -> dict[str, list[str]]:
    """CUIs of every finding; a finding may stand at two places of the tree."""
    found: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            cuis = found.setdefault(row["finding"], [])
            if row["cui"] and row["cui"] not in cuis:
                cuis.append(row["cui"])
    return found


def read_hpo(path: Path) -> dict[str, dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return {term["hpo"]: term for term in map(json.loads, file)}


def read_do(path: Path) -> dict[str, dict[str, list[str]]]:
    """Cross-references of each disease by their prefix, and its label."""
    found: dict[str, dict[str, list[str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            prefix, _, code = row["xref"].partition(":")
            found.setdefault(row["id"], {"label": [row["label"]]}).setdefault(prefix, []).append(code)
    return found


def make_entry(
    row: dict[str, str],
    padchest: dict[str, list[str]],
    hpo: dict[str, dict[str, Any]],
    do: dict[str, dict[str, list[str]]],
) -> dict[str, Any]:
    """One line of the knowledge base. HPO's CUI comes first: it names the finding and not its X-ray appearance.

    A disease of the Disease Ontology may have several codes of one kind, for its parts; those are left out. Its CUI is
    taken where neither of the others has one.
    """
    names: list[str] = []
    cuis: list[str] = []
    codes: list[str] = []
    sources: list[str] = []
    if row["hpo"]:
        term = hpo[row["hpo"]]
        names += [term["name"], *term["synonyms"]]
        cuis += term["cui"]
        codes.append(row["hpo"])
        sources.append(f"HPO {row['hpo']}")
    if row["padchest"]:
        names.append(row["padchest"])
        cuis += padchest[row["padchest"]]
        sources.append("PadChest")
    source_name = names[0] if names else None
    if row["do"]:
        references = do[row["do"]]
        codes.append(row["do"])
        codes += [f"{prefix}:{references[prefix][0]}" for prefix in CODES if len(references.get(prefix, [])) == 1]
        if not cuis and len(references.get("UMLS_CUI", [])) == 1:
            cuis, source_name = references["UMLS_CUI"], references["label"][0]
        sources.append(f"DO {row['do']}")
    cuis = list(dict.fromkeys(cuis))
    left_out = {row["name"], *split(row["drop"])}
    aliases = [name for name in dict.fromkeys(names) if name not in left_out]
    return {
        "id": identifier(row["name"]),
        "cui": cuis[0] if cuis else None,
        "other_cuis": cuis[1:],
        "codes": codes,
        "name": row["name"],
        "source_name": source_name,
        "source": "; ".join(sources) or "knobo",
        "kind": row["kind"],
        "modality": row["modality"],
        "article": row["article"],
        "broader": [identifier(name) for name in split(row["broader"])],
        "aliases": aliases,
        "own_aliases": split(row["own_aliases"]),
        "denied_by": split(row["denied_by"]),
        "class_names": split(row["class_names"]),
    }


def split(cell: str) -> list[str]:
    return [item for item in cell.split("|") if item]


def identifier(name: str) -> str:
    return "knobo:" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def check(entries: list[dict[str, Any]]) -> None:
    """Ids are unique, broader entries exist, and no wording or CUI names two entries of one modality."""
    ids = {entry["id"] for entry in entries}
    assert len(ids) == len(entries), "two entries have the same name"
    owner: dict[tuple[str, str], str] = {}
    problems = []
    for entry in entries:
        problems += [f"{entry['id']}: unknown broader {parent}" for parent in entry["broader"] if parent not in ids]
        wordings = {w.lower() for w in (entry["name"], *entry["aliases"], *entry["own_aliases"])}
        for item in [*sorted(wordings), *([entry["cui"]] if entry["cui"] else [])]:
            other = owner.setdefault((entry["modality"], item), entry["id"])
            if other != entry["id"]:
                problems.append(f"{item!r} names both {other} and {entry['id']}")
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
