"""PubMed by search: PMIDs and records from NCBI's E-utilities, into a folder that :func:`read_corpus` reads.

NCBI allows 3 requests a second, and 10 with an API key, which is taken from the environment variable
``NCBI_API_KEY`` and travels in the body of a request, never in an address. ESearch gives the first 9,999 records of
PubMed only; a larger answer is asked for in pieces of publication time. For all of PubMed use the yearly baseline
(``get_corpus("pubmed-baseline", …)``) instead.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request
from xml.etree.ElementTree import Element, ParseError, fromstring

from tqdm.auto import tqdm

from knobo.errors import FormatError, InputError
from knobo.knowledge.pubmed import PUBMED_ROOTS, xml_elements, xml_root
from knobo.knowledge.web import AGENT, BrokenAnswerError, Clock, Courier, check_base_url, looks_like_html
from knobo.storage import atomic_path, read_json, write_json

EUTILS = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/"
BATCH = 200  # records a request
_FIRST = 9999  # records of an answer that ESearch gives for PubMed; retstart may be 9998 at most
_OLDEST, _NEWEST = date(1500, 1, 1), date(3000, 12, 31)  # both ends must be given, and print dates lie ahead
_FORMAT, _VERSION = "knobo.pubmed_search", 1
_RECORDS = frozenset({"PubmedArticle", "PubmedBookArticle"})
_NOTES = ("PhraseNotFound", "FieldNotFound", "QuotedPhraseNotFound")


class _Entrez:
    """The E-utilities with the parameters that every request carries."""

    def __init__(self, base_url: str, email: str | None, tool: str, clock: Clock, timeout: float) -> None:
        key = os.environ.get("NCBI_API_KEY", "").strip()
        self.base_url = check_base_url(base_url, secret=bool(key))
        self.courier = Courier(per_second=10.0 if key else 3.0, clock=clock, timeout=timeout, secret=key)
        self._common = {"db": "pubmed", "tool": tool, "email": email or "", "api_key": key}

    def request(self, utility: str, **parameters: str | int) -> Request:
        fields = {name: value for name, value in {**self._common, **parameters}.items() if value != ""}
        body = urlencode(fields).encode("ascii")
        return Request(f"{self.base_url}{utility}.fcgi", data=body, headers={"User-Agent": AGENT})

    def search(self, query: str, first: date | None, last: date | None, most: int) -> tuple[int, list[str]]:
        """Number of records that answer a query, and the PMIDs of the first ones."""
        span: dict[str, str | int] = {}
        if first is not None and last is not None:
            span = {"datetype": "pdat", "mindate": f"{first:%Y/%m/%d}", "maxdate": f"{last:%Y/%m/%d}"}
        answer = self.courier.send(
            lambda: self.request("esearch", term=query, retmax=min(most, _FIRST), **span),
            lambda response: _search_answer(response.read(), min(most, _FIRST)),
            f"PubMed search {query!r}",
        )
        for note in (found for kind in _NOTES for found in answer.iter(kind)):
            warnings.warn(f"PubMed does not know {note.text!r} and searched without it; check the query.", stacklevel=4)
        return int(answer.findtext("Count", "0")), [str(item.text).strip() for item in answer.iterfind("IdList/Id")]


def search_pubmed(
    query: str,
    *,
    max_results: int | None = None,
    since: int | None = None,
    base_url: str = EUTILS,
    email: str | None = None,
    tool: str = "knobo",
    clock: Clock = time,
    timeout: float = 60.0,
) -> list[str]:
    """Search PubMed.

    Parameters
    ----------
    query : str
        As on the PubMed page, such as ``"pneumothorax[majr] AND radiography"``.
    max_results : int, optional
        Most PMIDs to return; the default is all.
    since : int, optional
        First year of publication.
    base_url : str
        Address of the E-utilities.
    email, tool : str
        Whom NCBI may write to before it blocks a machine, and the name of the program.
    clock : Clock
        Time and sleep, replaced in tests.
    timeout : float
        Seconds without a byte after which an attempt has failed.

    Returns
    -------
    list of str
        PMIDs, each once, in PubMed's order; more than 9,999 by time of publication, the newest times first.

    Raises
    ------
    InputError
        If the query is empty or nothing answers it, or more than 9,999 records answer it for a single day.
    DownloadError
        If the server refuses, or keeps on failing.
    """
    return _search(_Entrez(base_url, email, tool, clock, timeout), query, max_results, since)


def _search(entrez: _Entrez, query: str, max_results: int | None, since: int | None) -> list[str]:
    if not query.strip():
        raise InputError("The PubMed query is empty; give some words, such as 'pneumothorax[majr] AND radiography'.")
    if max_results is not None and max_results < 1:
        raise InputError(f"max_results is the number of PMIDs to return, at least 1, got {max_results}.")
    if since is not None and not _OLDEST.year <= since <= _NEWEST.year:
        raise InputError(f"since is a year such as 2015, got {since}.")
    first = date(since, 1, 1) if since is not None else _OLDEST
    most = _FIRST if max_results is None else max_results
    count, pmids = entrez.search(query, first if since else None, _NEWEST if since else None, most)
    if not count:
        raise InputError(f"PubMed has no publication for {query!r}; use fewer or other words, or an earlier year.")
    wanted = count if max_results is None else min(count, max_results)
    if wanted <= _FIRST:
        return list(dict.fromkeys(pmids))[:wanted]
    found: dict[str, None] = {}
    for piece in _pieces(entrez, query, first, _NEWEST):
        found.update(dict.fromkeys(piece))
        if max_results is not None and len(found) >= max_results:
            break
    return list(found)[:max_results]


def _pieces(entrez: _Entrez, query: str, first: date, last: date) -> Iterator[list[str]]:
    """PMIDs by publication time, newest first; a time with too many of them is halved."""
    count, pmids = entrez.search(query, first, last, _FIRST)
    if count <= _FIRST:
        yield pmids
        return
    if first == last:
        raise InputError(
            f"More than {_FIRST:,} publications of {first:%Y/%m/%d} answer {query!r}, which is all that PubMed gives. "
            "Narrow the query, set max_results, or take the whole baseline: get_corpus('pubmed-baseline', …)."
        )
    middle = first + (last - first) // 2
    yield from _pieces(entrez, query, middle + timedelta(days=1), last)
    yield from _pieces(entrez, query, first, middle)


def _search_answer(body: bytes, most: int) -> Element:
    """A search result, if it is whole: ESearch reports its own errors with status 200."""
    try:
        answer = fromstring(body)
    except ParseError as error:
        kind = "a web page (HTML)" if looks_like_html(body) else f"no well-formed XML ({error})"
        raise BrokenAnswerError(f"the server sent {kind} instead of a search result") from None
    if answer.tag != "eSearchResult":
        raise BrokenAnswerError(f"the server sent <{answer.tag}> instead of a search result")
    if (said := answer.findtext("ERROR")) is not None:
        raise BrokenAnswerError(f"PubMed reports an error ({' '.join(said.split())[:200]})")
    count = answer.findtext("Count", "")
    if not count.isdigit():
        raise BrokenAnswerError("the search result does not say how many records there are")
    if len(answer.findall("IdList/Id")) < min(int(count), most):
        raise BrokenAnswerError("the search result holds fewer PMIDs than it says")
    return answer


def fetch_pubmed(
    pmids: str | Iterable[str | int],
    folder: str | Path,
    *,
    max_results: int | None = None,
    since: int | None = None,
    base_url: str = EUTILS,
    email: str | None = None,
    tool: str = "knobo",
    progress: bool = False,
    clock: Clock = time,
    timeout: float = 60.0,
) -> Path:
    """Fetch PubMed records as XML files of 200 into a folder that is a corpus.

    A run that was stopped goes on where it was: ``manifest.json`` keeps the query, its date and the PMIDs found, and
    a file that is complete is never fetched again. NCBI asks that large jobs run at weekends, or from 9 pm to 5 am
    Eastern time.

    Parameters
    ----------
    pmids : str or iterable of str or int
        A query as in :func:`search_pubmed`, or PMIDs.
    folder : str or Path
        Where to write; made if it is not there.
    max_results, since
        Narrow a query, as in :func:`search_pubmed`.
    base_url, email, tool, clock, timeout
        As in :func:`search_pubmed`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If there are no PMIDs, one is no number, or the folder holds the records of another query.
    DownloadError
        If the server refuses, or keeps on failing.

    Warns
    -----
    UserWarning
        If PubMed has no record of some PMIDs; ``manifest.json`` lists them as ``missing``.
    """
    entrez, root = _Entrez(base_url, email, tool, clock, timeout), Path(folder)
    manifest = _open_manifest(entrez, root, pmids, max_results, since)
    numbers, batch = list[str](manifest["pmids"]), int(manifest["batch"])
    try:
        for first in tqdm(range(0, len(numbers), batch), desc="Fetching PubMed", disable=not progress):
            name = f"pubmed-{first // batch + 1:05d}.xml"
            missing = _fetch_batch(entrez, root / name, numbers[first : first + batch], manifest["done"].get(name))
            if missing is not None:
                manifest["missing"] = sorted({*manifest["missing"], *missing}, key=int)
                manifest["done"][name] = (root / name).stat().st_size
    finally:  # also when it is stopped; a file that only the manifest lacks is recognised by what it holds
        write_json(root / "manifest.json", manifest)
    if gone := manifest["missing"]:
        some = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")
        warnings.warn(f"PubMed has no record of {len(gone)} of {len(numbers)} PMIDs: {some}.", stacklevel=2)
    return root


def _open_manifest(
    entrez: _Entrez, root: Path, pmids: str | Iterable[str | int], max_results: int | None, since: int | None
) -> dict[str, Any]:
    """The manifest of a run that was stopped, or a new one."""
    query = pmids if isinstance(pmids, str) else None
    asked = {"query": query, "since": since, "max_results": max_results}
    numbers = None if isinstance(pmids, str) else _check_pmids(pmids)
    path = root / "manifest.json"
    if path.exists():
        manifest = read_json(path, what=_FORMAT, versions=(_VERSION,))
        if {name: manifest.get(name) for name in asked} != asked or numbers not in (None, manifest.get("pmids")):
            raise InputError(
                f"{root} holds the records of another search ({manifest.get('query') or 'a list of PMIDs'}); choose "
                "another folder, or delete this one."
            )
        return manifest
    if numbers is None:
        numbers = _search(entrez, str(query), max_results, since)
    head = {"format": _FORMAT, "format_version": _VERSION, **asked}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entrez.courier.clock.time()))
    head |= {"date": when, "source": entrez.base_url, "batch": BATCH}
    manifest = {**head, "missing": [], "done": {}, "pmids": numbers}
    write_json(path, manifest)
    return manifest


def _check_pmids(pmids: Iterable[str | int]) -> list[str]:
    numbers = list(dict.fromkeys(str(pmid).strip() for pmid in pmids))
    for number in numbers:
        if not (number.isascii() and number.isdigit() and int(number) > 0):
            raise InputError(f"PMID {number!r} is no positive whole number; give PMIDs such as 29768149, or a query.")
    if not numbers:
        raise InputError("There are no PMIDs to fetch; give at least one, or a query.")
    return numbers


def _fetch_batch(entrez: _Entrez, path: Path, pmids: Sequence[str], size: int | None) -> list[str] | None:
    """Fetch a file unless it is there; PMIDs without a record, or None if the manifest already has it all."""
    if path.is_file():
        if path.stat().st_size == size:
            return None
        try:
            if not (missing := _missing(path, pmids)):
                return missing
        except (BrokenAnswerError, FormatError):
            pass  # damaged since; it is fetched anew
    what = f"{path.name} (PMID {pmids[0]} and {len(pmids) - 1} more)"
    with atomic_path(path) as part:

        def keep(response: Any) -> list[str]:
            part.write_bytes(response.read())
            return _missing(part, pmids)

        def ask() -> Request:
            return entrez.request("efetch", retmode="xml", id=",".join(pmids))

        # a loaded server leaves records out, so that a gap is believed only the second time
        return entrez.courier.send(ask, keep, what) and entrez.courier.send(ask, keep, what)


def _missing(path: Path, pmids: Sequence[str]) -> list[str]:
    """PMIDs that a file does not hold; an error if it is no complete PubMed XML, or holds none of them."""
    if not path.stat().st_size:
        raise BrokenAnswerError("the server sent nothing")
    with path.open("rb") as file:
        if looks_like_html(file.read(2000)):
            raise BrokenAnswerError("the server sent a web page (HTML) instead of PubMed records")
    try:
        if (root := xml_root(path)) not in PUBMED_ROOTS:
            raise BrokenAnswerError(f"the server sent <{root}> instead of PubMed records")
        held = {_pmid(record) for record in xml_elements(path, _RECORDS)}
    except FormatError as error:
        raise BrokenAnswerError(
            f"the server sent broken XML ({str(error).removeprefix(str(path)).lstrip(', :')})"
        ) from None
    missing = [pmid for pmid in pmids if pmid not in held]
    if len(missing) == len(pmids):
        raise BrokenAnswerError("the answer holds none of the PMIDs asked for")
    return missing


def _pmid(record: Element) -> str:
    """PMID of an article or of a book's chapter."""
    return str(record.findtext("MedlineCitation/PMID") or record.findtext("BookDocument/PMID") or "").strip()
