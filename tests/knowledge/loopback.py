"""Servers on this machine that speak as NCBI and a file mirror do, and misbehave on script; a clock without waiting."""

import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from knobo.knowledge.getters import get_corpus
from knobo.knowledge.recipes import Recipe

DOCTYPE = '<?xml version="1.0" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle//EN" "x">\n'


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 1_700_000_000.0, []

    def time(self):
        return self.now

    monotonic = time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@contextmanager
def serving(handler_class):
    """A server on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_class)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that hangs up is part of the play
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def record(pmid):
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article><Journal><Title>J</Title></Journal>'
        f"<ArticleTitle>Title {pmid}.</ArticleTitle><Abstract><AbstractText>About {pmid}.</AbstractText></Abstract>"
        "</Article></MedlineCitation></PubmedArticle>"
    )


class PubMed:
    """What the server holds (PMID to date of publication), what it was asked, and how it will misbehave."""

    def __init__(self):
        self.papers = {str(1000 + i): date(2000 + i % 20, 1 + i % 12, 1 + i % 28) for i in range(30)}
        self.limit, self.unknown, self.left_out, self.delay = 10, set(), [], 0.0
        self.asked, self.script, self.paths = [], [], []

    def search(self, fields):
        first, last = fields.get("mindate", "0001/01/01"), fields.get("maxdate", "9999/01/01")
        found = [pmid for pmid, when in self.papers.items() if first <= f"{when:%Y/%m/%d}" <= last]
        found = [] if fields["term"] == "nothing" else found
        if "mindate" in fields:
            found.sort(key=self.papers.get, reverse=True)
        ids = "".join(f"<Id>{pmid}</Id>" for pmid in found[: min(int(fields["retmax"]), self.limit)])
        notes = "<ErrorList><PhraseNotFound>xyzzy</PhraseNotFound></ErrorList>" if "xyzzy" in fields["term"] else ""
        return f"<eSearchResult><Count>{len(found)}</Count><IdList>{ids}</IdList>{notes}</eSearchResult>".encode()

    def fetch(self, fields):
        gone = self.left_out.pop(0) if self.left_out else set()
        wanted = [pmid for pmid in fields["id"].split(",") if pmid not in self.unknown | gone]
        return (DOCTYPE + f"<PubmedArticleSet>{''.join(map(record, wanted))}</PubmedArticleSet>").encode()


def pubmed_handler(pubmed):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            fields = {name: values[0] for name, values in parse_qs(body).items()}
            pubmed.asked.append(fields)
            pubmed.paths.append(self.path)
            fault = pubmed.script.pop(0) if pubmed.script else None
            answer = pubmed.search(fields) if self.path.endswith("esearch.fcgi") else pubmed.fetch(fields)
            time.sleep(pubmed.delay)
            self.misbehave(fault, answer) if fault else self.reply(200, answer)

        def misbehave(self, fault, answer):
            kind, *more = fault
            if kind == "status":
                self.reply(more[0], more[2] if len(more) > 2 else b"busy", more[1] if len(more) > 1 else {})
            elif kind == "body":
                self.reply(200, more[0])
            elif kind == "cut":
                self.reply(200, answer[: len(answer) // 2], length=len(answer))
            elif kind == "hang up":
                self.connection.shutdown(socket.SHUT_RDWR)
            elif kind == "slow":
                time.sleep(more[0])
                self.reply(200, answer)

        def reply(self, status, body, headers=(), length=None):
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def lines(n, start=0):
    rows = ({"id": f"b_{i}", "title": "Book", "content": f"Sentence {i} of the book."} for i in range(start, start + n))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


class Mirror:
    """Files by path, faults by path, and what was asked."""

    def __init__(self):
        self.files, self.faults, self.asked, self.sent = {}, {}, [], Counter()
        self.ranges, self.etags, self.pause = True, True, 0.0


def mirror_handler(mirror):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path, wanted = self.path[1:], self.headers.get("Range")
            mirror.asked.append((path, wanted))
            faults = mirror.faults.get(path)
            kind, *more = faults.pop(0) if faults else ("", None)
            if kind == "status":
                self.head(more[0], 0)
            elif kind == "hang up":
                self.connection.shutdown(socket.SHUT_RDWR)
            elif path not in mirror.files:
                self.head(404, 0)
            else:
                self.give(path, wanted, kind, more[0])

        def give(self, path, wanted, kind, value):
            body = mirror.files[path]
            tag = f'"{hashlib.md5(body).hexdigest()}"'
            start = 0
            if wanted and mirror.ranges and self.headers.get("If-Range") == tag:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            headers = {"ETag": tag} if mirror.etags else {}
            if start:
                shown = start + 1 if kind == "wrong range" else start
                headers["Content-Range"] = f"bytes {shown}-{len(body) - 1}/{len(body)}"
            self.head(206 if start else 200, len(body) - start, headers)
            end = start + value if kind == "cut" else len(body)
            if kind == "slow":
                self.write(path, body[start : start + value])
                time.sleep(0.6)
                start += value
            for at in range(start, end, 10_000):
                self.write(path, body[at : min(at + 10_000, end)])
                time.sleep(mirror.pause)

        def write(self, path, piece):
            self.wfile.write(piece)
            self.wfile.flush()
            mirror.sent[path] += len(piece)

        def head(self, status, length, headers=()):
            self.send_response(status)
            for name, value in {**dict(headers), "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    return Handler


def recipe(*files, **changes):
    """A small sound recipe with some fields changed."""
    facts = {
        "format": "knobo.recipe",
        "format_version": 1,
        "name": "test",
        "title": "A test",
        "source": "https://example.org/",
        "base_url": "https://example.org/files/",
        "licence": None,
        "size": None,
        "passages": None,
        "kind": "medrag-jsonl",
        "cut": "not",
        "citation": "Nobody",
        "checksum": None,
        "files": list(files or [{"name": "chunk/a.jsonl"}]),
        "seen": dict.fromkeys(("base_url", "citation", "files", "checksum"), "here"),
        "unknown": dict.fromkeys(("licence", "size", "passages", "checksum"), "not seen"),
    }
    return {name: value for name, value in {**facts, **changes}.items() if value != "drop"}


def get(mirror, folder, found=None, **options):
    options = {"base_url": mirror.url, "clock": FakeClock(), **options}
    return get_corpus(Recipe.model_validate(found or recipe()), folder, **options)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "corpus.json")
