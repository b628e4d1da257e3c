import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from knobo.errors import FormatError, InputError, MissingDependencyError
from knobo.knowledge import alias_index
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.link import AliasIndex, ConceptLinker


@pytest.fixture(scope="module")
def linker():
    return ConceptLinker.load("open", engine="knobo")


@pytest.mark.parametrize(
    ("text", "name", "cui"),
    [
        ("cardiomegaly", "cardiomegaly", "C0018800"),
        ("Enlarged heart", "cardiomegaly", "C0018800"),
        ("blunting of the left costophrenic angle", "costophrenic angle blunting", "C0742855"),
        ("kerley b lines", "septal lines", "C0239019"),
        ("blue whitish veil", "blue-white veil", None),
        ("arborizing vessels", "arborising vessels", None),
        ("COPD", "chronic obstructive pulmonary disease", "C0024117"),
    ],
)
def test_findings_are_linked(linker, text, name, cui):
    best = linker.link(text)[0]
    assert (best.name, best.cui) == (name, cui)
    assert best.score >= 0.85


def test_candidates_are_ranked_and_cut(linker):
    found = linker.link("pigment network", k=3, threshold=0.3)
    assert [c.name for c in found][:1] == ["pigment network"]
    assert len(found) == 3
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert all(c.score >= 0.9 for c in linker.link("pigment network", k=9, threshold=0.9))


@pytest.mark.parametrize(
    "text", ["calcified pleural fluid", "rib cage of normal shape", "vascular pedicle of the kidney", "nodular goose"]
)
def test_a_text_that_only_looks_like_a_name_stays_unlinked(linker, text):
    assert linker.link(text, threshold=0.0)
    assert linker.link(text) == []


def test_a_near_rival_makes_a_match_doubtful():
    entries = [KbEntry(id="a", name="round dense opacity"), KbEntry(id="c", name="rib fracture")]
    rival = KbEntry(id="b", name="faint round opacity")
    alone = ConceptLinker(KnowledgeBase(entries), engine="knobo").link("round opacity", threshold=0.0)
    rivalled = ConceptLinker(KnowledgeBase([*entries, rival]), engine="knobo").link("round opacity", threshold=0.0)
    assert alone[0].id == "a"
    assert {c.id for c in rivalled[:2]} == {"a", "b"}
    assert rivalled[0].score < alone[0].score - 0.1


def test_codes_of_other_vocabularies_come_with_the_answer(linker):
    assert linker.link("pulmonary oedema")[0].codes == ("HP:0100598", "DOID:11396", "MESH:D011654", "ICD10CM:J81")
    assert linker.link("blue-white veil")[0].codes == ()


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Atelectasis", "atelectasis"),
        ("Cardiomegaly", "cardiomegaly"),
        ("Effusion", "pleural effusion"),
        ("Infiltration", "pulmonary infiltrate"),
        ("Mass", "pulmonary mass"),
        ("Nodule", "pulmonary nodule"),
        ("Pneumonia", "pneumonia"),
        ("Pneumothorax", "pneumothorax"),
        ("Consolidation", "consolidation"),
        ("Edema", "pulmonary oedema"),
        ("Emphysema", "emphysema"),
        ("Fibrosis", "pulmonary fibrosis"),
        ("Pleural_Thickening", "pleural thickening"),
        ("Hernia", "diaphragmatic hernia"),
    ],
)
def test_the_labels_of_nih_chest_xray14_are_found(linker, label, name):
    assert linker.link(label)[0].name == name
    assert linker.link(label)[0].score > 0.99


def test_class_names_are_not_looked_for_in_running_text(linker):
    assert linker.link("nv")[0].name == "common nevus"
    assert linker.link_in_text("the nv, the hernia and the edema") == []
    assert linker.link("nv", semantic_types=["T191"]) == []


@pytest.mark.parametrize("text", ["", "?!", "zzzz qqqq"])
def test_unknown_text_stays_unlinked(linker, text):
    assert linker.link(text) == []


def test_a_batch_equals_single_links(linker):
    texts = ["effusion", "", "big heart"]
    assert linker.link_batch(texts) == [linker.link(text) for text in texts]
    assert linker.link_batch([]) == []


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_the_answer_is_the_same_every_time(text):
    kb = KnowledgeBase([KbEntry(name="mass"), KbEntry(name="masses of the lung"), KbEntry(name="cyst")])
    answers = {tuple(ConceptLinker(kb, engine="knobo").link(text, threshold=0.0)) for _ in range(2)}
    assert len(answers) == 1


