"""How sure a language model was where it chose a word, read off the log-probabilities of its tokens."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

Choice: TypeAlias = "dict[str, float]"
"""The probability of each word at one place of a reply; what is missing to 1 went to other tokens."""


def read_choices(answer: str, tokens: object, words: Sequence[str]) -> tuple[Choice, ...]:
    """Probabilities of ``words`` at every place where a reply holds one of them as a JSON value.

    The first token of the value decides: what the model might have written in its place counts for the one word that
    it begins. The places are looked for in the text that the tokens make, which may hold thinking or a code fence
    around the answer; the last ones count, and they must hold the very words of the answer.

    Parameters
    ----------
    answer : str
        The JSON object that was found in the reply.
    tokens : object
        ``choices[0].logprobs.content`` of the reply: for each token ``token``, ``logprob`` and ``top_logprobs``.
    words : sequence of str
        In lower case; the letters that a token holds must tell them apart.

    Returns
    -------
    tuple of dict of str to float
        In the order of the answer; empty if the server gave no such log-probabilities.
    """
    alternatives = _read_tokens(tokens)
    if not words or not alternatives:
        return ()
    value = re.compile(rf':\s*"({"|".join(map(re.escape, words))})"')
    wanted = [match[1] for match in value.finditer(answer)]
    written = [token for token, _ in alternatives]
    places = list(value.finditer("".join(written)))[-len(wanted) :]
    if not wanted or [match[1] for match in places] != wanted:
        return ()
    starts = list(accumulate(map(len, written[:-1]), initial=0))
    choices = []
    for match in places:
        at = bisect_right(starts, match.start(1)) - 1
        token, options = alternatives[at]
        choices.append(_weigh(options, token[: match.start(1) - starts[at]], words))
    return tuple(choices)


def check_choices(value: object) -> tuple[Choice, ...]:
    """Choices as they were kept in a cache; none if they are damaged."""
    sound = isinstance(value, list) and all(
        isinstance(item, dict) and all(isinstance(p, float | int) and 0 <= p <= 1 for p in item.values())
        for item in value
    )
    return tuple(value) if sound and isinstance(value, list) else ()


def _read_tokens(tokens: object) -> list[tuple[str, dict[str, float]]]:
    """Each token with all that might stand in its place, itself included; nothing if the shape is not the usual one."""
    found = []
    for token in tokens if isinstance(tokens, list) else ():
        options = dict(_options([token, *(token.get("top_logprobs") or ())])) if isinstance(token, dict) else {}
        if not options:
            return []
        found.append((token["token"], options))
    return found


def _options(items: Iterable[Any]) -> Iterable[tuple[str, float]]:
    for item in items:
        if isinstance(item, Mapping) and isinstance(item.get("token"), str):
            logprob = item.get("logprob")
            if isinstance(logprob, float | int) and not math.isnan(logprob):
                yield item["token"], math.exp(min(logprob, 0.0))


def _weigh(options: Mapping[str, float], before: str, words: Sequence[str]) -> Choice:
    """Share of each word among the tokens that go on after ``before`` (such as the opening quotation mark)."""
    shares = dict.fromkeys(words, 0.0)
    for token, probability in options.items():
        letters = token[len(before) :].split('"')[0].strip().lower() if token.startswith(before) else ""
        begun = [word for word in words if letters and word.startswith(letters)]
        if len(begun) == 1:
            shares[begun[0]] += probability
    return {word: float(f"{min(share, 1.0):.6g}") for word, share in shares.items()}
