"""Sentences say what is there, what is not, and a place only where one was given."""

import pytest

from knobo.errors import InputError


def test_a_sentence_names_what_speaks_for_and_against_with_the_contributions(why):
    assert why[0].sentences() == [
        "Heart failure 0.82: enlarged heart (+1.8), pleural effusion (+1.2); against: consolidation (−0.1)."
    ]


def test_an_absent_finding_does_not_read_as_present(why):
    assert why[1].sentences() == [
        "Normal 0.76: no pleural effusion (+0.4), no consolidation (+0.3), no enlarged heart (+0.2); all else +0.1."
    ]


def test_doubtful_findings_are_called_so(parts, why):
    parts["activations"][0, :3] = [0.4, 0.1, 0.39]
    [doubtful] = type(why)(**parts)[0].for_class("heart_failure").sentences()
    assert "possible pleural effusion (+0.2); against: no enlarged heart (−0.3)" in doubtful
    parts["reference"][0], parts["activations"][0, 0] = 0.9, 0.6
    [fainter] = type(why)(**parts)[0].for_class("heart_failure").sentences()
    assert "against: pleural effusion less clear than usual (−0.6)" in fainter


def test_a_place_is_named_only_where_one_is_given_and_the_finding_is_there(why):
    words = why.sentences({"consolidation": [None, "left lower zone", "right lower zone", None]})
    assert "in the" not in words[0]
    assert "no consolidation (+0.3)" in words[1]
    assert words[2].startswith("Pneumonia 0.92: consolidation in the right lower zone (+1.8)")
    assert "enlarged heart in the mediastinum (+1.8)" in why[0].sentences({"enlarged-heart": "mediastinum"})[0]


def test_a_contrast_and_left_out_findings_are_said(why):
    contrast = why[2].contrast("pneumonia", "heart_failure")
    assert contrast.sentences() == ["Pneumonia rather than heart failure 0.97: consolidation (+2.4)."]
    assert why[0, "nodule"].sentences() == ["Heart failure 0.82: nothing speaks for it; all else +2.9."]


def test_impossible_requests_are_refused(why):
    with pytest.raises(InputError, match="no concept 'lung'"):
        why.sentences({"lung": "left"})
    with pytest.raises(InputError, match="4 cases but 1 places of 'nodule'"):
        why.sentences({"nodule": ["left"]})
    with pytest.raises(InputError, match="max_concepts is 0"):
        why.sentences(max_concepts=0)
