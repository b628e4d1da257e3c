"""Answers that are kept: keys, damage, threads and processes, offline."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by the tests)

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from llm_server import Loose, Word, environment, make, numbered, prompts, server, shared_server

from knobo.errors import FileError, ModelError
from knobo.knowledge.llm import Prompt
from knobo.knowledge.llm_cache import AnswerCache, cache_key


def test_the_second_time_is_free_on_any_host(server, make):
    make().ask(numbered(3), Word)
    model = make(base_url="http://localhost:1/v1")
    answers = model.ask(numbered(3), Word)
    assert all(answer.cached for answer in answers)
    assert server.n_calls == 3
    assert model.ledger.totals()["cached"] == 3


@pytest.mark.parametrize(
    "change",
    [{"model": "n"}, {"temperature": 1}, {"seed": 1}, {"base_url": "other"}, {"version": "2"}, {"schema": Loose}],
    ids=lambda change: next(iter(change)),
)
def test_the_key_holds_all_that_shapes_an_answer(server, make, change):
    make().ask(prompts("a"), Word)
    prompt = Prompt("Be brief.", "a", change.pop("version", "1"))
    schema = change.pop("schema", Word)
    if "base_url" in change:
        change["base_url"] = server.url.replace("/v1", "/deployments/other")
    assert make(**change).dry_run([prompt], schema).calls == 1
    assert make().dry_run(prompts("a"), Word).calls == 0


def test_the_key_keeps_its_value():
    assert cache_key(b=1, a="ä")[:16] == cache_key(a="ä", b=1)[:16]
    with pytest.raises(Exception, match="no key of the cache"):
        AnswerCache(Path("x")).get("abc")


def test_entries_lie_in_folders_of_two_letters(make, tmp_path):
    make().ask(numbered(5), Word)
    files = list((tmp_path / "cache").glob("??/*.json"))
    assert len(files) == 5
    assert all(file.parent.name == file.name[:2] for file in files)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("number", "nomber"),
        lambda text: "",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"format_version": 1', '"format_version": 9'),
        lambda text: text.replace('"key": "', '"key": "0'),
    ],
)
def test_a_damaged_entry_is_asked_again_and_mended(server, make, tmp_path, damage):
    make().ask(prompts("a"), Word)
    (file,) = (tmp_path / "cache").glob("??/*.json")
    good = file.read_text()
    file.write_text(damage(good))
    assert make().ask(prompts("a"), Word)[0].value.word == "a"
    assert server.n_calls == 2
    assert file.read_text() == good


def test_bytes_that_are_no_text_are_a_miss(server, make, tmp_path):
    make().ask(prompts("a"), Word)
    (file,) = (tmp_path / "cache").glob("??/*.json")
    file.write_bytes(b"\xff\xfe\x00")
    assert not make().ask(prompts("a"), Word)[0].cached


def test_equal_prompts_cost_one_call(server, make):
    answers = make().ask(prompts("a", "b", "a", "a"), Word)
    assert [answer.value.word for answer in answers] == ["a", "b", "a", "a"]
    assert server.n_calls == 2


@pytest.mark.parametrize("place", [None, "folder"])
def test_threads_that_ask_the_same_cost_one_call(server, make, tmp_path, place):
    server.default = ("slow", 0.1)
    model = make(cache=place and tmp_path / place)
    with ThreadPoolExecutor(6) as pool:
        rounds = list(pool.map(lambda _: model.ask(numbered(4), Word), range(6)))
    assert server.n_calls == 4
    assert all([a.value.word for a in answers] == ["q0", "q1", "q2", "q3"] for answers in rounds)


def test_two_models_may_share_a_folder(server, make):
    models = [make() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        rounds = list(pool.map(lambda model: model.ask(numbered(10), Word), models))
    assert all(answer.value for answers in rounds for answer in answers)
    frame = models[0].ledger.to_frame()
    assert (frame["event"] == "answer").sum() == server.n_calls <= 40
    assert frame["run"].nunique() == 4


def test_offline_reads_the_cache_alone(server, make, monkeypatch):
    make().ask(numbered(2), Word)
    monkeypatch.setitem(sys.modules, "openai", None)
    model = make(offline=True)
    assert [answer.value.word for answer in model.ask(numbered(2), Word)] == ["q0", "q1"]
    with pytest.raises(ModelError, match=r"3 of 5 prompts are not in the cache .*offline=False"):
        model.ask(numbered(5), Word)
    assert server.n_calls == 2


def test_a_cache_that_cannot_be_written(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="Choose another"):
        make(cache=tmp_path / "file").ask(prompts("a"), Word)
