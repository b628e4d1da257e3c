import pytest

from knobo.knowledge.corpus import Passage
from knobo.knowledge.kb import KnowledgeBase
from knobo.knowledge.propose import ExtractiveProposer

PASSAGE = Passage("p:1", "S", "T: Heart failure", "The heart is enlarged. Kerley lines, e.g. at the base. No nodule.")


@pytest.fixture(scope="module")
def kb():
    return KnowledgeBase.read()


def test_every_mention_is_proposed_with_its_sentence(kb):
    proposals = list(ExtractiveProposer(kb, modality="chest-xray").propose([PASSAGE]))
    assert [(p.name, p.phrase, p.polarity) for p in proposals] == [
        ("cardiomegaly", "heart is enlarged", "asserted"),
        ("septal lines", "Kerley lines", "asserted"),
        ("pulmonary nodule", "nodule", "denied"),
    ]
    assert all(p.sentence in PASSAGE.text and p.phrase in p.sentence and p.passage_id == "p:1" for p in proposals)


def test_only_findings_of_the_modality_are_looked_for(kb):
    text = Passage("p:1", "S", "T", "Arborising vessels and cardiomegaly.")
    assert [p.name for p in ExtractiveProposer(kb, modality="skin-lesion").propose([text])] == ["arborising vessels"]
    assert len(list(ExtractiveProposer(kb).propose([text]))) == 2


def test_readings_keep_title_and_order(kb):
    proposer = ExtractiveProposer(kb, modality="chest-xray")
    other = Passage("a:1", "S", "T", "Nothing.")
    assert proposer.read(PASSAGE) is proposer.read(PASSAGE)
    assert proposer.read(PASSAGE).titled == {"knobo:heart-failure"}
    proposer.read(other)
    assert [reading.passage.id for reading in proposer.readings] == ["a:1", "p:1"]
