"""Reports are read as a radiologist means them: stated, denied, doubted or silent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.bank import Concept, ConceptBank
from knobo.errors import InputError
from knobo.grounding import annotate_reports

YES, NO, UNKNOWN = 1.0, 0.0, np.nan

BANK = ConceptBank(
    concepts=(
        Concept(id="pleural-effusion", name="pleural effusion", question="?", synonyms=("effusion", "pleural fluid")),
        Concept(id="pericardial-effusion", name="pericardial effusion", question="?"),
        Concept(id="consolidation", name="consolidation", question="?", synonyms=("airspace opacity",)),
        Concept(id="cardiomegaly", name="cardiomegaly", question="?", synonyms=("enlarged heart",)),
        Concept(id="pneumothorax", name="pneumothorax", question="?", synonyms=("pneumothoraces",)),
        Concept(id="blue-white-veil", name="blue-white veil", question="?"),
    )
)


@pytest.mark.parametrize(
    ("report", "concept", "answer"),
    [
        ("Small left pleural effusion.", "pleural-effusion", YES),
        ("Bilateral pleural effusions are seen.", "pleural-effusion", YES),
        ("No pleural effusion or pneumothorax.", "pneumothorax", NO),
        ("No effusion, consolidation or pneumothorax is seen.", "consolidation", NO),
        ("Without evidence of consolidation.", "consolidation", NO),
        ("Pleural fluid and pneumothorax are absent.", "pleural-effusion", NO),
        ("Cardiomegaly is present and pleural fluid is not seen.", "cardiomegaly", YES),
        ("Cardiomegaly is present and pleural fluid is not seen.", "pleural-effusion", NO),
        ("Possible small effusion.", "pleural-effusion", UNKNOWN),
        ("A consolidation cannot be excluded.", "consolidation", UNKNOWN),
        ("Cannot exclude consolidation.", "consolidation", UNKNOWN),
        ("Opacity that may represent consolidation.", "consolidation", UNKNOWN),
        ("No pneumothorax, but there is a large effusion.", "pleural-effusion", YES),
        ("No pneumothorax. Airspace opacity in the right lower lobe.", "consolidation", YES),
        ("No change in the pleural effusion.", "pleural-effusion", YES),
        ("No effusion, mild cardiomegaly.", "cardiomegaly", YES),
        ("The heart size is normal.", "cardiomegaly", NO),
        ("Heart is not enlarged.", "cardiomegaly", NO),
        ("The lungs are clear.", "consolidation", NO),
        ("The costophrenic angles are sharp.", "pleural-effusion", NO),
        ("Pericardial effusion is noted.", "pericardial-effusion", YES),
        ("Pericardial effusion is noted.", "pleural-effusion", UNKNOWN),
        ("A blue white veil covers the centre.", "blue-white-veil", YES),
        ("PLEURAL EFFUSION", "pleural-effusion", YES),
        ("Unremarkable.", "pleural-effusion", UNKNOWN),
        ("No effusion on the left. Moderate right effusion.", "pleural-effusion", YES),
        ("Probable small effusion.", "pleural-effusion", YES),
        ("Findings suspicious for consolidation.", "consolidation", YES),
        ("Effusion versus consolidation.", "consolidation", UNKNOWN),
        ("Opacity may represent consolidation.", "consolidation", UNKNOWN),
        ("Consolidation or effusion may be present.", "pleural-effusion", UNKNOWN),
        ("INDICATION: Pneumothorax?\nFINDINGS: Cardiomegaly.", "pneumothorax", UNKNOWN),
        ("HISTORY: Evaluate for effusion. FINDINGS: Cardiomegaly.", "pleural-effusion", UNKNOWN),
        ("Comparison: prior film with pneumothorax.\n\nNo effusion.", "pneumothorax", UNKNOWN),
        ("CT is recommended to exclude consolidation.", "consolidation", UNKNOWN),
        ("If there is concern for pneumothorax, repeat in expiration.", "pneumothorax", UNKNOWN),
        ("Mother with cardiomegaly.", "cardiomegaly", UNKNOWN),
        ("History of consolidation.", "consolidation", UNKNOWN),
        ("A small pneumothorax may be missed on supine films.", "pneumothorax", UNKNOWN),
        ("Small pneumothorax cannot be excluded.", "pneumothorax", UNKNOWN),
        ("Small pneumothorax is not excluded.", "pneumothorax", UNKNOWN),
        ("The left effusion has resolved.", "pleural-effusion", NO),
        ("The effusion has not completely resolved.", "pleural-effusion", YES),
        ("The effusion seen before is no longer visualized.", "pleural-effusion", NO),
        ("Interval resolution of the effusion.", "pleural-effusion", NO),
        ("Without significant interval change in effusion.", "pleural-effusion", YES),
        ("Not only effusion but also pneumothorax.", "pneumothorax", YES),
        ("No new consolidation.", "consolidation", NO),
        ("No pneumothorax, effusion, or large consolidation.", "consolidation", NO),
        ("No effusion or pneumothorax, mild cardiomegaly.", "cardiomegaly", YES),
        ("Without effusion or pneumothorax but with cardiomegaly.", "cardiomegaly", YES),
        ("No effusion, the heart is enlarged.", "cardiomegaly", YES),
        ("No effusion and the heart is mildly enlarged.", "cardiomegaly", YES),
        ("no effusion there is cardiomegaly", "cardiomegaly", YES),
        ("Cardiomegaly, no effusion, pneumothorax.", "pneumothorax", YES),
        ("Cardiomegaly, no effusion, consolidation or pneumothorax.", "consolidation", NO),
        ("No effusion, consolidation, pneumothorax.", "pneumothorax", NO),
        ("No (large) effusion.", "pleural-effusion", NO),
        ("No evidence of consolidation or change in the effusion.", "pleural-effusion", YES),
        ("Since the prior study, the effusion has grown.", "pleural-effusion", YES),
        ("Pneumothorax: none. Effusion: small.", "pneumothorax", NO),
        ("Pneumothorax: none. Effusion: small.", "pleural-effusion", YES),
        ("Heart: Enlarged.\nLungs: Clear.", "cardiomegaly", YES),
        ("Heart - normal. Lungs - clear.", "cardiomegaly", NO),
        ("Heart size is at the upper limits of normal to mildly enlarged.", "cardiomegaly", YES),
        ("Effusion on the left, none on the right.", "pleural-effusion", YES),
        ("There is an effusion in the left pleural space.", "pleural-effusion", YES),
        ("XXXX effusion. No XXXX pneumothorax.", "pneumothorax", NO),
        ("Effusion rather than consolidation.", "consolidation", NO),
        ("Clear lungs without effusion/pneumothorax", "pneumothorax", NO),
        ("Lungs are clear of consolidation, pneumothorax, or effusion.", "pleural-effusion", NO),
        ("", "pleural-effusion", UNKNOWN),
        (None, "pleural-effusion", UNKNOWN),
    ],
)
def test_one_statement(report, concept, answer):
    found = annotate_reports([report], BANK)
    np.testing.assert_equal(found.loc[0, concept], answer)


@pytest.mark.parametrize(("uncertain", "doubted"), [("blank", np.nan), ("positive", 1.0), ("negative", 0.0)])
def test_what_a_doubted_finding_becomes_is_the_users_choice(uncertain, doubted):
    table = annotate_reports(["Possible effusion. Cardiomegaly. No pneumothorax."], BANK, uncertain=uncertain)
    np.testing.assert_equal(table.loc[0, "pleural-effusion"], doubted)
    assert list(table.loc[0, ["cardiomegaly", "pneumothorax"]]) == [1.0, 0.0]
    assert np.isnan(table.loc[0, "blue-white-veil"])


def test_a_hint_is_neither_a_finding_nor_a_doubt():
    bank = ConceptBank.from_names(["pneumonia", "infiltrate"])
    table = annotate_reports(["Right basal infiltrate."], bank, uncertain="positive")
    np.testing.assert_equal(table.loc[0].to_numpy(), [np.nan, 1.0])


REAL_NAMES = ConceptBank.from_names(
    [
        "Pneumonia",
        "Consolidation",
        "Pneumonia/consolidation",
        "Lung Opacity",
        "Oedema",
        "Pneumothorax",
        "Nodule",
        "Cardiomegaly",
        "Pleural Other",
        "Support Devices",
    ]
)


@pytest.mark.parametrize(
    ("report", "concept", "answer"),
    [
        # What is not there to suggest a finding denies the finding.
        ("No opacity is seen to suggest pneumonia.", "pneumonia", NO),
        ("No consolidation is present suspicious for pneumonia.", "pneumonia", NO),
        ("No pneumothorax is seen, findings suggest oedema.", "oedema", YES),
        ("No pneumothorax is seen and findings suggest oedema.", "oedema", YES),
        ("Heart is not enlarged probable mild oedema", "cardiomegaly", NO),
        # A cue of the end holds for what was there before.
        ("Previous left lower lobe pneumonia has cleared.", "pneumonia", NO),
        ("Pneumothorax has not recurred.", "pneumothorax", NO),
        ("The effusion was not drained; pneumothorax has recurred.", "pneumothorax", YES),
        # Heart failure that is denied is no oedema.
        ("Cardiomegaly without failure.", "oedema", NO),
        ("No evidence of failure or pneumonia.", "oedema", NO),
        ("No evidence of failure or pneumonia.", "pneumonia", NO),
        # Disease of the airspaces is an opacity; whether a consolidation, only a column for both need not tell.
        ("Patchy airspace disease.", "lung-opacity", YES),
        ("Patchy airspace disease.", "consolidation", UNKNOWN),
        ("Patchy airspace disease.", "pneumonia-consolidation", YES),
        ("No focal airspace disease.", "consolidation", NO),
        ("Pneumonic consolidation.", "consolidation", YES),
        ("Pneumonic consolidation.", "pneumonia", YES),
        ("Calcified nodule.", "nodule", YES),
        ("The cardiac silhouette which appears mildly enlarged.", "cardiomegaly", YES),
        ("CTR is at the upper limit of normal.", "cardiomegaly", NO),
        ("Thickened right pleura.", "pleural-other", YES),
        ("The tip projects over the upper SVC.", "support-devices", YES),
        ("Pulmonary odema.", "oedema", YES),
        # What the referrer asks.
        ("Fever: pneumonia? The heart is normal.", "pneumonia", UNKNOWN),
        ("Cough, pneumonia. FINDINGS Heart normal.", "pneumonia", YES),
        ("INDICATION Cough, pneumonia FINDINGS Heart normal. IMPRESSION Normal.", "pneumonia", UNKNOWN),
        ("INDICATION Cough FINDINGS The heart is enlarged", "cardiomegaly", YES),
        # A line that cannot end where it does goes on.
        ("FINDINGS:\nThere is no\nconsolidation.", "consolidation", NO),
    ],
)
def test_statements_under_names_that_data_sets_use(report, concept, answer):
    np.testing.assert_equal(annotate_reports([report], REAL_NAMES).loc[0, concept], answer)


def test_a_lone_question_is_a_doubt():
    assert annotate_reports(["Pneumonia?"], REAL_NAMES, uncertain="positive").loc[0, "pneumonia"] == YES


def test_an_old_fracture_is_a_fracture_and_an_old_pneumonia_is_none():
    bank = ConceptBank.from_names(["fracture", "pneumonia"])
    table = annotate_reports(["Prior rib fractures. Prior pneumonia."], bank)
    np.testing.assert_equal(table.loc[0].to_numpy(), [1.0, np.nan])


def test_a_name_of_two_findings_stands_for_both():
    bank = ConceptBank.from_names(["Nodule/mass", "pneumonia_or_consolidation"])
    table = annotate_reports(["Hilar mass.", "A small nodule. Lobar consolidation.", "No nodule. No pneumonia."], bank)
    np.testing.assert_equal(table.to_numpy(), [[1, np.nan], [1, 1], [0, 0]])


def test_what_is_narrower_is_implied():
    bank = ConceptBank.from_names(["fracture", "rib fracture", "lung lesion"])
    table = annotate_reports(["The 4th rib is fractured.", "No fracture.", "A nodule."], bank)
    np.testing.assert_equal(table.to_numpy(), [[1, 1, np.nan], [0, 0, np.nan], [np.nan, np.nan, 1]])


@pytest.mark.parametrize(
    ("report", "normal"),
    [
        ("Normal chest.", 1.0),
        ("The lungs are clear. Heart size is normal.", 1.0),
        ("The lungs are clear. Scoliosis.", 0.0),  # although the bank knows no scoliosis
        ("INDICATION: Pneumonia. FINDINGS: Clear lungs.", 1.0),
        ("Possible nodule.", np.nan),
        ("Portable film.", np.nan),
        ("IMPRESSION: Normal.", 1.0),
        ("", np.nan),
    ],
)
def test_no_finding_means_that_nothing_of_the_whole_lexicon_is_found(report, normal):
    bank = ConceptBank.from_names(["No Finding/normal", "pneumonia"])
    np.testing.assert_equal(annotate_reports([report], bank).loc[0, "no-finding-normal"], normal)


def test_capitals_spelling_and_plurals_do_not_matter():
    bank = ConceptBank.from_names(["Oedema", "Mass"])
    table = annotate_reports(["PULMONARY OEDEMA. NO MASSES.", "pulmonary edema. no mass."], bank)
    np.testing.assert_equal(table.to_numpy(), [[1, 0], [1, 0]])


def test_the_same_report_is_read_alike_whatever_was_read_before():
    reports = ["No effusion. Cardiomegaly.", "Effusion.", "No effusion."]
    together = annotate_reports(reports, BANK)
    for row, report in enumerate(reports):
        np.testing.assert_equal(annotate_reports([report], BANK).to_numpy()[0], together.to_numpy()[row])


def test_the_table_has_one_row_a_report_and_one_column_a_concept():
    table = annotate_reports(["No effusion.", "Effusion."], BANK)
    assert table.shape == (2, len(BANK))
    assert list(table.columns) == list(BANK.ids)
    assert list(table["pleural-effusion"]) == [0.0, 1.0]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_any_text_gives_answers_in_the_three_values(text):
    table = annotate_reports([text], BANK)
    assert table.isin([0.0, 1.0]).where(table.notna(), True).all(axis=None)


def test_unusable_reports_are_named():
    with pytest.raises(InputError, match="got one string; put it in a list"):
        annotate_reports("No effusion.", BANK)
    with pytest.raises(InputError, match="Report 1 is int"):
        annotate_reports(["a", 3], BANK)
    with pytest.raises(InputError, match="uncertain must be 'blank', 'positive' or 'negative', got 'maybe'"):
        annotate_reports(["a"], BANK, uncertain="maybe")
