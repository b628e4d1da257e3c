"""What the sections of the report show, as plain numbers and text; the template only places it."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knobo import __version__
from knobo.bank import ConceptBank, Evidence
from knobo.explain import Explanation
from knobo.explain.style import plain, readable, signed
from knobo.explain.tables import concept_auroc
from knobo.shift import ShiftReport
from knobo.shift.report import METRIC_LABELS, QUANTITIES, with_interval


class Measure(NamedTuple):
    """A number with its interval, as text and as positions on a scale from 0 to 1 (None where it has no place)."""

    name: str
    value: str
    interval: str
    at: float | None
    low: float | None
    high: float | None


class Citation(NamedTuple):
    """A sentence and where it stands; ``url`` only where it is a web address."""

    sentence: str
    source: str
    url: str | None


def citation(evidence: Evidence | None) -> Citation | None:
    """Prepare evidence for the page; a link that is not plain http(s) is dropped."""
    if evidence is None:
        return None
    url = evidence.url if evidence.url and re.match(r"https?://", evidence.url, re.IGNORECASE) else None
    return Citation(evidence.sentence, evidence.source, url)


def model_facts(clf: Any) -> list[tuple[str, str]]:
    """Terms and values that say what the classifier is."""
    bank: ConceptBank = clf.bank_
    used = np.count_nonzero(clf.weights_, axis=1)
    per_class = ", ".join(f"{readable(name)} {count}" for name, count in zip(clf.classes_, used, strict=True))
    modality = f" ({bank.modality})" if bank.modality else ""
    known = len({(sign.class_name, sign.concept_id) for sign in bank.prior})
    checked = certificates(clf.concept_quality_, bank)["unchecked"] < len(bank)
    how = " that can be read off the images" if checked else ", read by the encoder's own words and checked on no image"
    return [
        ("Kind", "Concept bottleneck: the prediction is a weighted sum of named findings, and of nothing else."),
        ("Classes", ", ".join(readable(name) for name in clf.classes_)),
        ("Image encoder", encoder_name(clf)),
        ("Concept bank", f"{len(bank)} findings{how}{modality}"),
        ("Findings with a weight", per_class),
        ("Literature", f"{known} signs of a finding for or against a class"),
        ("Software", f"knobo {__version__}, scikit-learn {version('scikit-learn')}, NumPy {np.__version__}, "
         f"Python {platform.python_version()}"),
    ]  # fmt: skip


def encoder_name(clf: Any) -> str:
    """Name of the encoder; of a local folder only its last part, since paths can hold names of people."""
    given = getattr(clf, "encoder_name_", None) or getattr(clf, "encoder_", None) or getattr(clf, "encoder", None)
    spec = str(given if isinstance(given, str) else getattr(given, "spec", type(given).__name__))
    kind, found, folder = spec.partition("local-dir:")
    if found:
        return f"{kind}{found}{Path(folder).name}"
    return Path(spec).name if Path(spec).is_absolute() else spec


def performance(metrics: pd.DataFrame, classes: NDArray[Any]) -> list[Measure]:
    """One measure a metric of :func:`knobo.shift.evaluate`."""
    return [_measure(_metric_name(str(name), classes), row) for name, row in metrics.iterrows()]


def _metric_name(metric: str, classes: NDArray[Any]) -> str:
    kind, _, label = metric.rstrip("]").partition("[")
    if metric == "auroc":
        return f"AUROC of {readable(classes[1])}" if len(classes) == 2 else "AUROC, mean over classes"
    if label:
        title = "Sensitivity" if kind == "sensitivity" else "AUROC"
        return f"{title} for {readable(label)}"
    return {**METRIC_LABELS, "log_loss": "Log loss (lower is better)"}.get(metric, readable(metric))


def _measure(name: str, row: pd.Series[float]) -> Measure:
    estimate, low, high = float(row["estimate"]), float(row["low"]), float(row["high"])
    if np.isnan(estimate):
        return Measure(name, "undefined", "", None, None, None)
    known = not np.isnan(low)
    interval = f"{low:.3f} to {high:.3f}" if known else ""
    if name.startswith("Log loss"):
        return Measure(name, f"{estimate:.3f}", interval, None, None, None)
    return Measure(name, f"{estimate:.3f}", interval, estimate, low if known else None, high if known else None)


def confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: NDArray[Any]) -> dict[str, Any]:
    """Counts of true (rows) by predicted (columns) class; ``share`` is the part of the row."""
    names = [str(name) for name in classes]
    counts = np.array([[np.sum((truth == t) & (predicted == p)) for p in names] for t in names])
    totals = counts.sum(axis=1)
    rows = [
        {
            "name": readable(name),
            "total": int(totals[i]),
            "cells": [
                {"count": int(count), "share": float(count / max(totals[i], 1)), "right": i == j}
                for j, count in enumerate(counts[i])
            ],
        }
        for i, name in enumerate(names)
    ]
    return {"classes": [readable(name) for name in names], "rows": rows}


def shift_view(name: str, report: ShiftReport) -> dict[str, Any]:
    """Each metric in and out of domain with its interval, as text and as positions on a scale from 0 to 1."""
    many = len(report.domains) > 1
    rows = []
    for index, row in report.table.iterrows():
        domain, metric = cast("tuple[str, str]", index)
        label = METRIC_LABELS.get(metric, metric)
        on_scale = {side: metric != "log_loss" and not np.isnan(row[side]) for side in ("id", "ood")}
        rows.append(
            {
                "name": f"{label}, {domain}" if many else label,
                "texts": [_split(with_interval(row, quantity)) for quantity in QUANTITIES],
                **{side: float(row[side]) if shown else None for side, shown in on_scale.items()},
            }
        )
    sizes = [f"{domain}: {n} cases" for domain, n in report.counts.sum(axis=1).items()]
    interval = f"{report.confidence:.0%} bootstrap intervals, {report.n_bootstrap} resamples"
    return {"name": name, "rows": rows, "sizes": "; ".join(sizes), "interval": interval if report.n_bootstrap else ""}


def _split(text: str) -> tuple[str, str]:
    """Part ``0.913 (0.881 to 0.940)`` into the value and the interval."""
    value, _, interval = text.replace("-", "−").partition(" ")
    return value, interval.strip("()")


def weight_table(why: Explanation) -> dict[str, Any]:
    """The findings that have a weight, strongest first, beside the literature's signs; and where the two differ."""
    columns = [1] if len(why.classes) == 2 else list(range(len(why.classes)))
    strength = np.abs(why.weights).max(axis=0)
    most = max(float(strength.max(initial=0.0)), 1e-12)
    signs = np.zeros_like(why.weights) if why.prior_signs is None else why.prior_signs
    auroc = concept_auroc(why)
    rows, conflicts = [], []
    for j in np.argsort(-strength, kind="stable").tolist():
        if strength[j] == 0:
            break
        concept = why.bank.concepts[j]
        cells = [_cell(float(why.weights[k, j]), int(signs[k, j]), most) for k in columns]
        names = [readable(why.classes[k]) for k, cell in zip(columns, cells, strict=True) if cell["agrees"] is False]
        conflicts += [f"{concept.name} for {name}" for name in names]
        strongest = why.classes[columns[int(np.abs(why.weights[columns, j]).argmax())]]
        rows.append(
            {
                "id": concept.id,
                "name": concept.name,
                "cui": concept.cui,
                "auroc": number(auroc[j]),
                "cells": cells,
                "citation": citation(why.citation(strongest, concept.id)),
            }
        )
    return {"classes": [readable(why.classes[k]) for k in columns], "rows": rows, "conflicts": conflicts}


