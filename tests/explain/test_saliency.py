"""Maps point at what a concept is seen by, lie on the image as it is, and cost bounded memory."""

import matplotlib as mpl
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision import transforms

from knobo.encoders import ClassicalEncoder
from knobo.encoders.timm_models import TimmEncoder
from knobo.errors import InputError, InputTypeError
from knobo.explain import concept_maps, plot_concept_map, plot_concept_maps
from knobo.explain._saliency_layers import choose_layer
from knobo.explain._saliency_view import place_on_image, view_of

mpl.use("Agg")
QUICK = {"steps": 4, "n_masks": 20, "windows": [0.5]}
PATCH = (slice(40, 70), slice(110, 140))  # of an image that is 100 high and 180 wide


@pytest.fixture(scope="module")
def image():
    """A grey image with one bright patch."""
    pixels = np.full((100, 180, 3), 90, np.uint8)
    pixels[PATCH] = 240
    return pixels


def tiny(name: str) -> TimmEncoder:
    torch.manual_seed(0)
    return TimmEncoder("tiny", timm.create_model(name, num_classes=0), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def cnn():
    return tiny("test_resnet")


@pytest.fixture(scope="module")
def vit():
    return tiny("test_vit")


def patch_direction(encoder, image):
    """What the embedding gains by the patch, as the only concept."""
    rows = encoder.encode_images([image, np.full_like(image, 90)])
    return (rows[0] - rows[1])[None]


def hits(found, margin=8):
    row, column = np.unravel_index(found.argmax(), found.shape)
    return abs(row - 55) < 15 + margin and abs(column - 125) < 15 + margin


@pytest.mark.parametrize(
    ("kind", "method"), [("cnn", "integrated"), ("cnn", "occlusion"), ("cnn", "rise"), ("vit", "auto")]
)
def test_maps_point_at_the_patch_that_the_concept_is_seen_by(request, image, kind, method):
    encoder = request.getfixturevalue(kind)
    maps = concept_maps(encoder, [image], patch_direction(encoder, image), ["patch"], method=method, n_masks=100)
    found = maps.of(0, "patch")
    assert maps.method == {"auto": "occlusion"}.get(method, method)
    assert found.shape == image.shape[:2]
    assert found.dtype == np.float32
    assert hits(found)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_gradcam_is_the_positive_part_of_a_coarse_layer(request, image, kind):
    encoder = request.getfixturevalue(kind)
    found = concept_maps(encoder, [image], patch_direction(encoder, image), ["patch"], method="gradcam").maps[0]
    assert found.min() >= 0
    assert found.shape == (1, 100, 180)


def test_classical_descriptors_have_maps_without_gradients(image):
    encoder = ClassicalEncoder(["colour"])
    maps = concept_maps(encoder, [image], patch_direction(encoder, image), ["patch"], windows=[0.4])
    assert maps.method == "occlusion"
    assert hits(maps.of(0, "patch"), margin=15)
    with pytest.raises(InputError, match="no gradients"):
        concept_maps(encoder, [image], patch_direction(encoder, image), ["patch"], method="gradcam")


def test_integrated_gradients_add_up_to_the_difference_of_the_log_odds(cnn, image):
    from knobo.explain._saliency_gradients import GradientMaps, _blurred

    coef = patch_direction(cnn, image).astype(float)
    maker = GradientMaps(cnn, coef, gradcam=False, layer=None, steps=64, batch_size=64)
    maker(image, (100, 180))
    pixels = cnn.pixels([cnn.prepare(Image.fromarray(image))])
    with torch.no_grad():
        gain = maker._logits(pixels) - maker._logits(_blurred(pixels))
    assert float(maker._integrated_of(pixels).sum()) == pytest.approx(float(gain), rel=0.1)


@pytest.mark.parametrize("method", ["integrated", "gradcam", "occlusion", "rise"])
def test_the_batch_changes_memory_not_the_maps(cnn, image, method):
    coef = np.vstack([patch_direction(cnn, image), np.eye(cnn.encode_images([image]).shape[1])[:2]])
    one, many = (
        concept_maps(cnn, [image], coef, list("abc"), method=method, batch_size=size, **QUICK).maps[0]
        for size in (1, 16)
    )
    np.testing.assert_allclose(one, many, atol=1e-3 * np.abs(many).max())


def test_no_more_images_than_the_batch_go_through_the_model_at_once(cnn, image):
    sizes = []
    handle = cnn._model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    for method in ("integrated", "gradcam", "occlusion", "rise"):
        concept_maps(
            cnn, [image], np.ones((9, 1)) * patch_direction(cnn, image), range(9), method=method, batch_size=6, **QUICK
        )
    handle.remove()
    assert max(sizes) <= 6


def test_random_masks_come_from_the_seed(cnn, image):
    a, b, c = (
        concept_maps(cnn, [image], patch_direction(cnn, image), ["p"], method="rise", n_masks=20, random_state=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(a.maps[0], b.maps[0])
    assert not np.array_equal(a.maps[0], c.maps[0])


def test_randomised_weights_destroy_the_map(cnn, image):
    other = tiny("test_resnet")
    with torch.no_grad():
        for n, weight in enumerate(other._model.parameters()):
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(n)))
    coef = patch_direction(cnn, image)
    maps = [concept_maps(encoder, [image], coef, ["patch"]).of(0, "patch") for encoder in (cnn, other)]
    assert abs(np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]) < 0.5


