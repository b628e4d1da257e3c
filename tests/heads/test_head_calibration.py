"""Temperature scaling is exact, keeps the head a head, and isotonic calibration is scikit-learn's."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import brier_score_loss, log_loss

from knobo.errors import InputError
from knobo.heads import (
    ConceptHead,
    ConceptHeadCV,
    Veto,
    calibrate_temperature,
    calibration_metrics,
    edit_head,
    fit_temperature,
    plot_reliability,
    reliability_table,
)


@pytest.fixture
def split(activations):
    """A head shrunk by a strong penalty, so that it is too unsure, and held-out data."""
    A, y = activations
    return ConceptHead(0.03).fit(A[:150], y[:150]), A[150:], y[150:]


def test_the_temperature_is_the_minimum_that_a_general_optimiser_finds(split):
    head, A, y = split
    z = head.decision_function(A)
    wide = np.column_stack([np.zeros(len(z)), z]) if z.ndim == 1 else z

    def loss(log_t):
        return -log_softmax(wide / np.exp(log_t), axis=1)[np.arange(len(y)), y].mean()

    best = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    assert fit_temperature(z, y, head.classes_) == pytest.approx(np.exp(best.x), rel=1e-6)


def test_weights_of_samples_count_as_repeated_rows(split):
    head, A, y = split
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    z = head.decision_function(A)
    repeated = np.repeat(np.arange(len(y)), weights)
    assert fit_temperature(z, y, head.classes_, sample_weight=weights) == pytest.approx(
        fit_temperature(z[repeated], y[repeated], head.classes_), rel=1e-9
    )


def test_a_calibrated_head_ranks_alike_and_fits_better(split):
    head, A, y = split
    calibrated = calibrate_temperature(head, A, y)
    assert calibrated.temperature_ != 1
    np.testing.assert_array_equal(calibrated.predict(A), head.predict(A))
    np.testing.assert_allclose(calibrated.coef_ * calibrated.temperature_, head.coef_)
    before, after = (calibration_metrics(y, h.predict_proba(A), h.classes_) for h in (head, calibrated))
    assert after["log_loss"] < before["log_loss"]
    assert calibrated.change_log_[-1]["edits"] == [{"edit": "temperature", "value": calibrated.temperature_}]
    assert not hasattr(head, "temperature_")


def test_calibrating_twice_is_calibrating_once(split):
    head, A, y = split
    once = calibrate_temperature(head, A, y)
    np.testing.assert_allclose(calibrate_temperature(once, A, y).coef_, once.coef_, rtol=1e-9)


def test_folds_judge_no_sample_by_weights_that_it_taught(two_classes):
    A, y = two_classes
    noise = np.random.default_rng(0).random((len(y), 60))
    A = np.hstack([A, noise])[:80]
    head = ConceptHead(1e-4).fit(A, y[:80])
    folded = calibrate_temperature(head, A, y[:80], cv=5, groups=np.arange(80) // 2)
    assert folded.temperature_ > 2  # far too sure of itself, which its own training samples do not show
    chosen = calibrate_temperature(ConceptHeadCV(alphas=4, cv=3).fit(A, y[:80]), A, y[:80], cv=3)
    assert isinstance(chosen, ConceptHead)


def test_an_edit_takes_the_temperature_out_and_says_so(split):
    head, A, y = split
    calibrated = calibrate_temperature(head, A, y)
    edited = edit_head(calibrated, A, y, [Veto(0)], n_bootstrap=0)
    assert not hasattr(edited, "temperature_")
    assert edited.change_log_[-1]["dropped"] == {"temperature": pytest.approx(calibrated.temperature_)}


def test_logits_without_a_best_temperature_are_refused():
    with pytest.raises(InputError, match="say nothing"):
        fit_temperature([2.0, 1.0, -1.0, -2.0], [0, 0, 1, 1], [0, 1])
    with pytest.raises(InputError, match="own side"):
        fit_temperature([-2.0, -1.0, 1.0, 2.0], [0, 0, 1, 1], [0, 1])
    with pytest.raises(InputError, match="none of the classes"):
        fit_temperature([-2.0, -1.0], [0, 5], [0, 1])
    with pytest.raises(InputError, match="shape"):
        fit_temperature(np.zeros((2, 3)), [0, 1], [0, 1])


def test_metrics_equal_scikit_learns(split):
    head, A, y = split
    p = head.predict_proba(A)
    found = calibration_metrics(y, p, head.classes_)
    assert found["log_loss"] == pytest.approx(log_loss(y, p))
    if len(head.classes_) == 2:
        assert found["brier"] == pytest.approx(2 * brier_score_loss(y, p[:, 1]))


def test_calibrated_probabilities_of_a_simulation_have_nearly_no_error():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 40_000)
    hit = rng.random(40_000) < p
    found = calibration_metrics(np.where(hit, 1, 0), np.column_stack([1 - p, p]), [0, 1])
    assert found["calibration_error"] < 0.012
    table = reliability_table(hit, p, n_bins=8)
    assert table["n"].sum() == 40_000
    np.testing.assert_allclose(table["predicted"], table["observed"], atol=0.02)


def test_isotonic_calibration_is_handed_to_scikit_learn(split):
    head, A, y = split
    isotonic = CalibratedClassifierCV(ConceptHead(0.03), method="isotonic", cv=3).fit(A, y)
    before = calibration_metrics(y, ConceptHead(0.03).fit(A, y).predict_proba(A), head.classes_)
    assert calibration_metrics(y, isotonic.predict_proba(A), head.classes_)["log_loss"] < before["log_loss"]


def test_reliability_plot_draws_each_set_with_its_error(split):
    head, A, y = split
    sets = {"before": head.predict_proba(A), "after": calibrate_temperature(head, A, y).predict_proba(A)}
    ax = plot_reliability(y, sets, head.classes_)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    for name, p in sets.items():
        error = calibration_metrics(y, p, head.classes_, n_bins=10)["calibration_error"]
        assert f"{name}: calibration error {error:.3f}" in labels
    assert plot_reliability(y, sets["before"], head.classes_, ax=ax) is ax
