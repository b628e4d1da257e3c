"""Contrastive training: it learns, it can be cut off, and it says what it cannot train on."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from knobo.encoders import finetune, load_encoder
from knobo.errors import FileError, FormatError, InputError, InputTypeError

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (120, 120, 120)}
SETTINGS = {"epochs": 16, "batch_size": 8, "learning_rate": 3e-3, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    document = {"model_cfg": MODEL, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    names = list(COLOURS) * 8
    images = [np.clip(rng.normal(COLOURS[name], 12, (40, 40, 3)), 0, 255).astype(np.uint8) for name in names]
    return images, [f"The field is {name}. Nothing else is seen." for name in names]


@pytest.fixture(scope="module")
def trained(start, pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "model"
    return finetune(start, *pairs, out, sentences=1, **SETTINGS), out


def weights(folder):
    return load_file(folder / "open_clip_model.safetensors")


def test_texts_find_their_images_after_training(trained):
    encoder, _ = trained
    fields = [np.full((40, 40, 3), colour, np.uint8) for colour in COLOURS.values()]
    likeness = encoder.encode_images(fields) @ encoder.encode_texts([f"The field is {name}." for name in COLOURS]).T
    assert likeness.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_the_folder_loads_by_name_and_records_how_it_was_made(trained, pairs):
    encoder, out = trained
    again = load_encoder(out, device="cpu")
    np.testing.assert_array_equal(encoder.encode_images(pairs[0][:3]), again.encode_images(pairs[0][:3]))
    record = json.loads((out / "training.json").read_text())
    assert record["n_pairs"] == 32
    assert record["settings"]["epochs"] == 16
    assert len(record["loss"]) == 16
    assert record["loss"][-1] < record["loss"][0]
    assert not out.with_name("model.training").exists()


def test_a_run_that_was_cut_off_ends_in_the_same_weights(trained, start, pairs, tmp_path, monkeypatch):
    from knobo.encoders import _checkpoint

    save, saved = _checkpoint.Checkpoint.save, []

    def save_and_die(self, *args):
        save(self, *args)
        saved.append(args)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(_checkpoint.Checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        finetune(start, *pairs, tmp_path / "model", sentences=1, **SETTINGS)
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    finetune(start, *pairs, tmp_path / "model", sentences=1, **SETTINGS)
    whole, resumed = weights(trained[1]), weights(tmp_path / "model")
    assert whole.keys() == resumed.keys()
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], rtol=0, atol=0)


def test_readers_in_processes_change_nothing(trained, start, pairs, tmp_path):
    finetune(start, *pairs, tmp_path / "model", sentences=1, workers=1, **SETTINGS)
    whole, other = weights(trained[1]), weights(tmp_path / "model")
    for name in whole:
        torch.testing.assert_close(other[name], whole[name], rtol=0, atol=0)


def test_training_goes_on_from_a_trained_folder(trained, pairs, tmp_path):
    _, out = trained
    finetune(out, *pairs, tmp_path / "more", **{**SETTINGS, "epochs": 1, "learning_rate": 1e-4})
    first, record = (
        json.loads((out / "training.json").read_text()),
        json.loads((tmp_path / "more" / "training.json").read_text()),
    )
    assert record["loss"][0] < first["loss"][0]


def test_a_checkpoint_of_another_run_is_refused(start, pairs, tmp_path, monkeypatch):
    from knobo.encoders import _checkpoint

    save = _checkpoint.Checkpoint.save

    def save_and_die(self, *args):
        save(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(_checkpoint.Checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        finetune(start, *pairs, tmp_path / "model", **SETTINGS)
    for change in ({"random_state": 1}, {"weight_decay": 0.0}):
        with pytest.raises(FormatError, match="other settings or data"):
            finetune(start, *pairs, tmp_path / "model", **SETTINGS, **change)
    with pytest.raises(FormatError, match="other settings or data"):
        finetune(start, pairs[0], pairs[1][::-1], tmp_path / "model", **SETTINGS)


def test_a_model_is_never_overwritten(trained, start, pairs):
    with pytest.raises(FileError, match="exists"):
        finetune(start, *pairs, trained[1], **SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 33}, "from 2 to the 32 images"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"warmup": 1.0}, "warmup must be"),
        ({"sentences": 0}, "sentences must be"),
        ({"crop": 0.0}, "crop must be"),
        ({"jitter": 1.0}, "jitter must be"),
        ({"precision": "fp8"}, "precision must be"),
    ],
)
def test_settings_out_of_range_are_named(start, pairs, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        finetune(start, *pairs, tmp_path / "model", **{**SETTINGS, **change})


def test_pairs_that_do_not_fit_are_named(start, pairs, tmp_path):
    images, reports = pairs
    with pytest.raises(InputError, match="32 images but 31 reports"):
        finetune(start, images, reports[:-1], tmp_path / "model", **SETTINGS)
    with pytest.raises(InputError, match=r"reports\[3\] is empty"):
        finetune(start, images, [*reports[:3], " ", *reports[4:]], tmp_path / "model", **SETTINGS)
    with pytest.raises(InputTypeError, match="list of strings"):
        finetune(start, images, "one report", tmp_path / "model", **SETTINGS)


def test_starts_that_cannot_be_trained_are_named(pairs, tmp_path):
    with pytest.raises(InputError, match="neither"):
        finetune("no-such-model", *pairs, tmp_path / "model", **SETTINGS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="holds no open_clip_config"):
        finetune(tmp_path / "empty", *pairs, tmp_path / "model", **SETTINGS)
    (tmp_path / "empty" / "open_clip_config.json").write_text("{")
    with pytest.raises(FormatError, match="no JSON"):
        finetune(tmp_path / "empty", *pairs, tmp_path / "model", **SETTINGS)
    (tmp_path / "empty" / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 4}}')
    with pytest.raises(FormatError, match="not a model that can be trained"):
        finetune(tmp_path / "empty", *pairs, tmp_path / "model", **SETTINGS)
