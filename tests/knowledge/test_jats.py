import gzip
import tracemalloc
from itertools import pairwise
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.errors import FormatError
from knobo.knowledge import filter_passages
from knobo.knowledge.corpus import MAX_CHARS, Passage, read_corpus
from knobo.knowledge.jats import read_jats

IDS = '<article-id pub-id-type="pmid">21</article-id><article-id pub-id-type="pmc">77</article-id>'
DOI = '<article-id pub-id-type="doi">10.1000/AbC</article-id>'
LICENCE = """<permissions><copyright-statement>© 2011 A. Author</copyright-statement>
<copyright-year>2011</copyright-year><license license-type="open-access" xlink:href="http://creativecommons.org/licenses/by/2.0"><license-p>
This is an open access article.</license-p></license></permissions>"""
ARTICLE = """<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"
 article-type="case-report"{lang}><?properties open_access?><front><journal-meta><journal-id>J</journal-id>
<journal-title-group><journal-title>Chest journal</journal-title></journal-title-group></journal-meta>
<article-meta>{ids}<article-categories><subj-group subj-group-type="heading"><subject>Case Report</subject>
</subj-group></article-categories><title-group><article-title>Air in the <italic>pleura</italic></article-title>
</title-group><pub-date pub-type="epub"><year>2011</year></pub-date>
<pub-date pub-type="ppub"><year>2012</year></pub-date><pub-date pub-type="pmc-release">
<year>2010</year></pub-date>{licence}{abstract}</article-meta></front>
<body>{body}</body><back>{back}</back></article>"""
HEAD = """<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.0//EN" "JATS.dtd">
"""
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=400)


def article(body="", *, ids=IDS, abstract="", back="", licence=LICENCE, lang=""):
    return ARTICLE.format(body=body, ids=ids, abstract=abstract, back=back, licence=licence, lang=lang)


def write(folder, text, name="a.nxml"):
    path = folder / name
    data = (HEAD + text).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def texts(folder, body, **other):
    return [p.text for p in read_jats(write(folder, article(body, **other)))]


@pytest.mark.parametrize("name", ["a.nxml", "a.xml", "a.nxml.gz", "a.xml.gz"])
def test_a_paragraph_is_a_passage_with_its_facts(tmp_path, name):
    body = "<sec><title>Case</title><p>Front.</p><sec><title>What next?</title><p>Deeper.</p></sec></sec>"
    facts = (2011, ("case-report",), "en", "http://creativecommons.org/licenses/by/2.0")
    url = "https://pmc.ncbi.nlm.nih.gov/articles/PMC77/"
    abstract = "<abstract><sec><title>Aim.</title><p>To see.</p></sec></abstract>"
    assert list(read_corpus(write(tmp_path, article(body, abstract=abstract), name))) == [
        Passage("pmc:PMC77:1", "Chest journal", "Air in the pleura. Abstract. Aim.", "To see.", url, *facts),
        Passage("pmc:PMC77:2", "Chest journal", "Air in the pleura. Case", "Front.", url, *facts),
        Passage("pmc:PMC77:3", "Chest journal", "Air in the pleura. Case. What next?", "Deeper.", url, *facts),
    ]


def test_captions_are_kept_and_tables_formulas_and_references_left_out(tmp_path):
    body = """<p>See <xref ref-type="fig" rid="f">Figure 1</xref>.<fig id="f"><label>Figure 1</label><caption>
    <title>A film </title><p>It shows air.</p></caption><graphic xlink:href="f.jpg"/></fig></p>
    <table-wrap><label>Table 1</label><caption><p>Numbers</p></caption><table><tr><td>1</td></tr></table></table-wrap>
    <p>So that<disp-formula><mml:math><mml:mi>x</mml:mi></mml:math></disp-formula>holds.</p>"""
    back = (
        "<ack><p>We thank all.</p></ack><ref-list><title>References</title><ref id='r'><p>Other.</p></ref></ref-list>"
    )
    found = list(read_jats(write(tmp_path, article(body, back=back))))
    assert [(p.title, p.text) for p in found] == [
        ("Air in the pleura", "See Figure 1."),
        ("Air in the pleura. Figure 1", "A film. It shows air."),
        ("Air in the pleura", "So that holds."),
    ]


