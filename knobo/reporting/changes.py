"""What a reader changed after the fit, and where data and literature disagree, as plain text for the template."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from knobo.errors import InputError
from knobo.explain import Explanation
from knobo.explain.style import plain, readable, signed
from knobo.heads import change_table

_METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "log_loss": "Log loss (lower is better)",
}
_FOR = {1: "for", -1: "against"}


class Change(NamedTuple):
    """One edit: what was done, its weights before and after, why, who and when."""

    what: str
    weights: str
    why: str
    by: str


def change_views(clf: Any) -> list[dict[str, Any]]:
    """One view an entry of the change log, oldest first."""
    names = {concept.id: concept.name for concept in clf.bank_}
    return [
        {
            "when": str(entry.get("when", ""))[:10],
            "edits": [_change(record, names) for record in entry["edits"]],
            "n": entry.get("n_samples"),
            "compared_on": entry.get("compared_on", ""),
            "rows": _rows(change_table(entry)),
            "dropped": [readable(name) for name in entry.get("dropped", {})],
        }
        for entry in getattr(clf, "change_log_", [])
    ]


def conflict_rows(why: Explanation, conflicts: pd.DataFrame | None) -> list[dict[str, str]]:
    """Weights whose sign contradicts the literature, largest first; with intervals where ``conflicts`` has them."""
    if conflicts is not None:
        missing = {"class", "concept", "weight", "low", "high", "frequency"} - set(conflicts)
        if missing:
            raise InputError(f"conflicts lacks {', '.join(sorted(missing))}; pass bootstrap_head(...).conflicts().")
    rows = []
    signs = np.zeros_like(why.weights) if why.prior_signs is None else why.prior_signs
    classes = [1] if len(why.classes) == 2 else range(len(why.classes))
    confidence = why.bank.prior_matrix(why.classes)[1]
    found = [(k, j) for k in classes for j in np.flatnonzero(why.weights[k] * signs[k] < 0)]
    for k, j in sorted(found, key=lambda at: -abs(why.weights[at])):
        concept = why.bank.concepts[j]
        weight = float(why.weights[k, j])
        drawn = _drawn(conflicts, why.classes[k], concept.id, int(j))
        scale = 1.0 if drawn is None else weight / drawn["weight"]  # refits know no temperature
        rows.append(
            {
                "finding": concept.name,
                "class": readable(why.classes[k]),
                "literature": _FOR[int(signs[k, j])],
                "confidence": plain(float(confidence[k, j])),
                "weight": signed(weight),
                "interval": ""
                if drawn is None
                else f"{signed(scale * drawn['low'])} to {signed(scale * drawn['high'])}",
                "frequency": "" if drawn is None else f"{drawn['frequency']:.0%}",
            }
        )
    return rows


def _drawn(conflicts: pd.DataFrame | None, label: Any, concept_id: str, column: int) -> Any:
    """Row of the bootstrap's table; its concepts are ids, or x0, x1, … where the head knows no names."""
    if conflicts is None:
        return None
    same = conflicts["concept"].isin([concept_id, f"x{column}"]) & (conflicts["class"].astype(str) == str(label))
    return conflicts[same].iloc[0] if same.any() else None


def _change(record: dict[str, Any], names: dict[str, str]) -> Change:
    kind, label = record["edit"], record.get("class_name")
    finding = names.get(str(record.get("concept")), str(record.get("concept")))
    where = "all classes" if label is None else readable(label)
    what = {
        "veto": lambda: f"{finding}: not used for {'any class' if label is None else where}",
        "force_sign": lambda: f"{finding}: may only speak {_FOR[record['sign']]} {where}",
        "pin": lambda: f"{finding}: weight for {where} fixed at {signed(float(record['value']))}",
        "release": lambda: f"{finding}: free again for {where}",
        "rename": lambda: f"{record['concept']}: renamed to {record['name']}",
        "merge": lambda: f"{record['absorb']}: merged into {names.get(str(record['keep']), record['keep'])}",
        "temperature": lambda: f"Probabilities calibrated: logits divided by {plain(float(record['value']))}",
        "prevalence": lambda: "Prevalence set to " + ", ".join(
            f"{readable(name)} {share:.1%}" for name, share in record["value"].items()),
    }  # fmt: skip
    moved = [
        f"{readable(name)} {signed(record['before'][name])} → {signed(value)}"
        for name, value in record.get("after", {}).items()
        if name in record.get("before", {}) and record["before"][name] != value
    ]
    by = ", ".join(str(record[name]) for name in ("who", "when") if record.get(name))
    return Change(what.get(kind, lambda: readable(kind))(), "; ".join(moved), record.get("why", ""), by)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "name": _METRICS.get(str(metric), str(metric)),
            "before": plain(row["before"], 3),
            "after": plain(row["after"], 3),
            "change": signed(row["change"], 3),
            "interval": (
                ""
                if np.isnan(row["change_low"])
                else f"{signed(row['change_low'], 3)} to {signed(row['change_high'], 3)}"
            ),
        }
        for metric, row in table.iterrows()
    ]
