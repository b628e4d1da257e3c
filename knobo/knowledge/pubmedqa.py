"""PubMedQA's own JSON to passages: one object of PMID to question, sections of the abstract, labels and conclusion.

Jin et al. 2019 (arXiv:1909.06146) publish abstracts as ``{"<PMID>": {"QUESTION": …, "CONTEXTS": […], "LABELS": […],
"LONG_ANSWER": …, "YEAR": …}}``; the question is mostly the title of the article, the long answer its conclusion.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from knobo.errors import FormatError, KnoboError
from knobo.knowledge.corpus import Passage, cut_blocks, find_year, open_corpus
from knobo.knowledge.pmids import PmidSet

_START = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"\d{1,8}"\s*:\s*\{\s*"(?:QUESTION|CONTEXTS)"')
_KEY = re.compile(r'\s*[{,]\s*"(\d{1,8})"\s*:\s*')
_END = re.compile(r"\s*\}\s*")
_BUFFER = 1 << 16
_LONGEST = 1 << 20  # characters of a record; one has some 3,000
_SOURCE = "PubMed abstracts (PubMedQA)"  # the format does not name the journal


def is_pubmedqa(path: Path) -> bool:
    """Whether a ``.json`` file begins as PubMedQA's do; other JSON in a folder is not text."""
    try:
        with open_corpus(path) as file:
            return _START.match(file.read(400)) is not None
    except KnoboError:
        return False


def read_pubmedqa(
    path: str | Path, *, newer: PmidSet | None = None, counts: Counter[str] | None = None
) -> Iterator[Passage]:
    """Read the abstracts of a PubMedQA file (``ori_pqal.json`` and its like), one at a time.

    Parameters
    ----------
    path : str or Path
        ``.json``, also gzipped.
    newer, counts : optional
        As for :func:`knobo.knowledge.pubmed.read_pubmed`.

    Yields
    ------
    Passage
        ``pubmed:<PMID>:<n>``; ``title`` is the question. Sections begin with their label, the conclusion with
        "CONCLUSION".

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If it has another format, is cut off or damaged, or a record lacks its sections. The message names the record.
    """
    file, own, counts = Path(path), PmidSet(), Counter() if counts is None else counts
    for pmid, record in _records(file):
        counts["articles"] += 1
        own.add(pmid)
        if newer is not None and pmid in newer:
            counts["superseded"] += 1
            continue
        pieces = cut_blocks(_sections(record, f"{file}, record {pmid}"))
        counts["passages"] += len(pieces)
        counts["without_abstract"] += not pieces
        facts: dict[str, Any] = {
            "source": _SOURCE,
            "title": _clean(record.get("QUESTION")),
            "url": f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/",
            "year": find_year(str(record.get("YEAR"))),
        }
        for n, piece in enumerate(pieces, start=1):
            yield Passage(id=f"pubmed:{pmid}:{n}", text=piece, **facts)
    if newer is not None:
        newer.update(own)


def _sections(record: dict[str, Any], where: str) -> Iterator[str]:
    texts, labels = record.get("CONTEXTS"), record.get("LABELS") or []
    if not isinstance(texts, list) or not isinstance(labels, list):
        raise FormatError(f"{where}: CONTEXTS and LABELS must be lists of texts; fetch the file anew.")
    labels = [*labels, *[""] * (len(texts) - len(labels))][: len(texts)]
    for label, text in zip([*labels, "CONCLUSION"], [*texts, record.get("LONG_ANSWER")], strict=True):
        if words := _clean(text):
            yield f"{_clean(label)}: {words}" if _clean(label) else words


def _clean(text: Any) -> str:
    return " ".join(text.split()) if isinstance(text, str) else ""


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """PMID and record, as soon as each has been read."""
    decoder, pending, last = json.JSONDecoder(), "", "none"
    with open_corpus(path) as file:
        reader, ended = codecs.getincrementaldecoder("utf-8-sig")(), False
        while not ended:
            chunk = file.read(_BUFFER)
            ended = not chunk
            try:
                pending += reader.decode(chunk, final=ended)
            except UnicodeDecodeError as error:
                raise FormatError(f"{path}: the text is not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
            while key := _KEY.match(pending):
                try:
                    record, end = decoder.raw_decode(pending, key.end())
                except (ValueError, RecursionError):  # no complete record yet, or none at all
                    break
                if not isinstance(record, dict):
                    raise FormatError(f"{path}, record {key[1]}: expected an object, got {type(record).__name__}.")
                last, pending = key[1], pending[end:]
                yield last, record
            if len(pending) > _LONGEST + _BUFFER:
                break
    if not _END.fullmatch(pending):
        raise FormatError(f"{path}: no PubMedQA JSON, damaged or cut off, after record {last}; fetch the file anew.")