def test_a_list_belongs_to_the_paragraph_before_it(tmp_path):
    body = """<sec><title>Causes</title><p>There are:</p><list><list-item><label>1.</label><p>Trauma</p></list-item>
    <list-item><p>Surgery.</p></list-item></list><def-list><def-item><term>CXR</term><def><p>film</p></def></def-item>
    </def-list><p>No other.</p></sec>"""
    assert texts(tmp_path, body) == ["There are: Trauma. Surgery. CXR: film.", "No other."]


def cite(text):
    return f'<xref ref-type="bibr" rid="r">{text}</xref>'


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        (f"It is seen [{cite('1')}].", "It is seen."),
        (f"It is seen {cite('[1]')}, {cite('[2]')}–{cite('[5]')} and said.", "It is seen and said."),
        (f"It is seen.<sup>{cite('1')},{cite('2')}</sup> Next.", "It is seen. Next."),
        (f"Wang et al. [{cite('1')}, {cite('3')}].", "Wang et al."),
        (f"({cite('7')}, Figure 2)", "(Figure 2)"),
        (f"As {cite('Smith et al. 2008')} say ({cite('2009a')}).", "As Smith et al. 2008 say (2009a)."),
        ("10<sup>5</sup> U in H<sub>2</sub>O, 5 cm<sup>3</sup>", "10^5 U in H2O, 5 cm3"),
        ("F [1, 12] and (2)", "F [1, 12] and (2)"),
        (f"Seen {cite('1' * 60 + 'x')}.", f"Seen {'1' * 60}x."),
    ],
)
def test_numbers_that_cite_are_left_out(tmp_path, given_text, kept):
    assert texts(tmp_path, f"<p>{given_text}</p>") == [kept]


@pytest.mark.parametrize(
    "title",
    [
        "Competing interests",
        "Authors’ contributions",
        "FUNDING",
        "Review Questions",
        "Declaration of competing interests",
        "Consent for publication",
    ],
)
def test_sections_about_the_article_are_left_out(tmp_path, title):
    assert texts(tmp_path, f"<p>Text.</p><sec><title>{title}</title><p>None.</p></sec>") == ["Text."]


@pytest.mark.parametrize("title", ["Competing risks", "Financial burden", "Consent in children", "Referral"])
def test_sections_about_medicine_are_kept(tmp_path, title):
    assert texts(tmp_path, f"<sec><title>{title}</title><p>Text.</p></sec>") == ["Text."]


@pytest.mark.parametrize(
    ("ids", "key", "url"),
    [
        (IDS + DOI, "pmc:PMC77", "https://pmc.ncbi.nlm.nih.gov/articles/PMC77/"),
        (
            '<article-id pub-id-type="pmcid">PMC78</article-id>',
            "pmc:PMC78",
            "https://pmc.ncbi.nlm.nih.gov/articles/PMC78/",
        ),
        (DOI, "doi:10.1000/abc", "https://doi.org/10.1000/abc"),
        ("", "sub/a.nxml", None),
    ],
)
def test_ids(tmp_path, ids, key, url):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", article("<p>Text.</p>", ids=ids))
    assert [(p.id, p.url) for p in read_corpus(tmp_path)] == [(f"{key}:1", url)]


@pytest.mark.parametrize(
    ("licence", "kept"),
    [
        ("<permissions><license><license-p>Free for all.</license-p></license></permissions>", "Free for all."),
        ("<copyright-statement>A. Author, 2007.</copyright-statement>", "A. Author, 2007."),
        (
            '<permissions><license><ali:license_ref xmlns:ali="http://www.niso.org/schemas/ali/1.0/">https://x.org/by'
            "</ali:license_ref></license></permissions>",
            "https://x.org/by",
        ),
        ("", None),
    ],
)
def test_the_licence_is_kept(tmp_path, licence, kept):
    found = list(read_jats(write(tmp_path, article("<p>Text.</p>", licence=licence, lang=' xml:lang="de"'))))
    assert [(p.licence, p.language) for p in found] == [(kept, "de")]


CHAPTER = """<book-part-wrapper><book-meta><book-id book-id-type="pmcid">NBK1</book-id><book-title-group>
<book-title>StatBook</book-title></book-title-group><permissions><license><license-p>Licence text.</license-p></license>
</permissions></book-meta><book-part book-part-type="chapter" id="article-5"><book-part-meta>{ids}<title-group>
<title>Pneumothorax</title></title-group><pub-history><date date-type="created"><year>2020</year></date></pub-history>
</book-part-meta><body><sec><title>Evaluation</title><p>An upright film.</p></sec></body></book-part>
</book-part-wrapper>"""


