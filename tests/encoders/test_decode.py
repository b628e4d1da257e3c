"""The short way to pixels gives those of read_image, for any file; scaled decoding differs by little."""

import hashlib
import warnings

import numpy as np
import pytest
from PIL import Image

from knobo.encoders.decode import READING, open_rgb
from knobo.errors import FileError
from knobo.images import read_image

GREY = (np.add.outer(np.arange(40), 3 * np.arange(60)) % 256).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def write(folder, name):
    path = folder / name
    kind = path.stem
    exif = Image.Exif()
    exif[0x0112] = 6
    image = {
        "grey": Image.fromarray(GREY),
        "alpha": Image.fromarray(np.dstack([COLOUR, GREY])),
        "palette": Image.fromarray(COLOUR).quantize(16),
        "deep": Image.fromarray(GREY.astype(np.uint16) * 200),
        "bits": Image.fromarray(GREY > 100),
        "cmyk": Image.fromarray(COLOUR).convert("CMYK"),
    }.get(kind, Image.fromarray(COLOUR))
    options = {"exif": exif} if kind == "turned" else {}
    if kind == "see-through":
        options["transparency"] = tuple(int(value) for value in COLOUR[3, 4])
    image.save(path, **options)
    return path


@pytest.mark.parametrize("kind", ["plain", "grey", "turned", "alpha", "palette", "deep", "bits", "see-through"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff"])
def test_pixels_are_those_of_read_image(tmp_path, kind, suffix):
    if suffix == ".jpg" and kind not in ("plain", "grey", "turned"):
        kind = "cmyk"  # the one other kind that a JPEG can hold
    path = write(tmp_path, kind + suffix)
    for source in (path, str(path)):
        image = open_rgb(source)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), read_image(path))


def test_arrays_and_pil_images_go_the_long_way(tmp_path):
    np.testing.assert_array_equal(np.asarray(open_rgb(COLOUR)), COLOUR)
    np.testing.assert_array_equal(np.asarray(open_rgb(Image.fromarray(GREY))), read_image(GREY))


def test_errors_are_those_of_read_image(tmp_path):
    path = write(tmp_path, "plain.jpg")
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(FileError, match=r"plain\.jpg: damaged or truncated"):
        open_rgb(path)
    with pytest.raises(FileError, match="no such file"):
        open_rgb(tmp_path / "nowhere.jpg")


def test_several_frames_are_still_an_error(tmp_path):
    path = tmp_path / "moving.png"
    Image.fromarray(COLOUR).save(path, save_all=True, append_images=[Image.fromarray(COLOUR[::-1].copy())])
    with pytest.raises(FileError, match="holds 2 frames"):
        open_rgb(path)


def test_a_bomb_is_still_refused(tmp_path, monkeypatch):
    path = write(tmp_path, "plain.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FileError, match="too large"):
            open_rgb(path)


def test_scaled_decoding_is_no_smaller_than_needed_and_close(tmp_path):
    y, x = np.mgrid[0:512, 0:768]
    smooth = np.stack([127 + 100 * np.sin(x / 50), 127 + 100 * np.cos(y / 40), (x + y) / 6], axis=2).astype(np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(smooth).save(path, quality=95)
    image = open_rgb(path, at_least=(100, 100))
    assert image.size == (192, 128)
    full = open_rgb(path).resize(image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(image, float) - np.asarray(full, float)).mean() < 1
    assert open_rgb(path, at_least=(300, 300)).size == (768, 512)
    assert open_rgb(write(tmp_path, "plain.png"), at_least=(5, 5)).size == (60, 40)


def test_rules_of_reading_have_the_number_under_which_embeddings_are_kept():
    """If this fails, images are read differently than before: raise READING, and write the new digest here."""
    sources = (GREY, COLOUR, GREY.astype(np.uint16) * 200, np.dstack([COLOUR, GREY]), GREY / 255.0)
    pixels = b"".join(read_image(source).tobytes() for source in sources)
    assert (READING, hashlib.sha256(pixels).hexdigest()[:16]) == (1, "5cd0e0e0ef7eabae")
