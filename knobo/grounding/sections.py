"""A report to the sentences of the sections that say what is seen: no indication, history, technique, comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_LINE = re.compile(r"[^\S\n]*\n[^\S\n]*")
_SENTENCE_END = re.compile(
    r"[.!](?=\s|$)(?<!\bvs\.)(?<!\bdr\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bapprox\.)"
    r"|\.(?=[a-z]{2})(?<=[a-z]{3}\.)|\?(?=\s)(?<=\w\?)|\n"
)
_WRAPPED = 50  # a line at least this long that ends without a mark goes on in the next
_CANNOT_END = re.compile(r"(?:,|\b(?:no|the|an?|of|in|is|are|and|or|with|without|for|to|at|on|focal|acute|mildly))$")
_NUMBERED = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+", re.MULTILINE)


class Sections:
    """Splits reports by their headings.

    Parameters
    ----------
    skipped, read : iterable of str
        Headings of sections that do not, and that do, say what the image shows.
    """

    def __init__(self, skipped: list[str], read: list[str]) -> None:
        self._skipped = frozenset(skipped)
        shouted = "|".join(re.escape(h.upper()) for h in sorted({*skipped, *read}, key=len, reverse=True) if len(h) > 5)
        self._shouted = re.compile(rf"(?<!\w)(?:{shouted})(?=\s+[A-Z\d])(?!\s+[A-Z]{{2}})")
        known = "|".join(re.escape(h) for h in sorted({*skipped, *read}, key=len, reverse=True))
        # A heading that is known may stand anywhere before a colon, one that is not only at the start of a line.
        self._heading = re.compile(
            rf"(?:(?<!\w)(?P<inline>{known})[^\S\n]*:|^[^\S\n]*(?P<line>{known})[^\S\n]*(?:-[^\S\n]|(?=\n|$))"
            r"|^[^\S\n]*(?P<other>[^\W\d_][\w /&,-]{2,40}):)",
            re.MULTILINE,
        )

    def sentences(self, report: str) -> Iterator[str]:
        """Sentences in lower case, without headings of sections."""
        if ("FINDINGS" in report or "IMPRESSION" in report) and not report.isupper():
            report = self._shouted.sub(
                r"\g<0>:", report
            )  # "Dyspnea FINDINGS The heart is normal": capitals are a colon
        text = report.lower()
        if ":" not in text and "\n" not in text:
            yield from _sentences(text)
            return
        skipping, position = False, 0
        for heading in self._heading.finditer(text):
            yield from _sentences(self._kept(text[position : heading.start()], skipping))
            known = heading.group("inline") or heading.group("line")
            skipping = known in self._skipped
            # "Heart: enlarged" is a statement; only the heading of a section is dropped.
            position = heading.end() if known else heading.start()
        last = text[position:]
        if skipping and "\n" not in last.strip():
            yield from list(_sentences(last))[1:]  # of a single line only the first sentence is surely history
        else:
            yield from _sentences(self._kept(last, skipping))

    @staticmethod
    def _kept(part: str, skipping: bool) -> str:
        """What of a section is read: all, or what follows its first paragraph when no heading ends it."""
        if not skipping:
            return part
        body = part.lstrip(" \t")
        if not body.strip():
            return ""
        body = body.lstrip("\n")
        lines = body.split("\n")
        for n, line in enumerate(lines):
            line = line.strip()
            if not line or line.endswith((".", "?", "!", ":")) or len(line) < _WRAPPED:
                return "\n".join(lines[n + 1 :])
        return ""


def _sentences(text: str) -> Iterator[str]:
    if "\n" in text:
        text = _NUMBERED.sub("", _join_wrapped(text))
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if sentence := text[start : end.end()].strip():
            yield sentence
        start = end.end()
    if sentence := text[start:].strip():
        yield sentence


def _join_wrapped(text: str) -> str:
    lines = _LINE.split(text)
    joined = lines[0]
    for before, line in pairwise(lines):
        wraps = (len(before) >= _WRAPPED and not before.endswith((".", ":", ";", "?", "!"))) or _CANNOT_END.search(
            before
        )
        joined += (" " if wraps and line else "\n") + line
    return joined
