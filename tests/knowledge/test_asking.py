"""A language model as a plain function, over a real HTTP server."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by the tests)

from llm_server import Word, environment, make, server, shared_server

from knobo.knowledge import ask_with


def test_replies_come_in_order_and_none_where_there_is_none(server, make):
    ask = ask_with(make(), "v1")
    replies = ask([("You count.", "a"), ("You count.", "b")], Word)
    assert [reply.word for reply in replies] == ["a", "b"]
    assert server.n_calls == 2


def test_the_cache_of_the_model_holds(server, make):
    model = make()
    first = ask_with(model)([("s", "a")], Word)
    assert ask_with(model)([("s", "a")], Word) == first
    assert server.n_calls == 1
