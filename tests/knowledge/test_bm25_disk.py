from itertools import pairwise

import numpy as np
import pytest

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge import bm25_disk
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.bm25_words import words
from knobo.knowledge.corpus import Passage

pytest.importorskip("tantivy", reason="tantivy is not installed (knobo[disk])")

VOCABULARY = [first + last for first in "bdfglmnprt" for last in ("ako", "elu", "imo", "oru", "uki")]


def zipf_passages(n, seed=0, longest=30):
    """Passages of frequent and rare words, many of them equal to another one."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, len(VOCABULARY) + 1)
    draw = rng.choice(len(VOCABULARY), size=(n, longest), p=share / share.sum())
    lengths = rng.integers(1, longest, size=n)
    texts = [" ".join(VOCABULARY[i] for i in row[:length]) for row, length in zip(draw, lengths, strict=True)]
    return [Passage(f"p:{i}", "S", "", texts[i // 2] if i % 5 == 0 else texts[i]) for i in range(n)]


@pytest.fixture(scope="module")
def passages():
    return zipf_passages(400)


@pytest.fixture(scope="module")
def both(passages, tmp_path_factory):
    """The engine in memory, and one on disk that was committed in many parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bm25_disk, "_COMMIT_EVERY", 130)
        disk = Bm25Index.build(passages, tmp_path_factory.mktemp("disk") / "index", engine="disk")
    return Bm25Index.build(passages), disk


@pytest.mark.parametrize("k", [1, 10, 40, 1000])
def test_hits_order_and_scores_are_those_of_the_engine_in_memory(both, k):
    rng = np.random.default_rng(1)
    memory, disk = both
    for n_words in (1, 2, 3, 8, 20):
        query = " ".join(rng.choice([*VOCABULARY, "unknown"], size=n_words))
        expected, found = memory.search(query, k), disk.search(query, k)
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], rel=1e-5)
        for a, b in pairwise(found):
            assert a.score > b.score or int(a.passage.id[2:]) < int(b.passage.id[2:])


def test_of_many_equal_passages_the_first_of_the_corpus_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(bm25_disk, "_COMMIT_EVERY", 50)
    passages = [Passage(f"p:{i}", "S", "", "same words" if i % 3 else "other") for i in range(180)]
    found = Bm25Index.build(passages, tmp_path / "index", engine="disk").search("words", 5)
    assert [hit.passage.id for hit in found] == ["p:1", "p:2", "p:4", "p:5", "p:7"]


def test_a_build_that_was_cut_off_goes_on_after_its_last_commit(passages, tmp_path, monkeypatch):
    monkeypatch.setattr(bm25_disk, "_COMMIT_EVERY", 100)
    read = []

    def counted(text, *, until):
        if len(read) == until:
            raise RuntimeError("power cut")
        read.append(text)
        return words(text)

    monkeypatch.setattr(bm25_disk, "words", lambda text: counted(text, until=250))
    with pytest.raises(RuntimeError, match="power cut"):
        Bm25Index.build(passages, tmp_path / "index", engine="disk")
    assert not (tmp_path / "index").exists()
    read.clear()
    monkeypatch.setattr(bm25_disk, "words", lambda text: counted(text, until=-1))
    built = Bm25Index.build(passages, tmp_path / "index", engine="disk")
    assert read[:200] == [passage.text for passage in passages[200:]]
    monkeypatch.undo()
    fresh = Bm25Index.build(passages, tmp_path / "fresh", engine="disk")
    assert built.search("bako delu", 20) == fresh.search("bako delu", 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "index"]


def test_a_build_of_another_corpus_does_not_go_on_with_it(passages, tmp_path, monkeypatch):
    monkeypatch.setattr(bm25_disk, "_COMMIT_EVERY", 100)
    cut = iter([*passages[:250], None])
    with pytest.raises(AttributeError):
        bm25_disk.write(tmp_path / ".index.partial" / "other", (passage.text for passage in cut))
    assert len(Bm25Index.build(passages[:7], tmp_path / "index", engine="disk")) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_two_builds_of_one_folder_at_a_time_are_refused(passages, tmp_path):
    def second():
        yield "first text"
        bm25_disk.write(tmp_path / "growing", ["first text"])

    with pytest.raises(FileError, match="no other process builds it"):
        bm25_disk.write(tmp_path / "growing", second())


def test_a_damaged_index_is_said_and_built_anew(passages, tmp_path):
    folder = tmp_path / "index"
    Bm25Index.build(passages, folder, engine="disk")
    (folder / bm25_disk.FOLDER / "meta.json").write_text("{}")
    with pytest.raises(FormatError, match="is damaged"):
        Bm25Index.load(folder)
    assert Bm25Index.build(passages, folder, engine="disk").search("bako")


def test_an_unreadable_part_is_begun_anew(tmp_path):
    (tmp_path / "growing").mkdir()
    (tmp_path / "growing" / "meta.json").write_text("no index")
    bm25_disk.write(tmp_path / "growing", ["pleural effusion"])
    assert bm25_disk._open(tmp_path / "growing").searcher().num_docs == 1


def test_a_corpus_without_words_is_refused(tmp_path):
    with pytest.raises(InputError, match="no words that can be searched"):
        Bm25Index.build([Passage("a", "", "", "?! …")], tmp_path / "index", engine="disk")
    assert not (tmp_path / "index").exists()


def test_building_prints_nothing(passages, tmp_path, capfd):
    Bm25Index.build(passages, tmp_path / "index", engine="disk").search("bako")
    assert capfd.readouterr() == ("", "")
