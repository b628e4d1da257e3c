"""Finds a quotation in a passage: letter by letter, else with blanks, quotation marks, hyphens and case aside.

What is kept is always the passage's own text, in whole sentences: a part of one could hide a "no" before it.
"""

from __future__ import annotations

import unicodedata

from knobo.knowledge.text import split_sentences

_SAME = {
    **dict.fromkeys("‘’‚‛`´′", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
}
_AROUND = " \"'.…,;:-"  # what a model may add to a quotation, or leave out at its ends
_LEAST = 8  # letters and digits that a quotation needs, so that it cannot stand anywhere by chance


def align(quote: str, text: str) -> tuple[str, ...]:
    """Sentences of ``text`` that hold ``quote``.

    Parameters
    ----------
    quote : str
        What someone says that the text says.
    text : str

    Returns
    -------
    tuple of str
        Whole sentences, each a slice of ``text``, in order; empty when the quotation does not stand there.
    """
    wanted, _ = _plain(quote)
    wanted = wanted.strip(_AROUND)
    if sum(letter.isalnum() for letter in wanted) < _LEAST:
        return ()
    plain, places = _plain(text)
    at = plain.find(wanted)
    while at > 0 and plain[at - 1].isalnum() and wanted[0].isalnum():  # "typical network" is not "atypical network"
        at = plain.find(wanted, at + 1)
    if at < 0:
        return ()
    first, last = places[at], places[at + len(wanted) - 1]
    return tuple(text[start:end] for start, end in _spans(text) if start <= last and first < end)


def _plain(text: str) -> tuple[str, list[int]]:
    """Comparable letters, and for each the place in ``text`` that it comes from."""
    letters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for part in unicodedata.normalize("NFKD", _SAME.get(character, character)).casefold():
            part = " " if part.isspace() else _SAME.get(part, part)
            hidden = unicodedata.category(part) in ("Mn", "Cf", "Cc")
            if not hidden and not (part == " " and (not letters or letters[-1] == " ")):
                letters.append(part)
                places.append(place)
    return "".join(letters), places


def _spans(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for sentence in split_sentences(text):
        start = text.index(sentence, start)
        spans.append((start, start + len(sentence)))
        start += len(sentence)
    return spans