@pytest.mark.parametrize(
    ("ids", "key", "url"),
    [
        (
            '<book-part-id book-part-id-type="pmcid">NBK55</book-part-id>',
            "nbk:NBK55",
            "https://www.ncbi.nlm.nih.gov/books/NBK55/",
        ),
        ("", "a.nxml", None),
    ],
)
def test_a_chapter_of_the_bookshelf(tmp_path, ids, key, url):
    assert list(read_jats(write(tmp_path, CHAPTER.format(ids=ids)))) == [
        Passage(
            f"{key}:1",
            "StatBook",
            "Pneumothorax. Evaluation",
            "An upright film.",
            url,
            2020,
            ("chapter",),
            "en",
            "Licence text.",
        )
    ]


BOOKSHELF = """<book-part-wrapper xmlns="https://jats.nlm.nih.gov/ns/extensions/bits/2.0/" id="article-7"
  dtd-version="2.0" xml:lang="en">
<collection-meta><title-group><title>A series</title></title-group><abstract><p>Of the series.</p></abstract>
</collection-meta>
<book-meta><book-id book-id-type="pmcid">statbook</book-id><book-title-group><book-title>StatBook</book-title>
</book-title-group><pub-date date-type="pub"><year>2025</year></pub-date><publisher><publisher-name>A. Publisher
</publisher-name></publisher><permissions><license><license-p>Licence of the book.</license-p></license></permissions>
<abstract><title>Summary</title><p>Of the whole book.</p></abstract></book-meta>
<book-part book-part-type="chapter"><book-part-meta><book-part-id book-part-id-type="pmcid">article-7</book-part-id>
<title-group><title>Pneumothorax</title></title-group><contrib-group><contrib contrib-type="author"><name>
<surname>Author</surname></name></contrib></contrib-group><pub-history><date date-type="created"><year>2021</year>
</date><date date-type="revised"><year>2024</year></date></pub-history></book-part-meta>
<body><p>Air in the pleura.</p>
<sec sec-type="Evaluation"><title>Evaluation</title><p>A film is taken.<xref ref-type="bibr" rid="r1">[1]</xref></p>
<p><bold>Upright film</bold></p><p>A pleural line is seen.</p><list><list-item><p>It is thin.</p></list-item></list>
<sec><title>Supine film</title><p>A <bold>deep</bold> sulcus is seen.</p></sec>
<p><bold>Ultrasound:</bold></p><p>Sliding is absent.</p></sec>
<sec><title>Review Questions</title><p>Left out.</p></sec>
<book-part book-part-type="part"><book-part-meta><title-group><title>A part inside</title></title-group>
</book-part-meta><body><sec><title>Signs</title><p>A part of the part.</p></sec></body></book-part>
</body><back><ref-list><title>References</title><ref id="r1"><mixed-citation>Someone.</mixed-citation></ref></ref-list>
</back></book-part></book-part-wrapper>"""


