"""Two models are compared case by case, whatever the order of their classes."""

import numpy as np
import pytest

from knobo.errors import InputError
from knobo.shift import check_shift, compare_models

CLASSES = np.array(["copd", "normal", "pneumonia"])


def make_set(n, rng, *, signal=1.0, n_classes=3):
    y = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), y] += signal
    proba = np.exp(logits)
    return proba / proba.sum(axis=1, keepdims=True), CLASSES[y]


class Passthrough:
    """Fitted classifier whose images are its probabilities."""

    def __init__(self, classes=CLASSES):
        self.classes_ = classes

    def predict_proba(self, X):
        return np.asarray(X)


@pytest.fixture
def binary():
    rng = np.random.default_rng(11)
    return make_set(160, rng, signal=2.0, n_classes=2), make_set(120, rng, signal=0.5, n_classes=2)


@pytest.fixture
def source():
    return make_set(200, np.random.default_rng(0), signal=2.0)


@pytest.fixture
def target():
    return make_set(150, np.random.default_rng(1), signal=0.5)


class Reader(Passthrough):
    """Reads its probabilities off one of two stacked tables."""

    def __init__(self, which, classes=CLASSES):
        super().__init__(classes)
        self.which = which

    def predict_proba(self, X):
        return X[:, self.which]


def test_models_are_compared_case_by_case(binary):
    (source, y0), (target, y1) = binary
    rng = np.random.default_rng(5)
    noisy = [0.8 * proba + 0.2 * rng.dirichlet([1, 1], size=len(proba)) for proba in (source, target)]
    pairs = [(np.stack([source, noisy[0]], axis=1), y0), (np.stack([target, noisy[1]], axis=1), y1)]
    first, second = (Reader(which, CLASSES[:2]) for which in (0, 1))
    table = compare_models(first, second, *pairs, n_bootstrap=100)
    ours, theirs = (check_shift(model, *pairs, n_bootstrap=100).to_frame() for model in (first, second))
    for name in ("id", "ood", "average", "gap"):
        np.testing.assert_allclose(table[name], ours[name] - theirs[name], atol=1e-12)
    for metric in ("log_loss", "auroc"):  # errors are shared, so the difference is known far better
        widths = [frame.loc[metric, "ood_high"] - frame.loc[metric, "ood_low"] for frame in (table, ours)]
        assert widths[0] < 0.5 * widths[1]
    same = compare_models(first, first, *pairs, n_bootstrap=20)
    assert (same == 0).all(axis=None)


def test_models_of_different_questions_are_refused(source, target):
    with pytest.raises(InputError, match="different classes"):
        compare_models(Passthrough(), Passthrough(CLASSES[:2]), source, target)


def test_order_of_the_second_models_classes_does_not_matter(source, target):
    class Turned(Passthrough):
        def predict_proba(self, X):
            return np.asarray(X)[:, ::-1]

    table = compare_models(Passthrough(), Turned(CLASSES[::-1]), source, {"B": target}, n_bootstrap=5)
    assert (table.loc["B"] == 0).all(axis=None)
