import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from knobo.errors import InputError, MissingDependencyError
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
    assert best.score >= 0.7


def test_candidates_are_ranked_and_cut(linker):
    found = linker.link("pigment network", k=3, threshold=0.3)
    assert [c.name for c in found][:1] == ["pigment network"]
    assert len(found) == 3
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert all(c.score >= 0.9 for c in linker.link("pigment network", k=9, threshold=0.9))


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
