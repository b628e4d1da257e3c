"""What encoders in torch share: the parted transform, and the fingerprint."""

import copy

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from knobo.encoders import StagedEncoder
from knobo.encoders.staged import PixelStage, model_fingerprint, unit_rows

CPU = torch.device("cpu")
VISION = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}


def transform(**changes):
    return image_transform(32, is_train=False, **{"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), **changes})


def model(**changes):
    torch.manual_seed(0)
    return open_clip.CLIP(embed_dim=16, vision_cfg=VISION | changes, text_cfg=TEXT).eval()


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)) for _ in range(3)]


def test_a_parted_transform_is_the_whole_one_bit_for_bit(pictures):
    whole = transform()
    stage = PixelStage(whole)
    batch = [stage.prepare(picture) for picture in pictures]
    assert batch[0].dtype == np.uint8
    expected = torch.stack([whole(picture) for picture in pictures])
    assert torch.equal(stage.to_device(batch, CPU), expected)


@pytest.mark.parametrize(
    "whole",
    [
        Compose([Resize((32, 32)), ToTensor()]),
        Compose([Resize((32, 32)), ToTensor(), Resize(16), Normalize([0.5] * 3, [0.2] * 3)]),
        lambda picture: torch.ones(3, 4, 4) * picture.width,
    ],
)
def test_any_other_transform_stays_whole(whole, pictures):
    stage = PixelStage(whole)
    batch = [stage.prepare(picture) for picture in pictures]
    assert batch[0].dtype == np.float32
    expected = torch.stack([whole(picture) for picture in pictures])
    assert torch.equal(stage.to_device(batch, CPU), expected)


def test_unit_rows_are_float32():
    rows = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.bfloat16))
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 1]]
    assert rows.dtype == torch.float32


def test_a_fingerprint_is_the_same_for_the_same_numbers():
    assert model_fingerprint(model(), transform()) == model_fingerprint(copy.deepcopy(model()), transform())
    assert model_fingerprint(model().train(), transform()) == model_fingerprint(model(), transform())


def test_a_fingerprint_changes_with_all_that_changes_numbers():
    nudged = model()
    with torch.no_grad():
        nudged.visual.proj[0, 0] += 1e-3
    others = [
        (nudged, transform()),
        (model().bfloat16(), transform()),
        (model(pool_type="avg"), transform()),
        (open_clip.CLIP(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT, quick_gelu=True).eval(), transform()),
        (model(), transform(mean=(0.5, 0.5, 0.5))),
        (model(), transform(interpolation="bilinear")),
        (model(), transform(resize_mode="squash")),
    ]
    others[3][0].load_state_dict(model().state_dict())
    prints = {model_fingerprint(model(), transform()), *(model_fingerprint(*other) for other in others)}
    assert len(prints) == 1 + len(others)


def test_a_fingerprint_of_a_function_does_not_hold_its_address():
    first, second = (model_fingerprint(model(), eval("lambda picture: picture")) for _ in range(2))
    assert first == second


def test_the_protocol_looks_at_methods():
    from toy import ToyEncoder

    assert isinstance(ToyEncoder(), StagedEncoder)
    assert not isinstance(object(), StagedEncoder)
