"""PubMed XML to passages: baseline and update files, and what efetch returns.

An article gives one passage, or several when its abstract is long. ``language`` is that of the article; its abstract in
PubMed is in English even then. Update files repeat articles that have changed and list those that were deleted; given a
folder, ``read_corpus`` reads the newest file first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser
from xml.parsers import expat

from knobo.errors import FormatError, KnoboError
from knobo.knowledge.corpus import Passage, cut_blocks, find_year, language_code, open_corpus
from knobo.knowledge.pmids import PmidSet

PUBMED_ROOTS = frozenset({"PubmedArticleSet", "PubmedBookArticleSet", "PubmedArticle", "PubmedBookArticle"})
_ARTICLES = frozenset({"PubmedArticle", "PubmedBookArticle"})
RETRACTED = "Retracted Publication"
_RETRACTED_BY = ("RetractionIn", "RetractedandRepublishedIn")  # notes that name the notice
_BUFFER = 1 << 16
_DEEPEST = 150  # elements inside each other; articles have some 30
_NO_LABEL = ("", "UNLABELLED", "UNASSIGNED")
_POWER = re.compile(r"\s*[+−–-]?\s*\d+\s*")


def read_pubmed(
    path: str | Path,
    *,
    keep_retracted: bool = False,
    newer: PmidSet | None = None,
    counts: Counter[str] | None = None,
) -> Iterator[Passage]:
    """Read the abstracts of a PubMed XML file, one at a time and in constant memory.

    Parameters
    ----------
    path : str or Path
        ``.xml`` or ``.xml.gz`` with a ``PubmedArticleSet``.
    keep_retracted : bool
        Also read retracted articles: those of the type "Retracted Publication", and those that name the notice that
        retracted them. Both then have that type among their ``kinds``.
    newer : PmidSet, optional
        PMIDs of newer files, whose articles are left out. When the file has been read, its own PMIDs and those that it
        lists as deleted are put in.
    counts : collections.Counter, optional
        Is filled while reading: ``"articles"``, ``"without_abstract"`` (these give no passage), ``"passages"``,
        ``"retracted"``, ``"superseded"`` (by a newer file), and ``"deleted"``, the PMIDs listed as deleted.

    Yields
    ------
    Passage
        ``pubmed:<PMID>:<n>``, for a second version of a record ``pubmed:<PMID>.2:<n>``; ``source`` is the journal.
        Sections of a structured abstract begin with their label ("METHODS: …").

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If it is no PubMed XML, is cut off or damaged, declares entities, or an article has no PMID. The message
        names the file and the line.
    """
    file, counts = Path(path), Counter() if counts is None else counts
    if (root := xml_root(file)) not in PUBMED_ROOTS:
        raise FormatError(
            f"{file} is no PubMed XML: its root is <{root}>, expected <PubmedArticleSet>. Fetch it with retmode=xml."
        )
    own = PmidSet()
    for article in xml_elements(file, _ARTICLES | {"PMID"}):
        if article.tag == "PMID":  # one that stands in no article is listed as deleted
            counts["deleted"] += 1
            own.add(_text(article))
            continue
        counts["articles"] += 1
        record, pmid, version = _identity(article, file, counts["articles"])
        own.add(pmid)
        retracted = _is_retracted(record)
        if newer is not None and pmid in newer:
            counts["superseded"] += 1
        elif retracted and not keep_retracted:
            counts["retracted"] += 1
        else:
            passages = _passages(record, pmid, version, retracted)
            counts["retracted"] += retracted
            counts["passages"] += len(passages)
            counts["without_abstract"] += not passages
            yield from passages
    if newer is not None:
        newer.update(own)


def _identity(article: Element, path: Path, n: int) -> tuple[Element, str, str]:
    """The record of an article, its PMID and the version of it."""
    record = _first(article, "MedlineCitation", "BookDocument")
    pmid = record.find("PMID") if record is not None else None
    if record is None or pmid is None or not (number := _text(pmid)):
        raise FormatError(f"{path}: article {n} has no PMID; fetch the file anew, or leave that article out.")
    return record, number, pmid.get("Version", "1")


def _is_retracted(record: Element) -> bool:
    notes = record.iterfind("CommentsCorrectionsList/CommentsCorrections")
    return any(note.get("RefType") in _RETRACTED_BY for note in notes) or any(
        _text(kind) == RETRACTED for kind in record.iter("PublicationType")
    )


def _passages(record: Element, number: str, version: str, retracted: bool) -> list[Passage]:
    pieces = cut_blocks(_sections(record))
    if not pieces:
        return []
    key = f"pubmed:{number}" if version == "1" else f"pubmed:{number}.{version}"
    kinds = [*(_text(kind) for kind in record.iter("PublicationType")), RETRACTED if retracted else ""]
    language, notice = record.find(".//Language"), record.find(".//Abstract/CopyrightInformation")
    facts: dict[str, Any] = {
        "source": _text(_first(record, "Article/Journal/Title", ".//ISOAbbreviation", ".//BookTitle", ".//MedlineTA")),
        "title": _title(record),
        "url": f"https://pubmed.ncbi.nlm.nih.gov/{number}/",
        "year": _year(record),
        "kinds": tuple(dict.fromkeys(kind for kind in kinds if kind)),
        "language": language_code(_text(language)) or None,
        "licence": _text(notice) or None,
    }
    return [Passage(id=f"{key}:{i}", text=piece, **facts) for i, piece in enumerate(pieces, start=1)]


def _sections(record: Element) -> Iterator[str]:
    """Sections of the abstract, each with its label."""
    article = _first(record, "Article")
    for part in (record if article is None else article).iterfind("Abstract/AbstractText"):  # a book has no Article
        label, text = part.get("Label", "").strip(), _text(part)
        if text:
            yield text if label.upper() in _NO_LABEL else f"{label.rstrip(':')}: {text}"


def _title(record: Element) -> str:
    title = _text(_first(record, "Article/ArticleTitle", "ArticleTitle"))
    if title.lower().strip("[]. ") in ("", "not available"):
        title = _text(_first(record, ".//VernacularTitle", ".//BookTitle"))
    return title


def _year(record: Element) -> int | None:
    dates = (".//PubDate/Year", ".//PubDate/MedlineDate", ".//ArticleDate/Year", ".//ContributionDate/Year")
    return next((year for date in dates if (year := find_year(_text(record.find(date))))), None)


def _first(element: Element, *paths: str) -> Element | None:
    return next((found for path in paths if (found := element.find(path)) is not None), None)


def _text(element: Element | None) -> str:
    return "" if element is None else " ".join(_raw(element).split())


def _raw(element: Element) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag == "sub":
            parts[-1] = _without_line_end(parts[-1])
        text = _raw(child)
        parts += [as_power(parts[-1], text) if child.tag == "sup" else text, child.tail or ""]
    return "".join(parts)


def _without_line_end(text: str) -> str:
    """Text without a line break at its end: one that only lays out the file must not part CO from its 2."""
    bare = text.rstrip()
    return bare if "\n" in text[len(bare) :] else text


def as_power(before: str, text: str) -> str:
    """A raised number as ``^5`` where it follows a number, so that ten to the fifth does not become 105."""
    raised = before[-1:].isdigit() or before[-1:] == ")"
    return f"^{text}" if raised and _POWER.fullmatch(text) else text


def xml_root(path: Path) -> str:
    """Tag of the root element without its namespace.

    Raises
    ------
    FormatError
        If the document declares entities (which can fill any memory), or is no XML up to there.
    """
    parser, found = expat.ParserCreate(namespace_separator="}"), list[str]()

    def refuse(name: str, *_: object) -> None:
        raise FormatError(
            f"{path}, line {parser.CurrentLineNumber}: declares the entity {name!r}, which knobo does not expand. "
            "Take the file from NLM itself, or remove the declaration."
        )

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda tag, _: found.append(tag)
    try:
        with open_corpus(path) as file:
            while not found and (chunk := file.read(_BUFFER)):
                parser.Parse(chunk)
            if not found:
                parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise _broken(path, error.lineno, expat.ErrorString(error.code)) from error
    except KnoboError:
        raise
    except (LookupError, ValueError) as error:  # an encoding that expat does not know
        raise _broken(path, 1, str(error)) from error
    return found[0].rpartition("}")[2]


def xml_elements(path: Path, tags: frozenset[str]) -> Iterator[Element]:
    """Outermost elements with one of the tags, each complete and then forgotten; tags are without namespaces."""
    wanted: Element | None = None
    inside: list[Element] = []
    with open_corpus(path) as file:
        for event, element in _events(file, path):
            if event == "start":
                element.tag = element.tag.rpartition("}")[2]
                inside.append(element)
                if len(inside) > _DEEPEST:
                    raise FormatError(
                        f"{path}: elements lie more than {_DEEPEST} deep in each other; this is no article. Remove it."
                    )
                if wanted is None and element.tag in tags:
                    wanted = element
                continue
            inside.pop()
            if wanted is not None and element is wanted:
                yield element
                wanted = None
            if wanted is None and inside:
                del inside[-1][:]


def _events(file: IO[bytes], path: Path) -> Iterator[Any]:
    """Pairs of "start" or "end" and the element."""
    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    try:
        while chunk := file.read(_BUFFER):
            parser.feed(chunk)
            yield from parser.read_events()
        parser.close()
        yield from parser.read_events()
    except ParseError as error:
        raise _broken(path, error.position[0], expat.ErrorString(error.code)) from error
    except (LookupError, ValueError) as error:
        raise _broken(path, 1, str(error)) from error


def _broken(path: Path, line: int, reason: str) -> FormatError:
    return FormatError(
        f"{path}, line {line}: this is no well-formed XML ({reason}). The file is damaged or cut off; fetch it anew."
    )
