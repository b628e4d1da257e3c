"""Free-text reports to yes, no or unknown for each concept, by rules.

A finding that a report states, or holds for likely, is *yes*; one that it denies is *no*; one that it doubts, only
asks about, or does not mention is *unknown*, as in the CheXpert labeller (Irvin et al. 2019, arXiv:1901.07031). Words
are data: ``concepts/findings.json`` and ``concepts/annotator.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from knobo.bank import Concept, ConceptBank
from knobo.errors import InputError
from knobo.grounding.phrases import PhraseTree
from knobo.grounding.reader import SentenceReader
from knobo.grounding.scopes import Kinship, Meaning
from knobo.grounding.sections import Sections
from knobo.storage import read_json, shipped_path
from knobo.wordings import (
    FILLERS,
    GAP,
    LOOSE_GAP,
    Finding,
    Speller,
    findings_named,
    is_normality,
    lexicon,
    spelled,
    words,
)

Uncertain = Literal["blank", "positive", "negative"]

_MOST_SENTENCES = 200_000  # whose reading is kept; reports repeat themselves
_SILENCE: Mapping[int, int] = {}
_PREPOSITIONS = ("of", "in", "at", "within", "to", "along")


def annotate_reports(
    reports: Sequence[str | None],
    bank: ConceptBank,
    *,
    uncertain: Uncertain = "blank",
    progress: bool = False,
) -> pd.DataFrame:
    """Read off every report what it says about every concept of a bank.

    Sections that do not say what is seen (indication, history, technique, comparison) are not read. A finding is
    *doubted* when it is possible, one of several explanations, or not excluded; one that is probable, suspected or
    suggested counts as stated, as people who code reports do.

    Parameters
    ----------
    reports : sequence of str of length n
        Free text; ``None`` or an empty text answers nothing.
    bank : ConceptBank
        A concept is found by its name and synonyms, and by the patterns of the shipped lexicon where it knows the
        name. "Nodule/mass" stands for both. A concept called "No finding" or "normal" is 1 when no finding of the
        whole lexicon is stated or doubted and the report says anything at all.
    uncertain : {"blank", "positive", "negative"}
        What a doubted finding becomes: NaN, 1 or 0. One that is merely hinted at by another (an infiltrate, for
        pneumonia) stays NaN.
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
        If ``reports`` is one string, an item is not text, or ``uncertain`` is none of the three.
    """
    if isinstance(reports, str):
        raise InputError("reports must be a sequence of texts, one an image, got one string; put it in a list.")
    if uncertain not in ("blank", "positive", "negative"):
        raise InputError(f"uncertain must be 'blank', 'positive' or 'negative', got {uncertain!r}.")
    annotator = _annotator(bank.concepts)
    rows = [_SILENCE] * len(reports)
    for row, report in enumerate(tqdm(reports, desc="Reading reports", disable=not progress)):
        if report is None or report != report:
            continue
        if not isinstance(report, str):
            raise InputError(f"Report {row} is {type(report).__name__}, expected text or None.")
        rows[row] = annotator.read(report)
    return pd.DataFrame(annotator.answers(rows, uncertain), columns=list(bank.ids))


class _Annotator:
    """Tables of words for one bank, and what was read before."""

    def __init__(self, concepts: Iterable[Concept]) -> None:
        rules = read_json(shipped_path("concepts", "annotator.json"), what="knobo.annotator", versions=(2,))
        self._shorthand = [(short, long) for short, long in rules["shorthand"]]
        self._sections = Sections(rules["skipped_headings"], rules["read_headings"])
        findings = lexicon().findings
        self._columns = {finding_id: column for column, finding_id in enumerate(findings)}
        tree = PhraseTree(rules["fillers"], {GAP: rules["gap_stops"], LOOSE_GAP: rules["loose_gap_stops"]})
        for finding in findings.values():
            self._add(tree, finding)
        for says, groups in lexicon().statements:
            cleared = {self._columns[f.id] for f in findings.values() if {f"@{g}" for g in f.groups} & groups}
            for pattern in says:
                tree.add(pattern, Meaning(denies=frozenset(cleared)))
        for pattern in rules["ignored"]:
            tree.add(pattern, Meaning(ignored=True))
        self.n_columns = len(findings)
        self._of_concept: list[list[int] | None] = []
        for concept in concepts:
            self._of_concept.append(None if is_normality(concept.name) else self._columns_of(concept, tree))
        self._reader = SentenceReader(tree, rules, self._kinship(findings.values()))
        self._speller = Speller(tree.vocabulary, self._reader.vocabulary)
        self._read: dict[str, tuple[tuple[int, int], ...]] = {}

    def _kinship(self, findings: Iterable[Finding]) -> Kinship:
        above: dict[int, list[int]] = {}
        below: dict[int, list[int]] = {}
        lasting = set()
        for finding in findings:
            column = self._columns[finding.id]
            if finding.lasting:
                lasting.add(column)
            for broader in finding.is_a:
                above.setdefault(column, []).append(self._columns[broader])
                below.setdefault(self._columns[broader], []).append(column)
        return Kinship(above, below, frozenset(lasting))

    def _add(self, tree: PhraseTree, finding: Finding) -> None:
        column = frozenset({self._columns[finding.id]})
        for pattern in finding.wordings:
            tree.add(pattern, Meaning(names=column))
        for pattern in finding.hints:
            tree.add(pattern, Meaning(hints=column))
        for pattern in finding.denied_by:
            tree.add(pattern, Meaning(denies=column))

    def _columns_of(self, concept: Concept, tree: PhraseTree) -> list[int]:
        """Columns that answer a concept: its findings in the lexicon, and one for its own wordings."""
        named = findings_named(concept.name) or findings_named(concept.id)
        own = self.n_columns
        self.n_columns += 1
        for wording in (concept.name, *concept.synonyms):
            sequence = [word for word in words(wording.replace("_", " ").replace("-", " ")) if word.isalnum()]
            if sequence:
                tree.add_words(sequence, Meaning(names=frozenset({own})))
            if len(sequence) == 2:  # "effusion in the left pleural space"
                for preposition in _PREPOSITIONS:
                    tree.add_words((sequence[1], preposition, FILLERS, sequence[0]), Meaning(names=frozenset({own})))
        return [own, *(self._columns[finding.id] for finding in named)]

    def read(self, report: str) -> dict[int, int]:
        """The level of every column that the report speaks of."""
        levels: dict[int, int] = {}
        sentences = list(self._sections.sentences(report))
        if len(sentences) > 1 and sentences[0].endswith("?"):
            del sentences[0]  # what the referrer asks
        for sentence in sentences:
            said = self._read.get(sentence)
            if said is None:
                if len(self._read) >= _MOST_SENTENCES:
                    self.forget()
                said = self._read[sentence] = self._sentence(sentence)
            for column, level in said:
                if level > levels.get(column, -1):
                    levels[column] = level
        return levels

    def forget(self) -> None:
        """Drop the sentences that were read before."""
        self._read.clear()

    def _sentence(self, sentence: str) -> tuple[tuple[int, int], ...]:
        for short, long in self._shorthand:
            sentence = sentence.replace(short, long)
        return tuple(self._reader.read([self._speller[word] for word in spelled(sentence)]).items())

    def answers(self, rows: Sequence[Mapping[int, int]], uncertain: Uncertain) -> np.ndarray[Any, Any]:
        """Levels of the columns that each of n reports speaks of to answers of shape (n, n_concepts)."""
        levels = np.zeros((len(rows), self.n_columns), dtype=np.int8)
        for row, said in zip(levels, rows, strict=True):
            row[list(said.keys())] = list(said.values())
        doubt = {"blank": np.nan, "positive": 1.0, "negative": 0.0}[uncertain]
        answer = np.array([np.nan, 0.0, np.nan, doubt, 1.0])
        table = np.full((len(levels), len(self._of_concept)), np.nan)
        for j, columns in enumerate(self._of_concept):
            if columns is None:
                highest = levels.max(axis=1, initial=0)
                normal = np.array([np.nan, 1.0, 0.0, 1.0 - doubt, 0.0])
                table[:, j] = normal[highest]
            elif len(levels):
                table[:, j] = answer[levels[:, columns].max(axis=1)]
        return table


@lru_cache(maxsize=4)
def _annotator(concepts: tuple[Concept, ...]) -> _Annotator:
    return _Annotator(concepts)
