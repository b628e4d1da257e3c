"""Text corpora to passages, one at a time and in constant memory but for the ids of publications (a bit a PMID).

A corpus is a file or a folder of files: Markdown and plain text, PubMed XML (:mod:`knobo.knowledge.pubmed`), JATS full
text (:mod:`knobo.knowledge.jats`), JSON Lines (:mod:`knobo.knowledge.jsonl`) and the JSON of PubMedQA
(:mod:`knobo.knowledge.pubmedqa`); the last four also as ``.gz``.

In Markdown the first line is ``# Title``; lines ``Source: …``, ``URL: …``, ``Year: …`` may follow it and hold for the
whole file; ``## Heading`` opens a section; a paragraph is a passage. A paragraph may end in a line
``[source: citation | URL | year]`` of its own. In plain text every paragraph is a passage as it stands.
"""

from __future__ import annotations

import gzip
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from knobo.errors import FileError, FormatError, InputError, KnoboError
from knobo.knowledge.pmids import PmidSet
from knobo.knowledge.text import split_sentences
from knobo.storage import shipped_path

MAX_CHARS = 2000  # a longer paragraph becomes several passages, cut at sentence ends
OVERLAP = 200  # characters, at most, that a piece of an article repeats from the piece before it
_TEXT, _PACKED = (".md", ".txt"), (".xml", ".nxml", ".jsonl")  # the second also with .gz
_PUBMED = "pubmed:"
_PUBLISHED = (_PUBMED, "pmc:", "nbk:", "doi:")  # ids that name a publication wherever its file lies
LFS_POINTER = b"version https://git-lfs.github.com/spec"
_NLM_FILE = re.compile(r"pubmed(\d\d)n(\d{4,})\.xml(?:\.gz)?")
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)\b")
_LANGUAGES = dict(
    pair.split(":")
    for pair in """
    eng:en fre:fr fra:fr ger:de deu:de spa:es ita:it por:pt dut:nl nld:nl dan:da nor:no swe:sv fin:fi ice:is isl:is
    pol:pl cze:cs ces:cs slo:sk slk:sk slv:sl hrv:hr srp:sr bos:bs bul:bg rum:ro ron:ro hun:hu rus:ru ukr:uk gre:el
    ell:el tur:tr heb:he ara:ar per:fa fas:fa jpn:ja chi:zh zho:zh kor:ko vie:vi tha:th lit:lt lav:lv est:et
    """.split()  # noqa: SIM905 - a list of pairs is read best as text
)


@dataclass(frozen=True)
class Passage:
    """A paragraph of a corpus, the unit that is retrieved and cited.

    Attributes
    ----------
    id : str
        ``<file>:<n>``, the path of the file inside the corpus and the number of the passage in it, from 1; of a
        publication ``pubmed:<PMID>:<n>``, ``pmc:<PMCID>:<n>``, ``nbk:<NBK id>:<n>`` or ``doi:<DOI>:<n>``. It stays
        the same on every machine and as long as no paragraph is put in before it; evidence therefore also keeps
        the sentence itself.
    source : str
        Citation of the work that the facts come from; of an article its journal, of a chapter its book.
    title : str
        Title of the file, and the heading of the section after a colon; of an article ``Title. Section``.
    text : str
        The paragraph with white space collapsed to single blanks.
    url, year
        Where and when the source was published, if known.
    kinds : tuple of str
        Publication types as the source words them, such as ``"Case Reports"`` or ``"review-article"``.
    language : str or None
        ISO 639-1 code of the publication, such as ``"en"``.
    licence : str or None
        Address or wording of the licence, or the copyright notice.
    """

    id: str
    source: str
    title: str
    text: str
    url: str | None = None
    year: int | None = None
    kinds: tuple[str, ...] = ()
    language: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))  # JSON gives a list


