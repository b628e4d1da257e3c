import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge.corpus import MAX_CHARS, Passage, read_corpus

BOOK = """# The chest
Source: A textbook
URL: https://example.org/book
Year: 2019

## Pleura

An effusion blunts the angle.
It has a meniscus.

A pneumothorax has a pleural line.
[source: Smith J, Pleura today | https://example.org/pleura | 2021]

## Heart

The heart is big.
[source: Own summary | | ]
"""


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_markdown_gives_paragraphs_with_their_sources(tmp_path):
    passages = list(read_corpus(write(tmp_path, "chest.md", BOOK)))
    assert passages == [
        Passage(
            "chest.md:1",
            "A textbook",
            "The chest: Pleura",
            "An effusion blunts the angle. It has a meniscus.",
            "https://example.org/book",
            2019,
        ),
        Passage(
            "chest.md:2",
            "Smith J, Pleura today",
            "The chest: Pleura",
            "A pneumothorax has a pleural line.",
            "https://example.org/pleura",
            2021,
        ),
        Passage("chest.md:3", "Own summary", "The chest: Heart", "The heart is big.", None, None),
    ]


def test_plain_text_gives_paragraphs_as_they_stand(tmp_path):
    passages = list(read_corpus(write(tmp_path, "notes.txt", "# Not a title\nline two\n\n\nNext one.\n")))
    assert [(p.id, p.title, p.text) for p in passages] == [
        ("notes.txt:1", "notes", "# Not a title line two"),
        ("notes.txt:2", "notes", "Next one."),
    ]


def test_a_folder_is_read_in_the_order_of_its_names_without_hidden_files(tmp_path):
    for name in ("b.md", "a/z.txt", "a.md", ".hidden/x.md", "table.csv"):
        write(tmp_path, name, "Text.")
    assert [p.id for p in read_corpus(tmp_path)] == ["a.md:1", "a/z.txt:1", "b.md:1"]


def test_front_lines_hold_only_before_the_text(tmp_path):
    path = write(tmp_path, "a.md", "# T\n\nYear: 2001\n\nText.\n\nYear: 1999 was a good year.\n")
    assert [(p.text, p.year) for p in read_corpus(path)] == [("Text.", 2001), ("Year: 1999 was a good year.", 2001)]


def test_a_citation_may_hold_bars(tmp_path):
    path = write(tmp_path, "a.md", "Text.\n[source: Chapter | Part 2 | doi:10.1 | 2020]\n")
    assert [(p.source, p.url, p.year) for p in read_corpus(path)] == [("Chapter | Part 2", "doi:10.1", 2020)]


def test_the_shipped_corpora_are_found_by_name():
    first = next(read_corpus("chest-xray"))
    assert first.title.startswith("The normal chest radiograph")
    assert first.text.startswith("A normal chest radiograph shows")


def test_long_paragraphs_are_cut_at_sentence_ends(tmp_path):
    sentences = [f"Sentence number {i} says a few words about the pleura." for i in range(120)]
    passages = list(read_corpus(write(tmp_path, "long.txt", " ".join(sentences))))
    assert len(passages) > 1
    assert all(len(p.text) <= MAX_CHARS and p.text.endswith(".") for p in passages)
    assert " ".join(p.text for p in passages) == " ".join(sentences)


def test_reading_takes_constant_memory(tmp_path):
    path = tmp_path / "big.txt"
    with path.open("w", encoding="utf-8") as file:
        for i in range(4000):
            file.write(f"Paragraph {i} about nothing at all. " * 20 + "\n\n")
        file.write("word " * 400_000)  # one paragraph on one line
    tracemalloc.start()
    n = sum(1 for _ in read_corpus(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n > 4000
    assert path.stat().st_size > 4_000_000
    assert peak < 1_000_000


def test_a_line_longer_than_the_buffer_loses_no_word(tmp_path):
    words = [f"word{i}" for i in range(9000)]
    passages = list(read_corpus(write(tmp_path, "line.txt", " ".join(words) + "\nEnd.\n\nNext.")))
    assert passages[-1].text == "Next."
    assert " ".join(p.text for p in passages[:-1]).split() == [*words, "End."]


def test_missing_corpus_names_the_shipped_ones():
    with pytest.raises(FileError, match=r"No corpus 'dental'.*chest-xray, skin-lesion"):
        read_corpus("dental")


def test_empty_corpora_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.md or \.txt file"):
        read_corpus(tmp_path)
    write(tmp_path, "a.md", "# Title\n\n## Heading\n\n")
    with pytest.raises(InputError, match="holds no text"):
        list(read_corpus(tmp_path))


def test_undecodable_bytes_name_file_and_line(tmp_path):
    path = tmp_path / "latin.md"
    path.write_bytes("# T\n\nGood line.\nna\xefve\n".encode("latin-1"))
    with pytest.raises(FormatError, match=r"latin\.md, line 4: the text is not UTF-8"):
        list(read_corpus(path))


def flat(text):
    return " ".join(text.split())


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300), min_size=1, max_size=3),
    st.sampled_from([".md", ".txt"]),
)
def test_any_text_gives_slices_of_it_with_stable_unique_ids(tmp_path_factory, texts, suffix):
    folder = tmp_path_factory.mktemp("corpus")
    for i, text in enumerate(texts):
        (folder / f"{i}{suffix}").write_bytes(text.encode("utf-8"))
    try:
        passages = list(read_corpus(folder))
    except InputError:
        return
    assert len({p.id for p in passages}) == len(passages)
    assert all(p.text in flat(texts[int(p.id.split(".")[0])]) for p in passages)
    assert all(p.text == flat(p.text) and p.text for p in passages)
    assert list(read_corpus(folder)) == passages
