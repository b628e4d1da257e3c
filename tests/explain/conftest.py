"""An explanation of four cases, three classes and five concepts, with evidence, prior and quality."""

import numpy as np
import pandas as pd
import pytest

from knobo.bank import Concept, ConceptBank, Evidence, PriorSign
from knobo.explain import Explanation

NAMES = ("pleural effusion", "enlarged heart", "consolidation", "nodule", "support device")


@pytest.fixture(scope="session")
def cited_bank() -> ConceptBank:
    concepts = tuple(
        Concept(
            id=name.replace(" ", "-"),
            name=name,
            question=f"Is there {name}?",
            cui="C0032227" if name == "pleural effusion" else None,
            evidence=(Evidence(passage_id="p:1", source="Atlas", title="T", sentence=f"This is {name}."),),
        )
        for name in NAMES
    )
    reason = Evidence(passage_id="p:2", source="Manual", title="T", sentence="Effusions go with heart failure.")
    prior = (
        PriorSign(
            class_name="heart failure", concept_id="pleural-effusion", sign=1, confidence=0.9, evidence=(reason,)
        ),
        PriorSign(class_name="heart failure", concept_id="consolidation", sign=1, confidence=0.4),
    )
    return ConceptBank(concepts=concepts, prior=prior)


@pytest.fixture
def parts(cited_bank):
    """Arguments of an Explanation."""
    classes = np.array(["heart_failure", "normal", "pneumonia"])
    return {
        "activations": np.array(
            [[0.9, 0.8, 0.5, 0.1, 0.3], [0.1, 0.0, 0.2, 0.0, 1.0], [0.3, 0.2, 1.0, 0.4, 0.6], [0.5, 0.5, 0.5, 0.5, 0.5]]
        ),
        "weights": np.array([[2.0, 3.0, -1.0, 0.0, 0.2], [-2.0, -1.0, -1.5, -0.5, 0.0], [0.0, -0.5, 3.0, 0.0, 0.0]]),
        "intercept": np.array([-2.0, 1.5, -1.0]),
        "reference": np.array([0.3, 0.2, 0.4, 0.1, 0.5]),
        "classes": classes,
        "bank": cited_bank,
        "prior_signs": cited_bank.prior_matrix(classes)[0],
        "quality": pd.DataFrame({"auroc": [0.9, 0.7]}, index=["pleural-effusion", "nodule"]),
    }


@pytest.fixture
def why(parts) -> Explanation:
    return Explanation(**parts)


@pytest.fixture
def why_two(parts) -> Explanation:
    """Two classes: the second row holds the log-odds of ``sick``."""
    w, b = parts["weights"][0], parts["intercept"][0]
    changes = {"weights": np.vstack([-w, w]), "intercept": [-b, b], "classes": ["well", "sick"], "prior_signs": None}
    return Explanation(**parts | changes)
