import gzip
import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge.corpus import MAX_CHARS, Passage, read_corpus
from knobo.knowledge.jsonl import read_jsonl

CHUNK = {"id": "pubmed23n0001_0", "title": "A film", "content": "It shows  air.", "contents": "A film. It shows air."}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def write(folder, *records, name="chunks.jsonl", end="\n"):
    path = folder / name
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    data = ("\n".join(lines) + end).encode("utf-8")
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["chunks.jsonl", "chunks.jsonl.gz"])
def test_a_chunk_of_medrag(tmp_path, name):
    path = write(tmp_path, CHUNK, "", {**CHUNK, "id": "b", "PMID": 21, "year": "1999"}, name=name)
    assert list(read_corpus(path)) == [
        Passage(f"{name}:pubmed23n0001_0:1", "chunks", "A film", "It shows air."),
        Passage(f"{name}:b:1", "chunks", "A film", "It shows air.", "https://pubmed.ncbi.nlm.nih.gov/21/", 1999),
    ]


def test_an_article_of_wikipedia_is_cut_at_its_headings(tmp_path):
    text = "Pneumothorax is air.\n\nSigns\n\nPain is sudden.\nBreath is short.\n\nSee also\n\nReferences"
    record = {
        "id": 12,
        "title": "Pneumothorax",
        "text": text,
        "url": "https://en.wikipedia.org/wiki/P",
        "language": "en",
    }
    found = list(read_jsonl(write(tmp_path, record), name="wiki"))
    assert [(p.id, p.title, p.text) for p in found] == [
        ("wiki:12:1", "Pneumothorax", "Pneumothorax is air."),
        ("wiki:12:2", "Pneumothorax. Signs", "Pain is sudden. Breath is short."),
        ("wiki:12:3", "Pneumothorax. See also", "References"),
    ]
    assert {(p.url, p.language, p.source) for p in found} == {("https://en.wikipedia.org/wiki/P", "en", "chunks")}


def test_other_fields_that_are_given_are_kept(tmp_path):
    record = {
        "pmid": "5",
        "contents": "Text.",
        "journal": "Chest J",
        "license": "CC0",
        "url": "https://x.org",
        "more": [1],
    }
    assert list(read_jsonl(write(tmp_path, record))) == [
        Passage("chunks.jsonl:5:1", "Chest J", "", "Text.", "https://x.org", None, (), None, "CC0")
    ]


def test_lines_without_text_are_counted(tmp_path):
    counts = Counter()
    path = write(tmp_path, {**CHUNK, "content": " "}, CHUNK)
    assert len(list(read_jsonl(path, counts=counts))) == 1
    assert counts == {"documents": 2, "without_text": 1, "passages": 1}
    with pytest.raises(InputError, match="holds no text"):
        list(read_corpus(write(tmp_path, {**CHUNK, "content": ""})))


def test_neighbours_with_the_same_id_are_numbered_on(tmp_path):
    long = " ".join(f"Sentence {i} says a few words about the pleura." for i in range(60))
    path = write(tmp_path, CHUNK, {**CHUNK, "content": long}, {**CHUNK, "id": "b"})
    found = list(read_corpus(path))
    assert [p.id.split(":", 1)[1] for p in found] == [f"pubmed23n0001_0:{n}" for n in range(1, len(found))] + ["b:1"]
    assert all(len(p.text) <= MAX_CHARS for p in found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{nonsense}", r"line 2: no JSON \(.*write one object a line"),
        ("[1, 2]", r"line 2: expected an object, got list"),
        ("[" * 100_000, r"line 2: no JSON"),
        ({"title": "T", "content": "x"}, r"line 2: no id; give each line an 'id'"),
        ({"id": True, "content": "x"}, r"line 2: no id"),
        ({"id": "a", "title": "T", "body": "x"}, r"line 2: no text; expected .* content, contents, text, found 'id'"),
        ({"id": "a", "content": ["x"]}, r"line 2: 'content' must be text, got list"),
        ({"id": "a", "content": "x", "title": 5}, r"line 2: 'title' must be text, got int"),
    ],
)
def test_wrong_lines_name_file_and_line(tmp_path, line, message):
    with pytest.raises(FormatError, match=rf"chunks\.jsonl, {message}"):
        list(read_corpus(write(tmp_path, CHUNK, line, CHUNK)))


