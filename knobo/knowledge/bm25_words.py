"""What BM25 means here, whichever engine computes it: the words of a text, and the constants of the formula."""

from __future__ import annotations

import re
from functools import lru_cache

from knobo.knowledge.text import stem

K1, B = 1.5, 0.75
STOP = frozenset(
    """
    a an and are as at be by for from in is it its of on or that the this to was were with
    """.split()  # noqa: SIM905 - a list of words is read best as text
)
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")  # as in tokenize, without punctuation


def words(text: str) -> list[str]:
    """Stems of the words and whole numbers that ``tokenize`` finds in a text, in order, stop words left out."""
    return [word for word in map(_word, _WORD.findall(text)) if word]


@lru_cache(maxsize=1 << 17)  # most words of a corpus are repeats
def _word(found: str) -> str:
    lower = found.lower()
    return stem(lower) if lower.isalnum() and lower not in STOP else ""
