"""How findings are worded in reports: the shipped lexicon, ``concepts/findings.json``, and names of the knowledge base.

A wording is a phrase or a small pattern. ``a|b`` stands for either word, ``<heart>`` for a class of words,
``word?`` may be missing, ``~`` stands for any number of small words, sides and degrees, ``...`` for a few words
within the clause, and ``...,`` for words that may cross a comma and "and".
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from knobo.storage import read_json, shipped_path

FILLERS, GAP, LOOSE_GAP = "~", "...", "...,"
_GAPS = frozenset({FILLERS, GAP, LOOSE_GAP})
_WORD = re.compile(r"[^\W_]+(?:\.\d+)?|[,;:?()/]")
_BETWEEN_PARTS = re.compile(r"\s*(?:[/|;&+_]|\bor\b|\band\b)\s*")
_MOST_SYNONYMS = 60
_LONG = 8  # letters of the shortest word that is looked for behind a slip of the pen
_VERY_LONG = 11
_REAL_WORDS = frozenset({"standing", "osteogenic"})


@dataclass(frozen=True)
class Finding:
    """One finding of the lexicon.

    Attributes
    ----------
    id : str
    names : tuple of str
        Names under which a bank may hold it.
    wordings, hints, denied_by : tuple of str
        Patterns that state it, that only make one think of it, and that deny it.
    is_a : tuple of str
        Ids of findings that are present whenever this one is.
    groups : frozenset of str
        Parts of the chest that a statement of normality clears as a whole.
    lasting : bool
        True for what a past event leaves behind: an old fracture is a fracture, an old pneumonia is none.
    """

    id: str
    names: tuple[str, ...]
    wordings: tuple[str, ...]
    hints: tuple[str, ...] = ()
    denied_by: tuple[str, ...] = ()
    is_a: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    lasting: bool = False


@dataclass(frozen=True)
class Lexicon:
    """Findings by id, classes of words, and statements of normality with the groups that each of them clears.

    ``together`` names findings that, held as one concept, take in a further one: who does not tell pneumonia from
    consolidation means disease of the airspaces.
    """

    findings: dict[str, Finding]
    together: tuple[tuple[frozenset[str], str], ...]
    word_classes: dict[str, tuple[str, ...]]
    statements: tuple[tuple[tuple[str, ...], frozenset[str]], ...]

    def find(self, name: str) -> Finding | None:
        """The finding of that name; order, endings and spelling of the words aside."""
        return _by_name().get(_key(name))


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon that ships with knobo."""
    document = _document()
    findings = [_finding(fields) for fields in document["findings"]]
    return Lexicon(
        {finding.id: finding for finding in findings},
        tuple((frozenset(item["findings"]), item["include"]) for item in document["together"]),
        {name: tuple(members) for name, members in document["word_classes"].items()},
        tuple((tuple(item["says"]), frozenset(item["denies"])) for item in document["statements"]),
    )


def findings_named(name: str) -> tuple[Finding, ...]:
    """Findings that a concept's name stands for: one, both of "nodule/mass", or none if the lexicon lacks a part."""
    whole = lexicon().find(name)
    if whole is not None:
        return (whole,)
    parts = _parts(name)
    found = [lexicon().find(part) for part in parts] if len(parts) > 1 else []
    if not all(found):
        return ()
    named = {finding.id: finding for finding in found if finding is not None}
    more = [lexicon().findings[other] for several, other in lexicon().together if several <= named.keys()]
    return tuple(dict.fromkeys([*named.values(), *more]))


def is_normality(name: str) -> bool:
    """Whether a concept's name says that nothing is found ("No Finding", "normal")."""
    return _key(name) in _NORMALITY or all(_key(part) in _NORMALITY for part in _parts(name))


def synonyms(name: str) -> tuple[str, ...]:
    """Plain wordings of a finding from the shipped lexicon and knowledge base, without the name itself."""
    found: dict[str, None] = {}
    named = findings_named(name)
    for finding in named:
        for wording in (*finding.names, *itertools.chain.from_iterable(map(plain, finding.wordings))):
            found.setdefault(wording, None)
        for other in finding.names:
            found.update(dict.fromkeys(_kb_names().get(_key(other), ())))
    found.update(dict.fromkeys(_kb_names().get(_key(name), ())))
    seen = {name.lower()}
    kept = []
    for wording in found:
        owner = lexicon().find(wording)
        if wording.lower() not in seen and (owner is None or not named or owner in named):
            seen.add(wording.lower())
            kept.append(wording)
    return tuple(kept[:_MOST_SYNONYMS])


def plain(pattern: str) -> list[str]:
    """Phrases that a pattern stands for; none for a pattern with a gap."""
    slots = pattern.split()
    return [] if _GAPS & set(slots) or "<" in pattern else [" ".join(words) for words in alternatives(pattern)]


