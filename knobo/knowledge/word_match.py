"""How well two short names agree, word by word, with what the names of a knowledge base themselves tell about words.

Character n-grams find names that look alike; "absent toe" and "absent finger" look more alike than two names of one
thing often do. So the names of a knowledge base are compared with each other: where two names of *one* entry differ in
a single word ("absent / missing toe"), the two words may stand for each other; where names of *different* entries do
("absent toe / finger"), they tell entries apart. Counting both, as contexts are counted in distributional similarity,
gives a measure that needs no list and no model, and that is learned anew for each knowledge base.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.knowledge.text import tokenize

ARRAYS = ("word_counts", "pairs", "pair_same", "pair_apart")
_MOST_IN_A_SLOT = 30  # words that fill one gap; more of them are a list (of places, of numbers), not wordings
_SMALL = frozenset("a an the of in on at to by for from with and or".split())  # noqa: SIM905
_Weighed = tuple[tuple[str, float], ...]  # words and their weights
_CLASH = 0.6  # what is left of the agreement when two names contradict each other


class WordMatcher:
    """Agreement of names in [0, 1].

    Parameters
    ----------
    words : sequence of str
        Stems, without repeats.
    arrays : mapping of str to array
        ``word_counts`` of shape (n_words + 1,): names that hold each word, and all names. ``pairs`` of shape
        (n_pairs,), sorted: ``smaller number << 32 | larger number`` of two words. ``pair_same``, ``pair_apart``: how
        often they stood for each other in one entry, and told two entries apart.
    """

    def __init__(self, words: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.words, self.arrays = words, arrays
        self._numbers = {word: i for i, word in enumerate(words)}
        self._pairs = arrays["pairs"]
        self._alike = lru_cache(maxsize=1 << 18)(self._compare)
        self._weighed = lru_cache(maxsize=1 << 16)(self._weigh)

    @classmethod
    def learn(cls, names: Iterable[str], owners: NDArray[np.int32], starts: NDArray[np.int64]) -> WordMatcher:
        """Count the words of names; name ``i`` belongs to the entries ``owners[starts[i] : starts[i + 1]]``."""
        numbers: dict[str, int] = {}
        held = [[numbers.setdefault(word, len(numbers)) for word in content_words(name)] for name in names]
        counts = np.zeros(len(numbers) + 1, dtype=np.int32)
        for row in held:
            counts[list(set(row))] += 1
        counts[-1] = len(held)
        gaps, words, name_numbers = _gaps(held, len(numbers))
        times = np.diff(starts)[name_numbers]
        nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        entries = owners[np.repeat(starts[name_numbers], times) + nth]
        pairs, same, apart = _count_pairs(np.repeat(gaps, times), np.repeat(words, times), entries)
        return cls(list(numbers), dict(zip(ARRAYS, (counts, pairs, same, apart), strict=True)))

    def agreement(self, text: str, name: str) -> float:
        """Share of the weight of the words that the other name has too, the smaller of the two shares.

        A word counts as found to the degree that the most similar word of the other name stands for it, and weighs
        the logarithm of the share of names that hold it. Names that contradict each other (left and right, with and
        without) lose 40 %.
        """
        ours, theirs = self._weighed(text), self._weighed(name)
        if not ours or not theirs:
            return 0.0
        found = min(self._found(ours, theirs), self._found(theirs, ours))
        return found * _CLASH ** clashes(text, name)

    def _found(self, some: _Weighed, others: _Weighed) -> float:
        alike = self._alike
        total = found = 0.0
        for word, weight in some:
            total += weight
            best = 0.0
            for other, _ in others:
                if (degree := alike(word, other)) > best:
                    best = degree
            found += weight * best
        return found / total

    def _weigh(self, text: str) -> _Weighed:
        counts = self.arrays["word_counts"]
        in_names = [int(counts[self._numbers[w]]) if w in self._numbers else 0 for w in content_words(text)]
        weights = np.log((1 + int(counts[-1])) / (1 + np.array(in_names))) + 0.1
        return tuple(zip(content_words(text), weights.tolist(), strict=True))

    def _compare(self, word: str, other: str) -> float:
        """Degree to which two words stand for each other; spelling decides as long as no name says more."""
        if word == other:
            return 1.0
        spelt = _spelt_alike(word, other)
        ends = sorted((self._numbers.get(word, -1), self._numbers.get(other, -1)))
        if ends[0] < 0:
            return spelt
        at = int(np.searchsorted(self._pairs, key := ends[0] << 32 | ends[1]))
        if at == len(self._pairs) or self._pairs[at] != key:
            return spelt
        same, apart = int(self.arrays["pair_same"][at]), int(self.arrays["pair_apart"][at])
        return (same + spelt) / (same + apart + 1)


def content_words(text: str) -> list[str]:
    """Stems of ``text`` without small words; an "a" that ends a name is no article ("hepatitis A")."""
    tokens = [token for token in tokenize(text) if token.lower[0].isalnum()]
    ends_in_a = len(tokens) > 1 and tokens[-1].lower == "a"
    return [token.stem for token in tokens if token.lower not in _SMALL] + ["a"] * ends_in_a


def clashes(text: str, name: str) -> int:
    """How many words of one name have an opposite in the other, plus one for other numbers, and one for a denial."""
    ours, theirs = _plain(text), _plain(name)
    if ours == theirs:
        return 0
    opposites = _opposites()
    only_theirs = theirs - ours
    found = sum(word in opposites and not opposites[word].isdisjoint(only_theirs) for word in ours - theirs)
    return found + (_numbers(ours) != _numbers(theirs)) + (ours.isdisjoint(_denials()) != theirs.isdisjoint(_denials()))


@lru_cache(maxsize=1 << 16)
def _plain(text: str) -> frozenset[str]:
    return frozenset(token.lower for token in tokenize(text) if token.lower[0].isalnum())


@lru_cache(maxsize=1 << 16)
def _numbers(words: frozenset[str]) -> frozenset[str]:
    return frozenset(word for word in words if word[0].isdigit())


@cache
def _contrasts() -> Any:
    return json.loads(files("knobo.knowledge").joinpath("contrasts.json").read_text(encoding="utf-8"))


@cache
def _opposites() -> dict[str, set[str]]:
    """For each word, those that contradict it."""
    found: dict[str, set[str]] = {}
    for one, other in _contrasts()["opposites"]:
        for word in one.split():
            found.setdefault(word, set()).update(other.split())
        for word in other.split():
            found.setdefault(word, set()).update(one.split())
    return found


@cache
def _denials() -> frozenset[str]:
    return frozenset(_contrasts()["denials"].split())


@lru_cache(maxsize=1 << 18)
def _spelt_alike(word: str, other: str) -> float:
    """Dice coefficient of the sets of 3-grams, word ends included."""
    ours, theirs = _grams(word), _grams(other)
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


@lru_cache(maxsize=1 << 16)
def _grams(word: str) -> frozenset[str]:
    padded = f" {word} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def _gaps(held: list[list[int]], n_words: int) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int64]]:
    """For each word of each name of two words or more: a hash of the name with a gap there, the word, and the name."""
    lengths = np.array([len(row) for row in held], dtype=np.int64)
    words = np.fromiter((word for row in held for word in row), dtype=np.int32, count=int(lengths.sum()))
    starts = np.cumsum(lengths) - lengths
    names = np.repeat(np.arange(len(held)), lengths)
    rng = np.random.default_rng(0)
    of_word = rng.integers(0, 2**64, size=n_words, dtype=np.uint64)
    of_place = rng.integers(0, 2**64, size=int(lengths.max(initial=0)) + 1, dtype=np.uint64) | np.uint64(1)
    parts = of_word[words] * of_place[np.arange(len(words)) - starts[names]]  # wraps around, as a hash may
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(parts, dtype=np.uint64)])
    totals = sums[starts + lengths] - sums[starts] + of_place[lengths]
    kept = lengths[names] > 1
    return (totals[names] - parts)[kept], words[kept], names[kept]


def _count_pairs(
    gaps: NDArray[np.uint64], words: NDArray[np.int32], entries: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Pairs of words that fill the same gap, and how often within one entry and in two."""
    order = np.lexsort((entries, words, gaps))
    gaps, words, entries = gaps[order], words[order], entries[order]
    fresh = np.ones(len(gaps), dtype=bool)
    fresh[1:] = (gaps[1:] != gaps[:-1]) | (words[1:] != words[:-1]) | (entries[1:] != entries[:-1])
    gaps, words, entries = gaps[fresh], words[fresh], entries[fresh]
    _, size = np.unique(gaps, return_counts=True)
    fits = np.repeat((size > 1) & (size <= _MOST_IN_A_SLOT), size)
    gaps, words, entries = gaps[fits], words[fits], entries[fits]
    keys: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    together: list[NDArray[np.bool_]] = [np.empty(0, dtype=bool)]
    for step in range(1, min(_MOST_IN_A_SLOT, len(gaps))):
        near = (gaps[step:] == gaps[:-step]) & (words[step:] != words[:-step])
        low = np.minimum(words[:-step], words[step:])[near].astype(np.int64)
        high = np.maximum(words[:-step], words[step:])[near]
        keys.append(low << 32 | high)
        together.append((entries[step:] == entries[:-step])[near])
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    same = np.bincount(place, weights=np.concatenate(together), minlength=len(pairs)).astype(np.int32)
    return pairs, same, (np.bincount(place, minlength=len(pairs)) - same).astype(np.int32)
