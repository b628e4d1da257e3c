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
from knobo.knowledge.corpus import MAX_CHARS, Passage, cut, cut_blocks, read_corpus
from knobo.knowledge.pmids import PmidSet
from knobo.knowledge.pubmed import RETRACTED, read_pubmed

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
    assert +counts == {"articles": 2, "without_abstract": 1, "passages": 1, "deleted": 2}
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


RETRACTED_TYPE = '<PublicationType UI="D016441">Retracted Publication</PublicationType></PublicationTypeList>'


def retracted(pmid, note="RetractionIn"):
    """An article as PubMed lists it once it has been retracted: by a note that names the notice, or by its type."""
    if note is None:
        return article(pmid).replace("</PublicationTypeList>", RETRACTED_TYPE)
    notes = f'<CommentsCorrectionsList><CommentsCorrections RefType="{note}"><RefSource>Chest J. 2021;1:2</RefSource>'
    notes += '<PMID Version="1">99</PMID></CommentsCorrections></CommentsCorrectionsList>'
    return article(pmid).replace("</MedlineCitation>", f"{notes}</MedlineCitation>")


def deleted(*pmids):
    numbers = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in pmids)
    return f"<DeleteCitation>{numbers}</DeleteCitation>"


def ids(passages):
    return [passage.id for passage in passages]


@pytest.mark.parametrize("note", [None, "RetractionIn", "RetractedandRepublishedIn"])
def test_a_retracted_article_is_left_out_counted_and_said_unless_it_is_asked_for(tmp_path, note):
    path, counts = write(tmp_path, retracted("1", note), article("2")), Counter()
    assert ids(read_pubmed(path, counts=counts)) == ["pubmed:2:1"]
    assert +counts == {"articles": 2, "passages": 1, "retracted": 1}
    with pytest.warns(
        UserWarning, match=r"1 retracted articles of .*a\.xml were left out; keep_retracted=True reads them"
    ):
        assert ids(read_corpus(path)) == ["pubmed:2:1"]
    kept = list(read_corpus(path, keep_retracted=True))
    assert ids(kept) == ["pubmed:1:1", "pubmed:2:1"]
    assert [RETRACTED in passage.kinds for passage in kept] == [True, False]
    assert kept[0].kinds.count(RETRACTED) == 1


@pytest.mark.parametrize(
    "note", ["RetractionOf", "ErratumIn", "ExpressionOfConcernIn", "CommentIn", "RetractedandRepublishedFrom"]
)
def test_an_article_with_another_note_is_read(tmp_path, note):
    assert ids(read_pubmed(write(tmp_path, retracted("1", note)))) == ["pubmed:1:1"]


def test_of_numbered_files_the_newest_version_of_an_article_is_read(tmp_path):
    for folder in ("baseline", "updatefiles"):
        (tmp_path / folder).mkdir()
    write(
        tmp_path, article("1", "Old."), article("2", "Old."), article("3", "Old."), name="baseline/pubmed26n0001.xml.gz"
    )
    write(tmp_path, article("1", "Newer."), retracted("3"), name="updatefiles/pubmed26n0999.xml")
    write(tmp_path, article("1", "Newest.", version="2"), name="updatefiles/pubmed26n1000.xml.gz")
    counts = Counter()
    found = {passage.id: passage.text for passage in read_corpus(tmp_path, counts=counts)}
    assert found == {"pubmed:1.2:1": "Newest.", "pubmed:2:1": "Old."}
    assert (counts["superseded"], counts["retracted"]) == (3, 1)


def test_an_update_deletes_what_older_files_hold_and_a_newer_one_brings_it_back(tmp_path):
    write(tmp_path, article("1"), article("2"), article("3"), name="pubmed25n1300.xml.gz")
    write(tmp_path, article("4"), deleted("2", "3"), name="pubmed26n0001.xml.gz")
    write(tmp_path, article("3", "Back."), name="pubmed26n0002.xml.gz")
    assert ids(read_corpus(tmp_path)) == ["pubmed:3:1", "pubmed:4:1", "pubmed:1:1"]


def test_an_update_that_empties_an_article_leaves_no_old_abstract(tmp_path):
    write(tmp_path, article("1"), article("2"), name="pubmed26n0001.xml.gz")
    write(tmp_path, article("1", abstract=""), name="pubmed26n0002.xml.gz")
    assert ids(read_corpus(tmp_path)) == ["pubmed:2:1"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(*[st.lists(st.sampled_from(["1", "7", "8", "64", "99999999", "123456789", "0", "01", "x", "٣", "²"]))] * 3)
def test_a_set_of_pmids_holds_what_was_put_in_and_nothing_else(first, second, asked):
    numbers, others = PmidSet(), PmidSet()
    for pmid in first:
        numbers.add(pmid)
    for pmid in second:
        others.add(pmid)
    assert [pmid in numbers for pmid in asked] == [pmid in first for pmid in asked]
    numbers.update(others)
    assert [pmid in numbers for pmid in asked] == [pmid in first + second for pmid in asked]


def test_a_set_of_all_pmids_is_small():
    tracemalloc.start()
    numbers = PmidSet()
    for pmid in range(1, 40_000_000, 4_001):
        numbers.add(str(pmid))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "39998" not in numbers
    assert peak < 12_500_000
