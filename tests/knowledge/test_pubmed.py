import gzip
import re
import tracemalloc
from collections import Counter
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge import Bm25Index
from knobo.knowledge.corpus import MAX_CHARS, Passage, cut, cut_blocks, filter_passages, language_code, read_corpus
from knobo.knowledge.pubmed import read_pubmed

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" "https://example.org/pubmed.dtd">
<PubmedArticleSet>
"""
ARTICLE = """<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version="{version}">{pmid}</PMID>
<DateRevised><Year>2024</Year></DateRevised>
<Article PubModel="Print"><Journal><ISSN>0000-0000</ISSN><JournalIssue><PubDate>{date}</PubDate></JournalIssue>
<Title>Chest journal</Title><ISOAbbreviation>Chest J</ISOAbbreviation></Journal>
<ArticleTitle>{title}</ArticleTitle>{abstract}<Language>{language}</Language>
<PublicationTypeList><PublicationType UI="D016428">Journal Article</PublicationType>
<PublicationType UI="D002363">Case Reports</PublicationType></PublicationTypeList></Article></MedlineCitation>
<PubmedData><ReferenceList><Reference><Citation>Another.</Citation><ArticleIdList>
<ArticleId IdType="pubmed">9</ArticleId></ArticleIdList></Reference></ReferenceList></PubmedData></PubmedArticle>
"""
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=400)


def article(pmid="1", text="The heart is big.", *, abstract=None, title="A title.", date="<Year>2019</Year>", **other):
    if abstract is None:
        abstract = f"<Abstract><AbstractText>{text}</AbstractText></Abstract>"
    values = {"version": "1", "language": "eng", **other}
    return ARTICLE.format(pmid=pmid, abstract=abstract, title=title, date=date, **values)


def write(folder, *articles, name="a.xml", end="</PubmedArticleSet>"):
    path = folder / name
    data = (HEAD + "".join(articles) + end).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["a.xml", "b.xml.gz", "C.XML.GZ"])
def test_an_article_gives_a_passage_with_its_facts(tmp_path, name):
    assert list(read_corpus(write(tmp_path, article("12345"), name=name.lower()))) == [
        Passage(
            "pubmed:12345:1",
            "Chest journal",
            "A title.",
            "The heart is big.",
            "https://pubmed.ncbi.nlm.nih.gov/12345/",
            2019,
            ("Journal Article", "Case Reports"),
            "en",
        )
    ]


def test_sections_keep_their_labels_and_markup_goes(tmp_path):
    abstract = """<Abstract><AbstractText Label="METHODS" NlmCategory="METHODS">We gave 10<sup>5</sup> U of
      <i>x</i> and CO
        <sub>2</sub>.</AbstractText><AbstractText Label="UNLABELLED">It &lt; helped.</AbstractText><AbstractText/>
    <CopyrightInformation>© 2019 A. Author.</CopyrightInformation></Abstract>"""
    (passage,) = read_pubmed(write(tmp_path, article(abstract=abstract)))
    assert passage.text == "METHODS: We gave 10^5 U of x and CO2. It < helped."
    assert passage.licence == "© 2019 A. Author."


def test_articles_without_abstract_and_deleted_citations_are_left_out_and_counted(tmp_path):
    counts = Counter()
    deleted = "<DeleteCitation><PMID Version='1'>7</PMID><PMID Version='1'>8</PMID></DeleteCitation>"
    path = write(tmp_path, article("1"), article("2", abstract=""), deleted)
    assert [p.id for p in read_pubmed(path, counts=counts)] == ["pubmed:1:1"]
    assert counts == {"articles": 2, "without_abstract": 1, "passages": 1}
    with pytest.raises(InputError, match="holds no text"):
        list(read_corpus(write(tmp_path, article("2", abstract=""))))


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", 1998),
        ("<Year>2001</Year><Month>05</Month>", 2001),
        ("<Season>Spring</Season>", None),
    ],
)
def test_years(tmp_path, date, year):
    assert [p.year for p in read_pubmed(write(tmp_path, article(date=date)))] == [year]


def test_a_second_version_and_a_book_chapter(tmp_path):
    book = """<PubmedBookArticle><BookDocument><PMID Version="1">5</PMID><Book><BookTitle>StatBook</BookTitle>
    <PubDate><Year>2023</Year></PubDate></Book><ArticleTitle>Pneumothorax</ArticleTitle><Language>eng</Language>
    <PublicationType UI="D016454">Review</PublicationType><Abstract><AbstractText>Air in the pleura.</AbstractText>
    </Abstract></BookDocument></PubmedBookArticle>"""
    found = list(read_pubmed(write(tmp_path, article("5", version="2"), book)))
    assert [p.id for p in found] == ["pubmed:5.2:1", "pubmed:5:1"]
    assert found[1] == Passage(
        "pubmed:5:1",
        "StatBook",
        "Pneumothorax",
        "Air in the pleura.",
        "https://pubmed.ncbi.nlm.nih.gov/5/",
        2023,
        ("Review",),
        "en",
    )


def test_a_title_that_was_not_translated(tmp_path):
    vernacular = "<VernacularTitle>Das Herz.</VernacularTitle>"
    text = article(title="[Not Available].", language="ger").replace("<Language>", f"{vernacular}<Language>")
    assert [(p.title, p.language) for p in read_pubmed(write(tmp_path, text))] == [("Das Herz.", "de")]


def test_a_long_abstract_is_cut_between_sections(tmp_path):
    sections = [f"<AbstractText Label='{label}'>{label} is said. {'Word ' * 200}.</AbstractText>" for label in "ABC"]
    found = list(read_pubmed(write(tmp_path, article(abstract=f"<Abstract>{''.join(sections)}</Abstract>"))))
    assert [p.id for p in found] == ["pubmed:1:1", "pubmed:1:2", "pubmed:1:3"]
    assert [p.text[:2] for p in found] == ["A:", "B:", "C:"]


def test_an_article_that_stands_in_two_files_is_read_once(tmp_path):
    write(tmp_path, article("1"), article("2"), name="a.xml")
    write(tmp_path, article("2", "Anew."), article("3"), name="b.xml.gz")
    found = list(read_corpus(tmp_path))
    assert [p.id for p in found] == ["pubmed:1:1", "pubmed:2:1", "pubmed:3:1"]
    assert found[1].text == "The heart is big."


def test_nothing_is_lost_in_an_index(tmp_path):
    found = list(read_corpus(write(tmp_path, article())))
    assert list(Bm25Index.build(found, tmp_path / "index")) == found
    assert hash(found[0]) == hash(Bm25Index.load(tmp_path / "index").search("heart")[0].passage)


BOMB = '<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><PubmedArticleSet>&y;</PubmedArticleSet>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("start", ["", '<?xml version="1.0"?>\n\n'])
def test_entities_are_refused_in_any_encoding(tmp_path, encoding, start):
    path = tmp_path / "bomb.xml"
    path.write_bytes((start + BOMB).encode(encoding))
    with pytest.raises(FormatError, match=rf"bomb\.xml, line {1 + start.count(chr(10))}: declares the entity 'x'"):
        list(read_corpus(path))


def test_malformed_xml_names_file_and_line(tmp_path):
    path = write(tmp_path, article("1"), "<PubmedArticle></Wrong>\n")
    line = path.read_text(encoding="utf-8").split("</Wrong>")[0].count("\n") + 1
    with pytest.raises(FormatError, match=rf"a\.xml, line {line}: this is no well-formed XML \(mismatched tag\)"):
        list(read_pubmed(path))
    with pytest.raises(FormatError, match=r"a\.xml, line \d+: this is no well-formed XML \(no element found\)"):
        list(read_pubmed(write(tmp_path, article("1") * 500, end="")))
    path.write_text('<?xml version="1.0" encoding="klingon"?><a/>', encoding="utf-8")
    with pytest.raises(FormatError, match=r"a\.xml, line 1: this is no well-formed XML"):
        list(read_pubmed(path))


def test_files_that_are_something_else(tmp_path):
    with pytest.raises(FileError, match=r"Cannot read .*none\.xml"):
        list(read_pubmed(tmp_path / "none.xml"))
    (tmp_path / "a.xml").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")
    with pytest.raises(FormatError, match=r"a\.xml is no PubMed XML: its root is <svg>"):
        list(read_pubmed(tmp_path / "a.xml"))
    with pytest.raises(FormatError, match=r"a\.xml: article 2 has no PMID"):
        list(read_pubmed(write(tmp_path, article("1"), article(""))))
    with pytest.raises(FormatError, match=r"a\.xml: elements lie more than 150 deep"):
        list(read_pubmed(write(tmp_path, article(text="<b>" * 5000 + "</b>" * 5000))))


def test_gzip_that_is_cut_off_or_damaged(tmp_path):
    path = write(tmp_path, *(article(str(i), f"Text {i * 7919}.") for i in range(2000)), name="a.xml.gz")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"a\.xml\.gz is cut off: the gzip stream has no end"):
        list(read_pubmed(path))
    path.write_bytes(data[:-8] + b"\0" * 8)
    with pytest.raises(FormatError, match=r"a\.xml\.gz is damaged \(CRC"):
        list(read_pubmed(path))


def test_reading_takes_constant_memory(tmp_path):
    path = tmp_path / "big.xml.gz"
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        file.write(HEAD)
        for i in range(4000):
            file.write(article(str(i), "A sentence about the pleura. " * 50))
        file.write("<DeleteCitation>" + "<PMID Version='1'>7</PMID>" * 40_000 + "</DeleteCitation></PubmedArticleSet>")
    tracemalloc.start()
    n = sum(1 for _ in read_pubmed(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 4000
    assert peak < 2_000_000  # the file holds some 11 MB


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_any_text_round_trips_with_stable_unique_ids(tmp_path_factory, texts):
    path = write(tmp_path_factory.mktemp("pm"), *(article(str(i), escape(text)) for i, text in enumerate(texts)))
    found = list(read_pubmed(path))
    assert [p.text for p in found] == [flat for text in texts if (flat := " ".join(text.split()))]
    assert len({p.id for p in found}) == len(found)
    assert list(read_pubmed(path)) == found


def covers(pieces, text):
    """Whether the pieces, in order and each begun no later than the end of the one before, make up the text."""
    text, end = re.sub(r"\s", "", text), 0
    for piece in pieces:
        bare = re.sub(r"\s", "", piece)
        start = text.rfind(bare, 0, end + len(bare))
        if start < 0:
            return False
        end = max(end, start + len(bare))
    return end == len(text)


PROSE = st.lists(st.text(alphabet="abC. !", max_size=40), max_size=12).map(
    lambda parts: " ".join(" ".join(parts).split())
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(PROSE, st.integers(1, 60), st.integers(0, 60))
def test_pieces_cover_the_text(text, longest, overlap):
    pieces = cut(text, longest, overlap)
    assert covers(pieces, text)
    assert all(0 < len(piece) <= longest for piece in pieces)
    assert covers(cut(text, longest), text)
    assert "".join(cut(text, longest)).replace(" ", "") == text.replace(" ", "")


def test_pieces_overlap_by_whole_sentences():
    text = " ".join(f"Sentence {i} is here." for i in range(9))
    assert cut(text, 70, 30)[:2] == [
        "Sentence 0 is here. Sentence 1 is here. Sentence 2 is here.",
        "Sentence 2 is here. Sentence 3 is here. Sentence 4 is here.",
    ]
    assert cut_blocks(["A b.", "C d.", "E f."], longest=9) == ["A b. C d.", "E f."]
    assert cut_blocks([]) == []
    assert MAX_CHARS == 2000


KINDS = ("Practice Guideline", "review-article", "Systematic Review", "Case Reports", "book-review", "Journal Article")


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("review", [1, 2]),
        (["guideline", "case report"], [0, 3]),
        ("Book reviews", [4]),
        (("journal-article",), [5]),
        ("report", [3]),
        ("letter", []),
    ],
)
def test_passages_are_kept_by_publication_type(wanted, kept):
    passages = [Passage(str(i), "S", "T", "x", kinds=(kind,)) for i, kind in enumerate(KINDS)]
    assert [int(p.id) for p in filter_passages(passages, kinds=wanted)] == kept


def test_passages_are_kept_by_language_and_year():
    passages = [Passage("a", "S", "T", "x", year=2019, language="en"), Passage("b", "S", "T", "x")]
    passages += [Passage("c", "S", "T", "x", year=2021, language="de")]
    assert [p.id for p in filter_passages(passages, languages=["en-GB"])] == ["a"]
    assert [p.id for p in filter_passages(passages, languages="ger", since=2020)] == ["c"]
    assert [p.id for p in filter_passages(passages, since=2019)] == ["a", "c"]
    assert list(filter_passages(passages)) == passages
    assert language_code("xyz") == "xyz"
    with pytest.raises(InputError, match="kinds is empty"):
        filter_passages(passages, kinds=[])
    with pytest.raises(InputError, match="languages is empty"):
        filter_passages(passages, languages=())
