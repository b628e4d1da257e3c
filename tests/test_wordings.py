"""Names of findings are recognised as people write them, and the lexicon holds together."""

import pytest

from knobo.wordings import Speller, alternatives, findings_named, is_normality, lexicon, plain, stem, synonyms, words

LISTED = """
    Atelectasis, Cardiomegaly, Consolidation, Edema, Enlarged Cardiomediastinum, Fracture, Lung Lesion, Lung Opacity,
    Nodule, Mass, Pleural Effusion, Pleural Thickening, Pneumonia, Pneumothorax, Emphysema, Fibrosis, Hernia,
    Infiltration, Support Devices, Granuloma, Calcification, Scoliosis, Spondylosis/degenerative change, Hyperinflation,
    Cicatrix/scar, Tortuous aorta, Hiatal hernia, Diaphragm elevation, Medical device
"""


@pytest.mark.parametrize("name", [name.strip() for name in LISTED.split(",")])
def test_usual_findings_have_many_wordings(name):
    assert findings_named(name)
    assert len(synonyms(name)) >= 6
    assert name.lower() not in {wording.lower() for wording in synonyms(name)}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("Fractures, Bone", ["fracture"]),
        ("pulmonary_oedema", ["edema"]),
        ("Nodule / Mass", ["nodule", "mass"]),
        ("pneumonia or consolidation", ["pneumonia", "consolidation", "airspace-disease"]),
        ("nodule_mass", ["nodule", "mass"]),
        ("Hernia, Hiatal", ["hiatal-hernia"]),
        ("nodule or zebra", []),
        ("zebra", []),
    ],
)
def test_names_are_found_whatever_their_order_and_spelling(name, ids):
    assert [finding.id for finding in findings_named(name)] == ids


@pytest.mark.parametrize(
    ("name", "normal"), [("No Finding", True), ("no_finding", True), ("No Finding/normal", True), ("mass", False)]
)
def test_normality_is_told_by_its_name(name, normal):
    assert is_normality(name) is normal


@pytest.mark.parametrize(
    ("word", "comparable"),
    [("masses", "mass"), ("opacities", "opacity"), ("oedema", "edema"), ("4th", "#"), ("atelectasis", "atelectasis")],
)
def test_endings_and_spelling(word, comparable):
    assert stem(word) == comparable


def test_a_pattern_stands_for_all_its_sequences():
    assert set(alternatives("a|b ~ c?")) == {("a", "~", "c"), ("b", "~", "c"), ("a", "~"), ("b", "~")}
    assert plain("left|right lung") == ["left lung", "right lung"]
    assert plain("heart ... large") == []


def test_the_lexicon_names_only_what_it_holds():
    findings = lexicon().findings
    for finding in findings.values():
        assert set(finding.is_a) <= set(findings)
        for pattern in (*finding.wordings, *finding.hints, *finding.denied_by):
            assert list(alternatives(pattern))
    groups = {f"@{group}" for finding in findings.values() for group in finding.groups}
    assert all(cleared <= groups for _, cleared in lexicon().statements)


def test_words_of_a_text():
    assert words("Two 1.5 cm masses, no oedema?") == ["two", "#", "cm", "mass", ",", "no", "edema", "?"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("effussion", "effusion"),
        ("pneumothroax", "pneumothorax"),
        ("atelectesis", "atelectasis"),
        ("effusion", "effusion"),
        ("atypical", "atypical"),
        ("lobulated", "lobulated"),
        ("infusion", "infusion"),
        ("mess", "mess"),
        ("#", "#"),
    ],
)
def test_a_slip_of_the_pen_is_mended_and_other_words_are_left(word, meant):
    speller = Speller(["effusion", "pneumothorax", "atelectasis", "loculated", "typical", "mass"], ["hyperinflated"])
    assert speller[word] == meant


def test_the_name_of_another_finding_is_no_synonym():
    assert "airspace disease" not in synonyms("consolidation")
    assert "airspace consolidation" in synonyms("consolidation")


@pytest.mark.parametrize("word", ["odema", "nodual", "noduels", "nodules"])
def test_short_words_misspelt_are_listed(word):
    assert stem(word) in {"edema", "nodule"}


@pytest.mark.parametrize("name", ["Pleural Other", "Airspace disease", "Pneumonia/Consolidation", "Oedema"])
def test_names_of_other_data_sets_are_known(name):
    assert findings_named(name)