def alternatives(pattern: str) -> Iterator[tuple[str, ...]]:
    """Every sequence of words and gaps that a pattern stands for."""
    choices: list[list[tuple[str, ...]]] = []
    for slot in pattern.split():
        if slot in _GAPS:
            choices.append([(slot,)])
            continue
        optional = slot.endswith("?") and slot != "?"
        words: list[tuple[str, ...]] = []
        for option in slot.removesuffix("?").split("|") if slot != "?" else ["?"]:
            if option.startswith("<"):
                words += [tuple(member.split()) for member in lexicon().word_classes[option[1:-1]]]
            else:
                words.append((option,))
        choices.append([*words, ()] if optional else words)
    for combination in itertools.product(*choices):
        yield tuple(itertools.chain.from_iterable(combination))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Comparable form of a lower-case word: American spelling, singular, any number as ``#``."""
    if word[0].isdigit():
        return "#"
    if word in _document()["irregular"]:
        return str(_document()["irregular"][word])
    for british, american in _document()["spellings"]:
        if british in word:
            word = word.replace(british, american)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return str(_document()["irregular"].get(word[:-1], word[:-1]))
    return word


def words(text: str) -> list[str]:
    """Comparable words and punctuation marks of a text."""
    return list(map(stem, spelled(text)))


def spelled(text: str) -> list[str]:
    """Words, as they are spelled but in lower case, and punctuation marks of a text."""
    return _WORD.findall(text.lower())


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    document: dict[str, Any] = read_json(
        shipped_path("concepts", "findings.json"), what="knobo.findings", versions=(1,)
    )
    return document


class Speller(dict[str, str]):
    """Words of a text to comparable words, or to the one known word that a single slip of the pen makes of them.

    Parameters
    ----------
    meant : iterable of str
        Words that may be behind a slip, if they have eight letters or more.
    known : iterable of str
        Further words that are no slip.
    """

    def __init__(self, meant: Iterable[str], known: Iterable[str] = ()) -> None:
        super().__init__()
        meant = frozenset(meant)
        self._known = meant.union(known, _REAL_WORDS)
        self._near: dict[str, set[str]] = {}
        for word in meant:
            if len(word) >= _LONG and word.isalpha():
                for form in _shortened(word):
                    self._near.setdefault(form, set()).add(word)

    def __missing__(self, word: str) -> str:
        meant = stem(word)
        if len(meant) >= _LONG - 1 and meant not in self._known and meant.isalpha():
            near = {
                known for form in _shortened(meant) for known in self._near.get(form, ()) if _one_slip(meant, known)
            }
            if len(near) == 1:
                meant = near.pop()
        self[word] = meant
        return meant


def _shortened(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


def _one_slip(a: str, b: str) -> bool:
    """Whether one letter was left out or added, or two neighbours exchanged; in a long word also whether one differs.

    A letter that differs in a shorter word often makes another word of it: "lobulated" is not "loculated".
    """
    if a[0] != b[0]:
        return False
    if len(a) != len(b):
        short, long = sorted((a, b), key=len)
        return short in _shortened(long)
    differ = [i for i in range(len(a)) if a[i] != b[i]]
    if len(differ) == 2:
        i, j = differ
        return j == i + 1 and a[i] == b[j] and a[j] == b[i]
    return len(differ) == 1 and len(a) >= _VERY_LONG


_NORMALITY = frozenset(
    tuple(sorted(words_))
    for words_ in (
        ("no", "finding"),
        ("normal",),
        ("no", "abnormality"),
        ("normal", "chest"),
        ("no", "abnormal", "finding"),
        ("no", "significant", "finding"),
        ("no", "acute", "finding"),
        ("no", "disease"),
        ("healthy",),
    )
)


def _parts(name: str) -> list[str]:
    return [part for part in _BETWEEN_PARTS.split(name.replace("_", " _ ")) if part] or [name]


def _key(name: str) -> tuple[str, ...]:
    return tuple(sorted(word for word in words(name.replace("-", " ").replace("_", " ")) if word.isalnum()))


@lru_cache(maxsize=1)
def _by_name() -> dict[tuple[str, ...], Finding]:
    found: dict[tuple[str, ...], Finding] = {}
    for finding in lexicon().findings.values():
        for name in (finding.id, *finding.names):
            found.setdefault(_key(name), finding)
    return found


@lru_cache(maxsize=1)
def _kb_names() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Wordings of every entry of the shipped knowledge base, by each of its preferred names."""
    text = shipped_path("concepts", "kb", "open_kb.jsonl").read_text(encoding="utf-8")
    entries = [json.loads(line) for line in text.splitlines() if line.strip()]
    return {
        _key(entry["name"]): (entry["name"], *entry.get("own_aliases", ()), *entry.get("aliases", ()))
        for entry in reversed(entries)
    }


def _finding(fields: dict[str, Any]) -> Finding:
    return Finding(
        id="-".join(fields["names"][0].lower().split()),
        names=tuple(fields["names"]),
        wordings=tuple(fields["wordings"]),
        hints=tuple(fields.get("hints", ())),
        denied_by=tuple(fields.get("denied_by", ())),
        is_a=tuple(fields.get("is_a", ())),
        groups=frozenset(fields.get("groups", ())),
        lasting=bool(fields.get("lasting", False)),
    )
