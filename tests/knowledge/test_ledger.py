"""What is spent: ledger, budget, estimate."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by the tests)

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from llm_server import Word, environment, make, numbered, prompts, server, shared_server

from knobo.errors import BudgetError, InputError, InputTypeError
from knobo.knowledge.ledger import Budget, Ledger, Price
from knobo.knowledge.llm import Prompt


def test_the_ledger_adds_up(server, make):
    server.scripts = {"q0": [("status", 500), "good"], "q1": ["no_usage"]}
    model = make(price=Price(prompt=2.0, completion=4.0))
    model.ask(numbered(4), Word)
    model.ask(numbered(4), Word)
    frame = model.ledger.to_frame()
    assert frame["event"].value_counts().to_dict() == {"answer": 4, "retry": 1, "cached": 1}
    counted = frame[(frame["event"] == "answer") & ~frame["estimated"].astype(bool)]
    assert counted["prompt_tokens"].tolist() == [10] * 3
    assert counted["completion_tokens"].tolist() == [5] * 3
    assert counted["usd"].tolist() == pytest.approx([(10 * 2 + 5 * 4) / 1e6] * 3)
    (guess,) = frame[frame["estimated"].astype(bool)]["prompt_tokens"]
    assert 20 < guess < 200
    totals = model.ledger.totals()
    assert (totals["calls"], totals["cached"], totals["retries"], totals["failures"]) == (4, 4, 1, 0)
    assert totals["usd"] == pytest.approx(frame["usd"].sum())
    assert totals["seconds"] > 0
    assert "calls=4" in repr(model.ledger)


def test_a_torn_ledger_stays_readable(tmp_path):
    path = tmp_path / "ledger.jsonl"
    Ledger("m", path).add("answer")
    with path.open("ab") as file:
        file.write(b'{"time": "2020')
    ledger = Ledger("m", path)
    ledger.add("answer")
    ledger.add("retry")
    assert ledger.to_frame()["event"].tolist() == ["answer", "answer", "retry"]
    assert ledger.totals()["calls"] == 1


def test_threads_write_whole_lines(tmp_path):
    ledgers = [Ledger("m", tmp_path / "ledger.jsonl") for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ledgers[i % 4].add("answer", reason="x" * 300), range(200)))
    assert len(ledgers[0].to_frame()) == 200


def test_a_ledger_without_a_file_is_a_table_too():
    ledger = Ledger("m")
    assert ledger.to_frame().empty
    ledger.add("cached", n=3)
    assert ledger.to_frame()["n"].tolist() == [3]


def test_the_budget_stops_before_the_call_that_would_exceed_it(server, make):
    server.default = ("slow", 0.01)
    with pytest.raises(
        BudgetError, match=r"calls=5.* 5 calls, 75 tokens.* 5 of 20 prompts .*not asked again"
    ) as caught:
        make(budget=Budget(calls=5)).ask(numbered(20), Word)
    assert server.n_calls == 5 == len(server.replied)
    done = [answer for answer in caught.value.answers if answer is not None]
    assert len(caught.value.answers) == 20
    assert len(done) == 5
    assert all(answer.value for answer in done)
    model = make(budget=Budget(calls=15))
    assert all(answer.value for answer in model.ask(numbered(20), Word))
    assert server.n_calls == 20


@pytest.mark.parametrize("cap", [{"tokens": 1000}, {"usd": 0.001}])
def test_tokens_and_money_are_never_exceeded(server, make, cap):
    server.default = ("padded", 100, 45)
    model = make(budget=Budget(**cap), price=Price(1.0, 1.0), max_tokens=50)
    with pytest.raises(BudgetError, match="a call may take"):
        model.ask(numbered(40), Word)
    assert 600 < server.tokens <= 1000
    assert model._state.budget.spent.tokens == server.tokens


def test_a_budget_counts_retries_and_is_shared(server, make):
    server.scripts["q0"] = [("status", 500), ("status", 500), "good"]
    budget = Budget(calls=4)
    make(budget=budget).ask(numbered(1), Word)
    assert (budget.spent.calls, budget.spent.tokens) == (3, 15)
    with pytest.raises(BudgetError, match="1 of 2 prompts"):
        make(budget=budget, cache=None, concurrency=1).ask(prompts("x", "y"), Word)
    assert server.n_calls == 4


def test_a_lost_reply_counts_in_full(server, make):
    server.scripts["a"] = ["cut", "good"]
    budget = Budget(tokens=100_000)
    make(budget=budget, max_tokens=1000).ask(prompts("a"), Word)
    assert 1000 + 15 < budget.spent.tokens < 1200


def test_the_last_answers_of_a_budget_are_kept_even_without_a_folder(make):
    model = make(cache=None, budget=Budget(calls=1))
    with pytest.raises(BudgetError, match="set cache="):
        model.ask(numbered(2), Word)
    assert model.dry_run(numbered(2), Word).cached == 1


def test_a_dry_run_calls_nobody(server, make, monkeypatch):
    model = make(price=Price(prompt=1.0, completion=2.0), max_tokens=100)
    before = model.dry_run(prompts("a" * 400, "b", "b"), Word)
    assert (before.calls, before.cached, before.completion_tokens) == (2, 0, 200)
    assert 100 < before.prompt_tokens < 400
    assert before.usd == pytest.approx((before.prompt_tokens + 2 * 200) / 1e6)
    assert "Estimate at about 4 characters a token: 2 calls" in str(before)
    model.ask(prompts("b"), Word)
    after = model.dry_run(prompts("a" * 400, "b"), Word)
    assert (after.calls, after.cached, after.completion_tokens) == (1, 1, 5)
    assert server.n_calls == 1
    assert "no price given" in str(make().dry_run([], Word))


def test_prompts_prices_and_budgets_are_checked(make):
    with pytest.raises(InputTypeError, match="sequence of Prompt"):
        make().ask(["a"], Word)
    with pytest.raises(InputError, match="Prices"):
        Price(-1, 0)
    with pytest.raises(InputError, match="at least 0"):
        Budget(calls=-1)
    with pytest.raises(InputError, match="calls=, tokens= or usd="):
        Budget()
    assert make().ask([], Word) == []
