"""PubMed is searched and fetched from a server on this machine that speaks as NCBI does, and misbehaves on script."""

import json
import re
import subprocess
import sys
import time
from datetime import date

import pytest
from loopback import FakeClock, PubMed, pubmed_handler, record, serving

from knobo.errors import DownloadError, FormatError, InputError
from knobo.knowledge import entrez
from knobo.knowledge.corpus import read_corpus
from knobo.knowledge.entrez import fetch_pubmed, search_pubmed
from knobo.knowledge.web import check_base_url

KEY = "s3cr3t-k3y"
HTML = b'<?xml version="1.0"?><!DOCTYPE html><html><body>Error: please try again</body></html>'


@pytest.fixture
def pubmed(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("NCBI_API_KEY", raising=False)
    monkeypatch.setattr(entrez, "_FIRST", 10)
    monkeypatch.setattr(entrez, "BATCH", 4)
    server = PubMed()
    with serving(pubmed_handler(server)) as server.url:
        yield server


@pytest.fixture
def clock():
    return FakeClock()


def search(pubmed, clock, query="heart", **options):
    return search_pubmed(query, base_url=pubmed.url, clock=clock, **options)


def fetch(pubmed, clock, pmids, folder, **options):
    return fetch_pubmed(pmids, folder, base_url=pubmed.url, clock=clock, **options)


def test_a_search_names_its_tool_and_writer_and_keeps_the_order(pubmed, clock):
    found = search(pubmed, clock, max_results=5, email="a@example.org")
    assert found == ["1000", "1001", "1002", "1003", "1004"]
    assert pubmed.paths == ["/esearch.fcgi"]
    assert pubmed.asked == [
        {"db": "pubmed", "tool": "knobo", "email": "a@example.org", "term": "heart", "retmax": "5"},
    ]


def test_more_than_esearch_gives_is_asked_for_by_publication_time(pubmed, clock):
    found = search(pubmed, clock)
    assert sorted(found) == sorted(pubmed.papers)
    dated = [fields for fields in pubmed.asked if "mindate" in fields]
    assert {fields["datetype"] for fields in dated} == {"pdat"}
    assert all(re.fullmatch(r"\d{4}/\d\d/\d\d", fields["maxdate"]) for fields in dated)
    newest_first = sorted(pubmed.papers, key=pubmed.papers.get, reverse=True)
    assert search(pubmed, clock, max_results=12) == newest_first[:12]


def test_since_is_a_year_of_publication(pubmed, clock):
    expected = {pmid for pmid, when in pubmed.papers.items() if when.year >= 2015}
    assert set(search(pubmed, clock, since=2015)) == expected


def test_a_single_day_with_too_many_publications_is_an_error(pubmed, clock):
    pubmed.papers = {str(1 + i): date(2020, 1, 1) for i in range(11)}
    with pytest.raises(InputError, match=r"More than 10 publications of 2020/01/01 .*pubmed-baseline"):
        search(pubmed, clock)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": " "}, "query is empty"),
        ({"query": "nothing"}, "no publication for 'nothing'"),
        ({"max_results": 0}, "at least 1, got 0"),
        ({"since": 20}, "a year such as 2015, got 20"),
    ],
)
def test_a_bad_search_says_what_to_change(pubmed, clock, options, message):
    with pytest.raises(InputError, match=message):
        search(pubmed, clock, **options)


def test_a_phrase_that_pubmed_drops_is_said(pubmed, clock):
    with pytest.warns(UserWarning, match="does not know 'xyzzy' and searched without it"):
        search(pubmed, clock, "heart xyzzy", max_results=3)