def test_a_chapter_in_the_shape_of_the_bookshelf_archive(tmp_path):
    folder = tmp_path / "statbook_NBK1"
    folder.mkdir()
    write(folder, BOOKSHELF, "article-7.nxml")
    found = list(read_corpus(tmp_path))
    assert [(p.id, p.title, p.text) for p in found] == [
        ("statbook_NBK1/article-7.nxml:1", "Pneumothorax", "Air in the pleura."),
        ("statbook_NBK1/article-7.nxml:2", "Pneumothorax. Evaluation", "A film is taken."),
        (
            "statbook_NBK1/article-7.nxml:3",
            "Pneumothorax. Evaluation. Upright film",
            "A pleural line is seen. It is thin.",
        ),
        ("statbook_NBK1/article-7.nxml:4", "Pneumothorax. Evaluation. Supine film", "A deep sulcus is seen."),
        ("statbook_NBK1/article-7.nxml:5", "Pneumothorax. Evaluation. Ultrasound", "Sliding is absent."),
        ("statbook_NBK1/article-7.nxml#2:1", "A part inside. Signs", "A part of the part."),
    ]
    assert {(p.source, p.language, p.licence) for p in found} == {("StatBook", "en", "Licence of the book.")}
    assert [p.year for p in found] == [2021] * 5 + [2025]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("<p><bold>Only bold</bold></p>", [("T", "Only bold")]),
        ("<p><bold>Bold</bold> and more.</p><p>Next.</p>", [("T", "Bold and more."), ("T", "Next.")]),
        ("<p>Text <bold>bold</bold></p><p>Next.</p>", [("T", "Text bold"), ("T", "Next.")]),
        (
            "<p><bold>A whole sentence is bold.</bold></p><p>Next.</p>",
            [("T", "A whole sentence is bold."), ("T", "Next.")],
        ),
        ("<p><bold>One</bold></p><p><bold>Two</bold></p><p>Next.</p>", [("T", "One"), ("T. Two", "Next.")]),
        ("<p><bold>Causes</bold></p><list><list-item><p>Smoke</p></list-item></list>", [("T. Causes", "Smoke.")]),
    ],
)
def test_a_bold_line_before_a_paragraph_is_its_heading(tmp_path, body, kept):
    xml = "<book-part-wrapper><book-part><book-part-meta><title-group><title>T</title></title-group></book-part-meta>"
    found = read_jats(write(tmp_path, f"{xml}<body>{body}</body></book-part></book-part-wrapper>"))
    assert [(p.title, p.text) for p in found] == kept


def test_what_efetch_returns_holds_several_articles(tmp_path):
    several = "".join(article("<p>Text.</p>", ids=ids) for ids in (IDS, DOI, "", ""))
    found = list(read_jats(write(tmp_path, f"<pmc-articleset>{several}</pmc-articleset>", "set.xml")))
    assert [p.id for p in found] == ["pmc:PMC77:1", "doi:10.1000/abc:1", "set.xml#3:1", "set.xml#4:1"]
    assert list(filter_passages(found, kinds="case report", languages="eng", since=2011)) == found


def test_a_long_paragraph_overlaps(tmp_path):
    sentences = [f"Sentence {i} says a few words about the pleura." for i in range(100)]
    found = texts(tmp_path, f"<p>{' '.join(sentences)}</p>")
    assert len(found) > 2
    assert all(len(text) <= MAX_CHARS for text in found)
    assert all(after[:140] in before for before, after in pairwise(found))
    assert all(any(sentence in text for text in found) for sentence in sentences)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FormatError, match=r"a\.xml is no text that knobo reads: its root is <html>"):
        list(read_corpus(write(tmp_path, "<html/>", "a.xml")))
    path = write(tmp_path, article("<p>One.</p>\n<p>Two.</sec>"))
    line = path.read_text(encoding="utf-8").split("Two.")[0].count("\n") + 1
    with pytest.raises(FormatError, match=rf"a\.nxml, line {line}: this is no well-formed XML \(mismatched tag\)"):
        list(read_corpus(path))
    path.write_text('<!DOCTYPE a [\n<!ENTITY x "xx">]>' + article("<p>&x;</p>"), encoding="utf-8")
    with pytest.raises(FormatError, match=r"a\.nxml, line 2: declares the entity 'x'"):
        list(read_corpus(path))


def test_reading_takes_constant_memory(tmp_path):
    path = tmp_path / "set.xml"
    with path.open("w", encoding="utf-8") as file:
        file.write("<pmc-articleset>")
        for i in range(2000):
            file.write(article(f"<p>{'A sentence about the pleura. ' * 60}</p>" * 2, ids=IDS.replace("77", str(i))))
        file.write("</pmc-articleset>")
    tracemalloc.start()
    n = sum(1 for _ in read_jats(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 4000
    assert path.stat().st_size > 8_000_000
    assert peak < 2_000_000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_any_text_round_trips_with_stable_unique_ids(tmp_path_factory, paragraphs):
    body = "".join(f"<p>{escape(text)}</p>" for text in paragraphs)
    path = write(tmp_path_factory.mktemp("jats"), article(body))
    found = list(read_jats(path))
    assert [p.text for p in found] == [flat for text in paragraphs if (flat := " ".join(text.split()))]
    assert [p.id for p in found] == [f"pmc:PMC77:{n}" for n in range(1, len(found) + 1)]
    assert list(read_jats(path)) == found
