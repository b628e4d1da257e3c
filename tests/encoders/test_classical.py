"""The classical descriptors: unit rows, the same on every run, finite on any image, and each one does what it says."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.feature import local_binary_pattern

from knobo.encoders import ClassicalEncoder, Encoder
from knobo.encoders._canvas import make_canvas, to_lab
from knobo.encoders._texture import _local_binary_patterns, cooccurrence, structures
from knobo.encoders.classical import FAMILIES
from knobo.errors import FileError, InputError, InputTypeError


@pytest.fixture(scope="module")
def encoder():
    return ClassicalEncoder()


def lesion(seed=0, size=(90, 120), colour=(110, 60, 40), stretch=1.0):
    """A dark ellipse on noisy skin; synthetic."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    image = np.full((*size, 3), (225, 180, 160), float)
    image[(y * stretch) ** 2 + x**2 < 0.2] = colour
    return (image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    return [lesion(0), lesion(1, colour=(60, 60, 80)), lesion(2, stretch=2.0)]


def test_rows_are_unit_float32_and_the_same_on_every_run(encoder, images):
    rows = encoder.encode_images(images)
    assert rows.dtype == np.float32
    assert rows.shape == (3, len(encoder.feature_names))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(rows, ClassicalEncoder().encode_images(images))
    np.testing.assert_array_equal(rows[::-1], encoder.encode_images(images[::-1]))
    assert isinstance(encoder, Encoder)


def test_paths_pil_images_and_arrays_agree(encoder, images, tmp_path):
    path = tmp_path / "lesion.png"
    Image.fromarray(images[0]).save(path)
    rows = encoder.encode_images([path, str(path), Image.fromarray(images[0]), images[0]])
    np.testing.assert_array_equal(rows, rows[[0, 0, 0, 0]])


def test_every_value_has_its_own_name(encoder, images):
    names = encoder.feature_names
    assert len(set(names)) == len(names)
    canvas = make_canvas(images[0])
    for name, family in FAMILIES.items():
        values = family.describe(canvas)
        assert values.dtype == np.float32
        assert values.shape == (len(family.names()),), name


def test_families_can_be_chosen_and_are_the_same_columns_up_to_scale(encoder, images):
    part = ClassicalEncoder(["shape", "colour"])
    assert part.spec == "classical:shape+colour"
    columns = [encoder.feature_names.index(name) for name in part.feature_names]
    whole, alone = encoder.encode_images(images)[:, columns], part.encode_images(images)
    np.testing.assert_allclose(alone, whole * np.sqrt(len(FAMILIES) / 2), rtol=1e-5, atol=1e-7)
    with pytest.raises(InputError, match=r"No descriptor family \['form'\]; choose among colour"):
        ClassicalEncoder(["shape", "form"])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint8),
        np.full((40, 50, 3), 255, np.uint8),
        np.array([[7]], np.uint8),
        np.tile(np.arange(256, dtype=np.uint8), (2, 1)),
        np.tile(np.arange(200, dtype=np.uint8)[:, None], (1, 3)),
        np.indices((30, 30)).sum(axis=0) % 2 == 0,
        np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 65536, (300, 20), dtype=np.uint16),
    ],
    ids=["black", "white", "one-pixel", "wide", "tall", "checks", "tiny-noise", "deep-noise"],
)
def test_any_image_gives_finite_unit_rows(encoder, image):
    for families in (None, *([name] for name in FAMILIES)):
        row = ClassicalEncoder(families).encode_images([image])
        assert np.isfinite(row).all()
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_size_of_the_file_matters_little(encoder):
    image = lesion(size=(180, 240))
    small = Image.fromarray(image).resize((480, 360), Image.Resampling.BICUBIC)
    one, other, unlike = encoder.encode_images([image, small, lesion(5, colour=(60, 60, 80), stretch=2.0)])
    assert one @ other > 0.97
    assert one @ other > one @ unlike


def test_colour_and_lbp_agree_with_scikit_image():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    np.testing.assert_allclose(to_lab(pixels), rgb2lab(pixels), atol=0.02)

    grey = np.repeat(np.repeat(rng.integers(0, 256, (8, 8)), 4, 0), 4, 1).astype(np.uint8)
    ours = _local_binary_patterns(grey.astype(np.float32))
    ring = local_binary_pattern(grey, 8, 1, method="uniform")  # interpolates the corners: equal where all is flat
    flat = ours == 8
    assert 0 < flat.sum() < flat.size
    np.testing.assert_array_equal(ring[2:-2, 2:-2][flat[2:-2, 2:-2]], 8)


def test_the_foreground_is_the_dark_part_in_the_middle():
    canvas = make_canvas(lesion())
    y, x = np.mgrid[-1 : 1 : canvas.foreground.shape[0] * 1j, -1 : 1 : canvas.foreground.shape[1] * 1j]
    truth = x**2 + y**2 < 0.2
    assert (canvas.foreground & truth).sum() / (canvas.foreground | truth).sum() > 0.9
    assert sum(region.sum() for region in canvas.regions) == canvas.foreground.size
    np.testing.assert_allclose(canvas.background, rgb2lab(np.array([[[225, 180, 160]]], np.uint8))[0, 0], atol=3)


