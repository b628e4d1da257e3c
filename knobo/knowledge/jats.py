"""JATS and BITS full text to passages: articles of PubMed Central, chapters of the NCBI Bookshelf such as StatPearls.

A paragraph is a passage; the list that follows it belongs to it, and a figure caption is a passage of its own. Left out
are tables, displayed formulas, references, supplements, numbers that cite ("[12]"), and sections that say nothing about
medicine (funding, competing interests, who wrote what).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from knobo.errors import FormatError
from knobo.knowledge.corpus import MAX_CHARS, OVERLAP, Passage, cut, find_year, language_code
from knobo.knowledge.pubmed import as_power, xml_elements, xml_root

JATS_ROOTS = frozenset({"article", "pmc-articleset", "book", "book-part", "book-part-wrapper", "OAI-PMH"})
_UNITS = frozenset({"article", "book", "book-part", "book-part-wrapper"})
_LISTS = frozenset({"list", "def-list"})
_SECTIONS = frozenset({"sec", "app", "boxed-text", "abstract"})
_LEFT_OUT = frozenset(
    """
    title label object-id alt-text long-desc attrib permissions table-wrap table-wrap-group table ref-list disp-formula
    disp-formula-group tex-math supplementary-material inline-supplementary-material media graphic inline-graphic fn
    fn-group fig fig-group ack notes glossary bio sec-meta book-part toc index related-article related-object
    """.split()  # noqa: SIM905 - a list of words is read best as text
)
_BLOCKS = frozenset({"p", "list", "list-item", "def-list", "def-item", "term", "def", "disp-quote", "title", "break"})
_OTHER_ABSTRACTS = frozenset({"graphical", "toc", "teaser", "web-summary"})
_ASIDE = re.compile(
    r"((declarations? of )?(conflicts? of|competing)( financial)? interests?|declarations?|disclosures?|funding"
    r"|financial (support|disclosures?)|acknowledge?ments?|authors?'?s? contributions?|contributors|abbreviations"
    r"|supplement(ary|al) (materials?|information|data|files?)|supporting information|pre-publication history"
    r"|review questions|references|ethic(s|al) (approval|statement)|(data availability|availability of data)"
    r"|(informed )?consent( (for|to) (publication|participate))?)( (statement|and|of) .*| statement|[.:])?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[\s\[\](),;.*–—-]*(?:\d{1,3}(?!\d)[\s\[\](),;.*–—-]*)+")
_LONGEST_HEADING = 80  # characters of a bold line
_CITED = "\0"  # stands for a left-out number; XML cannot hold it
_IN_BRACKETS = re.compile(rf"[\[(][\s,;–—-]*{_CITED}[\s,;–—{_CITED}-]*[\])]")
_AFTER_BRACKET = re.compile(rf"(?<=[\[(])\s*{_CITED}(?:[\s,;–—-]*{_CITED})*[\s,;]*")
_CITATIONS = re.compile(rf"\s*{_CITED}(?:[\s,;–—-]*{_CITED})*")
_STOP_TWICE = re.compile(rf"(?<=\.)\s*{_CITED}[\s,;–—{_CITED}-]*\.(?!\w)")
_LATE_DATES = ("pmc-release", "nihms-submitted", "received", "accepted")
_LANG, _HREF = "{http://www.w3.org/XML/1998/namespace}lang", "{http://www.w3.org/1999/xlink}href"


def read_jats(path: str | Path, *, name: str | None = None) -> Iterator[Passage]:
    """Read the full texts of a JATS or BITS file, one article or book at a time.

    Parameters
    ----------
    path : str or Path
        ``.nxml`` or ``.xml``, also ``.gz``: one article, a chapter, a book, or what efetch returns for PMC.
    name : str, optional
        Name for the ids of a document that states none of its own; default the name of the file.

    Yields
    ------
    Passage
        Id ``pmc:<PMCID>:<n>``, else ``nbk:<NBK id>:<n>``, ``doi:<DOI>:<n>`` or ``<name>:<n>``; ``title`` is
        "Article title. Section. Subsection", ``source`` the journal or book.

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If it is no JATS, is cut off or damaged, or declares entities. The message names the file and the line.
    """
    file = Path(path)
    if (root := xml_root(file)) not in JATS_ROOTS:
        raise FormatError(
            f"{file} is no text that knobo reads: its root is <{root}>, expected <article>, <book-part-wrapper> or "
            "another of JATS, or <PubmedArticleSet>. Remove it from the corpus."
        )
    n = 0
    for unit in xml_elements(file, _UNITS):
        for document in _documents(unit):
            n += 1
            yield from document.passages((name or file.name) if n == 1 else f"{name or file.name}#{n}")


@dataclass(frozen=True)
class _Document:
    """An article or a chapter: where its facts and its text stand."""

    element: Element
    meta: Element
    outer: Element | None  # the facts of the journal or of the whole book
    language: str

    def passages(self, name: str) -> Iterator[Passage]:
        """All passages, numbered from 1; a paragraph that is too long becomes several."""
        key, url = _identity(self.meta, name)
        title = _plain(
            _first(self.meta, "title-group/article-title", "title-group/title", "book-title-group/book-title")
        )
        source = _plain(
            _first(self.outer, ".//journal-title", ".//book-title", ".//abbrev-journal-title", ".//journal-id")
        )
        facts: dict[str, Any] = {
            "source": source or title or name,
            "url": url,
            "year": _year(self.meta) or _year(self.outer),
            "kinds": self._kinds(),
            "language": language_code(self.language),
            "licence": _licence(self.meta) or _licence(self.outer) or None,
        }
        n = 0
        for heading, block in self._blocks((title or name,)):
            for piece in cut(block, MAX_CHARS, OVERLAP):
                n += 1
                yield Passage(id=f"{key}:{n}", title=heading, text=piece, **facts)

    def _blocks(self, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Heading path and text of every paragraph."""
        parts = [part for part in self.meta.iterfind("abstract") if part.get("abstract-type") not in _OTHER_ABSTRACTS]
        for part in parts:
            yield from _walk(part, (*path, _plain(part.find("title")) or "Abstract"))
        for tag in ("body", "book-body", "back", "floats-group", "floats-wrap"):
            for part in self.element.iterfind(tag):
                yield from _walk(part, path)

    def _kinds(self) -> tuple[str, ...]:
        kind = self.element.get("article-type") or self.element.get("book-part-type") or ""
        groups = self.meta.iterfind("article-categories/subj-group")
        headings = [_plain(group.find("subject")) for group in groups if group.get("subj-group-type") == "heading"]
        distinct = {text.lower().replace("-", " "): text for text in reversed((kind, *headings)) if text}
        return tuple(reversed(distinct.values()))


