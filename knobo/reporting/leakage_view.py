"""The leakage panel as text and points for the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from knobo.explain import Explanation
from knobo.reporting.leakage import LeakagePanel
from knobo.reporting.sections import number

_NAMES = {
    "classifier": "The classifier as it is",
    "bank": "Its findings, head without the literature",
    "hard": "Its findings as absent or present only",
    "control": "Random directions in place of findings",
    "probe": "Linear probe on the embeddings",
}
_MOST_CONCEPTS = 10


def leakage_view(panel: LeakagePanel, why: Explanation) -> dict[str, Any]:
    """What the template shows of a panel."""
    rows = [
        {
            "name": _NAMES[str(name)],
            "value": f"{row['auroc']:.3f}",
            "interval": "" if np.isnan(row["low"]) else f"{row['low']:.3f} to {row['high']:.3f}",
            "at": float(row["auroc"]),
            "low": None if np.isnan(row["low"]) else float(row["low"]),
            "high": None if np.isnan(row["high"]) else float(row["high"]),
            "accuracy": f"{row['accuracy']:.3f}",
        }
        for name, row in panel.scores.iterrows()
    ]
    return {
        "warnings": panel.warnings,
        "rows": rows,
        "curve": panel.curve.to_dict(orient="records"),
        "lowest": _floor(panel),
        "completeness": "undefined" if np.isnan(panel.completeness) else f"{panel.completeness:.0%}",
        "effective": f"{panel.effective:.1f}",
        "contributing": f"{panel.contributing:.1f}",
        "n_concepts": panel.n_concepts,
        "n_controls": panel.n_controls,
        "n_cases": panel.n_cases,
        "concepts": _concepts(panel, why),
    }


def _floor(panel: LeakagePanel) -> float:
    """Where the axis of the curve begins: a tenth below all points, at 0.5 or above where they allow it."""
    least = float(panel.curve[["bank", "control_low"]].min().min())
    return max(np.floor(least * 10) / 10, 0.0)


def _concepts(panel: LeakagePanel, why: Explanation) -> list[dict[str, str]]:
    if panel.concepts is None:
        return []
    known = panel.concepts.dropna(subset=["leakage"]).head(_MOST_CONCEPTS)
    names = {concept.id: concept.name for concept in why.bank}
    return [
        {
            "name": names.get(str(concept), str(concept)),
            **{column: number(row[column], 3) for column in ("reading", "truth", "leakage")},
            "n": number(row["n"], 0),
        }
        for concept, row in known.iterrows()
    ]
