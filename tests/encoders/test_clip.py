"""CLIP models: a tiny one, written by the test in open_clip's folder format, is loaded as any large one would be."""

import json
import os
import shutil

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.base import clone

from knobo.encoders import ClassicalEncoder, ClipEncoder, ImageEncoder, StagedEncoder, TextEncoder, embed, load_encoder
from knobo.errors import DownloadError, FileError, FormatError, InputError, InputTypeError

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return open_clip.CLIP(**CONFIG["model_cfg"]).eval()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-clip")
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def encoder(folder):
    return load_encoder(f"local-dir:{folder}", device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(5)]


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("KNOBO_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_image_rows_are_what_the_model_says(encoder, model, images):
    rows = encoder.encode_images(images)
    assert rows.dtype == np.float32
    assert rows.shape == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)

    mean, std = (np.array(CONFIG["preprocess_cfg"][key]) for key in ("mean", "std"))
    pixels = torch.tensor((np.stack(images) / 255 - mean) / std, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = model.encode_image(pixels, normalize=True).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_text_rows_are_what_the_model_says(encoder, model):
    texts = ["pleural effusion", "no pleural effusion", "a nodule"]
    rows = encoder.encode_texts(texts)
    with torch.no_grad():
        expected = model.encode_text(open_clip.SimpleTokenizer(context_length=16)(texts), normalize=True).numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert rows.dtype == np.float32
    assert isinstance(encoder, TextEncoder)


def test_order_and_batch_size_do_not_matter(encoder, folder, images):
    rows = encoder.encode_images(images)
    whole = ClipEncoder(f"local-dir:{folder}", device="cpu", batch_size=64)
    np.testing.assert_allclose(whole.encode_images(images), rows, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(images[::-1])[::-1], rows, atol=1e-5)
    np.testing.assert_array_equal(encoder.encode_images(images), rows)


def test_any_source_and_size(encoder, images, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(images[0]).save(path)
    rows = encoder.encode_images([path, Image.fromarray(images[0]), images[0]])
    np.testing.assert_allclose(rows, rows[[0, 0, 0]], atol=1e-6)
    assert encoder.encode_images([np.zeros((50, 90), np.uint16)]).shape == (1, 16)


def test_the_spec_loads_it_again(encoder, folder, images):
    assert encoder.spec == f"local-dir:{folder}"
    assert encoder.image_size == (32, 32)
    for spec in (encoder.spec, folder, str(folder)):
        again = load_encoder(spec, device="cpu")
        assert again.spec == encoder.spec
        np.testing.assert_allclose(again.encode_images(images[:1]), encoder.encode_images(images[:1]), atol=1e-6)


def test_clones_share_the_weights(encoder, images):
    transformer = clone(ImageEncoder(encoder)).fit(images)
    assert transformer.encoder_ is encoder
    assert transformer.transform(images).shape == (5, 16)


def test_progress_shows_a_bar(encoder, images, capsys):
    encoder.encode_images(images, progress=True)
    assert "encoding images: 100%" in capsys.readouterr().err


def test_a_torch_file_of_tensors_is_read_and_one_with_code_is_refused(copied, encoder, model, images, tmp_path):
    weights = copied / "open_clip_model.safetensors"
    weights.unlink()
    torch.save(model.state_dict(), copied / "open_clip_pytorch_model.bin")
    rows = load_encoder(copied, device="cpu").encode_images(images)
    np.testing.assert_allclose(rows, encoder.encode_images(images), atol=1e-5)

    torch.save({"state_dict": Touch(tmp_path / "ran")}, copied / "open_clip_pytorch_model.bin")
    with pytest.raises(FormatError, match="would have to run code to load, which knobo refuses"):
        load_encoder(copied, device="cpu")
    assert not (tmp_path / "ran").exists()


class Touch:
    """Unpickling it would run a function."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        from pathlib import Path

        return Path.touch, (self.path,)


def test_a_config_that_asks_for_remote_code_is_refused(copied):
    config = json.loads((copied / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (copied / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match="knobo runs no code that comes with a model"):
        load_encoder(copied, device="cpu")


def test_incomplete_and_broken_folders(copied, tmp_path):
    with pytest.raises(FileError, match=r"No folder .*nowhere"):
        load_encoder(f"local-dir:{tmp_path / 'nowhere'}")
    (copied / "open_clip_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(FormatError, match="not a model that can be loaded"):
        load_encoder(copied, device="cpu")
    (copied / "open_clip_model.safetensors").unlink()
    with pytest.raises(FileError, match=r"holds no weights; put open_clip_model\.safetensors beside"):
        load_encoder(copied, device="cpu")
    (copied / "open_clip_config.json").unlink()
    with pytest.raises(FileError, match=r"holds no open_clip_config\.json"):
        load_encoder(copied, device="cpu")


@pytest.mark.parametrize("spec", ["hf-hub:some-lab/some-clip", "ViT-B-32/openai", "open_clip:ViT-B-32/openai"])
def test_without_a_network_it_says_at_once_what_to_carry(offline, spec):
    with pytest.raises(
        DownloadError,
        match=r"switched off by KNOBO_OFFLINE.*knobo models fetch .*'local-dir:FOLDER'.*open_clip_config\.json",
    ):
        load_encoder(spec)


def test_an_unreachable_hub_is_not_asked_for_a_minute(monkeypatch, tmp_path):
    def refuse():
        raise ConnectionError("no route to host")

    for name in ("KNOBO_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils.get_session", refuse)
    with pytest.raises(DownloadError, match=r"hf-hub:a/b: the Hugging Face hub cannot be reached \(no route to host\)"):
        load_encoder("hf-hub:a/b")


def test_a_cached_model_is_used_without_a_network(offline, folder, encoder, images):
    repository = offline / "models--some-lab--some-clip"
    snapshot = repository / "snapshots" / "0123abc"
    shutil.copytree(folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    cached = load_encoder("hf-hub:some-lab/some-clip", device="cpu")
    assert cached.spec == "hf-hub:some-lab/some-clip"
    np.testing.assert_allclose(cached.encode_images(images), encoder.encode_images(images), atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ViT-B-23", "Unknown encoder 'ViT-B-23'. Did you mean .*ViT-B-32"),
        ("clasical", "Did you mean classical"),
        ("ViT-B-32/opnai", "no weights 'opnai' for 'ViT-B-32'; choose one of: ViT-B-32/openai"),
        ("ViT-B-32", "choose one of: ViT-B-32/openai"),
    ],
)
def test_unknown_names_are_answered_with_close_ones(spec, message):
    with pytest.raises(InputError, match=message):
        load_encoder(spec)


def test_classical_by_name():
    encoder = load_encoder("classical")
    assert isinstance(encoder, ClassicalEncoder)
    assert load_encoder("classical:shape+colour").families == ("shape", "colour")
    with pytest.raises(InputTypeError, match="by name or folder, got int"):
        load_encoder(3)


def test_bad_arguments_are_named(encoder, folder, images):
    with pytest.raises(InputError, match="Unknown device 'gpu'"):
        load_encoder(folder, device="gpu")
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        load_encoder(folder, batch_size=0)
    with pytest.raises(InputTypeError, match="put a single text in a list"):
        encoder.encode_texts("effusion")
    with pytest.raises(InputError, match="no texts"):
        encoder.encode_texts([])
    with pytest.raises(InputError, match=r"images\[1\]: An image array must have shape"):
        encoder.encode_images([images[0], images[0][0, 0]])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_named(folder):
    with pytest.raises(InputError, match="has no cuda device; use device='auto' or 'cpu'"):
        load_encoder(folder, device="cuda")


def test_the_temperature_is_the_models(encoder, model):
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_steps_and_compilation_give_the_rows_of_encode_images(folder, images, monkeypatch):
    encoder = load_encoder(folder, device="cpu", batch_size=2)
    assert isinstance(encoder, StagedEncoder)
    rows = encoder.encode_images(images)
    by_hand = encoder.encode_batch([encoder.prepare(Image.fromarray(image)) for image in images])
    np.testing.assert_allclose(rows, by_hand.numpy(), atol=1e-6)
    monkeypatch.setattr(encoder._model.visual, "compile", lambda: monkeypatch.setenv("COMPILED", "1"))
    assert encoder.compile() is encoder
    assert os.environ["COMPILED"] == "1"


def test_its_rows_are_kept_under_its_fingerprint(encoder, copied, images, tmp_path):
    rows = embed(encoder, images, store=tmp_path / "store").rows
    again = embed(load_encoder(copied, device="cpu"), images, store=tmp_path / "store")
    assert again.reused == len(images)
    np.testing.assert_array_equal(again.rows, rows)
    config = (copied / "open_clip_config.json").read_text()
    (copied / "open_clip_config.json").write_text(config.replace('"mean": [0.5', '"mean": [0.6'))
    assert embed(load_encoder(copied, device="cpu"), images, store=tmp_path / "store").reused == 0


def test_scaled_decoding_is_close(encoder, tmp_path):
    y, x = np.mgrid[0:256, 0:256]
    smooth = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "large.jpg", quality=95)
    full = embed(encoder, [tmp_path / "large.jpg"]).rows
    scaled = embed(encoder, [tmp_path / "large.jpg"], scaled=True).rows
    assert not np.array_equal(full, scaled)
    assert (full * scaled).sum() > 0.999
