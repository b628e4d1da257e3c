"""What a linker answers with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """An entry that a text may mean.

    Attributes
    ----------
    cui : str or None
        UMLS identifier; None when no open source gives one.
    name : str
        Preferred name of the entry.
    score : float
        In [0, 1]; 1 when the words are the same. The match ``m`` of the text and the best alias is 0.9 times
        :meth:`~knobo.knowledge.word_match.WordMatcher.agreement` plus 0.1 times the cosine of their character 3-grams;
        the score is ``m ** (0.5 + 1.5 * r ** 4)``, where ``r`` is the match of the best other entry divided by ``m``,
        at most 1: what fits one entry nearly as well as another is doubtful.
    alias : str
        That alias.
    id : str
        Identifier of the entry in the knowledge base.
    semantic_types : tuple of str
        Its UMLS semantic types, where known.
    codes : tuple of str
        Its identifiers in other vocabularies, such as ``"HP:0001640"`` or ``"MESH:D011014"``, where known.
    """

    cui: str | None
    name: str
    score: float
    alias: str
    id: str
    semantic_types: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LinkedMention:
    """A run of words in a text, and the entries that it may mean.

    Attributes
    ----------
    start, end : int
        Characters of the text.
    text : str
        What was looked up: the words as they stand, abbreviations replaced by their long forms.
    candidates : tuple of Candidate
        Best first; never empty.
    """

    start: int
    end: int
    text: str
    candidates: tuple[Candidate, ...]


def closeness(mention: LinkedMention) -> tuple[float, int, int, int]:
    """Order in which runs are taken; words that no name holds do not lower a score, so lengths are compared too."""
    best = mention.candidates[0]
    return -best.score, abs(len(mention.text) - len(best.alias)), mention.start - mention.end, mention.start
