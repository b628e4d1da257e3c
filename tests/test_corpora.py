"""The shipped textbook keeps the format and the rules of citation that ``corpora/README.md`` promises."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from knobo.storage import shipped_path

FOLDERS = ("chest-xray", "skin-lesion")
SOURCE = re.compile(r"\[source: (?P<citation>[^|\]]+) \| (?P<url>[^|\s]*) ?\| ?(?P<year>\d{4})?\]")
IDENTIFIER = re.compile(r"https?://|\bdoi\b|\bPMID\b|\bPMC\d|\b10\.\d{4,}/", re.IGNORECASE)
UNCHECKED = "not checked against a source"


class Paragraph(NamedTuple):
    file: str
    text: str
    citation: str
    url: str


def paragraphs(folder: str) -> list[Paragraph]:
    found = []
    for path in sorted(shipped_path("corpora", "textbook", folder).glob("*.md")):
        blocks = re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip())
        for block in blocks:
            if block.startswith("#"):
                continue
            *lines, last = block.split("\n")
            match = SOURCE.fullmatch(last)
            assert match, f"{path.name}: no source line under {block[:60]!r}"
            found.append(Paragraph(path.name, " ".join(lines), match["citation"], match["url"]))
    return found


def listed_sources() -> list[dict[str, str]]:
    with shipped_path("corpora", "textbook", "sources.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module", params=FOLDERS)
def corpus(request: pytest.FixtureRequest) -> list[Paragraph]:
    return paragraphs(request.param)


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_open_with_a_title_and_their_licence(folder: str) -> None:
    for path in shipped_path("corpora", "textbook", folder).glob("*.md"):
        head = path.read_text(encoding="utf-8").split("\n\n")[0].split("\n")
        assert re.fullmatch(r"# \S.*", head[0]), path.name
        assert {line.split(":")[0] for line in head[1:]} == {"Source", "Year", "Licence"}, path.name


@pytest.mark.parametrize("folder", FOLDERS)
def test_headings_are_unique_within_a_file_and_have_text(folder: str) -> None:
    for path in shipped_path("corpora", "textbook", folder).glob("*.md"):
        text = path.read_text(encoding="utf-8")
        headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
        assert len(set(headings)) == len(headings), path.name
        assert not re.search(r"^## .+\n+(## |\Z)", text, flags=re.MULTILINE), path.name


def test_there_are_enough_passages_and_none_twice(corpus: list[Paragraph]) -> None:
    texts = [p.text for p in corpus]
    assert len(texts) >= 70
    assert len(set(texts)) == len(texts)


def test_passages_are_short_and_made_of_sentences(corpus: list[Paragraph]) -> None:
    for p in corpus:
        assert 35 <= len(p.text.split()) <= 115, p.text
        sentences = re.findall(r"[^.]\.(?= [A-Z]|$)", p.text)
        assert 2 <= len(sentences) <= 6, p.text
        assert p.text.endswith(".")


def test_sentences_are_not_repeated(corpus: list[Paragraph]) -> None:
    sentences = [s for p in corpus for s in re.split(r"(?<=\.) (?=[A-Z])", p.text)]
    repeated = {s for s in sentences if sentences.count(s) > 1}
    assert not repeated


def test_identifiers_stand_only_in_source_lines(corpus: list[Paragraph]) -> None:
    for p in corpus:
        assert not IDENTIFIER.search(p.text), p.text


def test_every_cited_work_is_listed(corpus: list[Paragraph]) -> None:
    listed = {row["url"]: row["citation"] for row in listed_sources()}
    for p in corpus:
        if p.url:
            assert p.citation.startswith(listed[p.url]), p.citation
        else:
            assert UNCHECKED in p.citation, p.text


def test_every_listed_work_is_cited_once_or_more() -> None:
    cited = {p.url for folder in FOLDERS for p in paragraphs(folder)}
    urls = [row["url"] for row in listed_sources()]
    assert len(set(urls)) == len(urls)
    assert set(urls) == cited - {""}


def test_more_than_half_of_the_passages_have_a_source_that_was_read(corpus: list[Paragraph]) -> None:
    assert sum(bool(p.url) for p in corpus) / len(corpus) > 0.5


def test_the_card_and_the_readme_state_the_true_counts() -> None:
    corpora: Path = shipped_path("corpora")
    readme, card = (corpora / "README.md").read_text(), (corpora / "textbook" / "card.md").read_text()
    total = seen = partly = 0
    for folder in FOLDERS:
        found = paragraphs(folder)
        sourced = sum(bool(p.url) for p in found)
        total, seen = total + len(found), seen + sourced
        partly += sum("in part" in p.citation for p in found)
        assert re.search(rf"`textbook/{folder}/` \|[^|]+\| {len(found)} \| {sourced} \|", readme)
        assert f"({len(found)})" in card
    assert f"{total} short passages" in card
    assert f"For {seen} passages" in card
    assert f"for {partly} of them only a part" in card
    assert f"other {total - seen} passages" in card


@pytest.mark.parametrize(
    ("folder", "subject"),
    [
        ("chest-xray", r"normal (posteroanterior )?chest radiograph"),
        ("chest-xray", "pneumonia"),
        ("chest-xray", "heart failure"),
        ("chest-xray", "COPD|emphysema"),
        ("chest-xray", "lung cancer"),
        ("skin-lesion", "common nev|benign nev"),
        ("skin-lesion", "atypical nev"),
        ("skin-lesion", "melanoma"),
        ("skin-lesion", "basal cell carcinoma"),
    ],
)
def test_each_class_has_findings_that_are_present_and_absent(folder: str, subject: str) -> None:
    sentences = [
        s
        for p in paragraphs(folder)
        for s in re.split(r"(?<=\.) (?=[A-Z])", p.text)
        if re.search(subject, s, re.IGNORECASE)
    ]
    absent = [s for s in sentences if re.search(r"\b(absent|no|not|none|lacks)\b", s, re.IGNORECASE)]
    assert len(absent) >= 3
    assert len(sentences) - len(absent) >= 3


CHEST_FINDINGS = (
    "cardiomegaly, enlarged cardiac silhouette, pleural effusion, blunting of the costophrenic angle, meniscus, "
    "consolidation, airspace opacity, air bronchogram, pneumothorax, pleural line, nodule, mass, spiculated, "
    "hyperinflation, flattened diaphragm, retrosternal space, mediastinal widening, hilar enlargement, "
    "lymphadenopathy, atelectasis, volume loss, plate-like, interstitial lines, kerley b lines, septal lines, "
    "reticular, ground-glass opacity, cephalisation, vascular redistribution, peribronchial cuffing, bat-wing, "
    "cavitation, calcified granuloma, bullae, bronchiectasis, tram track, pleural thickening, pleural plaques, "
    "tracheal deviation, elevated hemidiaphragm, rib fracture, scoliosis, aortic elongation, aortic "
    "calcification, pacemaker, endotracheal tube, central venous catheter, nasogastric tube, chest tube, "
    "subcutaneous emphysema, pneumoperitoneum, hiatal hernia, osteopenia, vertebral deformity, miliary, "
    "tree-in-bud, reticulonodular, honeycombing, silhouette sign, thickening of a fissure, azygos, support device"
)
SKIN_FINDINGS = (
    "asymmetry, irregular border, abrupt cut-off, colour variegation, multiple colours, typical pigment network, "
    "atypical pigment network, negative network, dots and globules, streaks, pseudopods, radial streaming, "
    "blue-white veil, regression structures, white scar-like area, peppering, ulceration, erosion, arborising "
    "vessels, dotted vessels, linear irregular vessels, hairpin vessels, comma vessels, glomerular vessels, "
    "polymorphous vessels, blotch, structureless area, shiny white lines, chrysalis, milia-like cysts, "
    "comedo-like openings, leaf-like areas, spoke-wheel areas, blue-grey ovoid nests, lacunae, central white "
    "patch, milky-red areas, rosettes, scale, fissures and ridges, fingerprint-like structures, parallel ridge "
    "pattern, parallel furrow pattern, starburst pattern, cobblestone pattern, homogeneous pattern, "
    "annular-granular structures, rhomboidal structures, hypopigmentation, diameter over 6 mm, evolution"
)


@pytest.mark.parametrize(("folder", "findings"), [("chest-xray", CHEST_FINDINGS), ("skin-lesion", SKIN_FINDINGS)])
def test_the_findings_of_the_field_are_described(folder: str, findings: str) -> None:
    text = " ".join(p.text for p in paragraphs(folder)).lower()
    missing = [name for name in findings.split(", ") if name not in text]
    assert not missing
