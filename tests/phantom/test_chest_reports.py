"""Reports of synthetic radiographs agree with the truth, name no diagnosis, and are read back as they are meant."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import knobo
from knobo.grounding import annotate_reports
from knobo.phantom._chest_case import CHEST_CLASSES, sample_case
from knobo.phantom._chest_findings import LOCAL_FINDINGS
from knobo.phantom._chest_patient import LOBES, Details
from knobo.phantom.chest_reports import write_chest_report

FINDINGS = tuple(dict.fromkeys(re.sub("_(left|right)$", "", name) for name in LOCAL_FINDINGS))
MENTION = {
    "support_device": r"device|lines and tubes|pacemaker|central|tube|leads",
    "cardiomegaly": r"heart|cardiomegaly|cardiac (silhouette|enlargement)|cardiothoracic",
    "mediastinal_widening": r"mediastin",
    "hyperinflation": r"inflat|lung volumes|hyperexpanded",
    "consolidation": r"consolidation|airspace|clear",
    "interstitial_lines": r"septal|interstitial|kerley|reticular|clear",
    "nodule": r"nodul|clear",
    "atelectasis": r"atelectasis|collapse|clear",
    "pleural_effusion": r"effusion|costophrenic|pleural fluid|meniscus",
    "pneumothorax": r"pneumothorax|pleural line",
}
CLEAR = r"\blungs (are|appear) clear|clear lungs"
DENIAL = {
    "support_device": r"no (support|implanted) device|no lines and tubes",
    "cardiomegaly": r"normal|not enlarged|no cardiomegaly",
    "mediastinal_widening": r"not widened|contour is normal|no mediastinal",
    "hyperinflation": r"volumes are normal|no hyperinflation|not hyperinflated",
    "consolidation": rf"\bno [^.]*(consolidation|airspace)|{CLEAR}",
    "interstitial_lines": rf"no (septal|interstitial)|not increased|{CLEAR}",
    "nodule": rf"\bno [^.]*nodule|{CLEAR}",
    "atelectasis": rf"no atelectasis|{CLEAR}",
    "pleural_effusion": r"\bno [^.]*effusion|angles are sharp",
    "pneumothorax": r"\bno [^.]*pneumothorax|pneumothorax is not seen",
}
DOUBT = r"possibl|cannot be excluded|questionable|suspicious for"
CONCEPTS = {
    name: "pulmonary-nodule" if name == "nodule" else name.replace("_", "-") for name in FINDINGS
}  # ids in the shipped bank
DETAILS = {
    "effusion": (0.5, 0.2),
    "lobe": "right lower lobe",
    "pneumothorax_side": "left",
    "nodule_side": "right",
    "atelectasis_side": "left",
    "collapse": False,
    "device": "pacemaker",
}


def _reports(present: set[str], n: int = 120, *, view: str = "PA", **details: object) -> list[str]:
    truth = {finding: finding in present or re.sub("_left$", "", finding) in present for finding in LOCAL_FINDINGS}
    looks = Details(**{**DETAILS, **details})
    return [write_chest_report(truth, looks, view=view, rng=np.random.default_rng(k)) for k in range(n)]


def _sentences(report: str, pattern: str) -> list[str]:
    return [part for part in re.split(r"(?<=\.)\s", report.lower()) if re.search(pattern, part)]


def _words(reports: list[str], pattern: str) -> list[str]:
    return re.findall(pattern, " ".join(reports).lower())


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_present_finding_is_mostly_stated_and_never_denied(finding: str) -> None:
    stated = 0
    for report in _reports({finding}):
        sentences = _sentences(report, MENTION[finding])
        assert not any(re.search(DENIAL[finding], sentence) for sentence in sentences), report
        stated += any(not re.search(DOUBT, sentence) for sentence in sentences)
    assert 80 < stated < 120


@pytest.mark.parametrize("finding", FINDINGS)
def test_an_absent_finding_is_denied_doubted_or_left_out(finding: str) -> None:
    denied = 0
    for report in _reports(set()):
        for sentence in _sentences(report, MENTION[finding]):
            assert re.search(f"{DENIAL[finding]}|{DOUBT}", sentence), report
            denied += bool(re.search(DENIAL[finding], sentence))
    assert 40 < denied < 115


def test_no_acute_abnormality_is_said_only_when_nothing_is_present() -> None:
    words = "no acute abnormality"
    assert 20 < len(_words(_reports(set()), words)) < 120
    for finding in FINDINGS:
        assert not _words(_reports({finding}, 40), words), finding


@pytest.mark.parametrize("finding", ["nodule", "pneumothorax", "atelectasis"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("collapse", [False, True])
def test_the_side_named_is_the_side_of_the_finding(finding: str, side: str, collapse: bool) -> None:
    sides = _words(_reports({finding}, collapse=collapse, **{f"{finding}_side": side}), r"\b(left|right)\b")
    assert set(sides) == {side}
    assert len(sides) > 60


@pytest.mark.parametrize("lobe", LOBES)
def test_the_lobe_named_is_the_lobe_of_the_consolidation(lobe: str) -> None:
    lobes = _words(_reports({"consolidation"}, lobe=lobe), r"\w+ \w+ lobe")
    assert {re.sub("^(the|of) ", "", words) for words in lobes} == {lobe}
    assert len(lobes) > 60


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_effusion_of_one_side_is_put_on_that_side(side: str) -> None:
    reports = _reports({f"pleural_effusion_{side}"})
    assert set(_words(reports, r"\b(left|right)\b")) == {side}
    assert not _words(reports, r"bilateral|both sides")


def test_effusions_of_both_sides_are_called_bilateral() -> None:
    reports = _reports({"pleural_effusion_left", "pleural_effusion_right"})
    assert not _words(reports, r"\b(left|right)\b")
    assert len(_words(reports, r"bilateral pleural effusions|on both sides")) > 80


@pytest.mark.parametrize(("amount", "word"), [(0.1, "small"), (0.5, "moderate"), (0.9, "large")])
def test_the_amount_of_fluid_is_named(amount: float, word: str) -> None:
    reports = _reports({"pleural_effusion_right"}, effusion=(amount, 0.4))
    assert set(_words(reports, r"\b(small|moderate|large)\b")) == {word}


def test_atelectasis_is_plates_or_a_collapse_as_drawn() -> None:
    plates, lobe = (_reports({"atelectasis"}, collapse=collapse) for collapse in (False, True))
    assert _words(plates, "plate-like|linear|subsegmental")
    assert not _words(plates, "lower lobe collapse|volume loss|lobar")
    assert _words(lobe, "lower lobe collapse|volume loss|lobar")
    assert not _words(lobe, "plate-like|linear|subsegmental")


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("pacemaker", "pacemaker"),
        ("central line", "central (line|venous)"),
        ("endotracheal tube", "tube "),
        ("monitor leads", "(monitoring|ecg|overlying) leads"),
    ],
)
def test_the_device_named_is_the_one_drawn(device: str, name: str) -> None:
    stated = [
        sentence
        for report in _reports({"support_device"}, device=device)
        for sentence in _sentences(report, MENTION["support_device"])
        if not re.search(DOUBT, sentence)
    ]
    assert len(stated) > 80
    assert all(re.search(name, sentence) for sentence in stated)


def test_the_view_named_is_the_view_drawn() -> None:
    frontal, bedside = (" ".join(_reports({"cardiomegaly"}, view=view)) for view in ("PA", "AP"))
    assert "PA view" in frontal
    assert not re.search(r"\bAP\b|supine|portable", frontal)
    assert "AP portable" in bedside
    assert not re.search(r"\bPA\b", bedside)


def test_no_report_names_a_diagnosis() -> None:
    forbidden = (
        r"pneumonia|infect|heart failure|cardiac failure|decompensat|copd|obstructive|emphysema|cancer|carcinoma|"
        r"tumou?r|neoplas|malignan|metasta|benign|o?edema"
    )
    for present in (set(), set(FINDINGS), {"consolidation", "nodule"}, {"cardiomegaly", "hyperinflation"}):
        for collapse in (False, True):
            for report in _reports(present, collapse=collapse):
                assert not re.search(forbidden, report.lower()), report


def test_the_words_vary_and_read_as_sentences() -> None:
    reports = _reports({"cardiomegaly", "consolidation", "nodule"}, n=200)
    assert len(set(reports)) > 190
    for report in reports + _reports(set(), view="AP") + _reports(set(FINDINGS)):
        assert re.fullmatch(r"[A-Z][^.{}]*\.( [A-Z][^.{}]*\.)*", report), report
        assert not re.search(r"  |,,| ,|\b(\w+) \1\b|, or", report), report


def test_the_same_generator_writes_the_same_report() -> None:
    assert _reports({"nodule"}, 20) == _reports({"nodule"}, 20)


def test_denied_findings_are_sometimes_listed_in_one_sentence() -> None:
    listed = r"\bno (evidence of )?[a-z ]+(, [a-z ]+)* or (pneumothorax|(pleural )?effusion)"
    assert 20 < sum(bool(re.search(listed, report.lower())) for report in _reports({"cardiomegaly"})) < 110


def test_uncertainty_is_rare_but_there() -> None:
    reports = _reports({"consolidation", "nodule"}, n=200)
    doubted = sum(bool(re.search(DOUBT, report.lower())) for report in reports)
    assert 20 < doubted < 150


@pytest.fixture(scope="module")
def read_back() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Truth and answers (300, n_findings): reports of all classes and hospitals, read with the shipped bank."""
    truth, reports = [], []
    weights = np.full(len(CHEST_CLASSES), 1 / len(CHEST_CLASSES))
    for k in range(300):
        case_seed, report_seed = np.random.SeedSequence(k).spawn(2)
        case = sample_case(case_seed, hospital="ABC"[k % 3], weights=weights)
        rng = np.random.default_rng(report_seed)
        reports.append(write_chest_report(case.findings, case.details, view=case.view, rng=rng))
        truth.append([any(v for name, v in case.findings.items() if name.startswith(each)) for each in FINDINGS])
    answers = annotate_reports(reports, knobo.load_bank("chest-xray"))[[CONCEPTS[name] for name in FINDINGS]]
    return pd.DataFrame(truth, columns=list(FINDINGS)), answers.set_axis(list(FINDINGS), axis=1)


@pytest.mark.parametrize("finding", FINDINGS)
def test_the_annotator_reads_back_what_is_true(finding: str, read_back: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    truth, answers = (table[finding] for table in read_back)
    answered = answers.notna()
    assert (answers[answered] == truth[answered]).mean() >= 0.97
    assert (answers[truth] == 1).mean() > 0.5
    assert (answers[~truth] == 0).mean() > 0.3


def test_the_annotator_leaves_doubt_and_silence_open(read_back: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    truth, answers = read_back
    assert answers.isna().to_numpy()[truth.to_numpy()].mean() > 0.1


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("The interstitial markings are not increased.", 0.0),
        ("Interstitial markings are normal.", 0.0),
        ("Normal interstitial markings.", 0.0),
        ("There are increased interstitial markings.", 1.0),
        ("The interstitial markings are prominent.", 1.0),
        ("The interstitial markings are normal. Kerley B lines at the left base.", 1.0),
        ("Possible increased interstitial markings.", np.nan),
    ],
)
def test_interstitial_markings_that_are_normal_are_no_finding(sentence: str, answer: float) -> None:
    table = annotate_reports([sentence], knobo.load_bank("chest-xray"))
    np.testing.assert_equal(table.loc[0, "interstitial-lines"], answer)
