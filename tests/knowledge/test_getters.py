"""A corpus comes whole or not at all, from a server on this machine that sends something else on script."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile

import pytest
from loopback import FakeClock, Mirror, files_in, get, lines, mirror_handler, recipe, serving

from knobo.errors import DownloadError, FileError, InputError
from knobo.knowledge.corpus import read_corpus
from knobo.knowledge.getters import get_corpus

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5189999\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>" + b"<p>Please log in.</p>" * 50


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    found = Mirror()
    with serving(mirror_handler(found)) as found.url:
        yield found


def test_files_come_with_their_licence_and_are_not_fetched_again(mirror, tmp_path):
    mirror.files = {"chunk/a1.jsonl": lines(20), "chunk/a2.jsonl": lines(20, 20)}
    found = recipe({"name": "chunk/a{n:01d}.jsonl", "first": 1, "last": 2})
    for _ in range(2):
        folder = get(mirror, tmp_path / "out", found)
    assert files_in(folder) == ["a1.jsonl", "a2.jsonl"]
    assert len(list(read_corpus(folder))) == 40
    assert [path for path, _ in mirror.asked] == ["chunk/a1.jsonl", "chunk/a2.jsonl"]
    manifest = json.loads((folder / "corpus.json").read_text())
    assert manifest["recipe"] == "test"
    assert manifest["date"] == "2023-11-14T22:13:20Z"
    digest = hashlib.sha256(lines(20)).hexdigest()
    assert manifest["files"]["a1.jsonl"] == {"bytes": len(lines(20)), "sha256": digest, "checked": ["size of transfer"]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "sent an empty file"),
        (POINTER, "git-LFS pointer, not the file itself"),
        (HTML, r"a web page \(HTML\) instead of the file"),
        (HTML[:90], r"a web page \(HTML\) instead of the file"),
    ],
)
def test_what_is_not_the_file_is_named_and_not_kept(mirror, tmp_path, body, message):
    mirror.files["chunk/a.jsonl"] = body
    with pytest.raises(DownloadError, match=rf"a\.jsonl: the server sent .*{message}|a\.jsonl: .*{message}"):
        get(mirror, tmp_path)
    assert files_in(tmp_path) == []
    mirror.files["chunk/a.jsonl"] = lines(3)
    assert files_in(get(mirror, tmp_path)) == ["a.jsonl"]


def test_text_under_the_name_of_a_packed_file(mirror, tmp_path):
    mirror.files["a.xml.gz"] = b"<PubmedArticleSet/>" * 100
    with pytest.raises(DownloadError, match=r"a\.xml\.gz: what the server sent is not gzip"):
        get(mirror, tmp_path, recipe({"name": "a.xml.gz"}))
    assert files_in(tmp_path) == []


def test_a_truncated_or_replaced_file_is_told_by_its_size(mirror, tmp_path):
    mirror.files["chunk/a.jsonl"] = lines(10)
    found = recipe({"name": "chunk/a.jsonl", "size": 1_000_000})
    with pytest.raises(DownloadError, match=rf"a\.jsonl: the server's file has {len(lines(10))} bytes, .* 1,000,000"):
        get(mirror, tmp_path, found)


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_wrong_checksum_is_told_and_the_file_not_kept(mirror, tmp_path, kind):
    mirror.files["chunk/a.jsonl"] = lines(10)
    right = hashlib.new(kind, lines(10)).hexdigest()
    listed = {"checksum": "listed", "unknown": dict.fromkeys(("licence", "size", "passages"), "not seen")}
    wrong = recipe({"name": "chunk/a.jsonl", kind: right[::-1]}, **listed)
    with pytest.raises(DownloadError, match=rf"a\.jsonl: its {kind} checksum is {right}, expected {right[::-1]}"):
        get(mirror, tmp_path, wrong)
    assert files_in(tmp_path) == []
    get(mirror, tmp_path, recipe({"name": "chunk/a.jsonl", kind: right}, **listed))
    manifest = json.loads((tmp_path / "corpus.json").read_text())
    assert manifest["files"]["a.jsonl"]["checked"] == [kind]


def test_the_md5_beside_a_file_of_the_baseline_is_compared(mirror, tmp_path):
    name = "pubmed26n0002.xml.gz"
    article = "<PubmedArticle><MedlineCitation><PMID>7</PMID><Article><ArticleTitle>T.</ArticleTitle><Abstract>"
    article += "<AbstractText>Text.</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle>"
    mirror.files[name] = gzip.compress(f"<PubmedArticleSet>{article}</PubmedArticleSet>".encode())
    mirror.files[f"{name}.md5"] = f"MD5({name})= {hashlib.md5(mirror.files[name]).hexdigest()}\n".encode()
    options = {"only": [name], "base_url": mirror.url, "clock": FakeClock()}
    get_corpus("pubmed-baseline", tmp_path / "right", **options)
    assert [passage.id for passage in read_corpus(tmp_path / "right")] == ["pubmed:7:1"]
    mirror.files[f"{name}.md5"] = f"MD5({name})= {'0' * 32}\n".encode()
    with pytest.raises(DownloadError, match=f"{name}: its md5 checksum is .* expected {'0' * 32}"):
        get_corpus("pubmed-baseline", tmp_path / "wrong", **options)
    mirror.files[f"{name}.md5"] = HTML
    with pytest.raises(DownloadError, match=rf"{name}\.md5: .*without an MD5 checksum"):
        get_corpus("pubmed-baseline", tmp_path / "wrong", **options)
    del mirror.files[f"{name}.md5"]
    with pytest.raises(DownloadError, match=rf"{name}\.md5: .*status 404.*look for a newer recipe"):
        get_corpus("pubmed-baseline", tmp_path / "wrong", **options)
    assert files_in(tmp_path / "wrong") == []


def test_a_folder_belongs_to_one_corpus_and_foreign_files_are_left_alone(mirror, tmp_path):
    mirror.files["chunk/a.jsonl"] = lines(3)
    get(mirror, tmp_path / "one")
    with pytest.raises(InputError, match="holds the corpus 'test', not 'other'; choose another folder"):
        get(mirror, tmp_path / "one", recipe(name="other"))
    mine = tmp_path / "two" / "a.jsonl"
    mine.parent.mkdir()
    mine.write_bytes(HTML)
    with pytest.raises(FileError, match=r"a\.jsonl is there already, but is not what it should be"):
        get(mirror, tmp_path / "two")
    assert mine.read_bytes() == HTML


def test_a_bad_mirror_address(tmp_path):
    with pytest.raises(InputError, match="begins with https"):
        get_corpus("statpearls", tmp_path, base_url="/tmp/mirror")


def test_a_corpus_without_files_names_another(tmp_path):
    with pytest.raises(DownloadError, match=r"MedRAG does not distribute .* Get 'statpearls' instead"):
        get_corpus("medrag-statpearls", tmp_path)


def archive(members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in members:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
        link = tarfile.TarInfo("statpearls_NBK430685/link.nxml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return packed.getvalue()


CHAPTER = b"""<article><front><article-meta><article-id pub-id-type="pmcid">PMC%d</article-id><title-group>
<article-title>Chapter</article-title></title-group></article-meta></front>
<body><sec><title>Signs</title><p>A pleural effusion blunts the angle.</p></sec></body></article>"""
TAR = "statpearls_NBK430685.tar.gz"


def test_articles_come_out_of_an_archive_and_nothing_else(mirror, tmp_path):
    members = [("s/a.nxml", CHAPTER % 1), ("../../b.nxml", CHAPTER % 2), ("s/picture.jpg", b"\xff\xd8")]
    mirror.files[TAR] = archive(members)
    options = {"base_url": mirror.url, "clock": FakeClock()}
    for _ in range(2):
        folder = get_corpus("statpearls", tmp_path / "out", **options)
    assert [path for path, _ in mirror.asked] == [TAR]
    assert sorted(path.name for path in folder.rglob("*.nxml")) == ["a.nxml", "b.nxml"]
    assert not list(tmp_path.glob("*.nxml"))
    assert len(list(read_corpus(folder))) == 2
    shutil.rmtree(folder / "statpearls_NBK430685-articles")
    get_corpus("statpearls", folder, **options)
    assert len(list(read_corpus(folder))) == 2
    assert len(mirror.asked) == 1


WHOLE = archive([(f"{i}.nxml", CHAPTER % i) for i in range(40)])


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.98, 1.0])
def test_an_archive_that_is_cut_off_is_not_taken_for_a_short_one(mirror, tmp_path, share):
    mirror.files[TAR] = WHOLE[: int(share * (len(WHOLE) - 1))]
    with pytest.raises(DownloadError, match=rf"{TAR} is damaged or cut off .*Delete it and run it again"):
        get_corpus("statpearls", tmp_path, base_url=mirror.url, clock=FakeClock())
    assert files_in(tmp_path) == [TAR]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (archive([("a.jpg", b"x")]), r"holds no article \(\.nxml or \.xml\)"),
        (archive([("1/a.nxml", CHAPTER % 1), ("2/a.nxml", CHAPTER % 2)]), r"holds two articles named a\.nxml"),
        (gzip.compress(b"no tar" * 200), "is damaged or cut off"),
        (WHOLE[:200] + bytes(50) + WHOLE[250:], "is damaged or cut off"),
    ],
)
def test_an_archive_that_holds_something_else(mirror, tmp_path, body, message):
    mirror.files[TAR] = body
    with pytest.raises(DownloadError, match=rf"{TAR} {message}"):
        get_corpus("statpearls", tmp_path, base_url=mirror.url, clock=FakeClock())
    assert files_in(tmp_path) == [TAR]
