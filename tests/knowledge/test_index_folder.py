"""An index folder is opened whatever its kind, read as a corpus, and built from like one."""

import json

import numpy as np
import pytest

from knobo.errors import FormatError, InputError
from knobo.knowledge import (
    Bm25Index,
    ConceptLinker,
    DenseIndex,
    Hit,
    HybridRetriever,
    Passage,
    build_bank,
    open_index,
    read_corpus,
)

TEXTS = (
    "In heart failure the heart is enlarged. Kerley B lines are further signs of heart failure.",
    "In pneumonia consolidation is seen. Cardiomegaly is absent in pneumonia.",
    "A pleural effusion has a meniscus.",
)
PASSAGES = [Passage(f"p:{i}", "S", "T", text, licence="CC0") for i, text in enumerate(TEXTS)]
CLASSES = ("heart_failure", "pneumonia")


def encode(texts):
    """Counts of letters, of length 1."""
    counts = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
    return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes")
    Bm25Index.build(PASSAGES, folder / "both" / "words")
    DenseIndex.build(PASSAGES, encode, folder / "both" / "meaning")
    Bm25Index.build(PASSAGES[:2], folder / "mixed" / "one")
    Bm25Index.build(PASSAGES, folder / "mixed" / "two")
    return folder


@pytest.fixture(scope="module")
def linker():
    return ConceptLinker.load("open", engine="knobo")


@pytest.mark.parametrize(
    ("name", "kind"), [("both/words", Bm25Index), ("both/meaning", DenseIndex), ("both", HybridRetriever)]
)
def test_a_folder_is_opened_as_what_it_holds(folder, name, kind):
    index = open_index(folder / name, encode)
    assert isinstance(index, kind)
    assert index.search("pleural effusion with a meniscus", k=1)[0].passage == PASSAGES[2]


def test_folders_that_cannot_be_opened(folder, tmp_path):
    with pytest.raises(InputError, match="holds no index; make one with knobo corpus add"):
        open_index(tmp_path)
    with pytest.raises(FormatError, match=r"are of different corpora \(one, two\); name the folder of one"):
        open_index(folder / "mixed")


@pytest.mark.parametrize("name", ["both/words", "both/meaning", "both"])
def test_an_index_is_read_as_the_corpus_that_it_holds(folder, name):
    assert list(read_corpus(folder / name)) == PASSAGES


def test_an_index_beside_the_text_is_not_read_as_text(tmp_path):
    (tmp_path / "a.md").write_text("# A\n\nThe heart is large.\n", encoding="utf-8")
    before = list(read_corpus(tmp_path))
    Bm25Index.build(before, tmp_path / "index")
    assert list(read_corpus(tmp_path)) == before


class Reversed:
    """A retriever of someone's own, with nothing but a search."""

    def search(self, query, k=10):
        return [Hit(passage, 1.0) for passage in reversed(PASSAGES)][:k]


@pytest.mark.parametrize("name", ["both/words", "both/meaning", "both"])
def test_a_bank_is_built_from_any_index(folder, linker, name):
    index = open_index(folder / name, encode)
    bank = build_bank(CLASSES, index, modality="chest-xray", linker=linker)
    whole = build_bank(CLASSES, PASSAGES, modality="chest-xray", linker=linker)
    assert set(bank.ids) >= set(whole.ids)
    assert bank.provenance["corpus_hash"] == whole.provenance["corpus_hash"]
    stated = None if isinstance(index, Bm25Index) else type(index).__name__
    assert bank.provenance["settings"].get("retriever") == stated


def test_a_bank_is_built_from_a_retriever_of_ones_own_and_from_an_index_folder(folder, linker):
    own = build_bank(CLASSES, Reversed(), modality="chest-xray", linker=linker)
    assert own.provenance["corpus_hash"] is None
    assert own.provenance["settings"]["retriever"] == "Reversed"
    stored = build_bank(CLASSES, folder / "both" / "words", modality="chest-xray", linker=linker)
    assert set(own.ids) > set(stored.ids)  # it also returns what shares no word with a query
    assert {evidence.licence for concept in stored for evidence in concept.evidence} == {"CC0"}
    with pytest.raises(InputError, match="leave index_folder out"):
        build_bank(CLASSES, Reversed(), linker=linker, index_folder="somewhere")


def test_a_manifest_of_another_program_is_no_index(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "theirs"}), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "The heart is large."}\n', encoding="utf-8")
    assert [passage.text for passage in read_corpus(tmp_path)] == ["The heart is large."]
