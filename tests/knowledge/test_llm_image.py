"""What of an image is sent."""

import io

import numpy as np
import pytest
from PIL import Image

from knobo.errors import InputError
from knobo.images import read_image
from knobo.knowledge.llm_image import prepare_image

NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def opened(sent):
    return Image.open(io.BytesIO(sent.jpeg))


@pytest.mark.parametrize(("max_side", "size"), [(30, (30, 20)), (90, (90, 60)), (1024, (90, 60))])
def test_the_longest_side_is_bounded_and_nothing_is_enlarged(max_side, size):
    sent = prepare_image(NOISE, max_side)
    assert (sent.width, sent.height) == opened(sent).size == size


def test_a_strip_keeps_a_pixel():
    assert opened(prepare_image(np.zeros((1, 500), np.uint8), 10)).size == (10, 1)


def test_grey_is_sent_as_one_channel_and_colour_as_three():
    assert opened(prepare_image(NOISE[..., 0])).mode == "L"
    assert opened(prepare_image(NOISE)).mode == "RGB"


def test_pixels_stay_close():
    smooth = np.asarray(Image.fromarray(NOISE).resize((9, 6)).resize((90, 60)))
    seen = read_image(opened(prepare_image(smooth))).astype(float)
    assert np.abs(seen - smooth).mean() < 2


def test_the_digest_goes_by_pixels_alone(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "a.png", compress_level=0)
    Image.fromarray(NOISE).save(tmp_path / "b.tiff")
    same = {prepare_image(source).digest for source in (NOISE, tmp_path / "a.png", tmp_path / "b.tiff")}
    assert len(same) == 1
    other = NOISE.copy()
    other[0, 0, 0] ^= 1
    assert prepare_image(other).digest not in same
    assert prepare_image(NOISE.transpose(1, 0, 2)).digest not in same
    assert prepare_image(NOISE[..., 0]).digest != prepare_image(NOISE, 30).digest


def test_tokens_grow_with_the_area():
    assert prepare_image(np.zeros((56, 84), np.uint8)).n_tokens == 6
    assert prepare_image(np.zeros((4000, 4000), np.uint8), 1024).n_tokens == 1338


def test_a_side_of_no_pixels_is_refused():
    with pytest.raises(InputError, match="max_side must be at least 1"):
        prepare_image(NOISE, 0)


def test_bytes_are_not_shown():
    assert "jpeg" not in repr(prepare_image(NOISE))
