"""What one sentence says of the findings that it names: stated, doubted, denied, or only asked about.

Cue words open and close scopes as in ConText (Harkema et al. 2009, doi:10.1016/j.jbi.2009.05.002), which adds time,
condition and person to the negation of NegEx (Chapman et al. 2001, doi:10.1006/jbin.2001.1029).
"""

from __future__ import annotations

from typing import Any

from knobo.grounding.phrases import Hit, PhraseTree
from knobo.grounding.scopes import Kinship, Level, Said, Scopes
from knobo.wordings import stem

_CUES = (
    "negation_before",
    "negation_after",
    "not_a_negation",
    "likely",
    "suggestive",
    "doubt_before",
    "doubt_after",
    "unexcluded_before",
    "unexcluded_after",
    "alternatives",
    "asked_before",
    "asked_after",
    "past_before",
    "near_negation",
    "near_history",
    "breaks",
    "soft_breaks",
)
_DENIALS = frozenset({"negation_before", "negation_after"})
_LIKELY = frozenset({"likely", "suggestive"})
_HEDGES = frozenset({"likely", "doubt_before", "unexcluded_before"})
_NEAR = 3  # words between a cue of short reach and its finding
_FAR = 10  # words between a finding and a cue that follows it
_QUESTION = frozenset({"is", "are", "any", "does", "do", "has", "question", "query"})
_JOINS = frozenset({"/", "and", "or", "nor"})
_MARKS = frozenset({";", "(", ")", ":", ",", "and", "or", "nor"})
_LINKS = frozenset({",", "/", "and", "or", "nor", "&"})


