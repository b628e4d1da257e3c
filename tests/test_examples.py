"""The example scripts run from start to end on small synthetic data."""

import runpy
import sys
from pathlib import Path

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
