"""The public face: every name resolves, and importing it loads nothing heavy."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import knobo


@pytest.mark.parametrize("name", knobo.__all__)
def test_every_public_name_resolves_to_a_documented_thing(name):
    assert getattr(knobo, name).__doc__


def test_the_lazy_table_matches_what_type_checkers_see():
    source = Path(knobo.__file__).read_text(encoding="utf-8").split("if TYPE_CHECKING:")[1]
    assert all(name in source for name in knobo.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'sorcery'"):
        _ = knobo.sorcery


def test_import_loads_no_heavy_package():
    code = "import sys, knobo; print(*{'torch', 'sklearn', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""


def test_the_version_is_the_installed_one():
    assert version("knobo") == knobo.__version__
