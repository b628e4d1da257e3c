"""Only what a report says of the image is read."""

import pytest

from knobo.grounding.sections import Sections

SECTIONS = Sections(["indication", "history", "comparison", "technique"], ["findings", "impression"])


def read(report):
    return list(SECTIONS.sentences(report))


@pytest.mark.parametrize(
    ("report", "sentences"),
    [
        ("Heart normal. Lungs clear.", ["heart normal.", "lungs clear."]),
        ("INDICATION: Cough.\nFINDINGS: Clear.", ["clear."]),
        ("Indication: cough, fever. Findings: clear. Impression: normal.", ["clear.", "normal."]),
        ("INDICATION:\nCough\n\nFINDINGS:\nClear lungs.", ["clear lungs."]),
        ("HISTORY: Old film.\nThe lungs are clear.", ["the lungs are clear."]),
        ("FINDINGS: Clear.\nCOMPARISON: Pneumonia then.", ["clear."]),
        ("INDICATION: Cough FINDINGS: Clear.", ["clear."]),
        ("Indication: cough. The lungs are clear.", ["the lungs are clear."]),
        ("Comparison none. Heart large.", ["comparison none.", "heart large."]),
        ("HISTORY\nOld.\nFINDINGS\nClear.", ["clear."]),
        ("LUNGS: Clear.\nHEART: Large.", ["lungs: clear.", "heart: large."]),
        ("1. Nodule.\n2. No mass.", ["nodule.", "no mass."]),
        ("A 1.5 cm nodule vs. vessel.", ["a 1.5 cm nodule vs. vessel."]),
        ("Small effusion.No mass", ["small effusion.", "no mass"]),
        ("Is there pneumonia? No.", ["is there pneumonia?", "no."]),
        ("?Pneumonia. Clear.", ["?pneumonia.", "clear."]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_headings_and_sentences(report, sentences):
    assert read(report) == sentences


def test_a_long_line_goes_on_in_the_next():
    report = "There is a small pleural effusion at the left base without any\npneumothorax on either side."
    assert read(report) == [report.replace("\n", " ").lower()]


def test_a_history_that_wraps_is_not_read():
    report = (
        "HISTORY: Seventy year old patient with shortness of breath who had\npneumonia last year.\n\n"
        "The lungs are clear."
    )
    assert read(report) == ["the lungs are clear."]
