import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.knowledge.abbreviations import expand_abbreviations, find_abbreviations


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He has congestive heart failure (CHF).", {"CHF": "congestive heart failure"}),
        ("CHF (congestive heart failure) was seen.", {"CHF": "congestive heart failure"}),
        ("Basal cell carcinoma [BCC] is common.", {"BCC": "Basal cell carcinoma"}),
        ("the tumor necrosis factor alpha (TNF-a)", {"TNF-a": "tumor necrosis factor alpha"}),
        ("a heat shock transcription factor (HSF)", {"HSF": "heat shock transcription factor"}),
        ("chronic obstructive pulmonary disease (COPD; GOLD 3)", {"COPD": "chronic obstructive pulmonary disease"}),
        ("a non-small cell lung cancer (NSCLC)", {"NSCLC": "non-small cell lung cancer"}),
        (
            "acute respiratory distress syndrome (ARDS) and ground-glass opacity (GGO)",
            {"ARDS": "acute respiratory distress syndrome", "GGO": "ground-glass opacity"},
        ),
    ],
)
def test_a_definition_is_found(text, found):
    assert find_abbreviations(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(CHF)",
        "a mass in the lung (see below)",
        "a mass of 12 mm (12)",
        "patients (n)",
        "the heart was enlarged (Figure 3)",
        "the left lung (XYZ)",
        "heart failure. It was severe (HF)",  # of another sentence
        "the CHF (CHF)",
        "a very long word here (a sentence of many words in a bracket)",
    ],
)
def test_nothing_is_guessed(text):
    assert find_abbreviations(text) == {}


def test_the_first_long_form_counts():
    text = "A pleural effusion (PE) is seen. A pulmonary embolism (PE) is not."
    assert find_abbreviations(text) == {"PE": "pleural effusion"}


def test_short_forms_are_replaced_where_they_stand_alone():
    known = {"CHF": "congestive heart failure", "HF": "heart failure", "TNF-a": "tumor necrosis factor"}
    assert expand_abbreviations("CHF, not HF nor chf, CHFs; TNF-a", known) == (
        "congestive heart failure, not heart failure nor chf, CHFs; tumor necrosis factor"
    )
    assert expand_abbreviations("CHF", {}) == "CHF"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=80), st.text(max_size=12), st.text(max_size=30))
def test_any_text_is_read_and_a_long_form_stands_in_it(before, short, after):
    text = f"{before} ({short}) {after}"
    for found, long in find_abbreviations(text).items():
        assert long in text
        assert found in text
        letters = iter(long.lower())
        assert all(letter in letters for letter in found.lower() if letter.isalnum())


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.from_regex(r"[b-z][b-z]{3,8}", fullmatch=True), min_size=2, max_size=6))
def test_initials_are_always_resolved_to_a_run_of_the_words(words):
    short = "".join(word[0] for word in words).upper()
    long = find_abbreviations(f"{' '.join(words)} ({short}) was seen.")[short]
    assert " ".join(words).endswith(long)
