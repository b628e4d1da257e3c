import pytest

from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.mentions import MentionFinder


@pytest.fixture(scope="module")
def chest():
    return MentionFinder(entry for entry in KnowledgeBase.read() if entry.modality == "chest-xray")


@pytest.fixture(scope="module")
def skin():
    return MentionFinder(entry for entry in KnowledgeBase.read() if entry.modality == "skin-lesion")


def polarity(finder, sentence, name):
    found = {m.entry_id: m.polarity for m in finder.find(sentence)}
    return found.get(f"knobo:{name}")


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Thickening of the fissures accompanies it.", "fissure-thickening"),
        ("The cardiac silhouette is often enlarged.", "cardiomegaly"),
        ("Both hila look large.", "hilar-enlargement"),
        ("Bilateral pleural effusions are seen.", "pleural-effusion"),
        ("There are Kerley B lines at the bases.", "septal-lines"),
        ("A loculated pleural effusion does not move.", "loculated-pleural-effusion"),
        ("Blunting of the costophrenic angle is a sign.", "costophrenic-angle-blunting"),
    ],
)
def test_other_wordings_are_found(chest, sentence, name):
    assert polarity(chest, sentence, name) == "asserted"


def test_the_longest_wording_counts(skin):
    assert skin.names("an atypical pigment network") == {"knobo:atypical-pigment-network"}
    assert skin.names("a typical pigment network") == {"knobo:typical-pigment-network"}
    assert skin.names("irregular dots and globules") == {"knobo:irregular-dots-and-globules"}


def test_words_of_two_noun_phrases_do_not_make_one(skin):
    assert skin.names("In basal cell carcinoma the pigment network is absent.") == {
        "knobo:basal-cell-carcinoma",
        "knobo:pigment-network",
    }


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("There is no pneumothorax.", "pneumothorax"),
        ("A normal chest shows no consolidation, no nodule and no pleural effusion.", "pleural-effusion"),
        ("No pneumothorax, pleural effusion or consolidation.", "consolidation"),
        ("Hyperinflation is not a feature of heart failure.", "hyperinflation"),
        ("Lymphadenopathy and tram tracks are not signs of heart failure.", "lymphadenopathy"),
        ("In lung cancer a spiculated margin, rib destruction and pleural plaques are absent.", "spiculated-margin"),
        ("The heart is not enlarged.", "cardiomegaly"),
        ("The costophrenic angles are sharp.", "costophrenic-angle-blunting"),
        ("Consolidation comes without volume loss.", "volume-loss"),
        ("Vascular redistribution is therefore absent.", "vascular-redistribution"),
        ("Bat-wing opacity and Kerley B lines in both lungs are not signs of cancer.", "bat-wing-opacity"),
    ],
)
def test_denials(chest, sentence, name):
    assert polarity(chest, sentence, name) == "denied"


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("A calcified granuloma is a chance finding.", "calcified-granuloma"),
        ("Pleural effusion was uncommon.", "pleural-effusion"),
        ("Nodules were seen in about 9 % of patients.", "pulmonary-nodule"),
        ("A veil of fluid and cavitation were recorded in 6 of 80 cases.", "cavitation"),
        ("This helps to tell it from atelectasis.", "atelectasis"),
        ("It can be mistaken for a pneumothorax.", "pneumothorax"),
        ("The heart may be of normal size.", "cardiomegaly"),
        ("A pleural effusion may be present.", "pleural-effusion"),
        ("Atelectasis might also be present.", "atelectasis"),
        ("The image must be searched for pneumothorax.", "pneumothorax"),
        ("If a hilar mass is found, biopsy follows.", "hilar-mass"),
        ("It is larger than a nodule.", "pulmonary-nodule"),
    ],
)
def test_doubts(chest, sentence, name):
    assert polarity(chest, sentence, name) == "doubtful"


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Ground-glass opacity is a haze that does not hide the vessels.", "ground-glass-opacity"),
        ("Pneumothorax is absent, but a pleural effusion is seen.", "pleural-effusion"),
        ("No nodule is seen; consolidation is present.", "consolidation"),
        ("Cavitation was present in 45 % of patients.", "cavitation"),
        ("The nodule is not only big; cavitation is common.", "cavitation"),
    ],
)
def test_a_denial_does_not_reach_too_far(chest, sentence, name):
    assert polarity(chest, sentence, name) == "asserted"


def test_mentions_know_their_place_and_name(chest):
    sentence = "A large effusion hides the base."
    (mention,) = [m for m in chest.find(sentence) if m.entry_id == "knobo:pleural-effusion"]
    assert sentence[mention.start : mention.end] == "effusion"
    assert not mention.by_name
    assert chest.find("Pleural effusion is seen.")[0].by_name


def test_nothing_is_found_in_nothing():
    finder = MentionFinder([KbEntry(name="mass")])
    assert finder.find("") == []
    assert finder.find("masked man") == []
    assert MentionFinder([]).find("mass") == []
