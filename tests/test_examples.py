"""The example scripts run from start to end on small synthetic data."""

import runpy
import sys
from pathlib import Path

import pytest

from knobo.encoders import load_encoder
from knobo.phantom import make_chest_xrays, write_phantom

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(monkeypatch, capsys, name, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_explain_own_images(tmp_path, monkeypatch, capsys):
    write_phantom(make_chest_xrays(160, size=64), tmp_path / "home")
    out = run(monkeypatch, capsys, "01_explain_own_images.py", tmp_path / "home/manifest.csv", "--out", tmp_path)
    assert "linear probe        accuracy" in out
    assert "concept bottleneck  accuracy" in out
    assert (tmp_path / "explanation.png").exists()


def test_check_shift(monkeypatch, capsys):
    out = run(monkeypatch, capsys, "02_check_shift.py", "--n", 240, "--size", 64)
    assert "linear probe" in out
    assert "gap" in out


@pytest.mark.filterwarnings("ignore:Only one class is present")  # a dozen phantoms lack the rarest finding
def test_train_phantom_clip(tmp_path, monkeypatch, capsys):
    sizes = ("--chest", 6, "--skin", 6, "--test", 12, "--epochs", 1, 1)
    out = run(monkeypatch, capsys, "train_phantom_clip.py", tmp_path / "model", *sizes)
    assert "24 image-report pairs" in out
    assert load_encoder(tmp_path / "model").encode_texts(["no nodule"]).shape == (1, 128)
