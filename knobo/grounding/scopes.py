"""What may be said of a finding, and the scopes that are open at a word of a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field


class Level:
    """What is said of a finding; where a report says several things, the highest holds.

    A finding is *hinted* at when another makes one think of it, or when it is merely not excluded.
    """

    SILENT = 0
    DENIED = 1
    HINTED = 2
    DOUBTED = 3
    STATED = 4


@dataclass(frozen=True, eq=False)
class Meaning:
    """What a phrase says: the findings that it names, hints at and denies; ``ignored`` phrases say nothing.

    Two meanings are the same only if they are one object, so that looking one up costs no comparison of sets.
    """

    names: frozenset[int] = frozenset()
    hints: frozenset[int] = frozenset()
    denies: frozenset[int] = frozenset()
    ignored: bool = False

    def __or__(self, other: Meaning) -> Meaning:
        return Meaning(
            self.names | other.names,
            self.hints | other.hints,
            self.denies | other.denies,
            self.ignored or other.ignored,
        )


@dataclass(frozen=True)
class Kinship:
    """What a finding says of others: a nodule is a lesion; where there is no lesion there is no nodule.

    Attributes
    ----------
    above, below : mapping of int to collection of int
        Findings that are broader, and narrower, than one.
    lasting : frozenset of int
        Findings that remain when their cause is past.
    """

    above: Mapping[int, Collection[int]]
    below: Mapping[int, Collection[int]]
    lasting: frozenset[int]
    _effects: dict[tuple[Meaning, int], dict[int, int]] = field(default_factory=dict)

    def effect(self, meaning: Meaning, level: int) -> dict[int, int]:
        """Levels of all findings that a phrase speaks of at a level, those that it implies included."""
        known = self._effects.get((meaning, level))
        if known is None:
            known = self._effects[meaning, level] = self._effect(meaning, level)
        return known

    def _effect(self, meaning: Meaning, level: int) -> dict[int, int]:
        levels = dict.fromkeys(meaning.names, level)
        if level >= Level.DOUBTED:
            levels = dict.fromkeys(_closure(meaning.names, self.above), level)
            for finding in meaning.hints:
                levels.setdefault(finding, Level.HINTED)
        denied = set(meaning.denies) if level >= Level.DENIED else set()
        if level == Level.DENIED:
            denied |= meaning.names
        for finding in _closure(denied, self.below):
            levels.setdefault(finding, Level.DENIED)
        return levels


def _closure(start: Iterable[int], onward: Mapping[int, Collection[int]]) -> set[int]:
    reached: set[int] = set()
    ahead = list(start)
    while ahead:
        finding = ahead.pop()
        if finding not in reached:
            reached.add(finding)
            ahead += onward.get(finding, ())
    return reached


@dataclass(slots=True)
class Said:
    """One phrase, what is said of it, where it ends, and whether "and", "or" or nothing joins it to the one before."""

    meaning: Meaning
    level: int
    end: int
    joined: bool = False


@dataclass(slots=True)
class Scopes:
    """Scopes that are open at a word, and the findings that a later cue may still speak of.

    Attributes
    ----------
    denied, doubted, unexcluded, asked, past : bool
        What holds for the next finding: "no …", "possible …", "cannot exclude …", "evaluate for …", "history of …".
    used : bool
        Whether a finding was met since the scope was opened; a verb behind it ends the scope.
    closed : bool
        Whether the list of denied findings has had its "or", so that a comma may end it.
    single : bool
        Whether the denial stands amid findings that are stated, and so is of one item.
    near_denied, near_past : int
        Last word at which a finding is still reached by "non" or by "previous".
    listed : list of Said
        Findings of the list that is being read.
    """

    denied: bool = False
    used: bool = False
    closed: bool = False
    single: bool = False
    doubted: bool = False
    unexcluded: bool = False
    asked: bool = False
    past: bool = False
    near_denied: int = -1
    near_past: int = -1
    listed: list[Said] = field(default_factory=list)

    def spoken_of(self) -> list[Said]:
        """Findings that a cue behind them speaks of: the last, and those that it closes a list with."""
        first = len(self.listed) - 1
        listing = first >= 0 and self.listed[first].joined
        while first > 0 and (listing or self.listed[first].joined):
            first -= 1
        return self.listed[first:]

    def lower(self, level: int) -> None:
        """Let no finding that a cue behind it speaks of be more than ``level``."""
        for said in self.spoken_of():
            said.level = min(said.level, level)

    def deny(self) -> None:
        """Let all findings that a cue behind them speaks of be absent, also those that were there before."""
        for said in self.spoken_of():
            said.level = Level.DENIED

    def doubt(self, kinds: frozenset[str]) -> None:
        """Open a doubt, unless what follows is denied anyway."""
        self.used = self.used and self.denied
        self.doubted = "doubt_before" in kinds and not self.denied
        self.unexcluded = "unexcluded_before" in kinds and not self.denied

    def close(self) -> None:
        """End every scope; the list stays."""
        self.denied = self.doubted = self.unexcluded = self.asked = self.past = False
        self.used = self.closed = self.single = False
