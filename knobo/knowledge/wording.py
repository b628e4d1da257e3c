"""How a concept is worded: its question, and which of its sentences shows it best."""

from __future__ import annotations

import re

from knobo.knowledge.kb import KbEntry
from knobo.knowledge.propose import Proposal

_LEANS = re.compile(r"(?:It|Its|They|Their|This|These|Such|In such|The combination|Further|Other)\b|.* inside it\b")
_DEFINES = re.compile(r"(?:,[^,]*,| \([^)]*\))?\s*(?:is|are|means?|consists? of|describes?)\b")


def worth(proposal: Proposal) -> tuple[int, bool, bool, bool, bool]:
    """Best evidence first: it states the finding, stands by itself, defines it, opens with it, and uses its name."""
    order = {"asserted": 0, "denied": 1, "doubtful": 2}
    start = proposal.sentence.find(proposal.phrase)
    rest = proposal.sentence[start + len(proposal.phrase) :]
    opens = start <= len("The ")
    leans = _LEANS.match(proposal.sentence) is not None
    return order[proposal.polarity], leans, not (opens and _DEFINES.match(rest)), not opens, not proposal.by_name


def question(entry: KbEntry) -> str:
    """The question that a concept answers: "Is there a pleural effusion?", "Are there bullae?"."""
    last = entry.name.split()[-1]
    plural = not entry.article and last.endswith(("s", "ae")) and not last.endswith(("ss", "is", "us"))
    verb = "Are" if plural else "Is"
    return f"{verb} there {entry.article + ' ' if entry.article else ''}{entry.name}?"
