"""Every shipped recipe is sound, and a broken one is refused by field."""

import pytest
import yaml
from loopback import recipe

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge.recipes import Recipe, list_recipes, load_recipe
from knobo.storage import shipped_path

NAMES = [path.stem for path in sorted(shipped_path("corpora", "recipes").glob("*.yaml"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_says_where_each_fact_was_seen(name):
    found = load_recipe(name)
    assert found.name == name
    assert found.source in {found.source.strip()}
    facts = found.model_dump()
    assert all(facts.get(field) is None for field in found.unknown)
    assert found.seen.keys() <= facts.keys()
    assert "source" in found.seen
    assert all(len(text) > 10 for text in (*found.seen.values(), *found.unknown.values()))
    if found.files and found.id_pattern is None:
        names = [file.local for file in found.choose()]
        assert len(names) == len(set(names)) > 0
    if found.instead is not None:
        assert found.instead in NAMES


def test_the_corpora_of_the_field_have_a_recipe():
    medrag = {"medrag-pubmed", "medrag-statpearls", "medrag-textbooks", "medrag-wikipedia"}
    assert {item.name for item in list_recipes()} >= {"pubmed-baseline", "pmc-oa", "statpearls", *medrag}
    baseline = load_recipe("pubmed-baseline").choose()
    assert (baseline[0].name, baseline[-1].name) == ("pubmed26n0001.xml.gz", "pubmed26n1334.xml.gz")
    assert load_recipe("pmc-oa").choose(["PMC8005924.1"])[0].name == "PMC8005924.1/PMC8005924.1.xml"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"licence": "drop"}, "field licence"),
        ({"colour": "red"}, "field colour"),
        ({"kind": "pdf"}, "field kind"),
        ({"name": "A B"}, "field name"),
        ({"format_version": 2}, "field format_version"),
        ({"base_url": "ftp://example.org/"}, "field base_url"),
        ({"files": [{"name": "../a"}]}, r"field files\.0\.name"),
        ({"files": [{"name": "a/../../b"}]}, r"field files\.0 is broken: .*leaves the folder"),
        ({"files": [{"name": "a{n:04d}"}]}, "needs first and last"),
        ({"files": [{"name": "a{n:04d}", "first": 3, "last": 2}]}, "first is larger than last"),
        ({"files": [{"name": "a", "md5": "xyz"}]}, r"field files\.0\.md5"),
        ({"files": [{"name": "{id}.xml"}]}, "needs id_pattern"),
        ({"files": []}, "instead names another recipe"),
        ({"unknown": {}}, "no reason for the null field"),
        ({"seen": {"base_url": "here"}}, "does not name the source of citation"),
    ],
)
def test_a_broken_recipe_is_refused_by_field(tmp_path, changes, where):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(recipe(**changes)))
    with pytest.raises(FormatError, match=f"own.yaml.*{where}"):
        load_recipe(path)


def test_a_recipe_that_cannot_be_read(tmp_path):
    with pytest.raises(FileError, match=r"No recipe 'nope'; there are medrag-pubmed, .*statpearls"):
        load_recipe("nope")
    with pytest.raises(FileError, match="No recipe"):
        load_recipe("../recipes/pmc-oa")
    with pytest.raises(FileError, match=r"Cannot read .*none\.yaml"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(FormatError, match=r"bad\.yaml is not YAML"):
        load_recipe(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(FormatError, match="field the recipe is broken"):
        load_recipe(tmp_path / "list.yaml")


def test_some_files_are_chosen_by_name_or_id():
    rows = Recipe.model_validate(recipe({"name": "chunk/a{n:02d}.jsonl", "first": 8, "last": 10}))
    assert [file.local for file in rows.choose()] == ["a08.jsonl", "a09.jsonl", "a10.jsonl"]
    assert [file.name for file in rows.choose(["a10.jsonl"])] == ["chunk/a10.jsonl"]
    with pytest.raises(InputError, match=r"no file 'a11.jsonl'; its 3 files are a08.jsonl to a10.jsonl"):
        rows.choose(["a11.jsonl"])
    ids = load_recipe("pmc-oa")
    with pytest.raises(InputError, match="got by id"):
        ids.choose()
    with pytest.raises(InputError, match=r"'PMC1/\.\./x' is no id"):
        ids.choose(["PMC1/../x"])
