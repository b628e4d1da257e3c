"""Retries, and ends of a round: servers that fail, Ctrl-C, killed processes."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by the tests)

import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from llm_server import Word, environment, events, make, numbered, prompts, server, shared_server
from pydantic import BaseModel

from knobo.errors import ModelError
from knobo.knowledge.ledger import Ledger
from knobo.knowledge.llm import LanguageModel, Prompt


@pytest.mark.parametrize("step", [("status", 429), ("status", 500), ("status", 502), ("status", 503), "cut", "drop"])
def test_a_passing_failure_is_tried_again(server, make, step):
    server.scripts["a"] = [step, step, "good"]
    model = make()
    assert model.ask(prompts("a"), Word)[0].value.word == "a"
    assert server.calls["a"] == 3
    assert events(model) == {"retry": 2, "answer": 1}
    assert 0.25 <= model.waits[0] <= 0.5 <= model.waits[1] <= 1.0


def test_waits_repeat_with_the_seed(server, make):
    server.scripts["a"] = [("status", 500), "drop", ("status", 503), "good"]
    waits = []
    for seed in (0, 0, 1):
        server.calls.clear()
        model = make(cache=None, seed=seed)
        model.ask(prompts("a"), Word)
        waits.append(model.waits)
    assert waits[0] == waits[1] != waits[2]


def test_a_slow_reply_is_tried_again(server, make):
    server.scripts["a"] = [("slow", 20.0), "good"]
    model = make(timeout=0.5)
    assert model.ask(prompts("a"), Word)[0].value.word == "a"
    assert model.ledger.to_frame()["reason"].tolist() == ["timeout", ""]


def test_retry_after_is_honoured(server, make):
    server.scripts["a"] = [("status", 429, "slow down", [("Retry-After", "7")]), "good"]
    model = make()
    model.ask(prompts("a"), Word)
    assert model.waits == [7.0]


def test_a_long_retry_after_ends_the_round(server, make):
    server.scripts["a"] = [("status", 429, "daily limit", [("Retry-After", "4000")])]
    with pytest.raises(ModelError, match=r"asks to wait 4000 s .*daily limit.*in the cache"):
        make().ask(prompts("a"), Word)


def test_one_prompt_that_always_fails_is_an_answer_with_an_error(server, make):
    server.scripts["q1"] = [("status", 500, "out of memory")]
    model = make(max_retries=1)
    good, bad, other = model.ask(numbered(3), Word)
    assert good.value
    assert other.value
    assert bad.value is None
    assert bad.error == "No reply in 2 tries (HTTP 500: out of memory). Ask again later."
    server.scripts.clear()
    assert [answer.cached for answer in model.ask(numbered(3), Word)] == [True, False, True]


def test_a_server_that_is_down_ends_the_round(server, make):
    server.default = ("status", 503)
    with pytest.raises(ModelError, match=r"last 3 prompts failed, each in 2 tries \(HTTP 503: no\)"):
        make(max_retries=1, concurrency=2).ask(numbered(50), Word)
    assert server.n_calls <= 8


def test_no_server(make):
    model = make(base_url="http://127.0.0.1:9/v1", max_retries=2)
    with pytest.raises(ModelError, match=r"Cannot reach http://127.0.0.1:9/v1 \(3 tries\)"):
        model.ask(prompts("a"), Word)
    assert len(model.waits) == 2


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (("status", 400, "bad stop"), "rejects the request for 'm' .*bad stop"),
        (("status", 401), "refuses the API key .*OPENAI_API_KEY"),
        (("status", 403), "does not allow this .*another model"),
        (("status", 404), "knows no model 'm' .*/v1"),
        (("status", 429, "no money", (), "insufficient_quota"), "quota .*used up"),
        ("page", "no OpenAI-compatible server"),
        ("torn_json", "no OpenAI-compatible server"),
    ],
)
def test_what_a_retry_does_not_mend(server, make, step, match):
    server.default = step
    model = make(concurrency=1)
    with pytest.raises(ModelError, match=match):
        model.ask(numbered(5), Word)
    assert server.n_calls <= 2
    assert model.waits == []
    assert server.n_calls == 1 or step[1] == 400


def test_answers_before_the_end_of_a_round_are_kept(server, make):
    server.scripts["q2"] = [("status", 403)]
    with pytest.raises(ModelError):
        make(concurrency=1).ask(numbered(5), Word)
    assert make().dry_run(numbered(5), Word).cached == 2


def test_ctrl_c_ends_the_round_and_keeps_what_came(server, make):
    server.scripts = {f"q{i}": [("slow", 20.0)] for i in range(4, 8)}
    model = make(concurrency=4)
    main = threading.main_thread().ident
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

    def interrupt():
        while len(server.replied) < 4 or server.now < 4:
            time.sleep(0.005)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        model.ask(numbered(8), Word)
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert time.perf_counter() - start < 5
    assert model.dry_run(numbered(8), Word).cached == 4
    assert model.ledger.totals()["failures"] == 4
    assert not [thread for thread in threading.enumerate() if thread.name == "knobo-llm"]


RUN = """
import sys
from pydantic import BaseModel
from knobo.knowledge.llm import LanguageModel, Prompt

class Word(BaseModel):
    word: str
    number: int

sys.stdin.readline()
model = LanguageModel("m", base_url=sys.argv[1], cache=sys.argv[2], concurrency=4)
answers = model.ask([Prompt("s", f"q{i}", "1") for i in range(60)], Word)
assert [answer.value.word for answer in answers] == [f"q{i}" for i in range(60)]
"""


@pytest.fixture
def processes(server, tmp_path):
    """Five that have imported everything, as that takes longest, and wait for a line."""
    command = [sys.executable, "-c", RUN, server.url, str(tmp_path / "cache")]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0) for _ in range(5)]
    yield started
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()


def test_killed_processes_lose_no_stored_answer_and_no_line_of_the_ledger(server, tmp_path, processes):
    cache, n_kills, stored = tmp_path / "cache", 3, {}
    server.default = ("gated", 0.02)
    for kill, process in enumerate(processes[:n_kills], start=1):
        server.record.gate = 12 * kill + 6  # the process cannot end before it is killed
        _go(process)
        while len(server.replied) < 12 * kill and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
        assert {text: server.calls[text] for text in stored} == stored, "a stored answer was asked again"
        stored = {text: server.calls[text] for text in map(_text, cache.glob("??/*.json"))}
        rows = Ledger("m", cache / "ledger.jsonl").to_frame()
        assert len(stored) <= (rows["event"] == "answer").sum() <= server.n_calls
    assert len(stored) >= 12
    server.record.gate = 10**9
    for process in processes[n_kills:]:
        _go(process)
    assert [process.wait(timeout=30) for process in processes[n_kills:]] == [0, 0]
    assert {text: server.calls[text] for text in stored} == stored
    assert len(list(cache.glob("??/*.json"))) == 60
    frame = Ledger("m", cache / "ledger.jsonl").to_frame()
    assert len((cache / "ledger.jsonl").read_text().splitlines()) == len(frame)
    assert frame["run"].nunique() == n_kills + 2


def _go(process):
    process.stdin.write(b"\n")
    process.stdin.flush()


def _text(file):
    return json.loads(json.loads(file.read_text())["text"])["word"]
