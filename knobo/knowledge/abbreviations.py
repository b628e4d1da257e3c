"""Abbreviations that a text defines itself, "congestive heart failure (CHF)", and their use further on.

The search is that of Schwartz & Hearst (2003), "A simple algorithm for identifying abbreviation definitions in
biomedical text", Pacific Symposium on Biocomputing 8:451-462: the letters of the short form are looked for from right
to left in the words before the bracket, and its first letter must begin a word. No model and no list is needed, and
nothing is guessed for an abbreviation that the text does not define.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from knobo.knowledge.text import split_sentences

_BRACKET = re.compile(r"[(\[]\s*([^()\[\]]+?)\s*[)\]]")
_ASIDE = re.compile(r"[;,]\s")  # "(CHF, see below)": what follows is no part of the short form
_MOST_LETTERS, _MOST_WORDS = 10, 2


def find_abbreviations(text: str) -> dict[str, str]:
    """Short forms that ``text`` defines, and their long forms as they stand in it.

    Parameters
    ----------
    text : str
        A sentence or a passage. Both "long form (short form)" and "short form (long form)" are found, within one
        sentence.

    Returns
    -------
    dict of str to str
        In order of appearance; where a short form is defined twice, the first long form counts.
    """
    found: dict[str, str] = {}
    for sentence in split_sentences(text):
        for bracket in _BRACKET.finditer(sentence):
            inside = _ASIDE.split(bracket.group(1))[0].strip()
            before = sentence[: bracket.start()].rstrip()
            short, long = inside, _long_form(inside, before) if _is_short_form(inside) else None
            if long is None and before:
                short = before.split()[-1]
                long = _whole(short, inside) if _is_short_form(short) else None
            if long is not None:
                found.setdefault(short, long)
    return found


def expand_abbreviations(text: str, abbreviations: Mapping[str, str]) -> str:
    """``text`` with each short form that stands alone replaced by its long form; upper and lower case count."""
    if not abbreviations:
        return text
    longest_first = sorted(abbreviations, key=lambda short: (-len(short), short))
    pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
    return re.sub(pattern, lambda match: abbreviations[match.group()], text)


def _is_short_form(text: str) -> bool:
    """Two to ten characters in at most two words, a letter or digit first, and at least one letter."""
    fits = 2 <= len(text) <= _MOST_LETTERS and len(text.split()) <= _MOST_WORDS
    return fits and text[0].isalnum() and any(letter.isalpha() for letter in text)


def _whole(short: str, long: str) -> str | None:
    """The words in a bracket, if the short form before it stands for all of them."""
    return long if _long_form(short, long) == long else None


def _long_form(short: str, before: str) -> str | None:
    """The shortest run of words at the end of ``before`` that holds the letters of the short form in order."""
    letters = [letter for letter in short.lower() if letter.isalnum()]
    words = list(re.finditer(r"\S+", before))[-min(len(letters) + 5, 2 * len(letters)) :]
    if not words:
        return None
    window = before[words[0].start() :]
    lower = window.lower()
    if len(lower) != len(window):  # a letter whose lower case is longer: positions would not fit
        return None
    at = len(window)
    for i in range(len(letters) - 1, -1, -1):
        at -= 1
        while at >= 0 and (lower[at] != letters[i] or (i == 0 and at > 0 and lower[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return None
    while at > 0 and not lower[at - 1].isspace():  # the whole of a word such as "non-small"
        at -= 1
    long = window[at:].lstrip("\"'“‘")
    return long if _is_definition(short, long) else None


def _is_definition(short: str, long: str) -> bool:
    """A long form is longer than its short form and does not hold it as a word of its own."""
    return len(long) > len(short) and short.lower() not in re.split(r"[\s-]+", long.lower())
