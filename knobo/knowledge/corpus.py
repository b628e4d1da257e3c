"""Text corpora to passages, one at a time and in constant memory.

A corpus is a Markdown or plain-text file, or a folder of them. In Markdown the first line is ``# Title``; lines
``Source: …``, ``URL: …``, ``Year: …`` may follow it and hold for the whole file; ``## Heading`` opens a section; a
paragraph is a passage. A paragraph may end in a line ``[source: citation | URL | year]`` of its own. In plain text
every paragraph is a passage as it stands.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from knobo.errors import FileError, FormatError, InputError, KnoboError
from knobo.knowledge.text import split_sentences
from knobo.storage import shipped_path

MAX_CHARS = 2000  # a longer paragraph becomes several passages, cut at sentence ends
_BUFFER = 1 << 14  # characters of one paragraph that are held; what comes before is given back without its bracket line
_SUFFIXES = (".md", ".txt")
_TITLE = re.compile(r"#\s+(.*)")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_FRONT = re.compile(r"(Source|URL|Year|Licence|License):\s*(.*)", re.IGNORECASE)
_CITATION = re.compile(r"\[source:\s*(.*)\]", re.IGNORECASE)
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)\b")


@dataclass(frozen=True)
class Passage:
    """A paragraph of a corpus, the unit that is retrieved and cited.

    Attributes
    ----------
    id : str
        ``<file>:<n>``, the path of the file inside the corpus and the number of the passage in it, from 1. It stays
        the same on every machine and as long as no paragraph is put in before it; evidence therefore also keeps
        the sentence itself.
    source : str
        Citation of the work that the facts come from.
    title : str
        Title of the file, and the heading of the section after a colon.
    text : str
        The paragraph with white space collapsed to single blanks.
    url, year
        Where and when the source was published, if known.
    """

    id: str
    source: str
    title: str
    text: str
    url: str | None = None
    year: int | None = None


def read_corpus(path: str | Path) -> Iterator[Passage]:
    """Read the passages of a corpus, one at a time.

    Parameters
    ----------
    path : str or Path
        A ``.md`` or ``.txt`` file, a folder that holds some (searched in depth, files in the order of their names),
        or the name of a corpus that ships with knobo: ``"chest-xray"`` or ``"skin-lesion"``.

    Yields
    ------
    Passage

    Raises
    ------
    FileError
        If there is no such file, folder or shipped corpus, or a file cannot be read.
    InputError
        If it holds no text.
    FormatError
        If a file is not UTF-8 (the message names the file and the line).
    """
    root = corpus_path(path)
    files = [root] if root.is_file() else _text_files(root)
    if not files:
        raise InputError(f"Corpus {root} holds no {' or '.join(_SUFFIXES)} file; put the text there or check the path.")
    return _read_files(root, files)


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


def _text_files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    visible = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(visible, key=lambda path: path.relative_to(folder).as_posix())


def _read_files(root: Path, files: list[Path]) -> Iterator[Passage]:
    n = 0
    for path in files:
        name = path.name if root.is_file() else path.relative_to(root).as_posix()
        for passage in _read_file(path, name):
            n += 1
            yield passage
    if not n:
        raise InputError(f"Corpus {root} holds no text; write at least one paragraph.")


def _read_file(path: Path, name: str) -> Iterator[Passage]:
    state = _Reader(name=name, markdown=path.suffix.lower() == ".md", title=path.stem)
    try:
        with path.open(encoding="utf-8-sig") as file:
            while line := file.readline(_BUFFER):
                yield from state.take(line)
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path}, line {_bad_line(path)}: the text is not UTF-8 ({error.reason}). Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise FileError(
            f"Cannot read {path}: {error.strerror or error}. Check the path and its permissions."
        ) from error
    yield from state.flush()


def _bad_line(path: Path) -> int:
    """Number of the first line that cannot be decoded."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file:
        for chunk in iter(lambda: file.readline(_BUFFER), b""):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return line
            line += chunk.endswith(b"\n")
    return line


@dataclass
class _Reader:
    """Takes one line after the other and gives back the passages that are complete."""

    name: str
    markdown: bool
    title: str
    heading: str = ""
    front: dict[str, str] = field(default_factory=dict)
    in_front: bool = False
    n_lines: int = 0
    n_passages: int = 0
    within_line: bool = False
    held: str = ""

    def take(self, line: str) -> Iterator[Passage]:
        """Read one line, or a part of a long one; give back the passages that it completes."""
        first, self.n_lines = self.n_lines == 0, self.n_lines + 1
        begins, self.within_line = not self.within_line, not line.endswith("\n")
        text = line.strip()
        if self.markdown and begins and self._is_front(text, first=first):
            return
        if self.markdown and begins and (heading := _HEADING.fullmatch(text)):
            yield from self.flush()
            self.heading = heading.group(1)
        elif self.markdown and begins and (citation := _CITATION.fullmatch(text)):
            yield from self.flush(citation.group(1))
        elif begins and not text:
            yield from self.flush()
        else:
            self.held += line
            if len(self.held) > _BUFFER:
                yield from self.flush(partly=True)

    def _is_front(self, text: str, *, first: bool) -> bool:
        """Take the title or a front line, if this is one."""
        if first and (title := _TITLE.fullmatch(text)):
            self.title, self.in_front = title.group(1).strip(), True
            return True
        if self.in_front and (front := _FRONT.fullmatch(text)):
            self.front[front.group(1).lower()] = front.group(2).strip()
            return True
        self.in_front = self.in_front and not text
        return False

    def flush(self, citation: str | None = None, *, partly: bool = False) -> Iterator[Passage]:
        """Close the paragraph, or all but its unfinished end; its own citation replaces the front lines of the file."""
        tail = self.held[len(self.held.rstrip()) :]
        pieces = cut(" ".join(self.held.split()), MAX_CHARS)
        self.held = pieces.pop() + tail if partly and pieces else ""
        if citation is None:
            source, url, year = self.front.get("source", self.title), self.front.get("url"), self.front.get("year")
        else:
            source, url, year = _parts(citation)
        title = f"{self.title}: {self.heading}" if self.heading else self.title
        for piece in pieces:
            self.n_passages += 1
            yield Passage(
                f"{self.name}:{self.n_passages}", source or self.title, title, piece, url or None, _year(year)
            )


def cut(text: str, longest: int) -> list[str]:
    """Pack sentences into pieces of at most ``longest`` characters; a longer sentence is cut between words."""
    pieces = [""]
    for sentence in split_sentences(text) if len(text) > longest else [text]:
        while len(sentence) > longest:
            end = sentence.rfind(" ", 1, longest + 1)
            end = end if end > 0 else longest
            pieces += [sentence[:end].strip(), ""]
            sentence = sentence[end:].strip()
        if pieces[-1] and len(pieces[-1]) + 1 + len(sentence) > longest:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]} {sentence}".strip()
    return [piece for piece in pieces if piece]


def _parts(citation: str) -> tuple[str, str, str]:
    """Citation text, URL and year of a bracket line; the text itself may hold a bar."""
    parts = [part.strip() for part in citation.split("|")]
    if len(parts) < 3:
        parts += [""] * (3 - len(parts))
    return " | ".join(parts[:-2]), parts[-2], parts[-1]


def _year(text: str | None) -> int | None:
    match = _YEAR.search(text or "")
    return int(match.group()) if match else None
