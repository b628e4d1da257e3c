import pytest

from knobo.knowledge.classes import resolve_classes
from knobo.knowledge.corpus import Passage
from knobo.knowledge.kb import KnowledgeBase
from knobo.knowledge.prior import read_prior
from knobo.knowledge.propose import ExtractiveProposer

NAMES = ("pleural effusion", "cardiomegaly", "pacemaker", "pulmonary nodule", "interstitial lines", "septal lines")


def prior_of(*texts, title="T"):
    classes, kb = resolve_classes(["heart_failure", "pneumonia", "normal"], KnowledgeBase.read())
    proposer = ExtractiveProposer(kb, modality="chest-xray")
    readings = [proposer.read(Passage(f"p:{i}", "Book", title, text, year=2020)) for i, text in enumerate(texts)]
    concepts = {f"knobo:{name.replace(' ', '-')}": name.replace(" ", "-") for name in NAMES}
    return read_prior(readings, classes, concepts, kb)


def signs(*texts, **kwargs):
    return {(s.class_name, s.concept_id): (s.sign, s.confidence) for s in prior_of(*texts, **kwargs)}


def test_stated_and_denied_findings_give_signs():
    found = signs("Pleural effusion is a sign of heart failure. A pulmonary nodule is absent in heart failure.")
    assert found == {("heart_failure", "pleural-effusion"): (1, 0.5), ("heart_failure", "pulmonary-nodule"): (-1, 0.5)}


def test_confidence_grows_with_the_sentences():
    texts = [f"In heart failure cardiomegaly is seen in {n} of 10." for n in (6, 7, 8)]
    assert signs(*texts)[("heart_failure", "cardiomegaly")] == (1, 0.75)


def test_contradiction_lowers_it_and_a_draw_is_unknown():
    yes, no = "Cardiomegaly is a sign of heart failure.", "Cardiomegaly is absent in heart failure."
    assert signs(yes, no) == {}
    again = "In heart failure cardiomegaly is common."
    assert signs(yes, no, again)[("heart_failure", "cardiomegaly")] == (1, 0.25)


def test_the_same_sentence_counts_once():
    yes = "Cardiomegaly is a sign of heart failure."
    assert signs(yes, yes)[("heart_failure", "cardiomegaly")] == (1, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "Pleural effusion is common.",  # no class
        "Pleural effusion is a sign of heart failure and of pneumonia.",  # two classes
        "Pleural effusion is a sign of heart failure and of sarcoidosis.",  # another disease
        "In heart failure pleural effusion is rare.",
        "Heart failure can imitate a pleural effusion.",
        "A pacemaker is often seen in heart failure.",  # treatment speaks for no disease
        "Septal lines are seen in sarcoidosis. Heart failure is another topic.",
    ],
)
def test_no_sign_without_a_clear_sentence_about_the_class(text):
    assert signs(text) == {}


def test_a_passage_about_one_class_carries_to_its_other_sentences():
    assert signs("Heart failure is common. Pleural effusion is seen.") == {
        ("heart_failure", "pleural-effusion"): (1, 0.5)
    }
    assert signs("Pleural effusion is seen. Heart failure is common.") == {}


def test_a_narrower_finding_speaks_for_the_broader_but_not_against_it():
    assert signs("Kerley B lines are a sign of heart failure.") == {
        ("heart_failure", "interstitial-lines"): (1, 0.5),
        ("heart_failure", "septal-lines"): (1, 0.5),
    }
    assert signs("Kerley B lines are absent in pneumonia.") == {("pneumonia", "septal-lines"): (-1, 0.5)}


def test_a_kind_of_the_class_may_speak_for_it_but_not_against_it():
    assert signs("In viral pneumonia interstitial lines are seen. In viral pneumonia pleural effusion is absent.") == {
        ("pneumonia", "interstitial-lines"): (1, 0.5)
    }


def test_normal_is_spoken_of_by_its_phrases():
    found = signs("A normal chest radiograph shows no pleural effusion. The heart is of normal size in pneumonia.")
    assert found == {
        ("normal", "pleural-effusion"): (-1, 0.5),
        ("pneumonia", "cardiomegaly"): (-1, 0.5),
    }


def test_each_sign_cites_its_sentence():
    (sign,) = prior_of("Cardiomegaly is a sign of heart failure. It is late.")
    (evidence,) = sign.evidence
    assert evidence.sentence == "Cardiomegaly is a sign of heart failure."
    assert (evidence.passage_id, evidence.source, evidence.year, evidence.verified) == ("p:0", "Book", 2020, True)


def test_a_kind_of_a_class_that_is_a_class_itself_keeps_its_signs():
    classes, kb = resolve_classes(["pneumonia", "covid_19"], KnowledgeBase.read())
    text = "In COVID-19 pleural effusion is absent. In pneumonia pleural effusion is common."
    reading = ExtractiveProposer(kb, modality="chest-xray").read(Passage("p:0", "Book", "T", text, year=2020))
    found = read_prior([reading], classes, {"knobo:pleural-effusion": "pleural-effusion"}, kb)
    assert [(s.class_name, s.sign) for s in found] == [("pneumonia", 1), ("covid_19", -1)]
