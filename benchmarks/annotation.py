"""How well the rule-based annotator agrees with a reader, beside plain keywords with negation; and how fast it is.

    python benchmarks/annotation.py [--repeat 3]

The reports are ``tests/grounding/coded_reports.jsonl``: made up in the style of several hospitals and coded by hand
with the findings that a coder would list (``present``) and those that one would list and another not (``possible``:
"may represent", "cannot be excluded"). The part ``held-out`` was written before the rules, and what the rules make of
it was never read, only counted. Plain keywords: a finding is present when its name or a synonym stands in a sentence
with no word of negation before it; sections, questions and doubt are not told apart.

Speed is given in reports a second of processor time: coded reports joined to about 60 words, with no sentence read
before and with all; and 2,000 synthetic reports of phantoms after another 2,000, so that sentences repeat as they do.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd

from knobo.bank import ConceptBank
from knobo.grounding import annotate_reports
from knobo.grounding.annotate import _annotator
from knobo.phantom._chest_case import CHEST_CLASSES, sample_case
from knobo.phantom.chest_reports import write_chest_report

REPORTS = Path(__file__).parents[1] / "tests" / "grounding" / "coded_reports.jsonl"
NAMES = """
    atelectasis, cardiomegaly, consolidation, edema, enlarged cardiomediastinum, fracture, lung opacity, nodule, mass,
    pleural effusion, pleural thickening, pneumonia, pneumothorax, emphysema, fibrosis, hiatal hernia, infiltration,
    support devices, granuloma, calcification, scoliosis, degenerative change, hyperinflation, scar, tortuous aorta,
    diaphragm elevation, pulmonary congestion, no finding
"""
_NEGATION = re.compile(r"\b(?:no|not|without|negative for|free of|clear of|absence of|absent|nor|resolved|never)\b")


def bank_of_findings():
    return ConceptBank.from_names([name.strip() for name in NAMES.split(",")])


def read_coded(split):
    with REPORTS.open(encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["split"] == split]


def by_keywords(texts, bank):
    """1 where a keyword stands without a negation before it in its sentence, else 0."""
    keywords = {
        concept.id: re.compile(
            r"\b(?:" + "|".join(re.escape(word.lower()) for word in (concept.name, *concept.synonyms)) + r")s?\b"
        )
        for concept in bank
    }
    rows = []
    for text in texts:
        sentences = re.split(r"[.!?;\n]+\s*", text.lower())
        rows.append(
            {
                concept_id: any(
                    not _NEGATION.search(sentence[: hit.start()])
                    for sentence in sentences
                    for hit in pattern.finditer(sentence)
                )
                for concept_id, pattern in keywords.items()
            }
        )
    table = pd.DataFrame(rows).astype(float)
    table["no-finding"] = (table.drop(columns="no-finding").sum(axis=1) == 0).astype(float)
    return table


def f1_scores(answers, rows, *, possible):
    """F1 of every concept; possible findings are left out, or count as present (True) or absent (False)."""
    scores = {}
    for concept in answers.columns:
        present = np.array([concept in row["present"] for row in rows])
        open_to_taste = np.array([concept in row["possible"] for row in rows])
        found = (answers[concept] == 1).to_numpy()
        if possible is None:
            present, found = present[~open_to_taste], found[~open_to_taste]
        elif possible:
            present = present | open_to_taste
        scores[concept] = 2 * (present & found).sum() / max(1, present.sum() + found.sum())
    return pd.Series(scores)


def print_agreement(bank):
    for split in ("development", "held-out"):
        rows = read_coded(split)
        texts = [row["text"] for row in rows]
        tables = {"plain keywords": by_keywords(texts, bank)}
        for uncertain in ("blank", "positive", "negative"):
            tables[f"knobo, uncertain={uncertain}"] = annotate_reports(texts, bank, uncertain=uncertain)
        print(f"\n{split}: {len(rows)} reports, macro-F1 of {len(bank)} concepts; possible findings are")
        print(f"{'':<28}{'left out':>10}{'present':>10}{'absent':>10}")
        for name, table in tables.items():
            cells = (f1_scores(table, rows, possible=possible).mean() for possible in (None, True, False))
            print(f"{name:<28}" + "".join(f"{cell:>10.3f}" for cell in cells))
        worst = pd.DataFrame(
            {
                name: f1_scores(tables[name], rows, possible=None)
                for name in ("plain keywords", "knobo, uncertain=blank")
            }
        )
        print(worst.nsmallest(8, "knobo, uncertain=blank").round(3).to_string())


def print_speed(bank, repeat):
    texts = [row["text"] for split in ("development", "held-out") for row in read_coded(split)]
    reports, words = [], []
    for start in range(len(texts)):
        joined, i = "", start
        while len(joined.split()) < 55:
            joined, i = f"{joined} {texts[i % len(texts)]}", i + 1
        reports.append(joined)
        words.append(len(joined.split()))
    bank = bank.subset(bank.ids[:20])
    annotate_reports([""], bank)
    annotator = _annotator(bank.concepts)
    print(f"\nspeed: {len(reports)} reports of {np.mean(words):.0f} words, {len(bank)} concepts")
    for name in ("no sentence known", "every sentence known"):
        best = np.inf
        for _ in range(repeat):
            started = time.process_time()
            for report in reports:
                if name == "no sentence known":
                    annotator.forget()
                annotator.read(report)
            best = min(best, time.process_time() - started)
        print(f"{name:<28}{len(reports) / best:>10.0f} reports/s/core")
    fresh, later = phantom_reports(2000, 0), phantom_reports(2000, 1)
    annotator.forget()
    for report in fresh:
        annotator.read(report)
    started = time.process_time()
    for report in later:
        annotator.read(report)
    rate = len(later) / (time.process_time() - started)
    words = np.mean([len(report.split()) for report in later])
    print(f"{f'phantoms ({words:.0f} words)':<28}{rate:>10.0f} reports/s/core")
    started = time.process_time()
    by_keywords(reports, bank.merge(ConceptBank.from_names(["no finding"])))
    print(f"{'plain keywords':<28}{len(reports) / (time.process_time() - started):>10.0f} reports/s/core")


def phantom_reports(n, seed):
    """Synthetic reports of phantoms of three hospitals."""
    weights = np.full(len(CHEST_CLASSES), 1 / len(CHEST_CLASSES))
    reports = []
    for k, child in enumerate(np.random.SeedSequence(seed).spawn(n)):
        case_seed, report_seed = child.spawn(2)
        case = sample_case(case_seed, hospital="ABC"[k % 3], weights=weights)
        rng = np.random.default_rng(report_seed)
        reports.append(write_chest_report(case.findings, case.details, view=case.view, rng=rng))
    return reports


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    bank = bank_of_findings()
    print_agreement(bank)
    print_speed(bank, arguments.repeat)


if __name__ == "__main__":
    main()
