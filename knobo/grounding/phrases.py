"""Many patterns of words found in one pass over a sentence: a tree of words with gaps."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from knobo.wordings import FILLERS, GAP, LOOSE_GAP, alternatives, stem

_MOST_WORDS = {FILLERS: 8, GAP: 10, LOOSE_GAP: 12}  # that a gap may span


class Hit(NamedTuple):
    """Words ``start`` up to ``end`` (excluded) of a sentence; ``solid`` is where its first unbroken run ends."""

    start: int
    end: int
    solid: int
    meaning: Any


@dataclass(slots=True)
class _Node:
    following: dict[str, _Node] = field(default_factory=dict)
    gaps: dict[str, _Node] = field(default_factory=dict)
    meaning: Any = None


class PhraseTree:
    """Patterns with what each of them means.

    Parameters
    ----------
    fillers : collection of str
        Words that ``~`` skips.
    stops : mapping of gap to collection of str
        Words that ``...`` and ``...,`` never cross.
    """

    def __init__(self, fillers: Collection[str], stops: dict[str, Collection[str]]) -> None:
        self._root = _Node()
        self._fillers = frozenset(map(stem, fillers))
        self._stops = {gap: frozenset(map(stem, words)) for gap, words in stops.items()}
        self.vocabulary: set[str] = set()

    def add(self, pattern: str, meaning: Any) -> None:
        """Let a pattern mean this; a pattern that is known already means both."""
        for sequence in alternatives(pattern):
            self.add_words((w if w in _MOST_WORDS else stem(w) for w in sequence), meaning)

    def add_words(self, words: Iterable[str], meaning: Any) -> None:
        """Like :meth:`add`, for comparable words and gaps."""
        node = self._root
        for word in words:
            step = node.gaps if word in _MOST_WORDS else node.following
            node = step.setdefault(word, _Node())
            self.vocabulary.add(word)
        node.meaning = meaning if node.meaning is None else node.meaning | meaning

    def starts(self) -> Collection[str]:
        """Words that a pattern may begin with."""
        return self._root.following.keys()

    def at(self, words: list[str], start: int) -> list[Hit]:
        """Every pattern that begins at a word."""
        node = self._root.following.get(words[start])
        if node is None:
            return []
        if node.meaning is None and not node.gaps:  # most words begin a phrase that the next one ends
            following = start + 1
            if following == len(words) or words[following] not in node.following:
                return []
        found: list[Hit] = []
        self._walk(node, words, start, start + 1, 0, found)
        return found

    def _walk(self, node: _Node, words: list[str], start: int, i: int, solid: int, found: list[Hit]) -> None:
        if node.meaning is not None:
            found.append(Hit(start, i, solid or i, node.meaning))
        if i >= len(words):
            return
        following = node.following.get(words[i])
        if following is not None:
            self._walk(following, words, start, i + 1, solid, found)
        if not node.gaps:
            return
        fillers = self._fillers
        for gap, node_behind in node.gaps.items():
            behind, stops = node_behind.following, self._stops.get(gap, fillers)
            if behind.keys().isdisjoint(words):  # mostly so, and quicker than looking word by word
                continue
            for j in range(i, min(i + _MOST_WORDS[gap] + 1, len(words))):
                word = words[j]
                if word in behind:
                    self._walk(behind[word], words, start, j + 1, solid or (i if j > i else 0), found)
                if (word not in fillers) if gap == FILLERS else (word in stops):
                    break