def test_layers_are_stages_and_can_be_named(cnn, vit, image):
    for encoder, fine, last in ((cnn, "layer1", "layer4"), (vit, "blocks.0", "blocks.4")):
        model, pixels = encoder.differentiable(), encoder.pixels([encoder.prepare(Image.fromarray(image))])
        assert choose_layer(model, pixels, last=False).name == fine
        assert choose_layer(model, pixels, last=True).name == last
    named = concept_maps(cnn, [image], patch_direction(cnn, image), ["patch"], layer="layer2")
    assert not np.array_equal(named.maps[0], concept_maps(cnn, [image], patch_direction(cnn, image), ["patch"]).maps[0])
    with pytest.raises(InputError, match="layer1"):
        concept_maps(cnn, [image], patch_direction(cnn, image), ["patch"], layer="nowhere")


PREPARED = {
    "cut": ([transforms.Resize(64), transforms.CenterCrop(64)], (0, 0.222, 1, 0.778)),
    "squeezed": ([transforms.Resize((64, 64))], (0, 0, 1, 1)),
    "zoomed": ([transforms.Resize(64), transforms.CenterCrop(48)], (0.125, 0.292, 0.875, 0.708)),
    "padded": ([transforms.Resize(50), transforms.CenterCrop(100)], (-0.5, -0.056, 1.5, 1.056)),
}


@pytest.mark.parametrize("kind", PREPARED)
def test_the_view_is_found_whatever_prepares_the_image(kind):
    steps, edges = PREPARED[kind]
    prepare = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.2] * 3)])
    view = view_of(lambda image: prepare(image).numpy(), 100, 180)
    np.testing.assert_allclose(view, edges, atol=0.015)


def test_a_map_lies_on_the_image_where_it_was_seen(image):
    """The model's own pixels, placed as a map, are the image again."""
    prepare = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor()])
    view = view_of(lambda image: prepare(image).numpy(), 100, 180)
    placed = place_on_image(prepare(Image.fromarray(image)).numpy()[0], view, (100, 180))
    seen = slice(42, 138)
    assert np.abs(placed[:, seen] - image[:, seen, 0] / 255).mean() < 0.02
    assert not placed[:, :38].any()


def test_preparation_that_moves_things_about_is_refused():
    def flip(image):
        return np.asarray(image, np.float32).transpose(2, 0, 1)[:, :, ::-1]

    with pytest.raises(InputError, match="occlusion"):
        view_of(flip, 30, 40)


def test_a_large_image_has_a_smaller_map(cnn, image):
    maps = concept_maps(cnn, [image], patch_direction(cnn, image), ["patch"], max_size=90)
    assert maps.maps[0].shape == (1, 50, 90)
    row, column = maps.peak(0, "patch")
    assert (row, column) == (pytest.approx(0.55, abs=0.2), pytest.approx(0.69, abs=0.15))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": "a.png"}, InputTypeError, "list"),
        ({"images": []}, InputError, "no images"),
        ({"concepts": []}, InputError, "at least one name"),
        ({"concepts": ["a", "b"]}, InputError, "2 concepts"),
        ({"coef": [[np.nan]]}, InputError, "finite"),
        ({"method": "magic"}, InputError, "magic"),
        ({"steps": 1}, InputError, "steps"),
        ({"batch_size": 0}, InputError, "batch_size"),
        ({"windows": [0.0]}, InputError, "windows"),
        ({"coef": np.ones((1, 3))}, InputError, "embedding"),
    ],
)
def test_what_cannot_be_used_is_named(cnn, image, change, error, message):
    given = {"images": [image], "coef": patch_direction(cnn, image), "concepts": ["a"]} | change
    with pytest.raises(error, match=message):
        concept_maps(cnn, **given)


def test_overlays_cover_the_whole_image(cnn, image):
    maps = concept_maps(cnn, [image, image], patch_direction(cnn, image), ["patch"], max_size=90)
    ax = plot_concept_map(image, maps.of(0, "patch"), title="patch")
    assert ax.get_xlim() == (-0.5, 179.5)
    assert ax.get_ylim() == (99.5, -0.5)
    assert maps.plot_grid([image, image]).shape == (2, 2)
    with pytest.raises(InputError, match="1 images"):
        plot_concept_maps([image], maps)
    with pytest.raises(InputError, match="no map of 'other'"):
        maps.plot(image, 0, "other")
    with pytest.raises(InputError, match="position 2"):
        maps.of(2, "patch")
    mpl.pyplot.close("all")