def read_corpus(
    path: str | Path, *, keep_retracted: bool = False, counts: Counter[str] | None = None
) -> Iterator[Passage]:
    """Read the passages of a corpus, one at a time.

    Parameters
    ----------
    path : str or Path
        A file, a folder that holds some (searched in depth, files in the order of their names), an index folder, or
        the name of a corpus that ships with knobo: ``"chest-xray"`` or ``"skin-lesion"``. Files are ``.md``, ``.txt``,
        ``.xml`` (PubMed or JATS, told apart by their root element), ``.nxml``, ``.jsonl``, ``.json`` (of PubMedQA;
        other JSON in a folder is passed over), all but the first two also ``.gz``.
    keep_retracted : bool
        Also read the articles that PubMed lists as retracted; their ``kinds`` then say "Retracted Publication".
    counts : collections.Counter, optional
        Is filled while reading PubMed XML as by :func:`knobo.knowledge.pubmed.read_pubmed`. Without it a warning says
        how many retracted articles were left out.

    Yields
    ------
    Passage
        A publication that stands in the corpus more than once is read where it stands first. NLM's own files
        (``pubmed26n0001.xml.gz``, …) are read before all others and the newest of them first, so that of an article
        the newest version is read, and none that an update has deleted.

    Raises
    ------
    FileError
        If there is no such file, folder or shipped corpus, or a file cannot be read.
    InputError
        If it holds no text.
    FormatError
        If a file is not what its name says: no UTF-8, cut off, damaged, a git-LFS pointer, another format. The
        message names the file and, where there is one, the line.
    """
    from knobo.knowledge.index_folder import index_folders  # which imports this module, as the readers do
    from knobo.knowledge.passages import StoredPassages

    root = corpus_path(path)
    files = [root] if root.is_file() else corpus_files(root)
    if not files and (indexes := index_folders(root)):
        return iter(StoredPassages(next(iter(indexes))))
    if not files:
        raise InputError(
            f"Corpus {root} holds no {' or '.join(_TEXT)} file, nor any {', '.join(_PACKED)} (these also as .gz); "
            "put the text there or check the path."
        )
    return _read_files(root, files, keep_retracted, counts)


def corpus_path(path: str | Path) -> Path:
    """Path of a corpus given by path or by shipped name."""
    if Path(path).exists():
        return Path(path)
    try:
        return shipped_path("corpora", "textbook", str(path))
    except KnoboError:
        shipped = sorted(folder.name for folder in shipped_path("corpora", "textbook").iterdir() if folder.is_dir())
        raise FileError(
            f"No corpus {str(path)!r}: not a file or folder, and the shipped corpora are {', '.join(shipped)}."
        ) from None


def corpus_files(folder: Path) -> list[Path]:
    """Text files in the order of reading; those of an index are none, they would be read twice."""
    found = (path for path in folder.rglob("*") if path.is_file() and _is_text(path) and not _is_index(path.parent))
    visible = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(visible, key=lambda path: (_age(path), path.relative_to(folder).as_posix()))


def _is_index(folder: Path) -> bool:
    from knobo.knowledge.index_folder import index_folders

    return (folder / "manifest.json").exists() and folder in index_folders(folder)


def _age(path: Path) -> tuple[int, int, int]:
    """Order of reading: NLM's baseline and update files, which are numbered on, from the newest; then all others."""
    match = _NLM_FILE.fullmatch(path.name)
    return (0, -int(match[1]), -int(match[2])) if match else (1, 0, 0)


def _is_text(path: Path) -> bool:
    from knobo.knowledge.pubmedqa import is_pubmedqa

    return path.suffix.lower() in _TEXT or _suffix(path) in _PACKED or (_suffix(path) == ".json" and is_pubmedqa(path))