def named(encoder, row, name):
    return row[encoder.feature_names.index(name)]


def test_shape_values_mean_what_their_names_say():
    encoder = ClassicalEncoder(["shape"])
    half = lesion()
    half[:45, 60:] = lesion(3, colour=(225, 180, 160))[:45, 60:]  # one quarter is missing
    round_, long, lopsided = encoder.encode_images([lesion(size=(100, 100)), lesion(stretch=2.5), half])
    assert named(encoder, long, "shape_elongation") < 0.7 * named(encoder, round_, "shape_elongation")
    for name in ("shape_asymmetry_most_form", "shape_off_centre_y", "shape_radius_std"):
        assert named(encoder, lopsided, name) > 1.5 * named(encoder, round_, name)


def test_structures_tell_dots_from_lines():
    dots, lines = np.full((2, 192, 192, 3), 200, np.uint8)
    dots[6::12, 6::12] = dots[7::12, 6::12] = dots[6::12, 7::12] = dots[7::12, 7::12] = 20
    lines[6::12] = lines[7::12] = 20
    names = FAMILIES["structures"].names()
    at = [names.index(f"{kind}_scale0_core") for kind in ("pit", "valley")]
    (pit, valley), (line_pit, line_valley) = (structures(make_canvas(image))[at] for image in (dots, lines))
    assert pit > line_pit
    assert line_valley > valley


def clouds(seed, grain):
    """Smooth random grey of shape (96, 96), as uint8; synthetic."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96)), grain)
    return (128 + 40 * field / field.std()).clip(0, 255).astype(np.uint8)


def test_edges_follow_the_image_when_it_is_mirrored():
    image = clouds(0, 5)
    row, mirrored = ClassicalEncoder(["edges"]).encode_images([image, image[:, ::-1]]).reshape(2, 4, 4, 8)
    turned = row[:, ::-1, ::-1]  # the columns, and the angles
    assert np.abs(mirrored - turned).mean() < 0.5 * np.abs(mirrored - row).mean()


@pytest.mark.parametrize("family", ["edges", "cooccurrence"])
def test_what_is_measured_on_stretched_grey_hardly_depends_on_contrast(family):
    strong = clouds(0, 3)
    weak = (strong * 0.6 + 50).astype(np.uint8)
    one, same, unlike = ClassicalEncoder([family]).encode_images([strong, weak, clouds(1, 5)])
    assert np.linalg.norm(one - same) < 0.3 * np.linalg.norm(one - unlike)


def test_cooccurrence_tells_fine_from_coarse_grain():
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 256, (128, 128)).astype(np.uint8)
    coarse = np.kron(rng.integers(0, 256, (16, 16)), np.ones((8, 8))).astype(np.uint8)
    names = FAMILIES["cooccurrence"].names()
    a, b = (cooccurrence(make_canvas(np.stack([image] * 3, axis=-1))) for image in (fine, coarse))
    assert a[names.index("contrast_mean_reach2")] > 2 * b[names.index("contrast_mean_reach2")]
    assert a[names.index("correlation_mean_reach2")] < 0.5 * b[names.index("correlation_mean_reach2")]


def compressed(image, quality=15):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return Image.open(file)


def test_patterns_tell_lesions_apart_better_than_compressions():
    grain = [ndimage.gaussian_filter(np.random.default_rng(k).normal(0, 150, (90, 120)), 1 + k) for k in range(2)]
    images = [(lesion(k) + g[..., None]).clip(0, 255).astype(np.uint8) for k, g in enumerate(grain)]
    encoder = ClassicalEncoder(["patterns"])
    clean, poor = encoder.encode_images(images), encoder.encode_images([compressed(image) for image in images])
    between = np.linalg.norm(clean[0] - clean[1])
    assert (np.linalg.norm(clean - poor, axis=1) < between).all()


def test_polar_tells_an_even_ring_from_an_uneven_one():
    names = FAMILIES["polar"].names()
    even = lesion()
    uneven = even.copy()
    uneven[:, 60:][even[:, 60:, 0] < 160] //= 2  # the right half of the lesion is darker
    a, b = (FAMILIES["polar"].describe(make_canvas(image)) for image in (even, uneven))
    side = names.index("lightness_band1_wave1")
    assert b[side] > 3 * a[side]
    np.testing.assert_allclose(
        FAMILIES["polar"].describe(make_canvas(np.ascontiguousarray(uneven[::-1, ::-1])))[side], b[side], rtol=0.1
    )


def test_bad_input_is_named(encoder, images, tmp_path):
    with pytest.raises(InputTypeError, match=r"put a single image in a list"):
        encoder.encode_images(images[0])
    with pytest.raises(InputTypeError, match="got one str"):
        encoder.encode_images("image.png")
    with pytest.raises(InputError, match="no images"):
        encoder.encode_images([])
    with pytest.raises(InputError, match=r"images\[1\]: A float image must lie in \[0, 1\]"):
        encoder.encode_images([images[0], images[0] * 3.0])
    with pytest.raises(FileError, match=r"gone\.png: no such file"):
        encoder.encode_images([tmp_path / "gone.png"])
