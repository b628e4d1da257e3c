"""An explanation as a table, and as plain numbers and strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from knobo.errors import InputError

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation


def explanation_frame(why: Explanation, label: Any = None) -> pd.DataFrame:
    """Tabulate an explanation; see :meth:`Explanation.to_frame`."""
    chosen = (why if label is None else why.for_class(label)).explained
    fixed = {k: _class_table(why, k) for k in range(len(why.classes))}
    values = why.contributions
    frames = []
    for i, k in enumerate(chosen.tolist()):
        frame = fixed[k].assign(case=why.cases[i], activation=why.activations[i], contribution=values[i, k])
        frames.append(frame.iloc[np.argsort(-np.abs(values[i, k]), kind="stable")])
    columns = ["case", "class", "concept", "name", "activation", "reference", "weight", "contribution"]
    columns += ["prior_sign", "agrees", "auroc", "cui", "sentence", "source"]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)[columns]


def _class_table(why: Explanation, k: int) -> pd.DataFrame:
    """What is the same for every case: the concepts, and the head's row of class ``k``."""
    label = why.classes[k]
    cited = [why.citation(label, concept_id) for concept_id in why.bank.ids]
    signs = np.zeros(len(why.bank)) if why.prior_signs is None else why.prior_signs[k]
    agrees = why.agreement[k]
    return pd.DataFrame(
        {
            "class": label,
            "concept": why.bank.ids,
            "name": [concept.name for concept in why.bank],
            "reference": why.reference,
            "weight": why.weights[k],
            "prior_sign": signs.astype(int),
            "agrees": pd.array([None if a == 0 else bool(a > 0) for a in agrees], dtype="boolean"),
            "auroc": concept_auroc(why),
            "cui": [concept.cui for concept in why.bank],
            "sentence": [evidence.sentence if evidence else None for evidence in cited],
            "source": [evidence.source if evidence else None for evidence in cited],
        }
    )


def weights_frame(why: Explanation, label: Any = None) -> pd.DataFrame:
    """Tabulate what each class rests on; see :meth:`Explanation.weights_frame`."""
    chosen = label if label is not None else why.label
    columns = ["class", "concept", "name", "weight", "prior_sign", "agrees", "auroc", "mean_effect"]
    columns += ["cui", "sentence", "source"]
    frames = []
    for k in range(len(why.classes)) if chosen is None else [why.class_index(chosen)]:
        values = np.abs(why.contributions[:, k]).mean(axis=0) if len(why) else np.full(len(why.bank), np.nan)
        frame = _class_table(why, k).assign(mean_effect=values)[columns]
        used = frame[why.weights[k] != 0]
        frames.append(used.iloc[np.argsort(-np.abs(used["weight"].to_numpy()), kind="stable")])
    return pd.concat(frames, ignore_index=True)


def edits_frame(why: Explanation, edited: Explanation) -> pd.DataFrame:
    """Tabulate what other activations do; see :meth:`Explanation.edits_frame`."""
    same = np.array_equal(why.weights, edited.weights) and why.bank.ids == edited.bank.ids and why.cases == edited.cases
    if not same:
        raise InputError(
            "The two explanations are not of the same cases, concepts and weights; edit one with intervene()."
        )
    ks = why.explained
    before, after = why.probabilities, edited.probabilities
    rows = []
    for i, j in np.argwhere(why.activations != edited.activations).tolist():
        k = int(ks[i])
        rows.append(
            {
                "case": why.cases[i],
                "concept": why.bank.ids[j],
                "name": why.bank.concepts[j].name,
                "before": why.activations[i, j],
                "after": edited.activations[i, j],
                "class": why.classes[k],
                "effect": why.weights[k, j] * (edited.activations[i, j] - why.activations[i, j]),
                "probability_before": before[i, k],
                "probability_after": after[i, k],
                "predicted_before": why.predicted[i],
                "predicted_after": edited.predicted[i],
            }
        )
    columns = ["case", "concept", "name", "before", "after", "class", "effect", "probability_before"]
    columns += ["probability_after", "predicted_before", "predicted_after"]
    return pd.DataFrame(rows, columns=columns)


def concept_auroc(why: Explanation) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Held-out AUROC of each concept, shape (m,); NaN where it is not known."""
    if why.quality is None or "auroc" not in why.quality:
        return np.full(len(why.bank), np.nan)
    return why.quality["auroc"].to_numpy(dtype=np.float64, na_value=np.nan)


def _cited(why: Explanation, label: Any) -> dict[str, dict[str, str]]:
    """Sentence and source behind each concept that has one, for a class."""
    found = ((concept_id, why.citation(label, concept_id)) for concept_id in why.bank.ids)
    return {concept_id: {"sentence": e.sentence, "source": e.source} for concept_id, e in found if e is not None}


def explanation_dict(why: Explanation) -> dict[str, Any]:
    """Write an explanation as JSON can hold it; see :meth:`Explanation.to_dict`."""
    ids = why.bank.ids
    names = [str(name) for name in why.classes]

    def by_class(values: Any) -> dict[str, Any]:
        return dict(zip(names, values, strict=True))

    def by_concept(values: Any) -> dict[str, Any]:
        return dict(zip(ids, values.tolist(), strict=True))

    predicted, probabilities, logits, values = why.predicted, why.probabilities, why.logits, why.contributions
    cases = [
        {
            "case": case.item() if isinstance(case, np.generic) else case,
            "predicted": str(predicted[i]),
            "probabilities": by_class(probabilities[i].tolist()),
            "logits": by_class(logits[i].tolist()),
            "activations": by_concept(why.activations[i]),
            "contributions": by_class(by_concept(row) for row in values[i]),
            "rest": by_class(why.rest[i].tolist()),
        }
        for i, case in enumerate(why.cases)
    ]
    auroc = [None if np.isnan(value) else float(value) for value in concept_auroc(why)]
    concepts = [
        {"id": concept.id, "name": concept.name, "cui": concept.cui, "auroc": value}
        for concept, value in zip(why.bank, auroc, strict=True)
    ]
    signs = np.zeros_like(why.weights) if why.prior_signs is None else why.prior_signs
    return {
        "classes": names,
        "concepts": concepts,
        "prior_signs": by_class(by_concept(row.astype(int)) for row in signs),
        "evidence": by_class(_cited(why, label) for label in why.classes),
        "weights": by_class(by_concept(row) for row in why.weights),
        "intercept": by_class(why.intercept.tolist()),
        "reference": by_concept(why.reference),
        "base": by_class(why.base.tolist()),
        "cases": cases,
    }
