"""The commands ``knobo models …``."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from knobo import cli_models
from knobo.cli_models import models_app
from knobo.encoders.check import check_encoder
from knobo.errors import FormatError, InputError

sys.path.insert(0, str(Path(__file__).parent / "encoders"))
from tiny_models import save_timm, save_transformers_clip


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setattr(cli_models, "out_console", Console(width=300, markup=False, highlight=False))


def run(*arguments):
    result = CliRunner().invoke(models_app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_filters_by_modality_and_loader():
    everything = run("list")
    assert all(name in everything for name in ("whyxrayclip", "biomedclip", "openai-clip-vit-b-16"))
    chest = run("list", "--modality", "Chest")
    assert "whyxrayclip" in chest
    assert "whylesionclip" not in chest
    assert "plip" not in run("list", "--loader", "own")
    assert "0 published encoders" in run("list", "--loader", "keras")


def test_warnings_are_one_line_without_code():
    command = [sys.executable, "-c", "from knobo.cli import main; main()", "models", "check", "phantom-clip"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    warning = "Warning: phantom-clip was trained on synthetic images only; it knows nothing about real patients."
    assert warning in done.stderr.splitlines()
    assert "cli_models.py" not in done.stderr


def test_show_tells_what_is_known_and_where_it_was_read():
    output = run("show", "MedSigLIP")
    for fact in (
        "google/medsiglip-448",
        "448",
        "Gated          yes",
        "0.5, 0.5, 0.5",
        "Sources",
        "https://github.com/",
    ):
        assert fact in output
    assert "Std            not known" in run("show", "whyxrayclip")
    assert "How to get it  Checkpoints are on" in run("show", "chexzero")
    with pytest.raises(InputError, match="Did you mean biomedclip"):
        run("show", "biomedclp")


def test_check_encodes_images_and_texts(tmp_path):
    save_transformers_clip(tmp_path)
    output = run("check", tmp_path, "--device", "cpu", "--precision", "bf16")
    assert "images have 16 values, each seen at 24 × 24 pixels; texts have 16 values" in output
    assert "images/s on cpu, bf16" in output
    assert float(re.search(r"Cosine with fp32: at least (0\.\d+)\.", output)[1]) > 0.999
    assert "a second run gives the same numbers" in output


def test_check_of_a_model_without_texts(tmp_path):
    save_timm(tmp_path)
    assert "no text side" in run("check", tmp_path, "--device", "cpu")


class Wavering:
    """An encoder with every fault that a check can see."""

    spec = "wavering"
    calls = 0

    def encode_images(self, images, *, progress=False):
        self.calls += 1
        return np.full((len(images), 3), self.calls, dtype=np.float32)

    def encode_texts(self, texts):
        return np.ones((len(texts), 1), dtype=np.float32)


def test_check_names_what_is_wrong(monkeypatch):
    problems = check_encoder(Wavering()).problems
    assert problems == (
        "texts have 1 values and images 3",
        "rows are not of length 1 (off by 0.73)",
        "a second run differs by 1",
    )
    monkeypatch.setattr("knobo.encoders.load_encoder", lambda name, **_: Wavering())
    with pytest.raises(FormatError, match="wavering is not fit for use: texts have 1 values"):
        run("check", "wavering")


def test_show_phantom_clip_prints_its_card():
    assert "It knows nothing about real patients" in run("show", "Phantom-CLIP")
    assert "phantom-clip" in run("list", "--modality", "chest")