def test_equal_scores_are_ordered_by_id():
    kb = KnowledgeBase([KbEntry(id="b", name="mass"), KbEntry(id="a", name="Lump", aliases=("mass",))])
    assert [c.id for c in ConceptLinker(kb, engine="knobo").link("mass")] == ["a", "b"]


def test_the_index_finds_exact_neighbours_like_brute_force():
    rng = np.random.default_rng(0)
    dense = rng.random((30, 12)) * (rng.random((30, 12)) < 0.4) + 1e-3
    dense = (dense / np.linalg.norm(dense, axis=1, keepdims=True)).astype(np.float32)
    queries = dense[:5]
    found = AliasIndex(sparse.csr_matrix(dense)).knnQueryBatch(sparse.csr_matrix(queries), k=4, num_threads=7)
    expected = 1 - queries @ dense.T
    for (numbers, distances), row in zip(found, expected, strict=True):
        assert numbers.tolist() == np.argsort(np.round(row, 6), kind="stable")[:4].tolist()
        np.testing.assert_allclose(distances, np.sort(row)[:4], atol=1e-5)


def test_wrong_arguments_are_refused(linker):
    with pytest.raises(InputError, match="put the one text in a list"):
        linker.link_batch("heart")
    with pytest.raises(InputError, match="k must be at least 1"):
        linker.link("heart", k=0)
    with pytest.raises(InputError, match=r"threshold in \[0, 1\]"):
        linker.link("heart", threshold=2.0)
    with pytest.raises(InputError, match="engine is"):
        ConceptLinker(linker.kb, engine="umls")


