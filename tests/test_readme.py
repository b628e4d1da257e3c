"""The Python lines of the README run as they stand."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from knobo.phantom import make_chest_xrays, write_phantom

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_phantom(make_chest_xrays(200, size=96), tmp_path / "home")
    write_phantom(make_chest_xrays(40, size=96, hospital="B", random_state=1), tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_snippets_run(folder):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    plt.close("all")
    assert (folder / "review.html").stat().st_size > 10_000
    assert set(names["shift"].to_frame()) >= {"id", "ood", "average", "gap"}
    assert list(names["clf"].bank_.ids) == ["cardiomegaly", "consolidation"]
