import pytest

from knobo.errors import InputError, InputTypeError
from knobo.knowledge.classes import resolve_classes
from knobo.knowledge.kb import KnowledgeBase


@pytest.fixture(scope="module")
def kb():
    return KnowledgeBase.read()


@pytest.mark.parametrize(
    ("name", "entry", "wording"),
    [
        ("heart_failure", "knobo:heart-failure", "heart failure"),
        ("copd", "knobo:chronic-obstructive-pulmonary-disease", "chronic obstructive pulmonary disease"),
        ("Lung cancer", "knobo:lung-cancer", "bronchial carcinoma"),
        ("normal", "knobo:normal-chest-radiograph", "healthy person"),
        ("basal_cell_carcinoma", "knobo:basal-cell-carcinoma", "BCC"),
        ("nv", "knobo:common-nevus", "benign nevus"),
        ("Pneumothorax", "knobo:pneumothorax", "pneumothoraces"),
    ],
)
def test_known_classes_bring_their_synonyms(kb, name, entry, wording):
    (found,), _ = resolve_classes([name], kb)
    assert found.name == name
    assert found.entry_id == entry
    assert found.known
    assert wording in found.wordings


def test_the_bare_word_normal_names_nothing(kb):
    (normal,), _ = resolve_classes(["normal"], kb)
    assert not normal.is_named_in("normal heart size")
    assert normal.is_named_in("a normal chest radiograph")


@pytest.mark.parametrize(
    ("label", "entry"),
    [
        ("Infiltration", "pulmonary-infiltrate"),
        ("Edema", "pulmonary-oedema"),
        ("Fibrosis", "pulmonary-fibrosis"),
        ("Hernia", "diaphragmatic-hernia"),
    ],
)
def test_a_label_that_ends_a_name_is_named_by_itself(kb, label, entry):
    (found,), _ = resolve_classes([label], kb)
    assert found.entry_id == f"knobo:{entry}"
    assert found.is_named_in(f"Is there {label.lower()}?")


def test_a_short_label_is_not_looked_for(kb):
    (found,), _ = resolve_classes(["nv"], kb)
    assert not found.is_named_in("an nv on the arm")


def test_an_unknown_class_is_added_with_its_synonyms(kb):
    (found,), extended = resolve_classes({"silicoproteinosis": ["acute silicosis"]}, kb)
    assert not found.known
    assert found.wordings == ("silicoproteinosis", "acute silicosis")
    assert extended[found.entry_id].kind == "disease"
    assert len(extended) == len(kb) + 1


def test_synonyms_find_the_entry_and_are_kept(kb):
    (found,), extended = resolve_classes({"CHF patients": ["heart failure", "wet lungs"]}, kb)
    assert found.entry_id == "knobo:heart-failure"
    assert "wet lungs" in found.wordings
    assert "wet lungs" in extended["knobo:heart-failure"].own_aliases
    assert "wet lungs" not in kb["knobo:heart-failure"].own_aliases


def test_naming_ignores_endings_and_spelling(kb):
    (found,), _ = resolve_classes(["lung_cancer"], kb)
    assert found.is_named_in("signs of lung cancers")
    assert found.is_named_in("a malignant lung tumor")
    assert not found.is_named_in("lung")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "classes is empty"),
        (["a", "A"], "given twice"),
        ([""], "not a text with letters"),
        ([3], "not a text with letters"),
        (["copd", "chronic obstructive pulmonary disease"], "mean the same"),
    ],
)
def test_wrong_classes_are_refused(kb, classes, message):
    with pytest.raises(InputError, match=message):
        resolve_classes(classes, kb)


@pytest.mark.parametrize("synonyms", ["wet lung", [""], [None]])
def test_synonyms_must_be_a_list_of_texts(kb, synonyms):
    with pytest.raises(InputTypeError, match="Synonyms of class 'copd' must be a list of texts"):
        resolve_classes({"copd": synonyms}, kb)


def test_one_text_is_not_a_list_of_classes(kb):
    with pytest.raises(InputTypeError, match=r"write \['copd'\]"):
        resolve_classes("copd", kb)
