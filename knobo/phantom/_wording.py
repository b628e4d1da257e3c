"""How a synthetic report chooses what it says of a finding, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STATED, DOUBTED, DENIED, SILENT = "stated", "doubted", "denied", "silent"

_P_PRESENT = {STATED: 0.82, DOUBTED: 0.10, SILENT: 0.08}
_P_ABSENT = {DENIED: 0.60, DOUBTED: 0.03, SILENT: 0.37}

DOUBT = (
    "Possible {noun}.",
    "{noun} cannot be excluded.",
    "Questionable {noun}.",
    "Possibly {noun}.",
    "Findings suspicious for {noun}.",
)


def stance(present: bool, rng: np.random.Generator) -> str:
    """Whether a report states, doubts, denies or leaves out a finding, given the truth."""
    odds = _P_PRESENT if present else _P_ABSENT
    return str(rng.choice(list(odds), p=list(odds.values())))


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of several wordings."""
    return options[int(rng.integers(len(options)))]


def fill(template: str, **words: str) -> str:
    """A sentence from a template, with a capital at its head."""
    text = template.format(**words)
    return text[:1].upper() + text[1:]


def enumerate_nouns(nouns: Sequence[str]) -> str:
    """``a, b or c``."""
    return ", ".join(nouns[:-1]) + " or " + nouns[-1]
