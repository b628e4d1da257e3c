"""`knobo bank`: compare two banks, check one against its corpus."""

import pytest
from typer.testing import CliRunner

from knobo.bank import load_bank
from knobo.cli import app
from knobo.errors import InputError


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def smaller(tmp_path_factory):
    bank = load_bank("chest-xray")
    kept = [name for name in bank.ids if name != "cardiomegaly"]
    path = tmp_path_factory.mktemp("bank") / "smaller.json"
    bank.subset(kept).to_json(path)
    return path


def test_diff_names_what_is_gone(smaller):
    text = run("bank", "diff", "chest-xray", smaller)
    assert "cardiomegaly" in text
    assert "in the first only" in text
    assert "+ → unknown" in text


def test_a_bank_does_not_differ_from_itself():
    assert "Same concepts, same prior signs" in run("bank", "diff", "chest-xray", "chest-xray")


@pytest.mark.parametrize("name", ["chest-xray", "skin-lesion"])
def test_the_shipped_banks_are_valid(name):
    assert "stand in their passages" in run("bank", "validate", name, "--corpus", name)


def test_merging_gives_back_what_one_bank_lacks(smaller, tmp_path):
    run("bank", "merge", smaller, "chest-xray", "--out", tmp_path / "joined.json")
    joined, whole = load_bank(tmp_path / "joined.json"), load_bank("chest-xray")
    assert set(joined.ids) == set(whole.ids)
    signs = ({(s.class_name, s.concept_id, s.sign) for s in bank.prior} for bank in (joined, whole))
    assert next(signs) == next(signs)


def test_another_corpus_is_noticed():
    with pytest.raises(InputError, match=r"cited sentences do not stand in their passage.*Is this the corpus"):
        run("bank", "validate", "chest-xray", "--corpus", "skin-lesion")


def test_a_price_that_is_none_is_named(tmp_path):
    arguments = ("--corpus", "chest-xray", "--llm", "m", "--cache", tmp_path, "--price", "cheap")
    with pytest.raises(InputError, match=r"--price must be two numbers such as 0\.15,0\.60, got 'cheap'"):
        run("bank", "build", "pneumonia", *arguments)


def test_a_card_is_shown_or_written(tmp_path):
    shown = run("bank", "card", "chest-xray")
    run("bank", "card", "chest-xray", "--out", tmp_path / "card.md")
    assert "# Concept bank: chest-xray" in shown
    assert " ".join((tmp_path / "card.md").read_text(encoding="utf-8").split()) == shown


def test_a_bank_is_built_from_an_index_folder_and_checked_against_it(tmp_path):
    index = tmp_path / "index"
    run("corpus", "add", "chest-xray", "--out", index)
    run("bank", "build", "pneumonia", "--corpus", index, "--n-concepts", "3", "--out", tmp_path / "bank.json")
    assert len(load_bank(tmp_path / "bank.json")) == 3
    assert "stand in their passages" in run("bank", "validate", tmp_path / "bank.json", "--corpus", index)