def _documents(unit: Element) -> Iterator[_Document]:
    """The article, or every part of a book that has text of its own."""
    language = unit.get(_LANG) or "en"  # the default of the DTD
    if unit.tag == "article":
        meta = _first(unit, "front/article-meta", "front-stub")
        yield _Document(unit, Element("none") if meta is None else meta, unit.find("front/journal-meta"), language)
        return
    outer = _first(unit, "book-meta", "collection-meta")
    for part in unit.iter():
        if part.tag in ("book", "book-part") and (part.find("body") is not None or part.find("book-body") is not None):
            meta = _first(part, "book-part-meta", "book-meta")
            yield _Document(part, Element("none") if meta is None else meta, outer, part.get(_LANG) or language)


def _identity(meta: Element, name: str) -> tuple[str, str | None]:
    """Id of the document without the number of the passage, and its address."""
    ids: dict[str, str] = {}
    for item in (*meta.iterfind("article-id"), *meta.iterfind("book-part-id"), *meta.iterfind("book-id")):
        kind = item.get("pub-id-type") or item.get("book-part-id-type") or item.get("book-id-type") or ""
        text = _plain(item)
        ids.setdefault("nbk" if re.fullmatch(r"NBK\d+", text) else "pmc" if kind == "pmcid" else kind, text)
    if number := re.fullmatch(r"(?:PMC)?(\d+)", ids.get("pmc", ""), re.IGNORECASE):
        return f"pmc:PMC{number.group(1)}", f"https://pmc.ncbi.nlm.nih.gov/articles/PMC{number.group(1)}/"
    if "nbk" in ids:
        return f"nbk:{ids['nbk']}", f"https://www.ncbi.nlm.nih.gov/books/{ids['nbk']}/"
    if doi := ids.get("doi", "").lower():
        return f"doi:{doi}", f"https://doi.org/{doi}"
    return name, None


