"""Thresholds keep what they promise; abstention and prevalence follow their formulas."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from knobo.errors import InputError
from knobo.heads import (
    ConceptHead,
    abstain,
    abstention_threshold,
    adjust_prevalence,
    coverage_curve,
    estimate_prevalence,
    operating_points,
    plot_coverage,
    with_prevalence,
)
from knobo.heads.operating import exact_interval


@pytest.fixture
def predicted(activations):
    A, y = activations
    head = ConceptHead(0.01).fit(A[:150], y[:150])
    return y[150:], head.predict_proba(A[150:]), head.classes_


def test_sensitivity_at_fixed_specificity_is_that_of_the_roc_curve(predicted):
    y, p, classes = predicted
    table = operating_points(y, p, classes, specificity=0.9)
    for k, label in enumerate(classes):
        fpr, tpr, _ = roc_curve(y == label, p[:, k], drop_intermediate=False)
        assert table.loc[label, "specificity"] >= 0.9
        assert table.loc[label, "sensitivity"] == pytest.approx(tpr[fpr <= 0.1 + 1e-12].max())


def test_specificity_at_fixed_sensitivity_is_that_of_the_roc_curve(predicted):
    y, p, classes = predicted
    table = operating_points(y, p, classes, sensitivity=0.9)
    for k, label in enumerate(classes):
        fpr, tpr, _ = roc_curve(y == label, p[:, k], drop_intermediate=False)
        assert table.loc[label, "sensitivity"] >= 0.9
        assert table.loc[label, "specificity"] == pytest.approx(1 - fpr[tpr >= 0.9 - 1e-12].min())


def test_given_thresholds_are_judged_as_they_are(predicted):
    y, p, classes = predicted
    chosen = operating_points(y, p, classes, sensitivity=0.8)
    again = operating_points(y, p, classes, thresholds=chosen["threshold"].to_dict())
    np.testing.assert_array_equal(again.to_numpy(), chosen.to_numpy())
    called = p[:, 0] >= chosen["threshold"].iloc[0]
    assert chosen["ppv"].iloc[0] == pytest.approx((y[called] == classes[0]).mean())


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 9), (12, 12), (40, 100)])
def test_the_exact_interval_is_clopper_and_pearsons(successes, n):
    expected = binomtest(successes, n).proportion_ci(0.95)
    np.testing.assert_allclose(exact_interval(successes, n, 0.95), expected, atol=1e-12)


def test_the_bootstrap_draws_whole_patients_and_chooses_the_threshold_anew(predicted):
    y, p, classes = predicted
    settings = {"specificity": 0.9, "interval": "bootstrap", "n_bootstrap": 200}
    alone = operating_points(y, p, classes, **settings)
    repeated = np.tile(np.arange(len(y)), 4)
    patients = operating_points(y[repeated], p[repeated], classes, groups=repeated, **settings)
    for table in (alone, patients):
        assert (table["sensitivity_low"] <= table["sensitivity"]).all()
        assert (table["sensitivity"] <= table["sensitivity_high"]).all()
    width = alone["sensitivity_high"] - alone["sensitivity_low"]
    copied = operating_points(y[repeated], p[repeated], classes, **settings)
    assert (copied["sensitivity_high"] - copied["sensitivity_low"]).mean() < 0.75 * width.mean()
    assert (patients["sensitivity_high"] - patients["sensitivity_low"]).mean() == pytest.approx(width.mean(), rel=0.2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one"),
        ({"sensitivity": 0.9, "specificity": 0.9}, "exactly one"),
        ({"sensitivity": 1.5}, "between 0 and 1"),
        ({"sensitivity": 0.9, "interval": "wald"}, "'exact' or 'bootstrap'"),
        ({"sensitivity": 0.9, "groups": [0, 0, 1, 1]}, "interval='bootstrap'"),
        ({"thresholds": {0: 0.5}}, "none for class 1"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        operating_points([0, 1, 0, 1], np.full((4, 2), 0.5), [0, 1], **settings)


def test_a_class_without_samples_or_no_probabilities_are_refused():
    with pytest.raises(InputError, match="only one kind"):
        operating_points([0, 0], np.full((2, 2), 0.5), [0, 1], sensitivity=0.9)
    with pytest.raises(InputError, match="add up to 1"):
        operating_points([0, 1], np.full((2, 2), 0.9), [0, 1], sensitivity=0.9)
    with pytest.raises(InputError, match=r"shape \(2, 2\)"):
        operating_points([0, 1], np.full((2, 3), 0.3), [0, 1], sensitivity=0.9)


def test_the_coverage_curve_ends_at_the_accuracy_of_all(predicted):
    y, p, classes = predicted
    curve = coverage_curve(y, p, classes)
    assert curve["coverage"].iloc[-1] == 1
    assert curve["accuracy"].iloc[-1] == pytest.approx((classes[p.argmax(axis=1)] == y).mean())
    row = curve.iloc[len(curve) // 2]
    given = p.max(axis=1) >= row["threshold"]
    assert given.mean() == pytest.approx(row["coverage"])
    assert (classes[p.argmax(axis=1)] == y)[given].mean() == pytest.approx(row["accuracy"])


def test_answers_below_the_threshold_are_left_out(predicted):
    y, p, classes = predicted
    threshold = abstention_threshold(y, p, classes, max_error=0.2, confidence=None)
    answers = abstain(p, classes, threshold)
    given = np.array([answer is not None for answer in answers])
    assert 0 < given.sum() <= len(y)
    assert (answers[given] != y[given]).mean() <= 0.2


def test_the_promised_error_holds_on_new_samples_as_often_as_said():
    rng = np.random.default_rng(0)
    broken = []
    for _ in range(200):
        sure = rng.uniform(0.5, 1, 2000)
        y = (rng.random(2000) < sure).astype(int)
        threshold = abstention_threshold(y, np.column_stack([1 - sure, sure]), [0, 1], max_error=0.2, confidence=0.9)
        broken.append((1 - threshold) / 2 > 0.2)  # the true error above a threshold t is (1 − t) / 2
    assert np.mean(broken) <= 0.1


def test_an_error_that_no_threshold_reaches_is_refused():
    with pytest.raises(InputError, match="the lowest error seen"):
        abstention_threshold([1, 1], [[0.9, 0.1], [0.8, 0.2]], [0, 1], max_error=0.1, confidence=None)


def test_the_coverage_plot_marks_the_threshold(predicted):
    y, p, classes = predicted
    threshold = abstention_threshold(y, p, classes, max_error=0.2, confidence=None)
    ax = plot_coverage(y, p, classes, threshold=threshold)
    assert any(f"threshold {threshold:.2f}" in text.get_text() for text in ax.get_legend().get_texts())
    with pytest.raises(InputError, match="No sample reaches"):
        plot_coverage(y, p, classes, threshold=2.0, ax=ax)


def gaussian_shift(n, prevalence, rng):
    """Three normal classes on a line, and their exact posterior under equal prevalence."""
    y = rng.choice(3, size=n, p=prevalence)
    x = rng.normal(2.0 * y)
    density = np.exp(-0.5 * (x[:, None] - 2.0 * np.arange(3)) ** 2)
    return y, density, density / density.sum(axis=1, keepdims=True)


def test_known_prevalence_gives_the_exact_posterior():
    target = [0.7, 0.2, 0.1]
    _, density, p = gaussian_shift(50, target, np.random.default_rng(0))
    expected = density * target / (density * target).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(adjust_prevalence(p, [0, 1, 2], source=[1 / 3] * 3, target=target), expected)


def test_unknown_prevalence_is_found_from_unlabelled_samples():
    target = {"a": 0.7, "b": 0.2, "c": 0.1}
    _, _, p = gaussian_shift(20_000, list(target.values()), np.random.default_rng(0))
    found = estimate_prevalence(p, ["a", "b", "c"], source=dict.fromkeys("abc", 1 / 3))
    np.testing.assert_allclose(found, list(target.values()), atol=0.01)
    with pytest.raises(InputError, match="had not settled"):
        estimate_prevalence(p, ["a", "b", "c"], source=[1 / 3] * 3, max_iter=1)


def test_a_head_for_another_prevalence_gives_the_adjusted_probabilities(activations):
    A, y = activations
    head = ConceptHead(0.01).fit(A, y)
    source = np.bincount(y) / len(y)
    target = np.arange(1, len(source) + 1) / np.arange(1, len(source) + 1).sum()
    moved = with_prevalence(head, source=source, target=target)
    expected = adjust_prevalence(head.predict_proba(A), head.classes_, source=source, target=target)
    np.testing.assert_allclose(moved.predict_proba(A), expected)
    back = with_prevalence(moved, source=target, target=source)
    np.testing.assert_allclose(back.intercept_, head.intercept_, atol=1e-12)
    assert len(back.change_log_) == 2


def test_shares_that_are_no_distribution_are_refused(two_classes):
    A, y = two_classes
    head = ConceptHead(0.01).fit(A, y)
    with pytest.raises(InputError, match="target must be 2 positive shares"):
        with_prevalence(head, source=[0.5, 0.5], target=[0.5, 0.6])
    with pytest.raises(InputError, match="source must give a share for each"):
        with_prevalence(head, source={0: 1.0}, target=[0.5, 0.5])
