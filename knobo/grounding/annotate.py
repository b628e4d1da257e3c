"""Free-text reports to yes, no or unknown for each concept, by rules.

A finding that a report states is *yes*, one that it denies is *no*, one that it doubts or does not mention is
*unknown*, as in NegEx (Chapman et al. 2001, doi:10.1006/jbin.2001.1029) and the CheXpert labeller (Irvin et al.
2019, arXiv:1901.07031). Cue words and statements of normality are data: ``concepts/annotator.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from knobo.bank import Concept, ConceptBank
from knobo.errors import InputError
from knobo.storage import read_json, shipped_path

_YES, _DOUBT, _NO, _SILENT = 3, 2, 1, 0
_ANSWER = {_YES: 1.0, _DOUBT: np.nan, _NO: 0.0, _SILENT: np.nan}
_LIST_LINK = re.compile(r"\s*(?:,|/|,?\s*\b(?:and|or|nor)\b)\s*(?:\w+\s+){0,2}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])|\n+|;")


@dataclass(frozen=True)
class _Rules:
    negation_before: re.Pattern[str]
    negation_after: re.Pattern[str]
    uncertainty_before: re.Pattern[str]
    uncertainty_after: re.Pattern[str]
    not_a_negation: re.Pattern[str]
    clause_breaks: re.Pattern[str]
    normal_statements: tuple[tuple[re.Pattern[str], frozenset[str]], ...]


def annotate_reports(reports: Sequence[str | None], bank: ConceptBank, *, progress: bool = False) -> pd.DataFrame:
    """Read off every report what it says about every concept of a bank.

    Parameters
    ----------
    reports : sequence of str of length n
        Free text; ``None`` or an empty text answers nothing.
    bank : ConceptBank
        A concept is found by its name and its synonyms; the longest term wins where terms overlap.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame of shape (n, n_concepts), float
        1 where the report states the finding, 0 where it denies it, NaN where it doubts it or is silent.
        Columns are the concept ids.

    Raises
    ------
    InputError
        If ``reports`` is one string, or an item is not text.
    """
    if isinstance(reports, str):
        raise InputError("reports must be a sequence of texts, one an image, got one string; put it in a list.")
    rules = _shipped_rules()
    terms = _terms(bank)
    finder = _any_of(terms, plural=True)
    table = np.full((len(reports), len(bank)), np.nan)
    column = {concept_id: j for j, concept_id in enumerate(bank.ids)}
    for row, report in enumerate(tqdm(reports, desc="Reading reports", disable=not progress)):
        if report is None or report != report:
            continue
        if not isinstance(report, str):
            raise InputError(f"Report {row} is {type(report).__name__}, expected text or None.")
        for concept_id, answer in _answers(report, finder, terms, rules).items():
            if concept_id in column:
                table[row, column[concept_id]] = _ANSWER[answer]
    return pd.DataFrame(table, columns=list(bank.ids))


def _answers(report: str, finder: re.Pattern[str], terms: dict[str, frozenset[str]], rules: _Rules) -> dict[str, int]:
    """Strongest answer for each concept id that the report speaks of: a clear yes outweighs doubt, doubt a no."""
    answers: dict[str, int] = {}
    for sentence in _SENTENCE_END.split(report):
        text = " ".join(sentence.lower().split())
        normal = [(hit.span(), denied) for says, denied in rules.normal_statements for hit in says.finditer(text)]
        for concept_id in chain.from_iterable(denied for _, denied in normal):
            answers[concept_id] = max(answers.get(concept_id, _SILENT), _NO)
        mentions = list(finder.finditer(text))
        for k, mention in enumerate(mentions):
            before, after = text[: mention.start()], text[mention.end() : _end_of_list(text, mentions, k)]
            answer = _judge(before, after, rules)
            # "The interstitial markings are not increased" names a finding only to deny it.
            settled = chain.from_iterable(denied for (start, end), denied in normal if start <= mention.start() < end)
            for concept_id in terms[_plain(mention.group("term"))].difference(settled):
                answers[concept_id] = max(answers.get(concept_id, _SILENT), answer)
    return answers


def _end_of_list(text: str, mentions: list[re.Match[str]], k: int) -> int:
    """Where the words that may speak of mention ``k`` end: a later finding belongs only if it is listed with it."""
    for here, following in zip(mentions[k:], mentions[k + 1 :], strict=False):
        if not _LIST_LINK.fullmatch(text[here.end() : following.start()]):
            return following.start()
    return len(text)


def _judge(before: str, after: str, rules: _Rules) -> int:
    """Decide one mention by the cues in its own clause."""
    breaks = list(rules.clause_breaks.finditer(before))
    if breaks:
        before = before[breaks[-1].end() :]
    stop = rules.clause_breaks.search(after)
    if stop:
        after = after[: stop.start()]
    before = rules.not_a_negation.sub(" ", before)
    if rules.uncertainty_before.search(before) or rules.uncertainty_after.search(after):
        return _DOUBT
    if rules.negation_before.search(before) or rules.negation_after.search(after):
        return _NO
    return _YES


def _terms(bank: ConceptBank) -> dict[str, frozenset[str]]:
    """Lower-case wordings and the ids of the concepts that each of them names."""
    named: dict[str, set[str]] = {}
    for concept in bank:
        for wording in _wordings(concept):
            named.setdefault(wording, set()).add(concept.id)
    return {wording: frozenset(ids) for wording, ids in named.items()}


def _wordings(concept: Concept) -> Iterable[str]:
    for wording in (concept.name, *concept.synonyms):
        if plain := _plain(wording):
            yield plain


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[-_]", " ", text.lower()).split())


def _any_of(phrases: Iterable[str], *, plural: bool = False) -> re.Pattern[str]:
    """Match any phrase as whole words, longest first, spaces and hyphens alike."""
    ordered = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    body = "|".join(re.escape(phrase).replace(r"\ ", r"[\s-]+") for phrase in ordered)
    return re.compile(rf"(?:(?<!\w)|(?=\W))(?P<term>{body}){'(?:s|es)?' if plural else ''}(?!\w)")


@lru_cache(maxsize=1)
def _shipped_rules() -> _Rules:
    path = shipped_path("concepts", "annotator.json")
    document = read_json(path, what="knobo.annotator", versions=(1,))
    statements = tuple(
        (re.compile(rf"(?<!\w)(?:{item['says']})(?!\w)"), frozenset(item["denies"]))
        for item in document["normal_statements"]
    )
    cues = {
        name: _any_of(document[name])
        for name in (
            "negation_before",
            "negation_after",
            "uncertainty_before",
            "uncertainty_after",
            "not_a_negation",
            "clause_breaks",
        )
    }
    return _Rules(**cues, normal_statements=statements)
