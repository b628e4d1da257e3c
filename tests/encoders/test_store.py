"""The store: what was computed once is not computed again, under no circumstances is a wrong row returned."""

import multiprocessing
import os
import random
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from store_writer import fill
from toy import ToyEncoder

from knobo.encoders import ClassicalEncoder, EmbeddingStore, ImageEncoder, embed, store_stats, tidy_store, verify_store
from knobo.encoders._shards import list_shards, read_shard, write_shard
from knobo.encoders._stat import file_state
from knobo.errors import FileError, FormatError, InputError
from knobo.images import ImageFile


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "store", flush_rows=4)


def shards(store):
    return [path for folder in sorted(store.path.glob("*/")) for path in list_shards(folder)]


def test_a_second_run_computes_nothing_and_gives_the_same_rows(paths, store):
    first = embed(ToyEncoder(), paths, store=store)
    again = ToyEncoder()
    second = embed(again, paths[::-1], store=store.path)
    assert (first.reused, second.reused, again.seen) == (0, 11, 0)
    np.testing.assert_array_equal(second.rows, first.rows[::-1])
    np.testing.assert_array_equal(first.rows, embed(ToyEncoder(), paths).rows)


def test_only_what_is_new_is_computed(paths, store):
    embed(ToyEncoder(), paths[3:6], store=store)
    encoder = ToyEncoder()
    result = embed(encoder, paths, store=store)
    assert (result.reused, encoder.seen) == (3, 8)
    np.testing.assert_array_equal(result.rows, embed(ToyEncoder(), paths).rows)


def test_content_counts_not_the_name(paths, store, tmp_path):
    rows = embed(ToyEncoder(), paths, store=store).rows
    copy = shutil.copy(paths[0], tmp_path / "copy.png")
    shutil.copy(paths[1], paths[5])
    result = embed(ToyEncoder(), [copy, paths[5]], store=store)
    assert result.reused == 2
    np.testing.assert_array_equal(result.rows, rows[:2])


def test_arrays_and_pil_images_are_known_by_their_pixels(paths, store):
    pictures = [Image.open(path) for path in paths]
    rows = embed(ToyEncoder(), pictures, store=store).rows
    result = embed(ToyEncoder(), [np.asarray(picture) for picture in pictures], store=store)
    assert result.reused == 11
    np.testing.assert_array_equal(result.rows, rows)
    turned = embed(ToyEncoder(), [np.asarray(pictures[0]).reshape(20, 24, 3)], store=store)
    assert turned.reused == 0


def test_another_encoder_or_way_of_reading_has_a_place_of_its_own(paths, store):
    embed(ToyEncoder(), paths, store=store)
    assert embed(ToyEncoder(version="2"), paths, store=store).reused == 0
    assert embed(ToyEncoder(), paths, store=store, scaled=True).reused == 0
    assert embed(ToyEncoder(), paths, store=store).reused == 11
    assert store_stats(store.path)["images"].tolist() == [11, 11, 11]


def test_classical_descriptors_are_kept_by_family(paths, store):
    rows = embed(ClassicalEncoder(["shape"]), paths[:2], store=store).rows
    assert embed(ClassicalEncoder(["colour"]), paths[:2], store=store).reused == 0
    result = embed(ClassicalEncoder(["shape"]), paths[:2], store=store)
    assert result.reused == 2
    np.testing.assert_array_equal(result.rows, rows)


def test_duplicates_are_kept_once(paths, store):
    rows = embed(ToyEncoder(), [paths[0]] * 9, store=store).rows
    np.testing.assert_array_equal(rows, rows[[0] * 9])
    assert store_stats(store.path)["images"].tolist() == [1]


def test_rows_before_a_bad_image_are_kept(paths, store):
    paths[9].write_bytes(b"no image")
    with pytest.raises(FileError, match=r"09\.png"):
        embed(ToyEncoder(), paths, store=store)
    assert embed(ToyEncoder(), paths, store=store, on_error="skip").reused == 9


def test_rows_are_written_by_number_and_by_time(paths, tmp_path):
    encoder = ToyEncoder(batch_size=2)
    late = EmbeddingStore(tmp_path / "late", flush_rows=1000, flush_seconds=1000)
    embed(encoder, paths, store=late)
    assert len(shards(late)) == 1
    soon = EmbeddingStore(tmp_path / "soon", flush_rows=1000, flush_seconds=0)
    embed(encoder, paths, store=soon)
    assert len(shards(soon)) == 6
    many = EmbeddingStore(tmp_path / "many", flush_rows=4, flush_seconds=1000)
    embed(encoder, paths, store=many)
    assert len(shards(many)) == 3


def test_an_encoder_without_a_fingerprint_is_refused(paths, store, colour_encoder):
    with pytest.raises(InputError, match=r"ColourEncoder has no fingerprint\(\)"):
        embed(colour_encoder, paths, store=store)
    assert not store.path.exists()


