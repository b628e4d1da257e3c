import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from knobo.errors import FormatError, InputError, MissingDependencyError
from knobo.knowledge.text_encoder import load_text_encoder, pool


class FakeTokenizer:
    """Letters to numbers, as a Hugging Face tokenizer would give them."""

    model_max_length = 100

    def __call__(self, texts, *, padding, truncation, max_length, return_tensors):
        import torch

        assert (padding, truncation, return_tensors) == (True, True, "pt")
        ids = [[ord(letter) % 7 for letter in text[:max_length]] for text in texts]
        width = max(map(len, ids))
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        batch = {"input_ids": torch.tensor([row + [6] * (width - len(row)) for row in ids]), "attention_mask": mask}

        class Batch(dict):
            def to(self, device):
                return self

        return Batch(batch)


class FakeModel:
    """One-hot states."""

    config = SimpleNamespace(hidden_size=7, max_position_embeddings=50)
    device = "cpu"

    def to(self, device):
        return self

    def eval(self):
        return self

    def __call__(self, input_ids, attention_mask):
        import torch

        return SimpleNamespace(last_hidden_state=torch.eye(7)[input_ids])


@pytest.fixture
def transformers(monkeypatch):
    """Stand-in for transformers; asks that remote code stays off."""

    def give(what):
        def from_pretrained(folder, *, trust_remote_code, local_files_only):
            assert (trust_remote_code, local_files_only) == (False, True)
            if not (Path(folder) / "config.json").exists():
                raise OSError("no config.json")
            return what

        return SimpleNamespace(from_pretrained=from_pretrained)

    quiet = SimpleNamespace(is_progress_bar_enabled=lambda: False, disable_progress_bar=lambda: None)
    fake = SimpleNamespace(
        AutoTokenizer=give(FakeTokenizer()), AutoModel=give(FakeModel()), utils=SimpleNamespace(logging=quiet)
    )
    monkeypatch.setitem(sys.modules, "transformers", fake)


def write_model(folder, *, kinds=(), pooling=None, length=None):
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if kinds:
        places = {"Pooling": "1_Pooling"}
        modules = [{"type": f"sentence_transformers.models.{kind}", "path": places.get(kind, "")} for kind in kinds]
        (folder / "modules.json").write_text(json.dumps(modules))
    if pooling:
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if length:
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    return folder


def test_an_encoder_pools_as_its_files_say(tmp_path, transformers):
    mean = write_model(
        tmp_path / "mini",
        kinds=("Transformer", "Pooling", "Normalize"),
        pooling={"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
        length=4,
    )
    encode = load_text_encoder(mean, batch_size=2)
    assert (encode.name, encode.pooling, encode.normalize, encode.max_length) == ("mini", "mean", True, 4)
    texts = ["pleural", "ab", "effusion", "a"]
    rows = [np.eye(7)[[ord(letter) % 7 for letter in text[:4]]].mean(axis=0) for text in texts]
    expected = np.array([row / np.linalg.norm(row) for row in rows])
    np.testing.assert_allclose(encode(texts), expected, atol=1e-6)
    assert encode([]).shape == (0, 7)


def test_an_encoder_without_pooling_files_takes_the_first_token(tmp_path, transformers):
    encode = load_text_encoder(write_model(tmp_path / "medcpt"))
    assert (encode.pooling, encode.normalize, encode.max_length) == ("cls", False, 50)
    np.testing.assert_array_equal(encode(["b", "cab"]), np.eye(7)[[ord("b") % 7, ord("c") % 7]])
    assert load_text_encoder(tmp_path / "medcpt", pooling="mean", normalize=True).pooling == "mean"


def test_models_that_cannot_be_run_are_refused(tmp_path, transformers):
    with pytest.raises(InputError, match="asks for the step 'Dense'"):
        load_text_encoder(write_model(tmp_path / "dense", kinds=("Transformer", "Dense")))
    odd = write_model(tmp_path / "odd", kinds=("Transformer", "Pooling"), pooling={"pooling_mode": "max"})
    with pytest.raises(InputError, match="asks for the pooling max"):
        load_text_encoder(odd)
    assert load_text_encoder(odd, pooling="cls").pooling == "cls"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"holds no model that can be read .*no config.json"):
        load_text_encoder(tmp_path / "empty")
    (odd / "modules.json").write_text("[")
    with pytest.raises(FormatError, match="is not a JSON file"):
        load_text_encoder(odd)
    with pytest.raises(InputError, match="pooling is 'mean' or 'cls', or left out, got 'max'"):
        load_text_encoder(odd, pooling="max")
    with pytest.raises(InputError, match="batch_size is a number of texts, at least 1, got 0"):
        load_text_encoder(odd, batch_size=0)


def test_without_transformers_the_way_out_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"Install knobo\[dense\], or hand over any function"):
        load_text_encoder(tmp_path)


def test_padding_has_no_part_in_a_mean():
    import torch

    states = torch.tensor([[[1.0, 3.0], [3.0, 5.0], [99.0, 99.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(states, mask, "mean", normalize=False).tolist() == [[2.0, 4.0]]
    assert pool(states, mask, "cls", normalize=False).tolist() == [[1.0, 3.0]]
    assert pool(states, mask, "mean", normalize=True).norm().item() == pytest.approx(1)
