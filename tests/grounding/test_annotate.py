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
        ("", "pleural-effusion", UNKNOWN),
        (None, "pleural-effusion", UNKNOWN),
    ],
)
def test_one_statement(report, concept, answer):
    found = annotate_reports([report], BANK)
    np.testing.assert_equal(found.loc[0, concept], answer)


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