def test_a_broken_last_line_and_broken_gzip(tmp_path):
    with pytest.raises(FormatError, match=r"chunks\.jsonl, line 2: the last line is cut off .*fetch the file anew"):
        list(read_corpus(write(tmp_path, CHUNK, json.dumps(CHUNK)[:-9], end="")))
    path = write(tmp_path, *({**CHUNK, "id": str(i * 7919)} for i in range(3000)), name="a.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FormatError, match=r"a\.jsonl\.gz is cut off: the gzip stream has no end"):
        list(read_corpus(path))


def test_empty_files_and_text_that_is_not_utf8(tmp_path):
    for name, data in (("a.jsonl", b""), ("b.jsonl.gz", b""), ("c.jsonl.gz", gzip.compress(b"")), ("d.xml", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match=rf"{name} is empty; fetch it anew"):
            list(read_corpus(tmp_path / name))
    (tmp_path / "a.jsonl").write_bytes('\n{"id": "1", "content": "na\xefve"}'.encode("latin-1"))
    with pytest.raises(FormatError, match=r"a\.jsonl, line 2: the text is not UTF-8"):
        list(read_corpus(tmp_path / "a.jsonl"))
    with pytest.raises(FileError, match=r"Cannot read .*none"):
        list(read_jsonl(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.xml.gz", "a.nxml", "a.md", "a.txt"])
def test_git_lfs_pointers_are_named(tmp_path, name):
    (tmp_path / name).write_text(POINTER, encoding="utf-8")
    with pytest.raises(FormatError, match=rf"{name} is a git-LFS pointer, not the file itself; run git lfs pull"):
        list(read_corpus(tmp_path))


def test_a_folder_may_mix_formats(tmp_path):
    write(tmp_path, CHUNK)
    (tmp_path / "a.md").write_text("# T\n\nText.", encoding="utf-8")
    (tmp_path / "b.nxml").write_text("<article><body><p>Text.</p></body></article>", encoding="utf-8")
    (tmp_path / "skipped.json").write_text("{}", encoding="utf-8")
    (tmp_path / "skipped.md.gz").write_bytes(b"")
    assert [p.id for p in read_corpus(tmp_path)] == ["a.md:1", "b.nxml:1", "chunks.jsonl:pubmed23n0001_0:1"]


def test_reading_takes_constant_memory(tmp_path):
    path = tmp_path / "big.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        for i in range(8000):
            file.write(json.dumps({**CHUNK, "id": str(i), "content": "A sentence about the pleura. " * 40}) + "\n")
    tracemalloc.start()
    n = sum(1 for _ in read_corpus(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 8000
    assert peak < 1_000_000  # the file holds some 10 MB


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=300), min_size=1, max_size=4), st.sampled_from(["content", "text"]), st.booleans())
def test_any_text_round_trips_with_stable_unique_ids(tmp_path_factory, texts, field, as_ascii):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    lines = (json.dumps({"id": i, "title": "", field: text}, ensure_ascii=as_ascii) for i, text in enumerate(texts))
    path.write_bytes("\n".join(lines).encode("utf-8"))
    found = list(read_jsonl(path))
    for i, text in enumerate(texts):
        shown = " ".join(f"{p.title} {p.text}" for p in found if p.id.startswith(f"a.jsonl:{i}:"))
        assert shown.split() == text.split()
    assert len({p.id for p in found}) == len(found)
    assert list(read_jsonl(path)) == found


def test_half_characters_are_replaced(tmp_path):
    (passage,) = read_jsonl(write(tmp_path, r'{"id": "a", "title": "T\ud83d\ude00", "content": "x \ud800 y"}'))
    assert (passage.title, passage.text) == ("T😀", "x � y")