def test_errors_that_come_with_status_200_are_asked_again_and_then_told(pubmed, clock):
    backend = b"<eSearchResult><ERROR>Search Backend failed: 502 Proxy Error</ERROR></eSearchResult>"
    pubmed.script = [("body", backend), ("body", HTML), ("body", b"<a/>"), ("body", b"<eSearchResult/>"), ("body", b"")]
    assert len(search(pubmed, clock, max_results=3)) == 3
    pubmed.script = [("body", backend)] * 6
    with pytest.raises(DownloadError, match=r"PubMed search 'heart': .*Search Backend failed: 502.*6 times"):
        search(pubmed, clock)
    pubmed.script = [("body", b"<eSearchResult><Count>5</Count><IdList><Id>1</Id></IdList></eSearchResult>")] * 6
    with pytest.raises(DownloadError, match="fewer PMIDs than it says"):
        search(pubmed, clock)


@pytest.mark.parametrize(("key", "per_second"), [("", 3), (KEY, 10)])
def test_the_rate_limit_of_ncbi_is_kept(pubmed, clock, monkeypatch, key, per_second):
    monkeypatch.setenv("NCBI_API_KEY", key)
    start = clock.now
    search(pubmed, clock)
    n = len(pubmed.asked)
    assert n > 5
    assert clock.now - start == pytest.approx((n - 1) / per_second, rel=1e-6)
    assert {fields.get("api_key", "") for fields in pubmed.asked} == {key}


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(pubmed, clock):
    later = "Tue, 14 Nov 2023 22:14:00 GMT"  # 40 s after the clock's start
    pubmed.script = [("status", 429, {"Retry-After": "17"}), ("status", 503, {"Retry-After": later}), ("status", 500)]
    assert search(pubmed, clock, max_results=1) == ["1000"]
    waits = [seconds for seconds in clock.slept if seconds > 0.4]
    assert waits[0] == 17
    assert waits[1] == pytest.approx(40 - 17, abs=1)
    assert 2 <= waits[2] <= 6


def test_the_wait_doubles_with_jitter(pubmed, clock):
    pubmed.script = [("status", 502)] * 6
    with pytest.raises(DownloadError, match="status 502"):
        search(pubmed, clock)
    waits = [seconds for seconds in clock.slept if seconds >= 0.4]
    assert len(waits) == 5
    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for n, wait in enumerate(waits))


def test_a_wait_of_hours_is_left_to_the_user(pubmed, clock):
    pubmed.script = [("status", 429, {"Retry-After": "7200"})]
    with pytest.raises(DownloadError, match="asks to wait 7200 s"):
        search(pubmed, clock)
    assert len(pubmed.asked) == 1


def test_a_refusal_is_not_repeated(pubmed, clock):
    pubmed.script = [("status", 400, {}, b'{"error":"API key invalid"}')]
    with pytest.raises(DownloadError, match=r"status 400 \(\{\"error\":\"API key invalid\"\}\)"):
        search(pubmed, clock)
    assert len(pubmed.asked) == 1


def test_cut_connections_and_silence_are_asked_again(pubmed, clock):
    pubmed.script = [("cut",), ("hang up",), ("slow", 0.5)]
    assert search(pubmed, clock, max_results=2, timeout=0.2) == ["1000", "1001"]
    assert len(pubmed.asked) == 4


def test_records_come_in_batches_that_are_a_corpus(pubmed, clock, tmp_path):
    folder = fetch(pubmed, clock, [1000, "1001", 1002, 1003, 1004, 1000], tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "pubmed-00001.xml", "pubmed-00002.xml"]
    assert [passage.id for passage in read_corpus(folder)] == [f"pubmed:{1000 + i}:1" for i in range(5)]
    assert [fields["id"] for fields in pubmed.asked] == ["1000,1001,1002,1003", "1004"]
    assert all(fields["retmode"] == "xml" for fields in pubmed.asked)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["pmids"] == ["1000", "1001", "1002", "1003", "1004"]
    assert manifest["date"] == "2023-11-14T22:13:20Z"
    assert manifest["done"] == {path.name: path.stat().st_size for path in sorted(folder.glob("*.xml"))}


