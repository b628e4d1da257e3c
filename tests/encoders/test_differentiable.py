"""Every family of torch encoders can be taken apart for maps: pixels, a module with gradients, layers with places."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import (
    save_biomedclip_like,
    save_timm,
    save_transformers_clip,
    save_transformers_dinov2,
    save_transformers_siglip2,
)

from knobo.encoders import load_encoder
from knobo.errors import InputError
from knobo.explain import concept_maps

FAMILIES = (save_biomedclip_like, save_timm, save_transformers_clip, save_transformers_dinov2)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("save", FAMILIES)
def test_the_module_gives_the_embedding_and_its_gradient(tmp_path, image, save):
    save(tmp_path)
    encoder = load_encoder(tmp_path, device="cpu")
    pixels = encoder.pixels([encoder.prepare(Image.fromarray(image))]).requires_grad_()
    rows = encoder.differentiable()(pixels)
    np.testing.assert_allclose(rows.detach().numpy(), encoder.encode_images([image]), atol=1e-5)
    (gradient,) = torch.autograd.grad(rows[0, 0], pixels)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("method", ["integrated", "gradcam"])
@pytest.mark.parametrize("save", FAMILIES)
def test_maps_by_gradients_work_for_every_family(tmp_path, image, save, method):
    save(tmp_path)
    encoder = load_encoder(tmp_path, device="cpu")
    coef = np.random.default_rng(0).normal(size=(2, encoder.encode_images([image]).shape[1]))
    maps = concept_maps(encoder, [image], coef, ["a", "b"], method=method, steps=4)
    assert maps.maps[0].shape == (2, 40, 50)
    assert np.ptp(maps.maps[0], axis=(1, 2)).min() > 0


def test_a_model_that_takes_more_than_pixels_has_maps_by_covering_only(tmp_path, image):
    save_transformers_siglip2(tmp_path)
    encoder = load_encoder(tmp_path, device="cpu")
    coef = np.ones((1, encoder.encode_images([image]).shape[1]))
    with pytest.raises(InputError, match="not pixels alone"):
        concept_maps(encoder, [image], coef, ["a"], method="integrated")
    assert concept_maps(encoder, [image], coef, ["a"], windows=[0.5]).method == "occlusion"
