"""Reports of synthetic lesions agree with the truth and name no diagnosis."""

from __future__ import annotations

import re

import numpy as np
import pytest

from knobo.phantom.skin_reports import write_skin_report

FINDINGS = (
    "asymmetry",
    "irregular_border",
    "colour_variegation",
    "pigment_network",
    "dots_globules",
    "streaks",
    "blue_white_veil",
    "regression",
    "ulceration",
    "vessels",
)
DENIAL = {
    "asymmetry": r"symmetrical|symmetric in both|is symmetric|no asymmetry",
    "irregular_border": r"border is regular|\bregular border|borders are smooth|border is even",
    "colour_variegation": r"uniform|homogeneous|no colour",
    "pigment_network": r"no atypical|network is not seen|network is typical|regular network|^typical network|a typical",
    "dots_globules": r"(no|without) [^.]*globules|globules are absent|no dots",
    "streaks": r"(no|no evidence of) [^.]*(streaks|pseudopods)|pseudopods are absent",
    "blue_white_veil": r"no [^.]*veil|veil is not seen",
    "regression": r"no [^.]*(regression|scar-like)|structures are absent\b(?<!vascular structures are absent)",
    "ulceration": r"(no|without) [^.]*(ulceration|erosion)|ulceration is absent",
    "vessels": r"no [^.]*(vessels|vascular)|vascular structures are absent",
}
MENTION = {
    "asymmetry": r"symmetr",
    "irregular_border": r"border is|border irregular|irregular border|regular border|borders are",
    "colour_variegation": r"colour",
    "pigment_network": r"network",
    "dots_globules": r"globules|dots (and|or)",
    "streaks": r"streak|pseudopod",
    "blue_white_veil": r"veil",
    "regression": r"regression|scar-like",
    "ulceration": r"ulcerat|erosion",
    "vessels": r"vessel|vascular",
}
DOUBT = r"possibl|cannot be excluded|questionable|suspicious for"


def _reports(present: set[str], n: int = 120, **looks: bool) -> list[str]:
    truth = {finding: finding in present for finding in FINDINGS}
    return [write_skin_report(truth, site="thigh", rng=np.random.default_rng(k), **looks) for k in range(n)]


def _sentences(report: str, pattern: str) -> list[str]:
    return [part for part in re.split(r"(?<=\.)\s", report.lower()) if re.search(pattern, part)]


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_present_finding_is_mostly_stated_and_never_denied(finding: str) -> None:
    stated = 0
    for report in _reports({finding}):
        sentences = _sentences(report, MENTION[finding])
        assert not any(re.search(DENIAL[finding], sentence) for sentence in sentences), report
        stated += any(not re.search(DOUBT, sentence) for sentence in sentences)
    assert 70 < stated < 120


@pytest.mark.parametrize("finding", FINDINGS)
def test_an_absent_finding_is_denied_doubted_or_left_out(finding: str) -> None:
    denied = 0
    for report in _reports(set()):
        for sentence in _sentences(report, MENTION[finding]):
            assert re.search(f"{DENIAL[finding]}|{DOUBT}", sentence), report
            denied += bool(re.search(DENIAL[finding], sentence))
    assert 40 < denied < 110


def test_no_report_names_a_diagnosis() -> None:
    forbidden = r"nev(us|i)|naev|melanom|melanocyt|carcinoma|basal|cancer|benign|malignan|\bbcc\b|tumou?r"
    for present in (set(), set(FINDINGS), {"vessels", "ulceration"}, {"pigment_network", "asymmetry"}):
        for report in _reports(present, arborising=True, typical_network=True):
            assert not re.search(forbidden, report.lower()), report


def test_the_words_vary_and_read_as_sentences() -> None:
    reports = _reports({"asymmetry", "streaks", "vessels"}, n=200)
    assert len(set(reports)) > 190
    for report in reports:
        assert "{" not in report
        assert "  " not in report
        assert re.match(r"^[A-Z]", report)
        assert report.endswith(".")


def test_looks_reach_the_report() -> None:
    tree = " ".join(_reports({"vessels"}, arborising=True)).lower()
    dotted = " ".join(_reports({"vessels"})).lower()
    assert "arborising" in tree
    assert "dotted" not in tree
    assert "arborising" not in dotted
    assert "blue-grey globules" in " ".join(_reports({"dots_globules"}, blue_globules=True)).lower()
    assert "network is typical" in " ".join(_reports(set(), typical_network=True)).lower()
    assert "network is typical" not in " ".join(_reports(set())).lower()


def test_uncertainty_is_rare_but_there() -> None:
    reports = _reports({"regression", "streaks"}, n=200)
    doubted = sum(bool(re.search(DOUBT, report.lower())) for report in reports)
    assert 20 < doubted < 150