def test_a_file_that_changes_while_it_is_read_is_not_filed_under_its_old_bytes(paths, store):
    class Interfering(ToyEncoder):
        def prepare(self, image):
            Image.new("RGB", (30, 30), "red").save(paths[0])
            return super().prepare(image)

    with pytest.raises(FileError, match=r"00\.png was written to while it was read"):
        embed(Interfering(), paths[:1], store=store)
    assert not store.path.exists()


def test_a_damaged_shard_is_noticed_and_its_images_are_computed_again(paths, store):
    rows = embed(ToyEncoder(), paths, store=store).rows
    victim = shards(store)[0]
    data = bytearray(victim.read_bytes())
    data[-5] ^= 1
    victim.write_bytes(data)
    assert verify_store(store.path)[1] == [f"{victim} is damaged: its bytes are not those that it was written with."]
    encoder = ToyEncoder()
    with pytest.warns(RuntimeWarning, match="computed again; `knobo store gc` removes it"):
        result = embed(encoder, paths, store=store)
    assert 0 < encoder.seen < 11
    np.testing.assert_array_equal(result.rows, rows)
    assert tidy_store(store.path).damaged == 1
    assert verify_store(store.path) == (11, [])


def test_a_shard_cut_short_does_not_stop_the_work(paths, store):
    rows = embed(ToyEncoder(), paths, store=store).rows
    victim = shards(store)[1]
    victim.write_bytes(victim.read_bytes()[:50])
    with pytest.warns(RuntimeWarning, match="is damaged"):
        result = embed(ToyEncoder(), paths, store=store)
    np.testing.assert_array_equal(result.rows, rows)


def test_a_manifest_of_another_version_is_refused(paths, store):
    embed(ToyEncoder(), paths, store=store)
    manifest = next(store.path.glob("*/manifest.json"))
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(FormatError, match="format_version 9"):
        embed(ToyEncoder(), paths, store=store)
    assert "format_version 9" in verify_store(store.path)[1][0]


def test_a_place_that_cannot_be_written_is_named(paths, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="Cannot write"):
        embed(ToyEncoder(), paths, store=tmp_path / "file" / "store")


def test_shards_that_are_joined_while_they_are_read_are_found_again(paths, store):
    embed(ToyEncoder(), paths, store=store)
    shelf = store.shelf(ToyEncoder())
    keys = [store.key(path)[0] for path in paths]
    assert tidy_store(store.path).joined == 3
    _, found = shelf.rows(keys)
    assert not found.any()  # gone under its hands, but now known in their new place
    rows, found = shelf.rows(keys)
    assert found.all()
    np.testing.assert_array_equal(rows, embed(ToyEncoder(), paths).rows)


def test_rows_that_move_while_others_are_read_are_not_mixed_up(paths, store):
    expected = embed(ToyEncoder(), paths, store=store).rows
    shelf = store.shelf(ToyEncoder())
    files = list_shards(shelf.folder)
    parts = [read_shard(file) for file in files]
    write_shard(shelf.folder, *(np.concatenate(column)[::-1] for column in zip(*parts, strict=True)))
    files[0].unlink()
    keys = [key.tobytes() for part in parts for key in part.keys]
    _, found = shelf.rows(keys)
    assert found.sum() == 11 - len(parts[0].keys)
    np.testing.assert_array_equal(shelf.rows([store.key(path)[0] for path in paths])[0], expected)


def test_a_shelf_sees_what_another_writer_flushed(paths, store):
    mine, theirs = store.shelf(ToyEncoder()), store.shelf(ToyEncoder())
    rows = embed(ToyEncoder(), paths).rows
    keys = [store.key(path)[0] for path in paths]
    theirs.add(keys[:5], rows[:5])
    theirs.flush()
    assert keys[0] not in mine
    mine.add(keys[5:], rows[5:])
    mine.flush()
    assert all(key in mine for key in keys)
    np.testing.assert_array_equal(mine.rows(keys)[0], rows)


def test_clones_of_an_estimator_share_the_store(store):
    assert clone(ImageEncoder(ToyEncoder(), store=store)).store is store


