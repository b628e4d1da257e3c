"""Verdicts that rules cannot give, many candidates a call: visible, entailed by the sentence, the same as another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from knobo.errors import InputError
from knobo.knowledge.filters import NOT_ENTAILED, Verdict
from knobo.knowledge.prompting import Asker, as_data, encode
from knobo.knowledge.propose import Proposal

CANDIDATES_A_CALL = 50


class _Judged(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int
    visible: bool
    entailed: bool
    same_as: str | None


class _JudgeReply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    verdicts: list[_Judged]


def ask_verdicts(asker: Asker, proposals: Sequence[Proposal], known: Sequence[str]) -> list[Verdict]:
    """Ask about many candidates at once.

    Parameters
    ----------
    asker : Asker
    proposals : sequence of Proposal
        Candidates that passed the cheap filters.
    known : sequence of str
        Names of the accepted concepts.

    Returns
    -------
    list of Verdict
        One for each proposal, with the finding that the model holds to be the same. A candidate on which the model is
        silent even when asked alone is refused.
    """
    names = [proposal.name for proposal in proposals]

    def fields(numbers: Sequence[int]) -> dict[str, str]:
        rows = ({"number": i, "name": names[i], "sentence": proposals[i].sentence} for i in numbers)
        asked = set(numbers)  # candidates asked again leave gaps; what stands in the gaps is known by then
        before = [name for i, name in enumerate(names[: numbers[-1]]) if i not in asked]
        return {"known": encode([*known, *before]), "candidates": as_data(rows)}

    def missing(numbers: Sequence[int], reply: _JudgeReply) -> list[int]:
        given = {item.number for item in reply.verdicts}
        return [i for i in numbers if i not in given]

    batches = [
        range(start, min(start + CANDIDATES_A_CALL, len(names))) for start in range(0, len(names), CANDIDATES_A_CALL)
    ]
    verdicts: dict[int, Verdict] = {}
    for numbers, reply in asker.ask("judge", batches, fields, _JudgeReply, missing):
        for item in reply.verdicts:
            if item.number in numbers:
                verdicts.setdefault(item.number, _verdict(item, names))
    silent = Verdict(False, "the model gave no verdict")
    return [verdicts.get(i, silent) for i in range(len(names))]


def _verdict(item: _Judged, names: Sequence[str]) -> Verdict:
    if not item.visible:
        return Verdict(False, "not visible, says the model")
    if not item.entailed:
        return NOT_ENTAILED
    same = item.same_as if item.same_as and item.same_as != names[item.number] else ""
    return Verdict(True, same_as=same)


def is_groundable(answers: Iterable[bool], n_total: int, share: float = 0.1) -> bool:
    """Whether the rarer answer is common enough to learn from; reads no more answers than the verdict needs.

    Parameters
    ----------
    answers : iterable of bool
        One for each report, made when it is asked for.
    n_total : int
        Number of reports.
    share : float
        Least share of the rarer answer, in [0, 0.5].

    Returns
    -------
    bool
        True when both answers are given at least ``share`` of ``n_total`` times.

    Raises
    ------
    InputError
        If ``n_total`` or ``share`` is out of range, or ``answers`` ends before the verdict is sure.
    """
    if n_total < 1 or not 0.0 <= share <= 0.5:
        raise InputError(f"n_total must be at least 1 and share in [0, 0.5], got {n_total} and {share}.")
    needed = math.ceil(share * n_total - 1e-9)
    counts, left = [0, 0], n_total
    stream = iter(answers)
    while min(counts) < needed:
        if min(counts) + left < needed:
            return False
        try:
            counts[bool(next(stream))] += 1
        except StopIteration:
            raise InputError(
                f"answers ended after {n_total - left} of n_total={n_total}; give one for each report."
            ) from None
        left -= 1
    return True
