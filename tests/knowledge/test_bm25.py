import json
import sys
from importlib.util import find_spec

import pytest

from knobo.errors import FileError, FormatError, InputError, MissingDependencyError
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.bm25_words import words
from knobo.knowledge.corpus import Passage
from knobo.knowledge.text import tokenize

TEXTS = [
    "Pleural effusion blunts the costophrenic angle.",
    "Cardiomegaly is an enlarged heart.",
    "Pleural thickening is not an effusion.",
    "The heart is enlarged in heart failure with oedema.",
    "Same words here.",
    "Same words here.",
]
PASSAGES = [Passage(f"p:{i}", "S", "T", text, year=2000 + i) for i, text in enumerate(TEXTS)]


needs_tantivy = pytest.mark.skipif(find_spec("tantivy") is None, reason="tantivy is not installed (knobo[disk])")
ENGINES = ["memory", pytest.param("disk", marks=needs_tantivy)]


@pytest.fixture(params=["no folder", *ENGINES])
def index(request, tmp_path):
    if request.param == "no folder":
        return Bm25Index.build(iter(PASSAGES))
    return Bm25Index.build(iter(PASSAGES), tmp_path / "index", engine=request.param)


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


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


@pytest.mark.parametrize("query", ["pleural effusion", "same words", "heart heart failure", "not an enlarged effusion"])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_memory_and_folder_agree(tmp_path, engine, query, k):
    expected = Bm25Index.build(PASSAGES).search(query, k)
    found = Bm25Index.build(PASSAGES, tmp_path / "index", engine=engine).search(query, k)
    assert [hit.passage for hit in found] == [hit.passage for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], rel=1e-5)


def test_the_words_are_those_of_the_tokenizer():
    text = "The naïve Haemangioma's 1.5 cm X2 lesion-like 3 areas (μm) with tumours, O2; İstanbul _and_ x-rays"
    expected = [t.stem for t in tokenize(text) if t.lower.isalnum() and t.lower not in ("the", "with", "and")]
    assert words(text) == expected


def test_scores_equal_the_formula():
    """Lucene's BM25: idf · tf / (tf + k1 (1 − b + b · length / mean length)), on words without stop words."""
    passages = [Passage("a", "", "", "nodule nodule mass"), Passage("b", "", "", "mass")]
    from math import log

    expected = log(1 + (2 - 1 + 0.5) / (1 + 0.5)) * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * 3 / 2))
    assert Bm25Index.build(passages).search("nodule")[0].score == pytest.approx(expected, rel=1e-5)


def test_an_index_is_rebuilt_only_when_the_corpus_changed(tmp_path, engine):
    folder = tmp_path / "index"
    Bm25Index.build(PASSAGES, folder, engine=engine)
    before = (folder / "manifest.json").stat().st_ino
    Bm25Index.build(PASSAGES, folder, engine=engine)
    assert Bm25Index.build(PASSAGES, folder).engine == engine
    assert (folder / "manifest.json").stat().st_ino == before
    changed = Bm25Index.build(PASSAGES[:3], folder, engine=engine)
    assert (folder / "manifest.json").stat().st_ino != before
    assert len(changed) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@needs_tantivy
def test_another_engine_replaces_the_index(tmp_path):
    folder = tmp_path / "index"
    Bm25Index.build(PASSAGES, folder, engine="disk")
    assert Bm25Index.build(PASSAGES, folder, engine="memory").engine == "memory"
    assert Bm25Index.load(folder).engine == "memory"
    assert not (folder / "words.tantivy").exists()


def test_auto_takes_the_disk_engine_for_many_passages_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("knobo.knowledge.bm25.MEMORY_UP_TO", 5)
    monkeypatch.setattr("knobo.knowledge.bm25_disk.installed", lambda: False)
    assert Bm25Index.build(PASSAGES, tmp_path / "without").engine == "memory"
    monkeypatch.undo()
    assert Bm25Index.build(PASSAGES, tmp_path / "few").engine == "memory"
    if find_spec("tantivy") is not None:
        monkeypatch.setattr("knobo.knowledge.bm25.MEMORY_UP_TO", 5)
        assert Bm25Index.build(PASSAGES, tmp_path / "many").engine == "disk"
        assert Bm25Index.build(PASSAGES).engine == "memory"


def test_the_disk_engine_needs_tantivy_and_a_folder(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="engine is 'auto', 'memory' or 'disk', got 'lucene'"):
        Bm25Index.build(PASSAGES, tmp_path / "index", engine="lucene")
    with pytest.raises(InputError, match="keeps its index in a folder"):
        Bm25Index.build(PASSAGES, engine="disk")
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(MissingDependencyError, match=r"Install knobo\[disk\], or build the index with engine='memory'"):
        Bm25Index.build(PASSAGES, tmp_path / "index", engine="disk")
    assert not (tmp_path / "index").exists()


def test_an_index_without_an_engine_is_of_the_first_version(tmp_path):
    Bm25Index.build(PASSAGES, tmp_path / "index")
    path = tmp_path / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["engine"]
    path.write_text(json.dumps({**manifest, "format_version": 1}))
    assert Bm25Index.load(tmp_path / "index").search("heart", 1)[0].passage == PASSAGES[3]


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
