"""Every format of folder is recognised, and gives the numbers of the library that it is for, called directly."""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tiny_models import MEAN, STD, TEXTS, TOWER
from tiny_models import save_biomedclip_like as biomedclip
from tiny_models import save_timm as timm_vit
from tiny_models import save_transformers_clip as clip
from tiny_models import save_transformers_dinov2 as dinov2
from tiny_models import save_transformers_siglip as siglip
from tiny_models import save_transformers_siglip2 as siglip2

from knobo.encoders import ClipEncoder, TextEncoder, load_encoder
from knobo.errors import DownloadError, FileError, FormatError, InputError, MissingDependencyError


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in [(40, 60), (24, 24), (90, 50)]
    ]


@pytest.fixture(
    scope="module", params=[biomedclip, clip, siglip, siglip2, dinov2, timm_vit], ids=lambda save: save.__name__
)
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return request.param, folder, request.param(folder)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("KNOBO_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path_factory.getbasetemp() / "no-cache"))


def unit(rows):
    rows = getattr(rows, "pooler_output", rows).float().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def image_rows(save, folder, model, images):
    """What the library itself makes of the images."""
    pictures = [Image.fromarray(image) for image in images]
    with torch.no_grad():
        if save is biomedclip:
            steps = open_clip.image_transform(160, is_train=False, mean=MEAN, std=STD)
            return unit(model.encode_image(torch.stack([steps(picture) for picture in pictures])))
        if save is timm_vit:
            again = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
            steps = timm.data.create_transform(**timm.data.resolve_model_data_config(again), is_training=False)
            return unit(again(torch.stack([steps(picture) for picture in pictures])))
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        inputs = processor(images=pictures, return_tensors="pt")
        return unit(model(**inputs) if save is dinov2 else model.get_image_features(**inputs))


def text_rows(save, folder, model, texts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        if save is biomedclip:
            tokens = tokenizer(texts, padding="max_length", max_length=16, return_tensors="pt").input_ids
            return unit(model.encode_text(tokens))
        length = model.config.text_config.max_position_embeddings
        padding = "max_length" if save in (siglip, siglip2) else True
        inputs = tokenizer(texts, padding=padding, max_length=length, truncation=True, return_tensors="pt")
        inputs.pop("token_type_ids", None)  # of the test's BERT tokenizer; CLIP and SigLIP have none
        return unit(model.get_text_features(**inputs))


def test_image_rows_are_those_of_the_library(saved, images):
    save, folder, model = saved
    encoder = load_encoder(folder, device="cpu", batch_size=2)
    rows = encoder.encode_images(images)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, image_rows(save, folder, model, images), atol=1e-5)
    assert encoder.spec == f"local-dir:{folder}"
    sizes = {biomedclip: (160, 160), timm_vit: (160, 160), dinov2: (28, 28), siglip2: None}
    assert encoder.image_size == sizes.get(save, (24, 24))
    np.testing.assert_allclose(load_encoder(encoder.spec, device="cpu").encode_images(images), rows, atol=1e-6)


def test_text_rows_are_those_of_the_library(saved):
    save, folder, model = saved
    encoder = load_encoder(f"local-dir:{folder}", device="cpu", batch_size=2)
    if save in (dinov2, timm_vit):
        assert not isinstance(encoder, TextEncoder)
        return
    assert isinstance(encoder, TextEncoder)
    long = "no pleural effusion " * 20
    rows = encoder.encode_texts([*TEXTS, long])
    np.testing.assert_allclose(rows[:3], text_rows(save, folder, model, TEXTS), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_bfloat16_weights_stay_close(saved, images):
    _, folder, _ = saved
    exact = load_encoder(folder, device="cpu")
    quick = load_encoder(folder, device="cpu", precision="bf16")
    cosine = (exact.encode_images(images) * quick.encode_images(images)).sum(axis=1)
    assert cosine.min() > 0.999
    assert quick.precision == "bf16"
    assert not np.array_equal(exact.encode_images(images), quick.encode_images(images))
    if isinstance(exact, TextEncoder):
        assert (exact.encode_texts(TEXTS) * quick.encode_texts(TEXTS)).sum(axis=1).min() > 0.999


def test_a_pickle_of_tensors_is_read_and_one_with_code_is_refused(saved, images, tmp_path):
    _, folder, _ = saved
    copy = shutil.copytree(folder, tmp_path / "copy")
    (weights,) = copy.glob("*.safetensors")
    pickle = copy / ("open_clip_pytorch_model.bin" if "open_clip" in weights.name else "pytorch_model.bin")
    torch.save(load_file(weights), pickle)
    weights.unlink()
    rows = load_encoder(copy, device="cpu").encode_images(images)
    np.testing.assert_allclose(rows, load_encoder(folder, device="cpu").encode_images(images), atol=1e-6)

    torch.save({"state_dict": Touch(tmp_path / "ran")}, pickle)
    with pytest.raises(FormatError, match="would have to run code to load, which knobo refuses"):
        load_encoder(copy, device="cpu")
    assert not (tmp_path / "ran").exists()


class Touch:
    """Unpickling it would run a function."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_that_do_not_fit_are_refused(saved, tmp_path):
    _, folder, _ = saved
    copy = shutil.copytree(folder, tmp_path / "copy")
    (weights,) = copy.glob("*.safetensors")
    from safetensors.torch import save_file

    tensors = load_file(weights)
    dropped = next(name for name in tensors if "patch_embed" in name and name.endswith("weight"))
    save_file({name: value for name, value in tensors.items() if name != dropped}, weights, metadata={"format": "pt"})
    with pytest.raises(FormatError, match=r"(not a (timm )?model that can be loaded|lack 1 of the model's tensors)"):
        load_encoder(copy, device="cpu")


def test_a_folder_may_be_called_like_a_published_model(tmp_path, monkeypatch):
    clip(tmp_path / "plip")
    monkeypatch.chdir(tmp_path)
    assert load_encoder(Path("plip"), device="cpu").spec == load_encoder("local-dir:plip", device="cpu").spec
    with pytest.raises(DownloadError, match="Cannot load plip"):
        load_encoder("plip", device="cpu")


def test_a_bert_is_found_in_the_folder_or_the_cache_or_asked_for(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    biomedclip(folder)
    rows = load_encoder(folder, device="cpu").encode_texts(TEXTS)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    entry = tmp_path / "cache" / f"models--{TOWER.replace('/', '--')}"
    shutil.move(folder / "text_tower", entry / "snapshots" / "0123abc")
    with pytest.raises(
        DownloadError, match=rf"lacks the config of its text tower, {TOWER}: downloads are switched off"
    ):
        load_encoder(folder, device="cpu")
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("0123abc")
    for file in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):  # then the tokenizer is the tower's
        shutil.move(folder / file, entry / "snapshots" / "0123abc")
    np.testing.assert_array_equal(load_encoder(folder, device="cpu").encode_texts(TEXTS), rows)


def test_a_checkpoint_file_for_a_known_architecture(tmp_path, monkeypatch, images):
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (tmp_path / "Tiny-CLIP.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "Tiny-CLIP.json")
    torch.manual_seed(0)
    model = open_clip.CLIP(**config).eval()
    file = tmp_path / "epoch_32.pt"  # as open_clip's training and several medical models leave it
    torch.save({"epoch": 32, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, file)
    encoder = load_encoder(f"open_clip:Tiny-CLIP/{file}", device="cpu")
    assert isinstance(encoder, ClipEncoder)
    assert encoder.spec == f"open_clip:Tiny-CLIP/{file}"
    with torch.no_grad():
        tokens = open_clip.SimpleTokenizer(context_length=16)(TEXTS)
        np.testing.assert_allclose(encoder.encode_texts(TEXTS), unit(model.encode_text(tokens)), atol=1e-5)
    torch.save({"state_dict": Touch(tmp_path / "ran")}, file)
    with pytest.raises(FormatError, match="would have to run code to load, which knobo refuses"):
        load_encoder(f"open_clip:Tiny-CLIP/{file}", device="cpu")
    assert not (tmp_path / "ran").exists()


REMOTE = """
import torch, transformers
class Config(transformers.PretrainedConfig):
    model_type = "odd-clip"
class Model(transformers.PreTrainedModel):
    config_class = Config
    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.post_init()
    def get_image_features(self, pixel_values):
        return pixel_values.mean(dim=(2, 3)) * self.scale
    def get_text_features(self, input_ids, **_):
        return torch.nn.functional.one_hot(input_ids[:, 1] % 3, 3) * self.scale
"""


def test_remote_code_runs_only_if_the_user_says_so(tmp_path, images, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "model"
    folder.mkdir()
    clip(folder)
    (folder / "odd.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{REMOTE}")
    classes = {"AutoConfig": "odd.Config", "AutoModel": "odd.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "odd-clip", "auto_map": classes}))
    torch.save({"scale": torch.tensor([1.0, 2.0, 3.0])}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FormatError, match=r"auto_map: odd\.Config, odd\.Model\).*pass trust_remote_code=True"):
        load_encoder(folder, device="cpu")
    assert not (tmp_path / "ran").exists()
    encoder = load_encoder(folder, device="cpu", trust_remote_code=True)
    assert (tmp_path / "ran").exists()
    assert encoder.encode_images(images).shape == (3, 3)
    assert encoder.encode_texts(TEXTS).shape == (3, 3)


def test_a_bert_with_remote_code_is_refused(tmp_path):
    biomedclip(tmp_path)
    config = tmp_path / "text_tower" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"AutoConfig": "odd.Config"}}))
    with pytest.raises(FormatError, match=r"text_tower/config\.json asks to run code"):
        load_encoder(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (None, FileError, r"holds no open_clip_config\.json and no config\.json"),
        ("{", FormatError, "is not a JSON file"),
        ("[]", FormatError, "neither the model_type of transformers nor the architecture of timm"),
        ('{"model_type": "bert"}', FormatError, "is of a 'bert' model; knobo loads clip, siglip, siglip2, dinov2"),
        ('{"model_type": "clip"}', FileError, r"holds no preprocessor_config\.json"),
        ('{"architecture": "no_such_vit", "pretrained_cfg": {}}', FormatError, "not a timm model that can be loaded"),
    ],
)
def test_folders_that_are_no_model(tmp_path, config, error, message):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(error, match=message):
        load_encoder(tmp_path, device="cpu")


def test_without_transformers_the_way_out_is_said(tmp_path, monkeypatch):
    clip(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'knobo\[transformers\]'"):
        load_encoder(tmp_path, device="cpu")


def test_precisions_that_are_not_there(tmp_path):
    timm_vit(tmp_path)
    with pytest.raises(InputError, match=r"needs a GPU; on a CPU use 'bf16' or 'fp32'"):
        load_encoder(tmp_path, device="cpu", precision="fp16")
    with pytest.raises(InputError, match="Unknown precision 'int8'"):
        load_encoder(tmp_path, device="cpu", precision="int8")
