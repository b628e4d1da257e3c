"""The banks and the knowledge base that ship with knobo."""

from collections import Counter

import pytest

from knobo.bank import load_bank, slug
from knobo.knowledge import KnowledgeBase, build_bank, read_corpus
from knobo.knowledge.classes import resolve_classes
from knobo.storage import shipped_path

DISEASES = (
    "normal pneumonia heart_failure copd lung_cancer tuberculosis covid_19 lung_abscess lung_metastases lymphoma "
    "mesothelioma sarcoidosis pulmonary_fibrosis asbestosis silicosis asthma cystic_fibrosis pulmonary_embolism "
    "pulmonary_hypertension ards"
)
CLASSES = {
    "chest-xray": tuple(DISEASES.split()),
    "skin-lesion": (
        "common_nevus",
        "atypical_nevus",
        "melanoma",
        "basal_cell_carcinoma",
        "actinic_keratosis_or_bowen_disease",
        "benign_keratosis",
        "dermatofibroma",
        "vascular_lesion",
    ),
}
PHANTOM = {
    "chest-xray": "cardiomegaly pleural-effusion consolidation pneumothorax pulmonary-nodule hyperinflation "
    "mediastinal-widening atelectasis interstitial-lines support-device",
    "skin-lesion": "asymmetry irregular-border colour-variegation atypical-pigment-network dots-and-globules streaks "
    "blue-white-veil regression ulceration vessels",
}


@pytest.fixture(scope="module", params=sorted(CLASSES))
def modality(request):
    return request.param


@pytest.fixture(scope="module")
def bank(modality):
    return load_bank(modality)


def test_rebuilding_gives_the_same_bytes(modality, bank, tmp_path):
    rebuilt = build_bank(CLASSES[modality], modality).to_json(tmp_path / "bank.json")
    shipped = shipped_path("concepts", modality, "bank.json")
    assert rebuilt.read_bytes() == shipped.read_bytes(), f"rebuild it as concepts/{modality}/card.md says"


def test_a_bank_is_large_enough_and_covers_the_phantom(modality, bank):
    assert len(bank) >= 80
    assert bank.classes == CLASSES[modality]
    assert set(PHANTOM[modality].split()) <= set(bank.ids)


def test_every_sentence_stands_in_the_shipped_corpus(modality, bank):
    texts = {passage.id: passage.text for passage in read_corpus(modality)}
    evidence = [e for concept in bank for e in concept.evidence] + [e for sign in bank.prior for e in sign.evidence]
    assert all(concept.evidence for concept in bank)
    assert all(e.verified and e.sentence in texts[e.passage_id] for e in evidence)


def test_no_concept_names_a_class(bank):
    classes, _ = resolve_classes(bank.classes, KnowledgeBase.read())
    for item in classes:
        assert not any(item.is_named_in(w) for concept in bank for w in (concept.name, *concept.synonyms))
        assert not any(concept.cui in item.cuis for concept in bank)


def test_every_class_has_signs_of_both_kinds(bank):
    counts = Counter((sign.class_name, sign.sign) for sign in bank.prior)
    for name in bank.classes:
        assert counts[name, -1] >= 5
        assert counts[name, 1] >= (0 if name == "normal" else 5)


@pytest.mark.parametrize(
    ("name", "label", "concept", "sign"),
    [
        ("chest-xray", "heart_failure", "cardiomegaly", 1),
        ("chest-xray", "heart_failure", "septal-lines", 1),
        ("chest-xray", "normal", "pleural-effusion", -1),
        ("chest-xray", "pneumonia", "consolidation", 1),
        ("chest-xray", "pneumonia", "hyperinflation", -1),
        ("chest-xray", "copd", "hyperinflation", 1),
        ("chest-xray", "copd", "cardiomegaly", -1),
        ("chest-xray", "lung_cancer", "spiculated-margin", 1),
        ("chest-xray", "tuberculosis", "cavitation", 1),
        ("chest-xray", "covid_19", "ground-glass-opacity", 1),
        ("chest-xray", "covid_19", "cavitation", -1),
        ("chest-xray", "sarcoidosis", "bilateral-hilar-lymphadenopathy", 1),
        ("chest-xray", "pulmonary_fibrosis", "honeycombing", 1),
        ("chest-xray", "ards", "cardiomegaly", -1),
        ("chest-xray", "heart_failure", "pacemaker", 0),
        ("skin-lesion", "melanoma", "blue-white-veil", 1),
        ("skin-lesion", "common_nevus", "blue-white-veil", -1),
        ("skin-lesion", "common_nevus", "asymmetry", -1),
        ("skin-lesion", "atypical_nevus", "atypical-pigment-network", 1),
        ("skin-lesion", "basal_cell_carcinoma", "arborising-vessels", 1),
        ("skin-lesion", "basal_cell_carcinoma", "pigment-network", -1),
        ("skin-lesion", "actinic_keratosis_or_bowen_disease", "glomerular-vessels", 1),
        ("skin-lesion", "actinic_keratosis_or_bowen_disease", "scale", 1),
        ("skin-lesion", "benign_keratosis", "milia-like-cysts", 1),
        ("skin-lesion", "benign_keratosis", "blue-white-veil", -1),
        ("skin-lesion", "dermatofibroma", "central-white-patch", 1),
        ("skin-lesion", "dermatofibroma", "streaks", -1),
        ("skin-lesion", "vascular_lesion", "lacunae", 1),
        ("skin-lesion", "vascular_lesion", "pigment-network", -1),
    ],
)
def test_signs_that_every_textbook_states(name, label, concept, sign):
    loaded = load_bank(name)
    signs, _ = loaded.prior_matrix([label])
    assert signs[0, loaded.ids.index(concept)] == sign


def test_the_open_knowledge_base_is_large_enough():
    counts = Counter((entry.modality, entry.kind) for entry in KnowledgeBase.read())
    assert counts["chest-xray", "finding"] >= 70
    assert counts["skin-lesion", "finding"] >= 50
    assert counts["chest-xray", "disease"] >= 20


def test_every_cui_says_where_it_was_seen():
    for entry in KnowledgeBase.read():
        assert entry.id == f"knobo:{slug(entry.name)}"
        assert (entry.cui is not None) <= any(
            open_source in entry.source for open_source in ("PadChest", "HPO HP:", "DO DOID:")
        )
        assert (entry.cui is None) or entry.source_name
        assert entry.source != "knobo" or (not entry.aliases and not entry.codes and entry.source_name is None)


def test_no_wording_names_two_entries_of_one_modality():
    owners = {}
    for entry in KnowledgeBase.read():
        for wording in entry.wordings:
            assert owners.setdefault((entry.modality, wording.lower()), entry.id) == entry.id