def _cell(weight: float, sign: int, most: float) -> dict[str, Any]:
    return {
        "text": signed(weight) if weight else "",
        "shade": abs(weight) / most,
        "positive": weight > 0,
        "sign": sign,
        "agrees": None if weight * sign == 0 else weight * sign > 0,
    }


_CERTIFICATE_COLUMNS = {
    "auroc": "AUROC",
    "accuracy": "Accuracy",
    "brier": "Brier score",
    "n_yes": "Yes",
    "n_no": "No",
    "n_unknown": "Unknown",
}


def certificates(quality: pd.DataFrame, bank: ConceptBank) -> dict[str, Any]:
    """How well each finding can be read off images that taught it nothing: best first, dropped ones at the end.

    Findings that no measurement could be made for, such as those that no report mentions, are named only.
    """
    names = {concept.id: concept.name for concept in bank}
    columns = [column for column in _CERTIFICATE_COLUMNS if column in quality]
    rows = []
    for concept, record in quality.iterrows():
        auroc = pd.to_numeric(record.get("auroc", np.nan))
        rows.append(
            {
                "name": names.get(str(concept), str(concept).replace("-", " ")),
                "used": str(concept) in names,
                "reason": _text(record.get("reason")),
                "auroc": None if pd.isna(auroc) else float(auroc),
                "values": [number(record[column], 0 if column.startswith("n_") else 3) for column in columns],
            }
        )
    rows.sort(key=lambda row: (not row["used"], -float(cast("float", row["auroc"] or 0))))
    return {
        "columns": [_CERTIFICATE_COLUMNS[column] for column in columns],
        "rows": [row for row in rows if row["used"] or row["auroc"] is not None],
        "unchecked": sum(row["used"] and row["auroc"] is None for row in rows),
        "untried": [row["name"] for row in rows if not row["used"] and row["auroc"] is None],
    }


def number(value: Any, digits: int = 2) -> str:
    """Write a number, or nothing where it is missing."""
    return "" if value is None or pd.isna(value) else plain(float(value), digits)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