def _walk(element: Element, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    held, figures, here = "", list[Element](), path
    end = Element("label")  # whatever is no paragraph closes the one before it
    for child, following in pairwise((*element, end, end)):
        if child.tag in _LISTS:
            held = f"{held} {_plain(child)}".strip()
            continue
        yield from _close(held, figures, here)
        held, figures = "", []
        if child.tag == "p" and (line := _bold_line(child)) and _is_text(following):
            here = (*path, line)
        elif child.tag == "p":
            held, figures = _plain(child), [*child.iter("fig")]
        elif child.tag in ("fig", "fig-group"):
            yield from _close("", list(child.iter("fig")), here)
        elif child.tag in _SECTIONS:
            here = path
            heading = _plain(_first(child, "title", "caption/title"))
            if not _ASIDE.fullmatch(heading.replace("’", "'")):
                yield from _walk(child, (*path, heading) if heading else path)
        elif child.tag not in _LEFT_OUT:
            yield from _walk(child, here)


def _bold_line(element: Element) -> str:
    """Text of a paragraph that is one short bold line: StatPearls writes the headings inside a section so."""
    only = element[0] if len(element) == 1 and element[0].tag == "bold" else None
    if only is None or (element.text or "").strip() or (only.tail or "").strip():
        return ""
    text = _plain(element)
    return "" if len(text) > _LONGEST_HEADING or text.endswith((".", "!", "?")) else text.rstrip(": ")


def _is_text(element: Element) -> bool:
    return element.tag in _LISTS or (element.tag == "p" and not _bold_line(element))


def _close(text: str, figures: list[Element], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if text:
        yield _heading(path), text
    for figure in figures:
        caption = figure.find("caption")
        if caption is not None and (text := _plain(caption, keep=("title",))):
            yield _heading((*path, _plain(figure.find("label")) or "Figure")), text


def _heading(path: tuple[str, ...]) -> str:
    """Titles one after the other, each closed by a full stop or by its own question mark."""
    closed = [part if part.endswith(("?", "!", ".")) else f"{part}." for part in path[:-1]]
    return " ".join((*closed, path[-1]))


def _plain(element: Element | None, keep: tuple[str, ...] = ()) -> str:
    """Text of an element with white space collapsed and without the numbers that cite."""
    if element is None:
        return ""
    text = " ".join(_raw(element, keep).split())
    for pattern, instead in ((_IN_BRACKETS, _CITED), (_AFTER_BRACKET, ""), (_STOP_TWICE, ""), (_CITATIONS, "")):
        text = pattern.sub(instead, text)
    return " ".join(text.split())


def _raw(element: Element, keep: tuple[str, ...] = ()) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag not in _LEFT_OUT or child.tag in keep:
            text = _raw(child, keep)
            if child.tag in _BLOCKS:
                text = f" {_ended(text, child.tag)} "
            elif _only_cites(child, text):
                text = _CITED
            elif child.tag == "sup":
                text = as_power(parts[-1], text)
            parts.append(text)
        elif child.tag.startswith("disp-formula"):
            parts.append(" ")
        parts.append(child.tail or "")
    return "".join(parts)


def _only_cites(element: Element, text: str) -> bool:
    """Whether this is the number of a reference, or a superscript that holds nothing else."""
    if element.tag == "sup":
        return _CITED in text and not any(map(str.isalnum, text))
    return element.tag == "xref" and element.get("ref-type") == "bibr" and _NUMBER.fullmatch(text) is not None


def _ended(text: str, tag: str) -> str:
    """An item of a list, or the title of a caption, as a sentence of its own."""
    text = text.strip()
    if tag in ("list-item", "def-item", "title") and text and text[-1] not in ".;:,!?":
        return f"{text}."
    return f"{text}:" if tag == "term" and text and text[-1] != ":" else text


def _first(element: Element | None, *paths: str) -> Element | None:
    return next((found for p in paths if element is not None and (found := element.find(p)) is not None), None)


def _year(meta: Element | None) -> int | None:
    """Year of the first publication, not of the release in an archive."""
    if meta is None:
        return None
    years = [
        year
        for date in (*meta.iterfind("pub-date"), *meta.iterfind("pub-history/date"))
        if (date.get("pub-type") or date.get("date-type")) not in _LATE_DATES
        if (year := find_year(date.findtext("year")))
    ]
    return min(years) if years else find_year(meta.findtext(".//copyright-year"))


def _licence(meta: Element | None) -> str:
    """Address of the licence; failing that its wording, or the copyright notice."""
    if meta is None:
        return ""
    for licence in meta.iter("license"):
        links = [licence.get(_HREF), *(_plain(item) for item in licence.iter("license_ref"))]
        links += [link.get(_HREF) for link in licence.iter("ext-link") if "creativecommons" in link.get(_HREF, "")]
        if found := next((link for link in links if link), _plain(licence)):
            return found
    return _plain(_first(meta, ".//copyright-statement"))
