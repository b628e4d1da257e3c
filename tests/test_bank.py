"""A bank is valid or refused by name; it survives the round trip; its prior is zero where nothing is known."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from knobo.bank import Concept, ConceptBank, Evidence, PriorSign, load_bank, slug
from knobo.errors import FormatError, InputError

EVIDENCE = Evidence(passage_id="p:1", source="A textbook", title="Effusion", sentence="Fluid blunts the angle.")


@pytest.fixture
def bank():
    bank = ConceptBank.from_names(["pleural effusion", "nodule", "cardiomegaly"], modality="chest-xray")
    prior = (
        PriorSign(class_name="heart_failure", concept_id="cardiomegaly", sign=1, confidence=0.8, evidence=(EVIDENCE,)),
        PriorSign(class_name="normal", concept_id="nodule", sign=-1, confidence=0.5),
    )
    return bank.model_copy(update={"prior": prior, "classes": ("heart_failure", "normal")})


def test_names_make_ids_and_questions(bank):
    assert bank.ids == ("pleural-effusion", "nodule", "cardiomegaly")
    assert bank["nodule"].question == "Is there nodule?"
    assert len(bank) == 3
    assert "nodule" in bank


def test_prior_matrix_follows_the_classes_given_and_is_zero_where_unknown(bank):
    signs, confidence = bank.prior_matrix(["normal", "Heart failure", "never heard of"])
    np.testing.assert_array_equal(signs, [[0, -1, 0], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(confidence, [[0, 0.5, 0], [0, 0, 0.8], [0, 0, 0]])


def test_concepts_of_one_cui_are_one_group(bank):
    first, second, third = bank.concepts
    same = {"cui": "C0032227"}
    concepts = (first.model_copy(update=same), second, third.model_copy(update=same))
    grouped = bank.model_copy(update={"concepts": concepts})
    assert grouped.concept_groups() == ["C0032227", "nodule", "C0032227"]


def test_a_subset_keeps_order_and_the_prior_that_belongs_to_it(bank):
    part = bank.subset(["cardiomegaly", "pleural-effusion"])
    assert part.ids == ("cardiomegaly", "pleural-effusion")
    assert [sign.concept_id for sign in part.prior] == ["cardiomegaly"]
    with pytest.raises(InputError, match=r"no concept 'tumour'. It holds: pleural-effusion, nodule"):
        bank.subset(["tumour"])


def test_a_frame_has_one_row_a_concept_with_its_first_sentence(bank):
    concept = bank["nodule"].model_copy(update={"evidence": (EVIDENCE,)})
    frame = ConceptBank(concepts=(concept,)).to_frame()
    assert frame.loc["nodule", "sentence"] == "Fluid blunts the angle."
    assert frame.loc["nodule", "n_evidence"] == 1


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    names=st.lists(words, min_size=1, max_size=6, unique=True),
    sentence=words,
    sign=st.sampled_from([-1, 1]),
    confidence=st.floats(0, 1),
    cui=st.none() | st.from_regex(r"\AC[0-9]{7}\Z"),
)
def test_banks_survive_the_round_trip(tmp_path_factory, names, sentence, sign, confidence, cui):
    evidence = Evidence(passage_id="p", source="s", title="t", sentence=sentence, verified=True)
    concepts = tuple(
        Concept(id=f"c{i}", name=name, question=name, synonyms=(sentence,), cui=cui, evidence=(evidence,))
        for i, name in enumerate(names)
    )
    prior = (PriorSign(class_name=sentence, concept_id="c0", sign=sign, confidence=confidence),)
    bank = ConceptBank(concepts=concepts, classes=(sentence,), prior=prior, provenance={"note": sentence})
    path = bank.to_json(tmp_path_factory.mktemp("bank") / "bank.json")
    assert ConceptBank.from_json(path) == bank


def _broken(bank, path, change):
    document = json.loads(bank.to_json(path).read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format_version=2), "format_version 2"),
        (lambda d: d.update(format="knobo.model"), "is not a knobo.bank document"),
        (lambda d: d["concepts"][1].update(cui="12"), r"concepts\.1\.cui is broken"),
        (lambda d: d["concepts"][1].pop("name"), r"concepts\.1\.name is broken"),
        (lambda d: d["concepts"][1].update(id="pleural-effusion"), "repeated: pleural-effusion"),
        (lambda d: d["prior"][0].update(sign=0), r"prior\.0\.sign is broken"),
        (lambda d: d["prior"][0].update(concept_id="gone"), "concepts that the bank does not hold: gone"),
        (lambda d: d["prior"].append(d["prior"][0]), "more than once"),
        (lambda d: d.update(surprise=1), "surprise is broken"),
        (lambda d: d.update(concepts=[]), "concepts is broken"),
    ],
)
def test_a_broken_bank_is_refused_by_field(bank, tmp_path, change, message):
    with pytest.raises(FormatError, match=message):
        ConceptBank.from_json(_broken(bank, tmp_path / "bank.json", change))


def test_a_bank_cannot_be_changed_in_place(bank):
    with pytest.raises(ValidationError, match="frozen"):
        bank.modality = "other"


def test_loading_by_path_or_shipped_name(bank, tmp_path):
    assert load_bank(bank.to_json(tmp_path / "bank.json")) == bank
    with pytest.raises(InputError, match="No bank 'dental': not a file, and the shipped banks are"):
        load_bank("dental")
    with pytest.raises(InputError, match="at least one concept name"):
        ConceptBank.from_names([])
    with pytest.raises(InputError, match="got the text 'nodule'; put it in a list"):
        ConceptBank.from_names("nodule")
    with pytest.raises(InputError, match="Two names make the concept id 'nodule-mass'"):
        ConceptBank.from_names(["Nodule/mass", "nodule mass"])
    with pytest.raises(InputError, match=r"'\?\?' holds no letter"):
        ConceptBank.from_names(["nodule", "??"])


@pytest.mark.parametrize(("text", "expected"), [("Blue-white veil", "blue-white-veil"), ("  a: b_c ", "a-b-c")])
def test_slugs(text, expected):
    assert slug(text) == expected


def test_merged_banks_hold_the_union_and_drop_contradictions(six_concepts):
    first = six_concepts.subset(["pleural-effusion", "consolidation"])
    other = PriorSign(class_name="pneumonia", concept_id="consolidation", sign=-1, confidence=0.4)
    surer = PriorSign(class_name="heart failure", concept_id="cardiomegaly", sign=1, confidence=1.0)
    second = six_concepts.model_copy(update={"prior": (other, surer)})
    merged = first.merge(second)
    assert merged.ids == ("pleural-effusion", "consolidation", "cardiomegaly", "nodule", "atelectasis", "pneumothorax")
    assert {(s.class_name, s.concept_id): s.confidence for s in merged.prior} == {
        ("normal", "pleural-effusion"): 0.5,
        ("heart failure", "cardiomegaly"): 1.0,
    }
    assert len(merged["consolidation"].evidence) == 1


def test_merging_with_itself_changes_nothing_but_the_provenance(six_concepts):
    merged = six_concepts.merge(six_concepts)
    assert merged.concepts == six_concepts.concepts
    assert merged.prior == six_concepts.prior


def test_banks_of_two_modalities_cannot_be_merged(six_concepts):
    skin = six_concepts.model_copy(update={"modality": "skin-lesion"})
    with pytest.raises(InputError, match="one modality can be merged, got 'chest-xray', 'skin-lesion'"):
        six_concepts.merge(skin)


def test_a_bank_that_states_no_modality_fits_any(six_concepts):
    unstated = six_concepts.model_copy(update={"modality": ""})
    assert unstated.merge(six_concepts).modality == "chest-xray"
    assert unstated.merge(unstated).modality == ""


def test_search_finds_names_and_synonyms():
    bank = load_bank("chest-xray")
    assert "cardiomegaly" in [concept.id for concept in bank.search("Enlarged-heart")]
    assert bank.search("no such finding") == []


def questions(*texts):
    concepts = [Concept(id=f"c{i}", name=f"c{i}", question=text) for i, text in enumerate(texts)]
    return ConceptBank(concepts=tuple(concepts))


def test_diversity_is_nought_for_equal_questions_and_one_for_strangers():
    assert questions("Is it red?", "Is it red?", "is it RED").diversity() == pytest.approx(0.0)
    assert questions("Is it red?", "Any nodules seen", "?").diversity() == pytest.approx(1.0)
    assert 0 < questions("Is it red?", "Is it blue?").diversity() < 1


def test_diversity_with_an_encoder_is_the_mean_distance_of_all_pairs():
    vectors = np.random.default_rng(0).normal(size=(7, 5)) * 3
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(7) for j in range(i)]

    class Encoder:
        def encode_texts(self, texts):
            return vectors[: len(texts)]

    bank = questions(*"abcdefg")
    assert bank.diversity(Encoder()) == pytest.approx(np.mean(pairs))
    assert bank.diversity(lambda texts: vectors) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("vectors", [np.zeros((2, 3)), np.ones((3, 3)), np.full((2, 3), np.nan), np.ones(2)])
def test_diversity_refuses_vectors_that_have_no_direction(vectors):
    with pytest.raises(InputError, match=r"The encoder gave shape .* diversity needs shape \(2, d\)"):
        questions("a", "b").diversity(lambda texts: vectors)


def test_one_question_has_no_diversity():
    with pytest.raises(InputError, match="a bank of one concept has none"):
        questions("a").diversity()


def test_a_licence_is_written_only_where_one_is_stated(tmp_path):
    stated = EVIDENCE.model_copy(update={"licence": "CC BY 4.0"})
    concepts = tuple(
        Concept(id=name, name=name, question=name, evidence=(cited,))
        for name, cited in (("a", EVIDENCE), ("b", stated))
    )
    path = ConceptBank(concepts=concepts).to_json(tmp_path / "bank.json")
    written = [concept["evidence"][0] for concept in json.loads(path.read_text(encoding="utf-8"))["concepts"]]
    assert "licence" not in written[0]
    assert written[1]["licence"] == "CC BY 4.0"
    assert ConceptBank.from_json(path)["b"].evidence == (stated,)


def test_names_bring_the_synonyms_of_the_shipped_lexicon_and_knowledge_base():
    bank = ConceptBank.from_names({"a": "Oedema", "b": "azygos lobe", "c": "zebra"})
    assert {"pulmonary edema", "congestive heart failure"} <= set(bank["a"].synonyms)
    assert "azygos fissure" in bank["b"].synonyms
    assert bank["c"].synonyms == ()