def test_a_query_is_searched_once_and_its_files_fetched_once(pubmed, clock, tmp_path):
    for _ in range(3):
        fetch(pubmed, clock, "heart", tmp_path, max_results=9)
    assert pubmed.paths == ["/esearch.fcgi"] + ["/efetch.fcgi"] * 3
    assert json.loads((tmp_path / "manifest.json").read_text())["query"] == "heart"


def test_a_release_with_other_batches_keeps_to_those_of_the_folder(pubmed, clock, tmp_path, monkeypatch):
    fetch(pubmed, clock, "heart", tmp_path, max_results=9)
    (tmp_path / "pubmed-00002.xml").unlink()
    monkeypatch.setattr(entrez, "BATCH", 3)
    fetch(pubmed, clock, "heart", tmp_path, max_results=9)
    assert pubmed.asked[-1]["id"] == "1004,1005,1006,1007"
    assert len(list(read_corpus(tmp_path))) == 9


def test_after_a_failure_only_the_rest_is_fetched(pubmed, clock, tmp_path):
    pubmed.script = [None, None, *[("status", 500)] * 6]
    with pytest.raises(DownloadError, match=r"pubmed-00003.xml \(PMID 1008 and 3 more\): .*status 500"):
        fetch(pubmed, clock, list(pubmed.papers)[:16], tmp_path)
    assert sorted(json.loads((tmp_path / "manifest.json").read_text())["done"]) == [
        "pubmed-00001.xml",
        "pubmed-00002.xml",
    ]
    pubmed.asked.clear()
    fetch(pubmed, clock, list(pubmed.papers)[:16], tmp_path)
    assert [fields["id"].split(",")[0] for fields in pubmed.asked] == ["1008", "1012"]
    assert len(list(read_corpus(tmp_path))) == 16


def test_a_damaged_file_is_fetched_anew_and_a_whole_one_adopted(pubmed, clock, tmp_path):
    pmids = list(pubmed.papers)[:12]
    fetch(pubmed, clock, pmids, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["done"] = {"pubmed-00001.xml": manifest["done"]["pubmed-00001.xml"]}  # killed before it was noted
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    third = tmp_path / "pubmed-00003.xml"
    third.write_bytes(third.read_bytes()[:200])
    pubmed.asked.clear()
    fetch(pubmed, clock, pmids, tmp_path)
    assert [fields["id"].split(",")[0] for fields in pubmed.asked] == ["1008"]
    assert len(list(read_corpus(tmp_path))) == 12


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (HTML, r"a web page \(HTML\)"),
        (b"", "sent nothing"),
        (b"<eFetchResult><ERROR>no</ERROR></eFetchResult>", "<eFetchResult> instead of PubMed records"),
        (b"<PubmedArticleSet></PubmedArticleSet>", "none of the PMIDs"),
        (f"<PubmedArticleSet>{record(7)}</PubmedArticleSet>".encode(), "none of the PMIDs"),
        (f"<PubmedArticleSet>{record(1000)}".encode(), "broken XML"),
        (b'{"error":"API rate limit exceeded"}', "broken XML"),
    ],
)
def test_what_is_no_pubmed_xml_is_never_kept(pubmed, clock, tmp_path, body, message):
    pubmed.script = [("body", body)]
    fetch(pubmed, clock, [1000], tmp_path / "again")
    assert len(list(read_corpus(tmp_path / "again"))) == 1
    pubmed.script = [("body", body)] * 6
    with pytest.raises(DownloadError, match=rf"pubmed-00001.xml .*{message}"):
        fetch(pubmed, clock, [1000], tmp_path / "never")
    assert [path.name for path in (tmp_path / "never").iterdir()] == ["manifest.json"]


