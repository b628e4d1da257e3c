"""The runs of words in a text that may be names."""

from __future__ import annotations

from collections.abc import Iterator

from knobo.knowledge.text import split_sentences, tokenize

_LONGEST = 6  # words
_NO_EDGE = frozenset(
    """
    a an the of in on at to by for from with without and or nor no not
    is are was were be been has have had as this that these those there it
    """.split()  # noqa: SIM905 - a list of words is read best as text
)


def word_runs(text: str) -> Iterator[tuple[int, int]]:
    """Where runs of up to six words stand that lie in one sentence, hold no punctuation and end in no small word."""
    position = 0
    for sentence in split_sentences(text):
        position = text.index(sentence, position)
        tokens = tokenize(sentence)
        for first, token in enumerate(tokens):
            for last in tokens[first : first + _LONGEST]:
                if not last.lower[0].isalnum() or token.lower in _NO_EDGE:
                    break
                if last.lower not in _NO_EDGE:
                    yield position + token.start, position + last.end
        position += len(sentence)
