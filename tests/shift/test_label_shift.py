"""Shares of classes are recovered from predictions alone, and the corrected prediction is better."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from knobo.errors import InputError
from knobo.shift import estimate_label_shift

CLASSES = np.array(["copd", "normal", "pneumonia"])


def make_set(n, shares, rng):
    """Labels with these shares, and the true posterior under equal shares."""
    y = rng.choice(3, size=n, p=shares)
    x = 1.5 * np.eye(3)[y] + rng.normal(size=(n, 3))
    proba = np.exp(1.5 * x)
    return CLASSES[y], proba / proba.sum(axis=1, keepdims=True)


@pytest.fixture
def sets():
    rng = np.random.default_rng(1)
    return make_set(1500, [1 / 3] * 3, rng), make_set(1500, [0.7, 0.2, 0.1], rng)


def test_shares_are_recovered(sets):
    (y, proba), (_, elsewhere) = sets
    shift = estimate_label_shift(y, proba, elsewhere, CLASSES, n_bootstrap=100)
    np.testing.assert_allclose(shift.table["target"], [0.7, 0.2, 0.1], atol=0.06)
    assert ((shift.table["target_low"] < [0.7, 0.2, 0.1]) & (shift.table["target_high"] > [0.7, 0.2, 0.1])).all()
    assert shift.table["target"].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(shift.table["ratio"], shift.table["target"] / shift.table["source"])
    assert shift.condition > 1


def test_corrected_prediction_is_better(sets):
    (y, proba), (y_there, elsewhere) = sets
    shift = estimate_label_shift(y, proba, elsewhere, CLASSES, n_bootstrap=0)
    corrected = shift.correct(elsewhere)
    np.testing.assert_allclose(corrected.sum(axis=1), 1.0)
    assert log_loss(y_there, corrected) < log_loss(y_there, elsewhere) - 0.1
    assert shift.table["target_low"].isna().all()


def test_no_shift_leaves_the_prediction_alone(sets):
    (y, proba), _ = sets
    shift = estimate_label_shift(y, proba, proba, CLASSES, n_bootstrap=0)
    np.testing.assert_allclose(shift.table["ratio"], 1.0)
    np.testing.assert_allclose(shift.correct(proba), proba)


def test_intervals_over_patients_are_wider(sets):
    (y, proba), (_, elsewhere) = sets
    patients = np.arange(1500) // 10
    repeated = elsewhere[patients * 10]
    widths = []
    for group in (None, patients):
        table = estimate_label_shift(y, proba, repeated, CLASSES, groups=(None, group), n_bootstrap=100).table
        widths.append((table["target_high"] - table["target_low"]).mean())
    assert widths[1] > 1.5 * widths[0]


def test_unusable_input_is_named(sets):
    (y, proba), (_, elsewhere) = sets
    with pytest.raises(InputError, match="y_source has no case of 'copd'"):
        estimate_label_shift(y[y != "copd"], proba[y != "copd"], elsewhere, CLASSES)
    with pytest.raises(InputError, match="do not tell the classes apart"):
        estimate_label_shift(y, np.full_like(proba, 1 / 3), elsewhere, CLASSES)
    with pytest.raises(InputError, match="proba_target"):
        estimate_label_shift(y, proba, elsewhere[:, :2], CLASSES)
