"""The pipeline: order, bounded look-ahead, memory that runs out, images that cannot be read."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from toy import ToyEncoder

from knobo.encoders import ImageEncoder, embed, embed_blocks
from knobo.errors import FileError, InputError, InputTypeError, OutOfMemoryError
from knobo.images import read_image


def one_by_one(paths):
    encoder = ToyEncoder()
    return np.concatenate([encoder.encode_batch([encoder.prepare(Image.open(path))]) for path in paths])


class Foreign:
    """An encoder that cannot be taken apart."""

    spec = "foreign"

    def __init__(self):
        self.calls = []

    def encode_images(self, images, *, progress=False):
        self.calls.append(list(images))
        rows = np.array([read_image(image).mean(axis=(0, 1)) + 1 for image in images], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_rows_are_those_of_the_encoder_in_the_order_of_the_images(paths, batch_size, workers):
    result = embed(ToyEncoder(), paths, batch_size=batch_size, workers=workers)
    np.testing.assert_array_equal(result.rows, one_by_one(paths))
    assert result.kept.tolist() == list(range(11))
    assert (result.skipped, result.reused, result.batch_size) == ((), 0, batch_size)


def test_batches_have_the_encoders_size_unless_told(paths):
    encoder = ToyEncoder(batch_size=4)
    embed(encoder, paths)
    assert encoder.batches == [4, 4, 3]
    encoder.batches.clear()
    embed(encoder, paths, batch_size=10)
    assert encoder.batches == [10, 1]


def test_slow_images_do_not_change_the_order(paths):
    class Slow(ToyEncoder):
        gate = threading.Event()

        def prepare(self, image):
            if threading.current_thread().name.endswith("_0"):
                self.gate.wait(0.05)  # the first thread is always late
            return super().prepare(image)

    np.testing.assert_array_equal(embed(Slow(), paths, workers=4).rows, one_by_one(paths))


def test_no_more_images_are_prepared_than_the_model_can_soon_take(paths):
    class Counting(ToyEncoder):
        prepared = ahead = 0
        lock = threading.Lock()

        def prepare(self, image):
            with self.lock:
                self.prepared += 1
            return super().prepare(image)

        def encode_batch(self, prepared):
            rows = super().encode_batch(prepared)
            self.ahead = max(self.ahead, self.prepared - self.seen)
            return rows

    encoder = Counting(batch_size=2)
    embed(encoder, paths * 20, workers=4)
    assert encoder.prepared == 220
    assert encoder.ahead <= 2 * encoder.batch_size + 1


def test_it_can_be_left_early(paths):
    blocks = embed_blocks(ToyEncoder(batch_size=2), paths, workers=2)
    first = next(blocks)
    blocks.close()
    np.testing.assert_array_equal(first.rows, one_by_one(paths[:2]))
    assert first.positions.tolist() == [0, 1]
    assert not any(thread.name.startswith("knobo-read") for thread in threading.enumerate())


def test_blocks_hold_each_position_once(paths):
    blocks = list(embed_blocks(ToyEncoder(batch_size=3), paths))
    assert sorted(np.concatenate([block.positions for block in blocks])) == list(range(11))
    assert max(len(block.rows) for block in blocks) == 3


def test_a_batch_that_does_not_fit_is_halved_for_good(paths):
    encoder = ToyEncoder(batch_size=8, room=3)
    with pytest.warns(RuntimeWarning, match="Out of memory") as caught:
        result = embed(encoder, paths)
    assert [str(one.message).split()[-1] for one in caught] == ["4.", "2."]
    assert result.batch_size == 2
    assert encoder.batches[:3] == [8, 4, 2]
    assert set(encoder.batches[2:]) <= {1, 2}
    np.testing.assert_array_equal(result.rows, one_by_one(paths))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
    ],
)
def test_torch_runs_out_of_memory_in_its_own_words(paths, error):
    class Full(ToyEncoder):
        def encode_batch(self, prepared):
            if len(prepared) > 1:
                raise error
            return super().encode_batch(prepared)

    with pytest.warns(RuntimeWarning, match="Out of memory with 2 images"):
        result = embed(Full(batch_size=2), paths[:3])
    np.testing.assert_array_equal(result.rows, one_by_one(paths[:3]))


def test_one_image_that_does_not_fit_is_an_error_with_a_way_out(paths):
    with pytest.raises(OutOfMemoryError, match=r"toy does not fit into memory with one image.*device='cpu'"):
        embed(ToyEncoder(batch_size=1, room=0), paths)


def test_other_errors_of_the_model_are_not_hidden(paths):
    class Broken(ToyEncoder):
        def encode_batch(self, prepared):
            raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        embed(Broken(), paths)


def test_values_that_are_no_numbers_name_an_image(paths):
    class Overflowing(ToyEncoder):
        def encode_batch(self, prepared):
            rows = super().encode_batch(prepared)
            rows[1] = np.nan
            return rows

    with pytest.raises(InputError, match=r"toy gave an embedding that is zero or not finite for .*01\.png, and 0 more"):
        embed(Overflowing(), paths)


@pytest.mark.parametrize("encoder", [ToyEncoder(), Foreign()])
def test_a_bad_image_is_named_or_skipped(paths, encoder):
    paths[2].write_bytes(b"no image")
    paths[7].unlink()
    with pytest.raises(FileError, match=r"02\.png is not an image"):
        embed(encoder, paths)
    result = embed(encoder, paths, on_error="skip")
    assert [(one.index, one.name) for one in result.skipped] == [(2, str(paths[2])), (7, str(paths[7]))]
    assert "is not an image" in result.skipped[0].reason
    assert "no such file" in result.skipped[1].reason
    good = [n for n in range(11) if n not in (2, 7)]
    assert result.kept.tolist() == good
    np.testing.assert_allclose(result.rows, embed(encoder, [paths[n] for n in good]).rows)


def test_an_array_has_no_name_but_a_position(paths):
    with pytest.raises(InputError, match=r"images\[1\]: An image array must have shape"):
        embed(ToyEncoder(), [paths[0], np.zeros((2, 2, 2))])
    with pytest.raises(InputTypeError, match=r"images\[0\]: An image must be a path"):
        embed(ToyEncoder(), [3])


def test_an_image_that_the_transform_cannot_take_is_named(paths):
    class Picky(ToyEncoder):
        def prepare(self, image):
            raise ZeroDivisionError("no width")

    with pytest.raises(InputError, match=r"images\[0\]: .*00\.png cannot be prepared for the model \(no width\)"):
        embed(Picky(), paths)


def test_nothing_that_can_be_read_is_an_error_even_when_skipping(tmp_path):
    with pytest.raises(InputError, match=r"None of the 2 images could be read; the first: .*no such file"):
        embed(ToyEncoder(), [tmp_path / "a.png", tmp_path / "b.png"], on_error="skip")


def test_an_encoder_that_cannot_be_taken_apart_gets_the_images_as_they_are(paths):
    encoder = Foreign()
    result = embed(encoder, paths, batch_size=6)
    assert encoder.calls == [paths[:6], paths[6:]]
    np.testing.assert_array_equal(result.rows, Foreign().encode_images(paths))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'skip', got 'ignore'"),
    ],
)
def test_bad_options_are_named(paths, options, message):
    with pytest.raises(InputError, match=message):
        embed(ToyEncoder(), paths, **options)


def test_what_is_no_encoder_or_cannot_scale_is_named(paths):
    with pytest.raises(InputTypeError, match="must have spec and encode_images, got int"):
        embed(3, paths)
    with pytest.raises(InputError, match="foreign reads images itself"):
        embed(Foreign(), paths, scaled=True)
    with pytest.raises(InputError, match="There are no images"):
        embed(ToyEncoder(), [])


def test_the_bar_counts_images(paths, capsys):
    embed(ToyEncoder(), paths, progress=True)
    assert "encoding images: 100%" in capsys.readouterr().err
    embed(ToyEncoder(), paths)
    assert capsys.readouterr().err == ""


def test_the_transformer_hands_its_options_on(paths, tmp_path):
    encoder = ToyEncoder()
    transformer = ImageEncoder(encoder, batch_size=5, workers=1, store=tmp_path / "store").fit(paths)
    encoder.batches.clear()
    rows = transformer.transform(paths)
    assert encoder.batches == [5, 5, 1]
    np.testing.assert_array_equal(transformer.transform(paths), rows)
    assert encoder.seen == 11
