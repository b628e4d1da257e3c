"""The key that is written nowhere, addresses, and waiting times."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by the tests)

import email.utils
import logging
import time
import traceback

import pytest
from llm_server import KEY, Word, environment, make, numbered, prompts, server, shared_server

from knobo.errors import InputError, ModelError
from knobo.knowledge.llm_wire import check_address, read_key, read_retry_after


def test_reading_retry_after():
    assert read_retry_after("3") == 3
    assert read_retry_after("-1") == 0
    assert 3 < read_retry_after(email.utils.formatdate(time.time() + 5, usegmt=True)) <= 5
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [read_retry_after(v) for v in (None, "", "soon", "nan", "inf", "Wed, 99 Oct")] == [None] * 6


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 422, 429, 500])
def test_the_key_is_written_nowhere(server, make, tmp_path, caplog, capfd, status):
    server.default = ("echo", status)
    model = make(max_retries=1)
    told = repr(model)
    error = None
    with caplog.at_level(logging.DEBUG):
        try:
            told += repr(model.ask(numbered(4), Word))
        except ModelError as caught:
            error = caught
    told += "".join(traceback.format_exception(error)) if error else ""
    assert (error is None) == (status == 200)
    assert getattr(error, "__context__", None) is None
    told += repr(model._settings) + repr(vars(model)) + model.ledger.to_frame().to_string() + caplog.text
    told += "".join(capfd.readouterr())
    assert "Authorization: Bearer [key]" in told
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == (5 if status == 200 else 1)
    assert KEY not in told
    assert not any(KEY.encode() in file.read_bytes() for file in files)
    assert any(KEY in headers["Authorization"] for headers in server.headers)


def test_the_key_survives_no_escape_in_a_reply(server, make, tmp_path):
    escaped = "".join(f"\\u{ord(character):04x}" for character in KEY)
    server.scripts["a"] = [("text", f'{{"word": "{escaped}", "number": 1}}')]
    assert KEY not in repr(make().ask(prompts("a"), Word))
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_a_local_server_needs_no_key(server, make, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert make().ask(prompts("a"), Word)[0].value
    with pytest.raises(InputError, match=r"No API key for https://api.openai.com/v1: set .*OPENAI_API_KEY"):
        make(base_url=None).ask(prompts("b"), Word)


@pytest.mark.parametrize("host", ["localhost", "gpu01", "10.0.0.3", "192.168.1.9", "[::1]", "box.local"])
def test_hosts_that_are_local(host, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert read_key(f"http://{host}:8000/v1")


def test_a_key_that_no_header_can_hold_is_not_quoted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert read_key("https://example.org/v1") == KEY
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nä")
    with pytest.raises(InputError, match="copy the key again") as caught:
        read_key("https://example.org/v1")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "http://[::1/v1", "http://h:99999/v1"])
def test_an_address_must_be_one(url):
    with pytest.raises(InputError, match="must be an http address"):
        check_address(url)


@pytest.mark.parametrize("url", ["http://me:secret@h/v1", "https://h/v1?key=secret", "https://h/v1#secret"])
def test_an_address_holds_no_secret(url):
    with pytest.raises(InputError, match="OPENAI_API_KEY") as caught:
        check_address(url)
    assert "secret" not in str(caught.value)


def test_the_address_of_the_environment(monkeypatch):
    assert check_address(None) == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h/v1/")
    assert check_address(None) == "http://h/v1"
