"""Asking a language model, over a real HTTP server that misbehaves on script."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by the tests)

import asyncio
import sys

import pytest
from llm_server import KEY, Loose, Word, environment, make, numbered, prompts, server, shared_server

from knobo.errors import InputError, MissingDependencyError, ModelError
from knobo.knowledge.ledger import Budget, Price
from knobo.knowledge.llm import Prompt
from knobo.knowledge.llm_request import Form, estimate_tokens


def test_answers_come_in_order_and_within_the_bound(server, make):
    server.default = ("slow", 0.02)
    model = make(concurrency=4)
    answers = model.ask(numbered(20), Word)
    assert [answer.value.word for answer in answers] == [f"q{i}" for i in range(20)]
    assert not any(answer.error or answer.cached for answer in answers)
    assert 2 <= server.most_at_once <= 4
    assert server.n_calls == 20


def test_what_is_sent(server, make):
    make(model="gpt", temperature=0.5, seed=3, max_tokens=77).ask(prompts("a"), Word)
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["seed"], body["max_tokens"]) == ("gpt", 0.5, 3, 77)
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    shape = body["response_format"]["json_schema"]
    assert shape["strict"]
    assert shape["name"] == "Word"
    assert shape["schema"] == Word.model_json_schema()
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_no_system_text_no_seed_and_a_schema_that_is_not_strict(server, make):
    server.scripts["a"] = [("text", '{"items": ["x"]}')]
    (answer,) = make(seed=None).ask([Prompt(system="", user="a")], Loose)
    assert answer.value.items == ["x"]
    assert "seed" not in server.bodies[0]
    assert len(server.bodies[0]["messages"]) == 1
    assert server.bodies[0]["response_format"]["json_schema"]["strict"] is False


def test_half_characters_are_replaced(server, make):
    server.scripts["a?"] = [("text", '{"word": "x\\ud800", "number": 1}')]
    (answer,) = make().ask(prompts("a\ud800"), Word)
    assert answer.value.word == "x?"
    assert make().ask(prompts("a\ud800"), Word)[0].cached


def test_it_works_inside_a_running_loop(make):
    async def cell():
        return make().ask(prompts("a"), Word)

    assert asyncio.run(cell())[0].value.word == "a"


def test_a_server_without_response_format_is_remembered(server, make):
    server.default = "no_format"
    model = make(concurrency=1)
    assert [answer.value.word for answer in model.ask(numbered(5), Word)] == [f"q{i}" for i in range(5)]
    assert server.n_calls == 6
    assert '"additionalProperties": false' in server.bodies[-1]["messages"][0]["content"]
    model.ask(prompts("later"), Word)
    assert server.n_calls == 7


def test_an_unexplained_400_is_tried_without_response_format(server, make):
    server.scripts["a"] = [("no_format", "Bad Request")]
    model = make()
    assert model.ask(prompts("a"), Word)[0].value.word == "a"
    assert model._state.form == Form(schema=False)


def test_a_useless_change_of_form_is_not_remembered(server, make):
    server.scripts["a"] = [("status", 400, "odd")]
    model = make()
    with pytest.raises(ModelError, match="odd"):
        model.ask(prompts("a"), Word)
    assert model._state.form == Form()


def test_a_model_that_wants_max_completion_tokens_and_no_temperature(server, make):
    server.default = "modern"
    model = make(concurrency=1)
    assert all(answer.value for answer in model.ask(numbered(3), Word))
    assert server.n_calls == 5
    assert server.bodies[-1]["max_completion_tokens"] == 4096


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "maximum context length is 8192 tokens; reduce max_tokens"), (413, "no"), (422, "content_filter hit")],
)
def test_a_prompt_that_is_refused_does_not_end_the_round(server, make, status, message):
    server.scripts["q0"] = [("status", status, message)]
    bad, good = make().ask(numbered(2), Word)
    assert good.value
    assert message in bad.error
    assert "Shorten or change it" in bad.error
    assert server.calls["q0"] == 1


@pytest.mark.parametrize("first", ["nothing", '{"word": "x"', '{"word": 1}', "", '{"word": NaN, "number": 1}'])
def test_a_broken_reply_gets_one_repair(server, make, first):
    server.scripts["a"] = [("text", first), "good"]
    model = make()
    assert model.ask(prompts("a"), Word)[0].value.word == "a"
    note = server.bodies[1]["messages"][-1]["content"]
    assert "cannot be used" in note
    assert '"additionalProperties": false' in note
    assert model.ledger.to_frame()["reason"].tolist() == ["", "repair"]


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (("text", "I do not know"), "no JSON object"),
        (("text", '{"word": "x", "number": "many"}'), "number: Input should be a valid integer"),
        ("no_choices", "it was empty"),
    ],
)
def test_a_reply_that_stays_broken_is_an_error_and_is_not_kept(server, make, step, match):
    server.scripts["a"] = [step]
    (answer,) = make().ask(prompts("a"), Word)
    assert answer.value is None
    assert match in answer.error
    assert "asked twice" in answer.error
    assert server.calls["a"] == 2
    assert make().dry_run(prompts("a"), Word).calls == 1


@pytest.mark.parametrize(("finish", "match"), [("length", "cut off at max_tokens=9"), ("content_filter", "withheld")])
def test_a_reply_that_was_cut_off_is_not_repaired(server, make, finish, match):
    server.scripts["a"] = [("text", '{"word": "x', finish)]
    (answer,) = make(max_tokens=9).ask(prompts("a"), Word)
    assert match in answer.error
    assert server.n_calls == 1


def test_tokens_are_estimated():
    assert [estimate_tokens(text) for text in ("", "abcd", "abcde", "肺炎")] == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"model": ""}, "needs a name"),
        ({"concurrency": 0}, "concurrency"),
        ({"timeout": 0}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"temperature": float("nan")}, "temperature"),
        ({"budget": Budget(usd=1)}, "price=Price"),
        ({"offline": True, "cache": None}, "cache="),
    ],
)
def test_arguments_are_checked(make, arguments, match):
    with pytest.raises(InputError, match=match):
        make(**arguments)


def test_without_openai(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "knobo\[llm\]"'):
        make().ask(prompts("a"), Word)