def test_a_record_left_out_once_is_asked_for_again(pubmed, clock, tmp_path):
    pubmed.left_out = [{"1001"}]
    fetch(pubmed, clock, [1000, 1001], tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["missing"] == []
    assert len(list(read_corpus(tmp_path))) == 2


def test_a_record_that_pubmed_does_not_have_is_said(pubmed, clock, tmp_path):
    pubmed.unknown = {"1001"}
    for _ in range(2):
        with pytest.warns(UserWarning, match="no record of 1 of 2 PMIDs: 1001"):
            fetch(pubmed, clock, [1000, 1001], tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["missing"] == ["1001"]
    assert len(pubmed.asked) == 2


@pytest.mark.parametrize(
    ("pmids", "message"), [([], "no PMIDs"), (["12a"], "PMID '12a' is no positive"), ([0], "'0'"), (["-1"], "'-1'")]
)
def test_bad_pmids_are_named(pubmed, clock, tmp_path, pmids, message):
    with pytest.raises(InputError, match=message):
        fetch(pubmed, clock, pmids, tmp_path)


def test_a_folder_belongs_to_one_search(pubmed, clock, tmp_path):
    fetch(pubmed, clock, "heart", tmp_path, max_results=2)
    for pmids, options in (("lung", {"max_results": 2}), ("heart", {"max_results": 3}), ([1000], {})):
        with pytest.raises(InputError, match=r"another search \(heart\); choose another folder"):
            fetch(pubmed, clock, pmids, tmp_path, **options)
    (tmp_path / "manifest.json").write_text('{"format": "other"}')
    with pytest.raises(FormatError, match=r"is not a knobo\.pubmed_search document"):
        fetch(pubmed, clock, "heart", tmp_path)


def test_the_key_reaches_no_file_address_or_message(pubmed, clock, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("NCBI_API_KEY", f" {KEY}\n")
    fetch(pubmed, clock, "heart", tmp_path, max_results=4, progress=True)
    pubmed.script = [("status", 400, {}, f'{{"error":"API key invalid","api-key":"{KEY}"}}'.encode())]
    with pytest.raises(DownloadError, match=r'"api-key":"\*\*\*"') as caught:
        search(pubmed, clock)
    assert all(fields["api_key"] == KEY for fields in pubmed.asked)
    texts = [path.read_text() for path in tmp_path.iterdir()] + pubmed.paths + list(capfd.readouterr())
    error = caught.value
    while error is not None:
        texts.append(f"{error!r} {getattr(error, 'url', '')}")
        error = error.__cause__ or error.__context__
    assert not any(KEY in text for text in texts)


def test_the_key_does_not_travel_unencrypted(clock, monkeypatch):
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    with pytest.raises(InputError, match="would carry the API key unencrypted"):
        search_pubmed("heart", base_url="http://example.org/", clock=clock)
    with pytest.raises(InputError, match="begins with https"):
        search_pubmed("heart", base_url="file:///etc/passwd", clock=clock)
    assert check_base_url("https://example.org/a", secret=True) == "https://example.org/a/"


def test_a_killed_run_goes_on(pubmed, clock, tmp_path):
    """A real process is killed in the middle; no file that it finished is asked for again."""
    pubmed.delay = 0.02
    pmids = list(pubmed.papers)
    code = (
        "import sys; from knobo.knowledge import entrez; entrez.BATCH = 4\n"
        f"entrez.fetch_pubmed({pmids!r}, sys.argv[1], base_url={pubmed.url!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    limit = time.monotonic() + 60
    while len(list(tmp_path.glob("*.xml"))) < 3 and time.monotonic() < limit:
        time.sleep(0.005)
    process.kill()
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("pubmed-*.xml")}
    assert 3 <= len(finished) < 8
    time.sleep(0.05)  # the server answers what the dead process had asked
    pubmed.asked.clear()
    fetch(pubmed, clock, pmids, tmp_path)
    assert len(pubmed.asked) == 8 - len(finished)
    assert all((tmp_path / name).stat().st_mtime_ns == when for name, when in finished.items())
    assert len(list(read_corpus(tmp_path))) == len(pmids)