@pytest.fixture(scope="module")
def start():
    """Start a process that fills a store; it imports nothing, so that many can be started."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["knobo.encoders", "numpy", "safetensors.numpy"])

    def start(store, paths, *, seconds=0.0):
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=fill, args=(store, paths, seconds, send))
        process.start()
        send.close()
        return process, receive

    return start


def received(connection, at_most=1000):
    """Numbers that a process sent, until there are enough or it ended."""
    numbers = []
    try:
        while len(numbers) < at_most:
            numbers.append(connection.recv())
    except EOFError:
        pass
    return numbers


def test_a_killed_process_loses_nothing_that_was_flushed(paths, tmp_path, start):
    store = tmp_path / "store"
    rows = embed(ToyEncoder(), paths).rows
    chance = random.Random(0)
    before = 0
    for _ in range(10):
        process, answer = start(store, paths, seconds=0.01)
        flushed = received(answer, chance.randint(1, 3))
        time.sleep(chance.uniform(0.0, 0.02))
        process.kill()
        process.join()
        flushed += received(answer)
        n, problems = verify_store(store) if store.exists() else (0, [])
        assert problems == []
        assert n >= max([before, *flushed])
        before = n
    assert before > 0
    result = embed(ToyEncoder(), paths, store=store)
    assert result.reused == before
    np.testing.assert_array_equal(result.rows, rows)
    for left in store.glob("*/.*"):
        os.utime(left, (0, 0))
    tidy_store(store)
    assert not list(store.glob("*/.*"))
    assert verify_store(store) == (11, [])


def test_two_processes_write_to_one_store(paths, tmp_path, start):
    store = tmp_path / "store"
    writers = [start(store, order, seconds=0.005) for order in (paths, paths[::-1])]
    for process, answer in writers:
        assert received(answer)[-1] == 11
        process.join()
        assert process.exitcode == 0
    assert verify_store(store)[1] == []
    assert store_stats(store)["images"].tolist() == [11]
    result = embed(ToyEncoder(), paths, store=store)
    assert result.reused == 11
    np.testing.assert_array_equal(result.rows, embed(ToyEncoder(), paths).rows)
    tidy_store(store)
    assert verify_store(store) == (11, [])


class TestTrustStat:
    """Unchanged files are not read again, and a changed one is."""

    @pytest.fixture
    def trusting(self, tmp_path, monkeypatch):
        monkeypatch.setattr("knobo.encoders._stat._SETTLED_NS", 0)
        return EmbeddingStore(tmp_path / "store", trust_stat=True)

    @pytest.fixture
    def reads(self, monkeypatch):
        from knobo.encoders import store

        calls = []
        digest = store._digest
        monkeypatch.setattr(store, "_digest", lambda path: calls.append(str(path)) or digest(path))
        return calls

    def test_unchanged_files_are_not_read(self, paths, trusting, reads):
        rows = embed(ToyEncoder(), paths, store=trusting).rows
        assert len(reads) == 11
        again = EmbeddingStore(trusting.path, trust_stat=True)
        np.testing.assert_array_equal(embed(ToyEncoder(), paths, store=again).rows, rows)
        assert len(reads) == 11
        embed(ToyEncoder(), paths, store=trusting.path)
        assert len(reads) == 22

    def test_a_file_of_the_same_size_and_time_is_read_again(self, paths, trusting, reads):
        embed(ToyEncoder(), paths, store=trusting)
        state = file_state(paths[0])
        data = bytearray(paths[0].read_bytes())
        paths[0].write_bytes(bytes(data[:-1]) + b"\x00")
        os.utime(paths[0], ns=(state.modified, state.modified))  # as a careless copying tool does
        reads.clear()
        trusting.key(paths[0])
        assert reads == [str(paths[0])]

    def test_a_file_that_has_just_been_written_is_not_trusted(self, paths, tmp_path, reads):
        fresh = EmbeddingStore(tmp_path / "store", trust_stat=True)
        embed(ToyEncoder(), paths, store=fresh)
        embed(ToyEncoder(), paths, store=fresh)
        assert len(reads) == 22

    def test_a_broken_cache_says_that_it_may_go(self, paths, trusting):
        trusting.path.mkdir()
        (trusting.path / "stat.sqlite").write_bytes(b"nonsense" * 100)
        with pytest.raises(FileError, match=r"stat\.sqlite .*Delete it: it only saves time"):
            embed(ToyEncoder(), paths, store=trusting)


def test_frames_of_one_file_have_rows_of_their_own(tmp_path):
    pages = [Image.fromarray(np.tile([[[shade, 90, 30]]], (8, 8, 1)).astype(np.uint8)) for shade in (10, 200)]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    frames = [ImageFile(tmp_path / "two.tif", frame=n) for n in (0, 1)]
    for trust in (False, True):
        store = EmbeddingStore(tmp_path / f"store-{trust}", trust_stat=trust)
        rows = embed(ToyEncoder(), frames, store=store).rows
        assert not np.allclose(rows[0], rows[1])
        again = embed(ToyEncoder(), frames[::-1], store=store)
        assert again.reused == 2
        np.testing.assert_array_equal(again.rows, rows[::-1])


def test_keys_differ_by_window_and_are_those_of_the_file_where_nothing_is_chosen(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"any bytes")
    windows = (None, 0, 1, (40.0, 400.0), (40.0, 80.0))
    keys = [EmbeddingStore(tmp_path).key(ImageFile(path, window=window))[0] for window in windows]
    assert len(set(keys)) == len(windows)
    assert keys[0] == EmbeddingStore(tmp_path).key(path)[0]
    assert EmbeddingStore(tmp_path).key(ImageFile(path, window=(40, 400)))[0] == keys[3]
