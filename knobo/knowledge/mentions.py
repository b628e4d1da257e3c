"""Mentions of knowledge-base entries in a sentence, and whether the sentence states, denies or doubts each.

A mention is a run of words that holds the same words as one of the entry's names: order, endings, spelling and small
words aside, so "thickening of the fissures" is "fissure thickening". Nothing is guessed from similar letters, because
"typical network" and "atypical network" differ by one. Polarity follows NegEx (Chapman et al. 2001,
doi:10.1006/jbin.2001.1029): cue words before and after the mention, within its clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from knobo.knowledge.kb import KbEntry
from knobo.knowledge.text import Token, tokenize

Polarity = Literal["asserted", "denied", "doubtful"]

_SMALL = frozenset(
    """
    a an the of in on at to is are was were be been being it its their often usually commonly
    typically mostly sometimes may can also more very become becomes look looks appear appears both
    """.split()  # noqa: SIM905 - a list of words is read best as text
)
_ARTICLES = frozenset({"a", "an", "the"})
_PREPOSITIONS = frozenset({"of", "in", "on", "at", "to"})
_NOT = frozenset({"no", "not", "never", "nor"})
_JOIN = frozenset({"and", "or"})
_MOST_SMALL = 4  # small words inside one mention
_MOST_WORDS = 8  # words that may lie between a mention and its cue

_BREAK = re.compile(
    r"[;:.!?()]|\b(?:but|although|though|whereas|while|which|who|because|since|so|until|however|yet|by contrast"
    r"|on the other hand)\b"
)
_NO_BEFORE = re.compile(
    r"\b(?:no|not|never|without|neither|nor|none|lacks?|lacking|free of|absence of|instead of|rather than)\b"
)
_NO_AFTER = re.compile(
    r"\b(?:is|are|was|were) (?:(?:usually|often|also|therefore|typically|generally|mostly|both|as a rule) )?"
    r"(?:not(?! only)|never|absent)\b"
)
_DOUBT_BEFORE = re.compile(
    r"\b(?:if|unless|when|exclude[sd]?|excluding|suspected|possible|possibly|mistaken for|confused with|tell it from|"
    r"tells? \w+ from|told from|separates?|distinguish\w*|differs? from|unlike|imitates?|imitating|simulates?|"
    r"resembles?|looks? like|looked for|search\w* for|asked for|not always|complications? (?:of|to|such as|are)|"
    r"compared with|apart from|except|missed|misses|hides?|followed until|speaks? against|against|overlook\w*)\b"
    r"|\bthan(?: \w+){0,3} ?$"
)
_DOUBT_AFTER = re.compile(
    r"\b(?:not always|uncommon|unusual|less usual|rare|rarely|infrequent|seldom|unlikely|coincidental|chance finding|"
    r"cannot be excluded|is possible|are possible|does not exclude|do not exclude|must be|has to be|should be|"
    r"(?:is|are) (?:\w+ ){0,3}complications?|(?:may|can) be absent|(?:is|are) often absent|not specific|unspecific|"
    r"decides? against|decides? for|(?:can|may)(?: also)? occur|are few|may rupture|"
    r"(?:may|might|could)(?: \w+)? be present)\b"
)
_COUNT = re.compile(r"\b(\d+) of (?:the )?(\d+)\b")
_PERCENT = re.compile(r"\b(\d+(?:\.\d+)?) ?%")
_RARE = 0.2  # a finding counted in no larger share of the cases speaks neither for a disease nor against it
_HEDGE = re.compile(r"\b(?:may|can|might)\b")
# What lies between two findings of one list: no verb, and at least a comma, "and", "or" or "with".
_LISTED = re.compile(
    r"\s*(?:(?!(?:is|are|was|were|has|have|shows?|may|can|means?|helps?|in)\b)\w+\s+){0,3}(?:in \w+ )?"
    r"(?:,|,?\s*\b(?:and|or|nor|with)\b)\s*(?:(?:a|an|the|of|more|on|in)\s+)*(?:\w+\s+)?"
)


@dataclass(frozen=True)
class Mention:
    """One entry named in a sentence.

    Attributes
    ----------
    entry_id : str
    start, end : int
        Characters of the sentence.
    polarity : {"asserted", "denied", "doubtful"}
    by_name : bool
        True when the words are those of the preferred name.
    """

    entry_id: str
    start: int
    end: int
    polarity: Polarity
    by_name: bool


@dataclass(frozen=True)
class _Target:
    entry_id: str
    stems: tuple[str, ...]
    denies: bool
    by_name: bool


class MentionFinder:
    """Finds the entries of a knowledge base in sentences.

    Parameters
    ----------
    entries : iterable of KbEntry
        Where two entries share a wording, the first keeps it.
    """

    def __init__(self, entries: Iterable[KbEntry]) -> None:
        entries = list(entries)
        self._targets: dict[tuple[str, ...], _Target] = {}
        for entry in entries:
            self._add(entry.name, entry.id, by_name=True)
        for entry in entries:
            for wording in entry.wordings:
                self._add(wording, entry.id)
            for wording in entry.denied_by:
                self._add(wording, entry.id, denies=True)
        self._longest = max((len(key) for key in self._targets), default=0)

    def _add(self, wording: str, entry_id: str, *, denies: bool = False, by_name: bool = False) -> None:
        if stems := _stems(tokenize(wording)):
            self._targets.setdefault(tuple(sorted(stems)), _Target(entry_id, stems, denies, by_name))

    def find(self, sentence: str) -> list[Mention]:
        """Mentions in order; where runs of words overlap, the one that starts first and is longest counts."""
        tokens = tokenize(sentence)
        found, position = [], 0
        while position < len(tokens):
            run = self._longest_run(tokens, position)
            if run is None:
                position += 1
                continue
            end, target, negated = run
            found.append((tokens[position].start, tokens[end].end, target, negated))
            position = end + 1
        spans = [(start, stop) for start, stop, _, _ in found]
        return [
            Mention(t.entry_id, start, stop, _polarity(sentence, spans, i, flip=t.denies, negated=negated), t.by_name)
            for i, (start, stop, t, negated) in enumerate(found)
        ]

    def names(self, text: str) -> frozenset[str]:
        """Ids of the entries that ``text`` names, whatever it says about them."""
        return frozenset(mention.entry_id for mention in self.find(text))

    def _longest_run(self, tokens: list[Token], start: int) -> tuple[int, _Target, bool] | None:
        """Last token, target and "not" of the longest mention that begins at ``start``."""
        best: tuple[int, _Target, bool] | None = None
        words: list[Token] = []
        small, negated, fixed = 0, False, False
        for position in range(start, len(tokens)):
            token = tokens[position]
            if words and token.lower in _SMALL | _NOT:
                small += 1
                negated = negated or token.lower in _NOT
                # An article that no preposition leads opens a new noun: its words may not be put in another order.
                fixed = fixed or (token.lower in _ARTICLES and tokens[position - 1].lower not in _PREPOSITIONS)
            elif _is_word(token):
                words.append(token)
                stems = _stems(words)
                target = self._targets.get(tuple(sorted(stems)))
                if target and (not fixed or stems == target.stems):
                    best = (position, target, negated)
            else:
                break
            if len(words) >= self._longest or small > _MOST_SMALL:
                break
        return best


def _is_word(token: Token) -> bool:
    return token.lower not in _SMALL | _NOT and (token.lower == "%" or token.lower[0].isalnum())


def _stems(tokens: Iterable[Token]) -> tuple[str, ...]:
    """Comparable words in order, without the small ones; "and" and "or" count as one word."""
    return tuple("&" if token.lower in _JOIN else token.stem for token in tokens if _is_word(token))


def _polarity(sentence: str, spans: list[tuple[int, int]], i: int, *, flip: bool, negated: bool) -> Polarity:
    """What the sentence says of mention ``i``; ``flip`` for a wording that denies the finding by itself."""
    lower = sentence.lower()
    start, end = spans[i]
    before, after = _clause_before(lower, spans, i), _clause_after(lower, spans, i)
    hedged = _HEDGE.search(lower[start:end]) or (flip and _HEDGE.search(before))
    if hedged or _DOUBT_BEFORE.search(before) or _DOUBT_AFTER.search(after) or _is_rare(before, lower[end:]):
        return "doubtful"
    cue = _last(_NO_BEFORE, before)
    denied = negated or (cue is not None and _reaches(before[cue:], spans, start)) or _denied_after(after)
    if denied and flip:
        return "doubtful"
    return "denied" if denied or flip else "asserted"


def _is_rare(before: str, after: str) -> bool:
    """Whether the clause counts the finding in few cases only ("in 6 of 80", "in about 7 %")."""
    stop = _BREAK.search(re.sub(r"(?<=\d)\.(?=\d)", " ", after))
    clause = before + (after[: stop.start()] if stop else after)
    shares = [int(n) / int(total) for n, total in _COUNT.findall(clause) if int(total)]
    shares += [float(percent) / 100 for percent in _PERCENT.findall(clause)]
    return bool(shares) and max(shares) <= _RARE


def _denied_after(after: str) -> bool:
    cue = _NO_AFTER.search(after)
    return cue is not None and len(after[: cue.start()].split()) <= _MOST_WORDS


def _clause_before(lower: str, spans: list[tuple[int, int]], i: int) -> str:
    """Text from the last break, or from the end of an earlier statement, to the mention."""
    text = lower[: spans[i][0]]
    last = _last_end(_BREAK, text)
    return text[last:]


def _clause_after(lower: str, spans: list[tuple[int, int]], i: int) -> str:
    """Text from the mention to the next break or to the next finding that is not listed with it."""
    end = len(lower)
    for (_, here), (there, _) in zip(spans[i:], spans[i + 1 :], strict=False):
        if not _LISTED.fullmatch(lower[here:there]):
            end = there
            break
    text = lower[spans[i][1] : end]
    stop = _BREAK.search(text)
    return text[: stop.start()] if stop else text


def _reaches(between: str, spans: list[tuple[int, int]], start: int) -> bool:
    """Whether a denying cue reaches the mention: few words, and a comma only inside a list of findings."""
    if "," not in between:
        return len(between.split()) <= _MOST_WORDS
    listed = sum(stop <= start and stop > start - len(between) for _, stop in spans)
    return listed >= between.count(",")


def _last(pattern: re.Pattern[str], text: str) -> int | None:
    found = list(pattern.finditer(text))
    return found[-1].start() if found else None


def _last_end(pattern: re.Pattern[str], text: str) -> int:
    found = list(pattern.finditer(text))
    return found[-1].end() if found else 0