class SentenceReader:
    """Reads sentences by cue words.

    Parameters
    ----------
    findings : PhraseTree of Meaning
    rules : dict
        The document ``concepts/annotator.json``.
    kinship : Kinship
    """

    def __init__(self, findings: PhraseTree, rules: dict[str, Any], kinship: Kinship) -> None:
        self._findings = findings
        self._kinship = kinship
        self._cues = PhraseTree(rules["fillers"], {"...": rules["gap_stops"]})
        for name in _CUES:
            for pattern in rules[name]:
                self._cues.add(pattern, frozenset({name}))
        self.vocabulary = self._cues.vocabulary | set(map(stem, rules["fillers"]))
        self._starters = frozenset(map(stem, rules["starters"]))
        self._verbs = frozenset(map(stem, rules["verbs"]))
        self._marks = self._verbs | _MARKS
        self._no = frozenset(map(stem, rules["inner_negation"]))
        self._maybe = frozenset(map(stem, rules["inner_doubt"]))

    def read(self, words: list[str]) -> dict[int, int]:
        """The level of every finding that a sentence of comparable words speaks of."""
        mentions = self._mentions(words)
        if not mentions:
            return {}
        levels: dict[int, int] = {}
        for said in self._judge(words, mentions, self._cues_outside(words, mentions)):
            effect = self._kinship.effect(said.meaning, said.level)
            if not levels:
                levels = dict(effect)
                continue
            for finding, level in effect.items():
                if level > levels.get(finding, -1):
                    levels[finding] = level
        return levels

    def _mentions(self, words: list[str]) -> list[Hit]:
        """Longest phrases; a shorter one counts beside it only if it ends earlier ("calcified | granuloma")."""
        found: list[Hit] = []
        starts = self._findings.starts()
        ends: set[int] = set()
        ignored_to = -1
        for i, word in enumerate(words):
            if word not in starts:
                continue
            hits = self._findings.at(words, i)
            if not hits:
                continue
            # In "the markings are normal" the bare "markings" state nothing.
            best = hits[0]
            if len(hits) > 1:
                hits = [hit for hit in hits if not any(d.meaning.denies and d.solid == hit.end < d.end for d in hits)]
                # What is found outweighs what is normal: "normal to mildly enlarged", "heart enlarged, lungs normal".
                best = max(hits, key=lambda hit: (bool(hit.meaning.names or hit.meaning.ignored), hit.end))
            if best.meaning.ignored:
                ignored_to = max(ignored_to, best.end)
                continue
            for hit in hits:
                if hit.meaning.ignored or (hit.end != best.end and hit.solid != hit.end):
                    continue
                shadowed = hit.end <= ignored_to or hit.end in ends
                if not shadowed or not (hit.meaning.names or hit.meaning.hints):
                    found.append(hit)
            ends.add(best.end)
        return found

    def _cues_outside(self, words: list[str], mentions: list[Hit]) -> dict[int, tuple[int, frozenset[str]]]:
        """End and kinds of the longest cue at each word, those inside a phrase left out."""
        starts = self._cues.starts()
        cues: dict[int, tuple[int, frozenset[str]]] = {}
        i = 0
        while i < len(words):
            hits = self._cues.at(words, i) if words[i] in starts else []
            if hits:
                end, kinds = hits[0].end, hits[0].meaning
                if len(hits) > 1:
                    end = max(hit.end for hit in hits)
                    kinds = frozenset().union(*(hit.meaning for hit in hits if hit.end == end))
                if not any(m.start < i and end <= m.end for m in mentions):
                    cues[i] = (end, kinds)
                    i = end
                    continue
            i += 1
        return cues

    def _judge(self, words: list[str], mentions: list[Hit], cues: dict[int, tuple[int, frozenset[str]]]) -> list[Said]:
        scopes = Scopes(asked=words[-1] == "?" and words[0] in _QUESTION)
        at: dict[int, list[Hit]] = {}
        for hit in mentions:
            at.setdefault(hit.start, []).append(hit)
        said: list[Said] = []
        last_end, inside = 0, 0
        passed = 0  # words before it are done
        for i in sorted({*at, *cues, *(i for i, word in enumerate(words) if word in self._marks)}):
            if i < passed:
                continue
            for hit in at.get(i, ()):
                entry = Said(hit.meaning, self._level(words, hit, scopes), hit.end)
                said.append(entry)
                if hit.meaning.names or hit.meaning.hints:
                    if not self._is_linked(words, last_end, i):
                        scopes.listed.clear()
                    entry.joined = last_end >= i or not _JOINS.isdisjoint(words[last_end:i])
                    scopes.listed.append(entry)
                    last_end, inside = max(last_end, hit.end), max(inside, hit.solid)
                    scopes.used = True
            if i in cues:
                end, kinds = cues[i]
                leads = not kinds.isdisjoint(_HEDGES) and any(k in at for k in range(end, end + _NEAR + 1))
                self._apply(words, i, end, kinds, scopes, leads=leads)
                if end - i > 1 and not any(k in at for k in range(i + 1, end)):
                    passed = end
            elif i >= inside and words[i] in self._marks:
                self._pass(words, i, scopes)
        return said

    def _level(self, words: list[str], hit: Hit, scopes: Scopes) -> int:
        if scopes.asked or scopes.past:
            return Level.SILENT
        if hit.meaning.denies and not (hit.meaning.names or hit.meaning.hints):
            return Level.SILENT if scopes.denied and not scopes.used else Level.DENIED
        if hit.solid < hit.end:
            inner = words[hit.solid : hit.end]
            if not self._no.isdisjoint(inner):
                return Level.DENIED
            if not self._maybe.isdisjoint(inner):
                return Level.DOUBTED
            if not self._verbs.isdisjoint(inner):
                scopes.close()  # a clause of its own: "no effusion, the heart is enlarged"
                return Level.STATED
        if scopes.near_denied >= hit.start:
            return Level.DENIED
        if scopes.near_past >= hit.start and not hit.meaning.names & self._kinship.lasting:
            return Level.SILENT
        if scopes.denied:
            return Level.DENIED
        if scopes.unexcluded:
            return Level.HINTED
        return Level.DOUBTED if scopes.doubted else Level.STATED

    def _apply(self, words: list[str], i: int, end: int, kinds: frozenset[str], scopes: Scopes, *, leads: bool) -> None:
        """Let a cue speak of the findings before it, of those behind it, or end what is open."""
        if "not_a_negation" in kinds:
            return
        after_comma = i > 0 and words[i - 1] == ","
        near = bool(scopes.listed) and i - scopes.listed[-1].end <= _FAR
        last = i > 0 and end == len(words)
        if near and kinds & _DENIALS and (last or ("negation_after" in kinds and not after_comma)):
            scopes.deny()
            if last or "negation_before" not in kinds:
                return
        if near and not leads:  # "atelectasis, possible pneumonia" doubts what follows
            if "doubt_after" in kinds:
                scopes.lower(Level.DOUBTED)
            elif "unexcluded_after" in kinds:
                scopes.lower(Level.HINTED)
            elif "asked_after" in kinds:
                scopes.lower(Level.SILENT)
            elif "alternatives" in kinds:
                scopes.listed[-1].level = min(scopes.listed[-1].level, Level.DOUBTED)
        if "suggestive" in kinds and self._denied_just_before(words, i, scopes):
            scopes.denied, scopes.used = True, False  # "no opacity is seen to suggest pneumonia"
        self._open(end, kinds, scopes, after_comma)
        if "breaks" in kinds:
            scopes.close()
            scopes.listed.clear()
        elif "soft_breaks" in kinds:
            asked = scopes.asked
            scopes.close()
            scopes.asked = asked

    def _open(self, end: int, kinds: frozenset[str], scopes: Scopes, after_comma: bool) -> None:
        """Scopes that a cue opens for the findings behind it."""
        if "near_negation" in kinds:
            scopes.near_denied = end
        if "near_history" in kinds:
            scopes.near_past = end + _NEAR
        if kinds & _HEDGES:
            scopes.past = False
        if "alternatives" in kinds:
            scopes.doubt(kinds | {"doubt_before"})
        if "asked_before" in kinds:
            scopes.asked = True
        elif "past_before" in kinds:
            scopes.past = True
        elif "negation_before" in kinds:
            # "Cardiomegaly, no effusion, scoliosis": what is denied amid findings is one item.
            single = after_comma and bool(scopes.listed) and scopes.listed[-1].level > Level.DENIED
            scopes.close()
            scopes.denied, scopes.single = True, single
        elif kinds & _HEDGES:
            if after_comma:
                scopes.denied = scopes.doubted = scopes.unexcluded = False
            if not kinds <= _LIKELY:  # "may represent" stays a doubt
                scopes.doubt(kinds)

    def _pass(self, words: list[str], i: int, scopes: Scopes) -> None:
        """Scopes that a plain word or a mark ends."""
        word = words[i]
        following = words[i + 1] if i + 1 < len(words) else ""
        if word in ("(", ")") and scopes.denied and not scopes.used:
            return  # "no (significant) effusion"
        if word in (";", "(", ")", ":"):
            listed = list(scopes.listed)
            scopes.close()
            scopes.listed[:] = listed if word == ":" else []
        elif word == ",":
            scopes.past, scopes.near_past = False, -1
            ends = scopes.single or following in self._starters
            if scopes.denied and ends and (scopes.closed or not self._or_follows(words, i)):
                scopes.denied = False
            scopes.asked = False if scopes.used or not scopes.denied else scopes.asked
            if following in self._starters:
                scopes.doubted = scopes.unexcluded = False
        elif word == "and" and following in self._starters:
            scopes.doubted = scopes.unexcluded = False
            if not self._or_follows(words, i):
                scopes.denied = False
        elif word in ("or", "nor"):
            scopes.closed = scopes.used
        elif word in self._verbs and scopes.past:
            scopes.past = False
        elif word in self._verbs and scopes.used:
            scopes.denied = scopes.doubted = scopes.unexcluded = scopes.asked = False

    def _denied_just_before(self, words: list[str], i: int, scopes: Scopes) -> bool:
        last = scopes.listed[-1] if scopes.listed else None
        return last is not None and last.level == Level.DENIED and _LINKS.isdisjoint(words[last.end : i])

    def _or_follows(self, words: list[str], i: int) -> bool:
        """Whether the list goes on to an "or", so that what denied its first item denies all."""
        for word in words[i + 1 :]:
            if word in ("or", "nor"):
                return True
            if word in self._verbs or word in (";", ":", "(", "but", "with"):
                return False
        return False

    def _is_linked(self, words: list[str], here: int, there: int) -> bool:
        """Whether two findings stand in one list: only links and small words lie between them."""
        if here >= there:
            return True
        between = words[here:there]
        return len(between) <= 5 and not _LINKS.isdisjoint(between) and self._verbs.isdisjoint(between)
