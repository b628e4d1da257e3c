"""Pages for the tests, and a browser to read them in."""

import numpy as np
import pandas as pd
import pytest

from knobo.explain import Explanation

CLASSES = np.array(["heart_failure", "normal", "pneumonia"])


class Fake:
    """Has what write_report needs of a classifier, and nothing else. The activations are the embeddings."""

    classes_ = CLASSES
    encoder_name_ = "fake"
    weights_ = np.array([[2.0, 0, 3, 0, 0, 0], [-2, -1, -1, 0, 0, 0], [0, 3, 0, -0.5, 0, 0]])
    intercept_ = np.array([-1.0, 1.0, -0.5])

    def __init__(self, bank):
        self.bank_ = bank
        self.concept_quality_ = pd.DataFrame(
            {"auroc": [0.9, 0.81, 0.8, 0.7, 0.7, 0.65], "n_yes": 20, "n_no": 100}, index=list(bank.ids)
        )

    def explain(self, images):
        return Explanation(
            np.asarray(images).reshape(len(images), -1)[:, :6],
            self.weights_,
            self.intercept_,
            np.full(6, 0.3),
            self.classes_,
            self.bank_,
            self.bank_.prior_matrix(self.classes_)[0],
            self.concept_quality_,
        )


@pytest.fixture
def fake(six_concepts):
    return Fake(six_concepts)


@pytest.fixture
def fake_of_two(six_concepts):
    """Two classes whose labels are numbers; the log-odds of the second hold a conflict with the literature."""
    clf = Fake(six_concepts)
    row = np.array([-1.5, 2.0, 0.3, 0, 0.7, 0])
    clf.weights_, clf.intercept_, clf.classes_ = np.vstack([-row, row]), np.array([0.4, -0.4]), np.array([0, 1])
    return clf


@pytest.fixture
def cases():
    """Thirty tiny float images whose first six pixels are the activations, and their labels."""
    rng = np.random.default_rng(0)
    images = rng.random((30, 3, 4))
    return list(images), CLASSES[rng.integers(3, size=30)]
