"""Care of a store, in Python and on the command line."""

import os

import numpy as np
import pytest
from toy import ToyEncoder
from typer.testing import CliRunner

from knobo.cli import app
from knobo.encoders import EmbeddingStore, embed, store_stats, tidy_store, verify_store
from knobo.encoders._shards import list_shards, read_shard, write_shard
from knobo.errors import FileError, FormatError, InputError


@pytest.fixture
def store(paths, tmp_path):
    store = EmbeddingStore(tmp_path / "store", flush_rows=4)
    embed(ToyEncoder(), paths, store=store)
    return store.path


@pytest.fixture
def shelf(store):
    return next(store.glob("*/"))


def invoke(*arguments):
    return CliRunner().invoke(app, ["store", *map(str, arguments)])


def test_stats_say_what_is_there(store, shelf):
    frame = store_stats(store)
    assert frame.columns.tolist() == ["shelf", "encoder", "scaled", "images", "shards", "megabytes"]
    assert frame.iloc[0].tolist()[:5] == [shelf.name, "toy", False, 11, 3]
    assert frame["megabytes"][0] == pytest.approx(sum(path.stat().st_size for path in list_shards(shelf)) / 1e6)


def test_tidying_joins_shards_and_keeps_every_row(store, shelf, paths):
    before = embed(ToyEncoder(), paths, store=store).rows
    assert tidy_store(store)[:4] == (3, 0, 0, 0)
    assert len(list_shards(shelf)) == 1
    result = embed(ToyEncoder(), paths, store=store)
    assert result.reused == 11
    np.testing.assert_array_equal(result.rows, before)
    assert tidy_store(store)[:4] == (0, 0, 0, 0)


def test_duplicates_go(store, shelf):
    one, two, _ = (read_shard(path) for path in list_shards(shelf))
    write_shard(shelf, np.concatenate([one.keys, two.keys]), np.concatenate([one.rows, two.rows]))
    assert len(list_shards(shelf)) == 4
    done = tidy_store(store)
    assert done.duplicates == len(one.keys) + len(two.keys)
    assert verify_store(store) == (11, [])


def test_full_shards_are_left_alone(store, shelf, monkeypatch):
    monkeypatch.setattr("knobo.encoders.upkeep._JOIN_ROWS", 4)
    full = [path for path in list_shards(shelf) if len(read_shard(path).keys) == 4]
    times = [path.stat().st_mtime_ns for path in full]
    tidy_store(store)
    assert [path.stat().st_mtime_ns for path in full] == times


def test_what_is_being_written_is_left_and_what_was_left_is_removed(store, shelf):
    for name in (".young-1", ".old-2"):
        (shelf / name).mkdir()
        (shelf / name / "part").write_bytes(bytes(1000))
    os.utime(shelf / ".old-2", (0, 0))
    done = tidy_store(store)
    assert done.unfinished == 1
    assert [path.name for path in shelf.glob(".*")] == [".young-1"]


def test_a_shelf_can_be_dropped(store, shelf, paths):
    embed(ToyEncoder(version="2"), paths, store=store)
    with pytest.raises(InputError, match=f"has no shelf 'nothing'; it has .*{shelf.name}"):
        tidy_store(store, drop="nothing")
    tidy_store(store, drop=shelf.name)
    assert store_stats(store)["images"].tolist() == [11]


def test_rows_that_are_no_numbers_are_damage(store, shelf):
    shard = read_shard(list_shards(shelf)[0])
    path = write_shard(shelf, shard.keys, np.full_like(shard.rows, np.nan))
    assert verify_store(store)[1] == [f"{path} is damaged: it does not hold one finite row a key."]
    assert tidy_store(store).damaged == 1


def test_a_path_without_a_store_is_named(tmp_path):
    for function in (store_stats, verify_store, tidy_store):
        with pytest.raises(FileError, match=r"no store at .*nowhere"):
            function(tmp_path / "nowhere")
    assert store_stats(tmp_path).empty


def test_the_commands(store, shelf):
    assert "11 embeddings" in invoke("stats", store).output
    assert "All 11 embeddings are as they were written." in invoke("verify", store).output
    victim = list_shards(shelf)[0]
    lost = len(read_shard(victim).keys)
    victim.write_bytes(victim.read_bytes()[:-3])
    result = invoke("verify", store)
    assert victim.name in result.output
    with pytest.raises(FormatError, match=rf"1 damaged files, {11 - lost} embeddings are sound\. Run `knobo store gc"):
        raise result.exception
    assert "2 shards joined, 1 damaged ones and 0 unfinished ones removed" in invoke("gc", store).output
    assert f"All {11 - lost} embeddings" in invoke("verify", store).output
    invoke("gc", store, "--drop", shelf.name)
    assert not shelf.exists()
