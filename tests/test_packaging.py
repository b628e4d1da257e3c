"""What a stranger installs: the wheel and the sdist carry the banks, the corpora and the type marker."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = (
    "concepts/chest-xray/bank.json",
    "concepts/skin-lesion/bank.json",
    "concepts/annotator.json",
    "concepts/findings.json",
    "concepts/kb/open_kb.jsonl",
    "corpora/textbook/chest-xray/02-heart-failure.md",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_carries_data_types_and_licence(built):
    names = zipfile.ZipFile(built[0]).namelist()
    assert {f"knobo/_shipped/{name}" for name in SHIPPED} | {"knobo/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def test_the_sdist_carries_what_a_wheel_is_built_from(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*SHIPPED, "pyproject.toml", "README.md", "LICENSE", "knobo/__init__.py", "tests/conftest.py"} <= names


def test_unpacked_elsewhere_it_finds_its_banks_and_corpora(built, tmp_path):
    zipfile.ZipFile(built[0]).extractall(tmp_path)
    code = (
        "import knobo, knobo.storage as s; print(knobo.__file__); print(len(knobo.load_bank('chest-xray')));"
        "print(s.shipped_path('corpora', 'textbook'))"
    )
    path = os.pathsep.join([str(tmp_path), *(entry for entry in sys.path if entry and Path(entry) != ROOT)])
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert output[0].startswith(str(tmp_path))
    assert int(output[1]) >= 40
    assert output[2] == str(tmp_path / "knobo" / "_shipped" / "corpora" / "textbook")
