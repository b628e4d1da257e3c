"""A real HTTP server on 127.0.0.1 that speaks /v1/chat/completions and misbehaves as told.

A prompt's user text picks the script: ``server.scripts[text]`` is a list of steps, one a request; the last one stays.
A step is the name of a behaviour, or a pair of a name and its argument. Without a script the answer is right.
"""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import BaseModel, ConfigDict

from knobo.knowledge.llm import LanguageModel, Prompt

pytest.importorskip("openai")

KEY = "sk-synthetic-0123456789abcdef"


class Record:
    """What a server saw since the last reset; requests of an earlier test end in an earlier record."""

    def __init__(self):
        self.calls = Counter()  # by user text
        self.bodies = []
        self.headers = []
        self.tokens = 0
        self.now = self.most_at_once = 0
        self.replied = []  # user texts whose whole reply was written
        self.gate = 10**9  # replies after which "gated" ones wait
        self.released = threading.Event()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripts = {}
        self.default = "good"
        self.lock = threading.Lock()
        self.record = Record()

    def __getattr__(self, name):
        return getattr(self.__dict__["record"], name)

    def reset(self):
        self.record.released.set()
        self.record = Record()
        self.scripts, self.default = {}, "good"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def n_calls(self):
        return sum(self.calls.values())

    def handle_error(self, request, client_address):
        pass  # clients that were killed or timed out


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        server = self.server
        self.record = record = server.record
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = next(m["content"] for m in body["messages"] if m["role"] == "user")
        text = asked if isinstance(asked, str) else asked[-1]["text"]  # after the images
        with server.lock:
            step = record.calls[text]
            record.calls[text] += 1
            record.bodies.append(body)
            record.headers.append(self.headers)
            record.now += 1
            record.most_at_once = max(record.most_at_once, record.now)
        try:
            script = server.scripts.get(text, [server.default])
            step = script[min(step, len(script) - 1)]
            name, *arguments = step if isinstance(step, tuple) else (step,)
            if self.path != "/v1/chat/completions":
                name, arguments = "status", [404]
            getattr(self, f"do_{name}")(body, text, *arguments)
        finally:
            with server.lock:
                record.now -= 1

    def send(self, status, content, *, headers=(), kind="application/json", cut=False):
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def reply(self, content, text, *, finish="stop", usage=True, cut=False, n_prompt=10, n_reply=5, **more):
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}} | more
        document = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        if usage:
            document["usage"] = {"prompt_tokens": n_prompt, "completion_tokens": n_reply, "total_tokens": 0}
        self.send(200, document, cut=cut)
        with self.server.lock:
            self.record.tokens += n_prompt + n_reply
            if not cut:
                self.record.replied.append(text)

    def do_good(self, body, text):
        self.reply(json.dumps({"word": text, "number": len(text)}), text)

    def do_slow(self, body, text, seconds=0.05):
        self.record.released.wait(seconds)
        self.do_good(body, text)

    def do_gated(self, body, text, seconds):
        while len(self.record.replied) >= self.record.gate and not self.record.released.wait(0.005):
            pass
        self.do_slow(body, text, seconds)

    def do_status(self, body, text, status, message="no", headers=(), code=None):
        self.send(status, {"error": {"message": message, "type": "t", "code": code}}, headers=headers)

    def do_cut(self, body, text):
        self.reply(json.dumps({"word": text, "number": 1}), text, cut=True)

    def do_drop(self, body, text):
        self.close_connection = True

    def do_text(self, body, text, content, finish="stop"):
        self.reply(content, text, finish=finish)

    def do_no_usage(self, body, text):
        self.reply(json.dumps({"word": text, "number": 1}), text, usage=False)

    def do_no_choices(self, body, text):
        self.send(200, {"id": "x", "choices": [], "usage": None})

    def do_page(self, body, text):
        self.send(200, "<html>Welcome</html>", kind="text/html")

    def do_torn_json(self, body, text):
        self.send(200, '{"choices": [')

    def do_no_format(self, body, text, message="response_format is not supported"):
        if "response_format" in body:
            self.do_status(body, text, 400, message)
        else:
            self.reply(f"Sure!\n```json\n{json.dumps({'word': text, 'number': 1})}\n```\nBye {{}}", text)

    def do_modern(self, body, text):
        if "max_tokens" in body:
            self.do_status(body, text, 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        elif "temperature" in body:
            self.do_status(body, text, 400, "Unsupported value: 'temperature' does not support 0.")
        else:
            self.do_good(body, text)

    def do_echo(self, body, text, status):
        told = f"Bad header: Authorization: {self.headers['Authorization']}"
        if status == 200:
            self.reply(json.dumps({"word": told, "number": 1}), text)
        else:
            self.do_status(body, text, status, told, headers=[("X-Echo", "1")])

    def do_padded(self, body, text, n_prompt, n_reply):
        self.reply(json.dumps({"word": text, "number": 1}), text, n_prompt=n_prompt, n_reply=n_reply)


@contextmanager
def serve():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.record.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: str
    number: int


class Loose(BaseModel):
    items: list[str] = []


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def shared_server():
    with serve() as server:
        yield server


@pytest.fixture
def server(shared_server):
    shared_server.reset()
    return shared_server


@pytest.fixture
def make(server, tmp_path):
    """A model whose waits are written down, not waited for."""

    def make(**arguments):
        arguments = {"base_url": server.url, "cache": tmp_path / "cache", "timeout": 5.0} | arguments
        model = LanguageModel(arguments.pop("model", "m"), **arguments)
        model.waits = []

        async def sleep(seconds):
            model.waits.append(seconds)

        model._state.sleep = sleep
        return model

    return make


def prompts(*texts):
    return [Prompt(system="Be brief.", user=text, version="1") for text in texts]


def numbered(n):
    return prompts(*(f"q{i}" for i in range(n)))


def events(model):
    return model.ledger.to_frame()["event"].value_counts().to_dict()
