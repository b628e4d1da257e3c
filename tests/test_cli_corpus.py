"""The commands ``knobo corpus …`` on real files and a server on this machine."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console
from typer.testing import CliRunner

from knobo import cli_corpus
from knobo.cli_corpus import corpus_app
from knobo.errors import DownloadError, FileError, InputError
from knobo.knowledge import Bm25Index, read_corpus
from knobo.knowledge.recipes import list_recipes

BOOKS = {"Physiology_Levy.jsonl": 3, "Pathoma_Husain.jsonl": 5}
RECORD = """<PubmedArticle><MedlineCitation><PMID>{0}</PMID><Article><Journal><JournalIssue><PubDate><Year>20{0}</Year>
</PubDate></JournalIssue><Title>Chest journal</Title></Journal><ArticleTitle>T {0}.</ArticleTitle><Abstract>
<AbstractText>The heart of case {0} is enlarged.</AbstractText></Abstract><Language>eng</Language><PublicationTypeList>
<PublicationType UI="D">Case Reports</PublicationType></PublicationTypeList></Article></MedlineCitation></PubmedArticle>
"""


def run(*arguments):
    result = CliRunner().invoke(corpus_app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder by GET, as a mirror gives them; two PubMed records by POST, as E-utilities do."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        ids = "<Count>2</Count><IdList><Id>18</Id><Id>21</Id></IdList>"
        records = f"<PubmedArticleSet>{RECORD.format(18)}{RECORD.format(21)}</PubmedArticleSet>"
        body = (f"<eSearchResult>{ids}</eSearchResult>" if "esearch" in self.path else records).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A screen on which no line breaks, however long the names of temporary folders are."""
    monkeypatch.setattr(cli_corpus, "out_console", Console(width=1000))


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    for name, n in BOOKS.items():
        path = tmp_path / "served" / "chunk" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"id": f"{name}_{i}", "title": name, "content": f"Sentence {i} on the heart."} for i in range(n)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "served"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_list_shows_what_ships_and_what_can_be_had(tmp_path):
    output = run("list", "--folder", tmp_path)
    assert {"chest-xray", "skin-lesion", "pubmed", *(recipe.name for recipe in list_recipes())} <= set(output.split())
    assert "125,847" in output
    assert f"In {tmp_path}" not in output


def test_a_corpus_is_got_listed_added_and_counted(mirror, tmp_path):
    out = tmp_path / "mine" / "books"
    only = [word for name in BOOKS for word in ("--only", name)]
    output = run("get", "medrag-textbooks", "--out", out, *only, "--base-url", mirror)
    assert "Licence: the card states none" in output
    assert "Cite: Xiong G" in output
    assert str(out) in output
    assert len(list(read_corpus(out))) == sum(BOOKS.values())

    index = tmp_path / "mine" / "index"
    assert "8 passages" in run("add", out, "--out", index)
    assert len(Bm25Index.load(index).search("heart", k=3)) == 3

    listed = run("list", "--folder", tmp_path / "mine")
    assert "medrag-textbooks, 2 files" in listed
    assert "index (BM25)" in listed
    assert "passages │ 8" in run("stats", out)


def test_pubmed_is_got_by_search(mirror, tmp_path):
    out = tmp_path / "mine" / "found"
    query = "heart[majr] AND [bold]radiography"
    run("get", "pubmed", "--query", query, "--out", out, "--base-url", mirror, "--since", 2018, "--max-results", 2)
    assert [passage.id for passage in read_corpus(out)] == ["pubmed:18:1", "pubmed:21:1"]
    assert f"2 PMIDs: {query}" in run("list", "--folder", tmp_path / "mine")
    output = run("stats", out)
    for line in ("passages │ 2", "2018 to 2021, 0 without", "Chest journal │ 2", "Case Reports │ 2", "en │ 2"):
        assert line in output


def test_stats_of_a_shipped_corpus_agree_with_what_is_read():
    passages = list(read_corpus("skin-lesion"))
    output = run("stats", "skin-lesion")
    assert f"passages │ {len(passages)}" in output
    assert f"characters │ {sum(len(passage.text) for passage in passages):,}" in output
    assert f"the 10 most frequent of {len({passage.source for passage in passages})}" in output


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["get", "nope"], FileError, "No recipe 'nope'; there are medrag-pubmed"),
        (["get", "pubmed"], InputError, "got by search: give --query"),
        (["get", "pubmed", "--query", "a", "--only", "b"], InputError, "leave --only out"),
        (["get", "statpearls", "--query", "a"], InputError, "are for the corpus pubmed, not for statpearls"),
        (["get", "pmc-oa"], InputError, "got by id; name some"),
        (["get", "medrag-statpearls"], DownloadError, "Get 'statpearls' instead"),
        (["add", "nowhere"], FileError, "No corpus 'nowhere'"),
    ],
)
def test_a_bad_command_says_what_to_change(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        CliRunner().invoke(corpus_app, [*arguments, "--out", str(tmp_path)], catch_exceptions=False)


def test_list_passes_over_files_of_other_programs(tmp_path):
    for name, text in (("a", "{"), ("b", "[1]"), ("c", '{"format": "other"}'), ("d", '{"format": ["x"]}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text)
    assert "made" not in run("list", "--folder", tmp_path).split()
    run("list", "--folder", tmp_path / "none")


@pytest.mark.parametrize("command", [[], ["list"], ["get"], ["add"], ["stats"]])
def test_each_help_has_an_example(command):
    output = run(*command, "--help")
    assert not command or f"knobo corpus {command[0]}" in output


def test_retracted_articles_are_counted_and_kept_on_request(tmp_path):
    kind, gone = '<PublicationType UI="D">Case Reports', "<PublicationType>Retracted Publication"
    records = RECORD.format(18) + RECORD.format(21).replace(kind, gone)
    (tmp_path / "a.xml").write_text(f"<PubmedArticleSet>{records}</PubmedArticleSet>", encoding="utf-8")
    assert "1 passages" in (text := run("add", tmp_path, "--out", tmp_path / "index"))
    assert "retracted articles left out: 1" in text
    assert "2 passages" in (text := run("add", tmp_path, "--out", tmp_path / "all", "--keep-retracted"))
    assert "retracted articles kept: 1" in text
    assert "retracted articles left out │ 1" in run("stats", tmp_path)


def test_a_dense_index_is_listed_as_one(tmp_path):
    (tmp_path / "vectors").mkdir()
    manifest = {"format": "knobo.dense", "encoder": "some/model", "corpus_hash": "abc"}
    (tmp_path / "vectors" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "index (dense, some/model)" in run("list", "--folder", tmp_path)
