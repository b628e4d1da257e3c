"""Markdown and plain text to passages; :mod:`knobo.knowledge.corpus` says what the files look like."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from knobo.errors import FileError, FormatError
from knobo.knowledge.corpus import LFS_POINTER, MAX_CHARS, Passage, cut, find_year, pointer_error

_BUFFER = 1 << 14  # characters of one paragraph that are held; what comes before is given back without its bracket line
_TITLE = re.compile(r"#\s+(.*)")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_FRONT = re.compile(r"(Source|URL|Year|Licence|License):\s*(.*)", re.IGNORECASE)
_CITATION = re.compile(r"\[source:\s*(.*)\]", re.IGNORECASE)


def read_text(path: Path, name: str) -> Iterator[Passage]:
    """Passages of one Markdown or plain-text file; ``name`` is its path inside the corpus."""
    state = _Reader(name=name, markdown=path.suffix.lower() == ".md", title=path.stem)
    try:
        with path.open(encoding="utf-8-sig") as file:
            while line := file.readline(_BUFFER):
                if not state.n_lines and line.startswith(LFS_POINTER.decode()):
                    raise pointer_error(path)
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
                f"{self.name}:{self.n_passages}", source or self.title, title, piece, url or None, find_year(year)
            )


def _parts(citation: str) -> tuple[str, str, str]:
    """Citation text, URL and year of a bracket line; the text itself may hold a bar."""
    parts = [part.strip() for part in citation.split("|")]
    if len(parts) < 3:
        parts += [""] * (3 - len(parts))
    return " | ".join(parts[:-2]), parts[-2], parts[-1]