def _suffix(path: Path) -> str:
    """``.xml`` of ``a.xml`` and of ``a.XML.gz``."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _read_files(root: Path, files: list[Path], keep_retracted: bool, counts: Counter[str] | None) -> Iterator[Passage]:
    n, keep, seen, pmids = 0, True, set[str](), PmidSet()
    counted: Counter[str] = Counter() if counts is None else counts
    for path in files:
        name = path.name if root.is_file() else path.relative_to(root).as_posix()
        articles = set[str]()  # PubMed's of this file; those of the files before it are in pmids, which takes less room
        for passage in _read_file(path, name, pmids, keep_retracted, counted):
            document, _, number = passage.id.rpartition(":")
            if number == "1":
                known = articles if document.startswith(_PUBMED) else seen
                keep = document not in known
                if document.startswith(_PUBLISHED):
                    known.add(document)
            if keep:
                n += 1
                yield passage
    if counts is None and not keep_retracted and counted["retracted"]:
        warnings.warn(
            f"{counted['retracted']} retracted articles of {root} were left out; keep_retracted=True reads them.",
            stacklevel=2,
        )
    if not n:
        raise InputError(f"Corpus {root} holds no text; write at least one paragraph.")


def _read_file(path: Path, name: str, pmids: PmidSet, keep_retracted: bool, counts: Counter[str]) -> Iterator[Passage]:
    """Hand a file to the reader of its format; the readers import this module, so they are imported here."""
    from knobo.knowledge.jats import read_jats
    from knobo.knowledge.jsonl import read_jsonl
    from knobo.knowledge.markdown import read_text
    from knobo.knowledge.pubmed import PUBMED_ROOTS, read_pubmed, xml_root
    from knobo.knowledge.pubmedqa import read_pubmedqa

    if _suffix(path) == ".json":
        return read_pubmedqa(path, newer=pmids, counts=counts)
    if _suffix(path) == ".jsonl":
        return read_jsonl(path, name=name)
    if _suffix(path) not in _PACKED:
        return read_text(path, name)
    if xml_root(path) in PUBMED_ROOTS:
        return read_pubmed(path, keep_retracted=keep_retracted, newer=pmids, counts=counts)
    return read_jats(path, name=name)


@contextmanager
def open_corpus(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that was fetched from somewhere: unpacked if it is gzip, refused if it is empty or a pointer."""
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
            file.seek(0)
            if not start:
                raise FormatError(f"{path} is empty; fetch it anew.")
            if start == LFS_POINTER:
                raise pointer_error(path)
            if start.startswith(b"\x1f\x8b"):
                with gzip.open(file) as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield file
    except KnoboError:
        raise
    except EOFError as error:
        raise FormatError(f"{path} is cut off: the gzip stream has no end. Fetch it anew.") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} is damaged ({error}); fetch it anew.") from error
    except OSError as error:
        raise FileError(
            f"Cannot read {path}: {error.strerror or error}. Check the path and its permissions."
        ) from error


def pointer_error(path: Path) -> FormatError:
    """What to say about a file that git has not fetched."""
    return FormatError(f"{path} is a git-LFS pointer, not the file itself; run git lfs pull, or download the file.")


def cut(text: str, longest: int, overlap: int = 0) -> list[str]:
    """Pack sentences into pieces of at most ``longest`` characters; a longer sentence is cut between words.

    A piece begins with the last sentences of the piece before it, as many whole ones as ``overlap`` characters hold.
    """
    pieces = [""]
    for sentence in split_sentences(text) if len(text) > longest else [text]:
        while len(sentence) > longest:
            end = sentence.rfind(" ", 1, longest + 1)
            end = end if end > 0 else longest
            pieces += [sentence[:end].strip(), ""]
            sentence = sentence[end:].strip()
        if pieces[-1] and len(pieces[-1]) + 1 + len(sentence) > longest:
            pieces.append(_last_sentences(pieces[-1], min(overlap, longest - 1 - len(sentence))))
        pieces[-1] = f"{pieces[-1]} {sentence}".strip()
    return [piece for piece in pieces if piece]


def _last_sentences(piece: str, longest: int) -> str:
    """Whole sentences from the end of a piece, never all of it."""
    kept = ""
    for sentence in reversed(split_sentences(piece)[1:] if longest > 0 else []):
        if len(sentence) + 1 + len(kept) > longest:
            break
        kept = f"{sentence} {kept}".strip()
    return kept


def cut_blocks(blocks: Iterable[str], longest: int = MAX_CHARS, overlap: int = OVERLAP) -> list[str]:
    """Pack paragraphs or labelled sections into pieces; one is cut only when it is longer than a piece."""
    pieces: list[str] = []
    for block in blocks:
        for piece in cut(block, longest, overlap):
            if pieces and len(pieces[-1]) + 1 + len(piece) <= longest:
                pieces[-1] = f"{pieces[-1]} {piece}"
            else:
                pieces.append(piece)
    return pieces


def language_code(text: str) -> str:
    """ISO 639-1 code of a code such as "eng", "EN" or "en-GB"; an unknown one as it is, in lower case."""
    code = text.strip().lower().replace("_", "-").split("-")[0]
    return _LANGUAGES.get(code, code)


def find_year(text: str | None) -> int | None:
    """First year from 1800 to 2099 that stands in a text."""
    match = _YEAR.search(text or "")
    return int(match.group()) if match else None
