import json

import pytest

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.corpus import Passage

TEXTS = [
    "Pleural effusion blunts the costophrenic angle.",
    "Cardiomegaly is an enlarged heart.",
    "Pleural thickening is not an effusion.",
    "The heart is enlarged in heart failure with oedema.",
    "Same words here.",
    "Same words here.",
]
PASSAGES = [Passage(f"p:{i}", "S", "T", text, year=2000 + i) for i, text in enumerate(TEXTS)]


@pytest.fixture(params=["memory", "folder"])
def index(request, tmp_path):
    return Bm25Index.build(iter(PASSAGES), None if request.param == "memory" else tmp_path / "index")


def test_the_best_passages_come_first(index):
    hits = index.search("enlarged hearts and edema", k=2)
    assert [hit.passage for hit in hits] == [PASSAGES[3], PASSAGES[1]]
    assert hits[0].score > hits[1].score > 0
    assert len(index) == len(PASSAGES)
    assert list(index) == PASSAGES


def test_ties_keep_the_order_of_the_corpus(index):
    assert [hit.passage.id for hit in index.search("same words", k=1)] == ["p:4"]
    assert [hit.passage.id for hit in index.search("same words", k=5)] == ["p:4", "p:5"]


@pytest.mark.parametrize("query", ["", "zebra", "the of and"])
def test_a_query_without_known_words_finds_nothing(index, query):
    assert index.search(query) == []


def test_k_must_be_positive(index):
    with pytest.raises(InputError, match="at least 1, got 0"):
        index.search("heart", k=0)


def test_memory_and_folder_agree(tmp_path):
    folder = Bm25Index.build(PASSAGES, tmp_path / "index")
    assert folder.search("pleural effusion", 6) == Bm25Index.build(PASSAGES).search("pleural effusion", 6)


def test_scores_equal_the_formula():
    """Lucene's BM25: idf · tf / (tf + k1 (1 − b + b · length / mean length)), on words without stop words."""
    passages = [Passage("a", "", "", "nodule nodule mass"), Passage("b", "", "", "mass")]
    from math import log

    expected = log(1 + (2 - 1 + 0.5) / (1 + 0.5)) * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * 3 / 2))
    assert Bm25Index.build(passages).search("nodule")[0].score == pytest.approx(expected, rel=1e-5)


def test_an_index_is_rebuilt_only_when_the_corpus_changed(tmp_path):
    folder = tmp_path / "index"
    Bm25Index.build(PASSAGES, folder)
    before = (folder / "manifest.json").stat().st_ino
    Bm25Index.build(PASSAGES, folder)
    assert (folder / "manifest.json").stat().st_ino == before
    changed = Bm25Index.build(PASSAGES[:3], folder)
    assert (folder / "manifest.json").stat().st_ino != before
    assert len(changed) == 3


def test_no_file_of_an_index_is_a_pickle(tmp_path):
    Bm25Index.build(PASSAGES, tmp_path / "index")
    assert {path.suffix for path in (tmp_path / "index").iterdir()} <= {".json", ".jsonl", ".npy", ".safetensors"}
    assert all(not path.read_bytes().startswith(b"\x80\x04") for path in (tmp_path / "index").iterdir())


def test_an_index_of_another_corpus_is_refused(tmp_path):
    Bm25Index.build(PASSAGES, tmp_path / "index")
    other = Bm25Index.build(PASSAGES[:2]).corpus_hash
    with pytest.raises(FormatError, match="belongs to another corpus"):
        Bm25Index.load(tmp_path / "index", corpus_hash=other)


def change(folder, **fields):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_an_index_of_another_version_is_refused_and_rebuilt(tmp_path):
    folder = tmp_path / "index"
    Bm25Index.build(PASSAGES, folder)
    change(folder, format_version=99)
    with pytest.raises(FormatError, match="format_version 99"):
        Bm25Index.load(folder)
    assert Bm25Index.build(PASSAGES, folder).search("heart")
    change(folder, settings={"k1": 2})
    with pytest.raises(FormatError, match="other settings"):
        Bm25Index.load(folder)


def test_a_damaged_or_missing_index_is_said(tmp_path):
    with pytest.raises(FileError, match="Cannot read"):
        Bm25Index.load(tmp_path / "none")
    Bm25Index.build(PASSAGES, tmp_path / "index")
    (tmp_path / "index" / "data.csc.index.npy").unlink()
    with pytest.raises(FormatError, match="is damaged"):
        Bm25Index.load(tmp_path / "index")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(InputError, match="holds files that are no index"):
        Bm25Index.build(PASSAGES, tmp_path)
    assert (tmp_path / "thesis.docx").read_text() == "precious"


def test_empty_and_repeated_passages_are_refused():
    with pytest.raises(InputError, match="no passages to index"):
        Bm25Index.build([])
    with pytest.raises(InputError, match="Two passages have the id 'p:0'"):
        Bm25Index.build([PASSAGES[0], PASSAGES[0]])
    with pytest.raises(InputError, match="no words that can be searched"):
        Bm25Index.build([Passage("a", "", "", "?! …")])


def test_building_prints_nothing(tmp_path, capfd):
    Bm25Index.build(PASSAGES, tmp_path / "index").search("heart")
    assert capfd.readouterr() == ("", "")
