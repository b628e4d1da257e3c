"""An explanation as a table, and as plain numbers and strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation


def explanation_frame(why: Explanation, label: Any = None) -> pd.DataFrame:
    """Tabulate an explanation; see :meth:`Explanation.to_frame`."""
    chosen = why.logits.argmax(axis=1) if label is None else np.full(len(why), why.class_index(label))
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


def concept_auroc(why: Explanation) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Held-out AUROC of each concept, shape (m,); NaN where it is not known."""
    if why.quality is None or "auroc" not in why.quality:
        return np.full(len(why.bank), np.nan)
    return why.quality["auroc"].to_numpy(dtype=np.float64, na_value=np.nan)


def explanation_dict(why: Explanation) -> dict[str, Any]:
    """Write an explanation as JSON can hold it; see :meth:`Explanation.to_dict`."""
    ids = why.bank.ids
    names = [str(name) for name in why.classes]

    def by_class(values: Any) -> dict[str, Any]:
        return dict(zip(names, values, strict=True))

    def by_concept(values: Any) -> dict[str, float]:
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
        }
        for i, case in enumerate(why.cases)
    ]
    return {
        "classes": names,
        "concepts": [{"id": concept.id, "name": concept.name, "cui": concept.cui} for concept in why.bank],
        "weights": by_class(by_concept(row) for row in why.weights),
        "intercept": by_class(why.intercept.tolist()),
        "reference": by_concept(why.reference),
        "base": by_class(why.base.tolist()),
        "cases": cases,
    }