def test_missing_scispacy_is_said(linker, monkeypatch):
    monkeypatch.setattr("knobo.knowledge.link.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"Install knobo\[umls\]"):
        ConceptLinker(linker.kb, engine="scispacy")
    assert ConceptLinker(linker.kb, engine="auto").link("cardiomegaly") == linker.link("cardiomegaly")


TYPED = KnowledgeBase(
    [
        KbEntry(id="a", name="cold", semantic_types=("T047 Disease or Syndrome",)),
        KbEntry(id="b", name="low temperature", aliases=("cold",), semantic_types=("T070",)),
        *(KbEntry(id=f"c{i:02}", name=f"cold number {i}", semantic_types=("T999",)) for i in range(50)),
        KbEntry(id="d", name="colds of the nose", semantic_types=("Disease or Syndrome",)),
    ]
)


def test_only_entries_of_a_wanted_type_are_looked_at():
    linker = ConceptLinker(TYPED, engine="knobo")
    assert [c.id for c in linker.link("cold")][:2] == ["a", "b"]
    for wanted in (["T047"], {"T047 Disease or Syndrome"}):
        assert [c.id for c in linker.link("cold", semantic_types=wanted, threshold=0.0)] == ["a"]
    found = linker.link("cold", semantic_types=["Disease or Syndrome", "T070"], threshold=0.0)
    assert [c.id for c in found] == ["a", "b", "d"]  # d lies behind fifty nearer names of another type
    assert found[1].semantic_types == ("T070",)
    assert linker.link("cold", semantic_types=["T000"], threshold=0.0) == []
    with pytest.raises(InputError, match=r"semantic_types must be a list of types, got 'T047'"):
        linker.link("cold", semantic_types="T047")


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_index_orders_ties_like_a_full_sort(seed, k):
    rng = np.random.default_rng(seed)
    values = sparse.csr_matrix(rng.integers(0, 3, (40, 3)).astype(np.float32) / 4)
    allowed = rng.random(40) < 0.7
    similarities = (values[:4] @ values.T).toarray()
    found = AliasIndex(values).knnQueryBatch(values[:4], k=k, allowed=allowed)
    for (numbers, _), row in zip(found, similarities, strict=True):
        expected = [i for i in np.argsort(-row, kind="stable") if row[i] > 0 and allowed[i]]
        assert numbers.tolist() == expected[:k]


def test_large_batches_are_cut_into_pieces(linker, monkeypatch):
    texts = [entry.name for entry in linker.kb][:40]
    whole = linker.link_batch(texts, threshold=0.3)
    monkeypatch.setattr("knobo.knowledge.alias_index._AT_ONCE", 1)
    assert linker.link_batch(texts, threshold=0.3) == whole


def test_findings_are_linked_in_a_sentence(linker):
    text = "There is a large pleural effusion, and the heart is enlarged; no Kerley B lines. Rib fractures were absent."
    found = linker.link_in_text(text)
    assert [text[m.start : m.end] for m in found] == [
        "pleural effusion",
        "heart is enlarged",
        "Kerley B lines",
        "Rib fractures",
    ]
    assert [m.candidates[0].name for m in found] == ["pleural effusion", "cardiomegaly", "septal lines", "rib fracture"]
    assert all(m.text == text[m.start : m.end] for m in found)
    assert all(c.score >= 0.9 for m in found for c in m.candidates)
    assert len(linker.link_in_text(text, k=3, threshold=0.2)[0].candidates) == 3


@pytest.mark.parametrize("text", ["", "...", "of the", "The weather was fine."])
def test_text_that_names_nothing_has_no_mentions(linker, text):
    assert linker.link_in_text(text) == []


def test_the_longest_of_equally_near_runs_counts():
    kb = KnowledgeBase([KbEntry(name="effusion"), KbEntry(name="pleural effusion")])
    (mention,) = ConceptLinker(kb, engine="knobo").link_in_text("a pleural effusion")
    assert (mention.text, mention.candidates[0].name) == ("pleural effusion", "pleural effusion")


def test_abbreviations_are_resolved_before_linking():
    kb = KnowledgeBase([KbEntry(name="congestive heart failure"), KbEntry(name="chronic hay fever", aliases=("CHF",))])
    linker = ConceptLinker(kb, engine="knobo")
    text = "He had congestive heart failure (CHF). Acute CHF came back."
    found = linker.link_in_text(text, threshold=0.8)
    assert {m.candidates[0].name for m in found} == {"congestive heart failure"}
    assert [text[m.start : m.end] for m in found] == ["congestive heart failure", "CHF", "CHF"]
    assert found[-1].text == "congestive heart failure"
    assert [m.candidates[0].name for m in linker.link_in_text("CHF came back.")] == ["chronic hay fever"]
    given_by_hand = linker.link_in_text("CHF came back.", abbreviations={"CHF": "congestive heart failure"})
    assert [m.candidates[0].name for m in given_by_hand] == ["congestive heart failure"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_mentions_lie_in_the_text_and_do_not_overlap(text):
    linker = ConceptLinker(TYPED, engine="knobo")
    found = linker.link_in_text(f"cold {text} low temperature", threshold=0.3)
    assert found == linker.link_in_text(f"cold {text} low temperature", threshold=0.3)
    assert all(0 <= m.start < m.end <= len(text) + 21 for m in found)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


def test_an_index_on_disk_gives_the_same_answers(linker, tmp_path):
    written = ConceptLinker(linker.kb, engine="knobo", index=tmp_path / "index")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    opened = ConceptLinker.load("open", engine="knobo", index=tmp_path / "index")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    texts = [*(entry.wordings[-1] for entry in linker.kb), "hart failure", "", "naïve 中"]
    expected = linker.link_batch(texts, k=10, threshold=0.0)
    assert written.link_batch(texts, k=10, threshold=0.0) == expected
    assert opened.link_batch(texts, k=10, threshold=0.0) == expected


def test_an_index_of_another_knowledge_base_is_refused(linker, tmp_path):
    ConceptLinker(TYPED, engine="knobo", index=tmp_path / "index")
    with pytest.raises(FormatError, match="belongs to another knowledge base; name another folder"):
        ConceptLinker(linker.kb, engine="knobo", index=tmp_path / "index")
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="holds no index of a linker"):
        ConceptLinker(TYPED, engine="knobo", index=tmp_path / "mine")


def _cut(folder):
    np.save(folder / "columns.npy", np.load(folder / "columns.npy")[:-3])


def _empty(folder):
    (folder / "text.npy").write_bytes(b"")


def _no_words(folder):
    (folder / "vocabulary.json").write_text("[]")


@pytest.mark.parametrize("damage", [_cut, _empty, _no_words, lambda folder: (folder / "idf.npy").unlink()])
def test_a_damaged_index_is_refused(tmp_path, damage):
    ConceptLinker(TYPED, engine="knobo", index=tmp_path / "index")
    damage(tmp_path / "index")
    with pytest.raises(FormatError, match=r"is damaged .*delete it and build it anew"):
        ConceptLinker(TYPED, engine="knobo", index=tmp_path / "index")


def test_an_index_with_other_settings_or_without_words_is_refused(tmp_path, monkeypatch):
    ConceptLinker(TYPED, engine="knobo", index=tmp_path / "index")
    monkeypatch.setitem(alias_index._VECTORS, "ngram_range", [2, 2])
    with pytest.raises(FormatError, match="was made with other settings"):
        ConceptLinker(TYPED, engine="knobo", index=tmp_path / "index")
    with pytest.raises(InputError, match="holds a word to search for"):
        ConceptLinker(KnowledgeBase([KbEntry(id="x", name=" ")]), engine="knobo")
