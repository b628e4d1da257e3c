"""Every kind of image file ends as the same 8-bit RGB array; what is no image is named."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from knobo.errors import FileError, InputError, InputTypeError, KnoboError
from knobo.images import read_image


@pytest.fixture
def rgb() -> np.ndarray:
    """A smooth picture, so that JPEG changes little: red grows to the right, green downwards."""
    y, x = np.mgrid[0:1:24j, 0:1:32j]
    return np.rint(np.stack([200 * x, 200 * y, 90 + 0 * x], axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_files_come_back_pixel_for_pixel(tmp_path, rgb, suffix):
    path = tmp_path / f"image{suffix}"
    Image.fromarray(rgb).save(path)
    for source in (path, str(path)):
        pixels = read_image(source)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, rgb)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr"])
def test_jpeg_in_any_colour_space_is_close(tmp_path, rgb, mode):
    path = tmp_path / "image.jpg"
    Image.fromarray(rgb).convert(mode).save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - rgb).mean() < 3


def test_lab_tiff_is_converted(tmp_path):
    channel = Image.new("L", (5, 4), 128)  # L* about 50, and no colour: 128 stands for a* = b* = 0
    Image.merge("LAB", [channel] * 3).save(tmp_path / "image.tif")
    pixels = read_image(tmp_path / "image.tif")
    assert pixels.shape == (4, 5, 3)
    assert np.abs(pixels.astype(int) - 119).max() <= 2  # L* 50 is 119 in sRGB


def test_palette_grey_and_one_bit(tmp_path, rgb):
    flat = np.repeat([[[10, 20, 30]], [[200, 100, 50]]], 4, axis=1).astype(np.uint8)
    Image.fromarray(flat).convert("P", palette=Image.Palette.ADAPTIVE, colors=2).save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), flat)

    grey = rgb[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=-1))

    bits = grey > 90
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 1], bits * 255)


def test_transparent_parts_turn_black(tmp_path, rgb):
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:, :8] = 0
    alpha[:, 8:16] = 128
    rgba = np.dstack([rgb, alpha])
    Image.fromarray(rgba).save(tmp_path / "image.png")
    from_file, from_array = read_image(tmp_path / "image.png"), read_image(rgba)
    assert (from_file[:, :8] == 0).all()
    np.testing.assert_array_equal(from_file[:, 16:], rgb[:, 16:])
    assert np.abs(from_file[:, 8:16].astype(int) - rgb[:, 8:16] // 2).max() <= 1
    assert np.abs(from_file.astype(int) - from_array).max() <= 1

    palette = Image.fromarray(rgb[..., 0]).convert("P")
    palette.save(tmp_path / "palette.png", transparency=int(rgb[0, 0, 0]))
    assert (read_image(tmp_path / "palette.png")[0, 0] == 0).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_scale_when_the_highest_bit_is_used(tmp_path, suffix):
    deep = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"deep{suffix}")
    expected = np.array([[0, 100], [200, 255]])
    for source in (tmp_path / f"deep{suffix}", deep):
        np.testing.assert_array_equal(read_image(source)[..., 0], expected)


def test_twelve_bits_in_sixteen_are_stretched(tmp_path):
    deep = np.array([[100, 2100], [4100, 1100]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    expected = np.array([[0, 128], [255, 64]])
    for source in (tmp_path / "deep.png", deep, deep.astype(np.int64)):
        np.testing.assert_array_equal(read_image(source)[..., 2], expected)


def test_signed_and_float_files_are_stretched_unless_they_lie_in_0_1(tmp_path):
    Image.fromarray(np.array([[-1000, 1000], [0, 500]], np.int32)).save(tmp_path / "signed.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "signed.tif")[..., 0], [[0, 255], [128, 191]])
    Image.fromarray(np.array([[0.2, 0.4], [0.0, 0.6]], np.float32)).save(tmp_path / "unit.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "unit.tif")[..., 0], [[51, 102], [0, 153]])
    Image.fromarray(np.array([[-1.0, 3.0], [1.0, 0.0]], np.float32)).save(tmp_path / "wide.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "wide.tif")[..., 0], [[0, 255], [128, 64]])


def test_a_constant_deep_image_is_black(tmp_path):
    assert (read_image(np.full((3, 3), 700, np.uint16)) == 0).all()


def test_exif_orientation_is_applied(tmp_path, rgb):
    image = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(rgb, -1))
    np.testing.assert_array_equal(read_image(Image.open(tmp_path / "turned.png")), np.rot90(rgb, -1))


def test_arrays_of_every_kind(rgb):
    np.testing.assert_array_equal(read_image(rgb.astype(np.int64)), rgb)
    np.testing.assert_array_equal(read_image(rgb / 255), rgb)
    np.testing.assert_array_equal(read_image((rgb / 255).astype(np.float32)), rgb)
    np.testing.assert_array_equal(read_image(rgb[..., :1])[..., 1], rgb[..., 0])
    np.testing.assert_array_equal(read_image(rgb[..., 0] > 90)[..., 0], (rgb[..., 0] > 90) * 255)
    pixels = read_image(rgb)
    pixels[:] = 0
    assert rgb.any()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"shape \(H, W\).*got \(5,\)"),
        (np.zeros((3, 8, 8)), r"Channels come last"),
        (np.zeros((8, 8, 2)), r"got \(8, 8, 2\)"),
        (np.zeros((0, 8)), r"got \(0, 8\)"),
        (np.full((2, 2), np.nan), "4 pixels that are NaN"),
        (np.full((2, 2), 200.0), r"must lie in \[0, 1\], got \[200, 200\]"),
        (np.array([[-5, 3]]), r"must lie in \[0, 65535\]"),
    ],
)
def test_unusable_arrays_are_explained(array, message):
    with pytest.raises(InputError, match=message):
        read_image(array)


@pytest.mark.parametrize("source", [None, 3, [[1, 2]], np.array([["a"]])])
def test_other_types_are_refused(source):
    with pytest.raises(InputTypeError, match="image"):
        read_image(source)


def test_missing_empty_folder_and_text_files(tmp_path):
    with pytest.raises(FileError, match=r"nothing\.png: no such file"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(FileError, match="it is a folder"):
        read_image(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(FileError, match=r"empty\.png: the file is empty"):
        read_image(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(FileError, match=r"text\.png is not an image that can be read; save it as PNG"):
        read_image(tmp_path / "text.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_truncated_files_are_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = tmp_path / f"whole{suffix}"
    Image.fromarray(noise).save(whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(FileError, match=rf"cut\{suffix}.*(damaged or truncated|not an image)"):
        read_image(cut)


def test_decompression_bombs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("1", (300, 300)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)
    with pytest.raises(FileError, match=r"bomb\.png is refused as too large"):
        read_image(path)


def test_several_frames_are_refused(tmp_path):
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 100, 200)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(FileError, match=r"stack\.tif holds 3 frames"):
        read_image(tmp_path / "stack.tif")


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".png", ".webp"])
def test_one_of_several_frames_is_chosen(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), (shade,) * 3) for shade in (0, 100, 200)]
    path = tmp_path / f"stack{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == ".webp" else {}))
    assert [int(read_image(path, frame=n).mean()) for n in range(3)] == [0, 100, 200]
    with pytest.raises(FileError, match=r"choose one with frame=0 to frame=2"):
        read_image(path)
    with pytest.raises(InputError, match=r"has no frame 3: it holds 3"):
        read_image(path, frame=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html><html><title>404</title>", "a web page.*download it again"),
        (b"<HTML><body>Log in</body>", "a web page.*logged in"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'{"message": "Not found"}', "a JSON document"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"PK\x03\x04....", "a ZIP archive, not an image; unpack it"),
        (b"\x93NUMPY\x01\x00", "a NumPy array.*pass the array"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "a HEIC photograph.*save it as PNG, JPEG"),
        (b"\x00" * 300, "begins with zeros only"),
    ],
)
def test_what_is_no_image_is_recognised(tmp_path, content, message):
    path = tmp_path / "scan.jpg"
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"scan\.jpg.*{message}"):
        read_image(path)


def test_the_name_of_a_file_does_not_matter(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "png.png")
    (tmp_path / "png.png").rename(tmp_path / "png.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "png.jpg"), rgb)


def test_sixteen_bit_colour_keeps_its_upper_bits(tmp_path, rgb):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.tobytes() for row in (rgb.astype(np.uint16) * 257).astype(">u2"))
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 16, 2, 0, 0, 0)  # 16 bits, RGB; Pillow writes none
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), rgb)


FIXTURE = [HealthCheck.function_scoped_fixture]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=FIXTURE)
@given(values=arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))))
def test_any_eight_bit_image_comes_back_from_png(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), values)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=FIXTURE)
@given(values=arrays(np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_any_sixteen_bit_image_comes_back_in_order_from_png(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "image.png")
    shades = read_image(tmp_path / "image.png")[..., 0].astype(float)
    low, high = (0, 65535) if values.max() >= 32768 else (int(values.min()), int(values.max()))
    assert np.abs(shades - (values.astype(float) - low) / max(high - low, 1) * 255).max() <= 0.5 + 1e-9


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=FIXTURE)
@given(values=arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)))
def test_any_float_image_in_0_1_comes_back_from_tiff(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "image.tif")
    assert np.abs(read_image(tmp_path / "image.tif")[..., 0] - values * 255.0).max() <= 0.5 + 1e-4


def test_nan_in_a_float_file_is_named(tmp_path):
    Image.fromarray(np.array([[0.1, np.nan]], np.float32)).save(tmp_path / "hole.tif")
    with pytest.raises(InputError, match=r"hole\.tif holds 1 pixels that are NaN"):
        read_image(tmp_path / "hole.tif")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(at=st.integers(0, 400), byte=st.integers(0, 255), kind=st.sampled_from(["PNG", "JPEG", "TIFF", "GIF"]))
def test_a_damaged_byte_gives_an_image_or_a_knobo_error(tmp_path_factory, at, byte, kind):
    path = tmp_path_factory.mktemp("fuzz") / "image"
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path, format=kind)
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(bytes(content))
    try:
        pixels = read_image(path)
    except KnoboError as error:
        pixels, message = None, str(error)
    if pixels is None:
        assert str(path) in message
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
