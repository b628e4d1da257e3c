"""Metrics equal scikit-learn's, intervals cover, and unusable input is named."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from knobo._resampling import weighted_auroc
from knobo.errors import InputError
from knobo.shift import evaluate


def make_cases(n, n_classes, rng, *, signal=1.0, decimals=None):
    """Labels 0, 1, … and noisy probabilities, rounded on request so that scores tie."""
    y = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), y] += signal
    proba = np.exp(logits)
    proba /= proba.sum(axis=1, keepdims=True)
    if decimals is not None:
        proba = np.round(proba, decimals) + 10.0**-decimals
        proba /= proba.sum(axis=1, keepdims=True)
    return y, proba


def test_multiclass_metrics_equal_sklearn():
    y, proba = make_cases(300, 4, np.random.default_rng(0), decimals=1)
    classes = np.array(["copd", "normal", "pneumonia", "tumour"])
    found = evaluate(classes[y], proba, classes, n_bootstrap=0)["estimate"]
    predicted = proba.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, predicted))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, predicted))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(y, proba, multi_class="ovr"))
    assert found["log_loss"] == pytest.approx(sk.log_loss(y, proba))
    for k, label in enumerate(classes):
        assert found[f"auroc[{label}]"] == pytest.approx(sk.roc_auc_score(y == k, proba[:, k]))
        assert found[f"sensitivity[{label}]"] == pytest.approx(sk.recall_score(y == k, predicted == k))


def test_binary_auroc_is_of_the_second_class():
    y, proba = make_cases(200, 2, np.random.default_rng(1))
    found = evaluate(y, proba, [0, 1], n_bootstrap=0)["estimate"]
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(y, proba[:, 1]))
    assert list(found.index) == [
        "accuracy", "balanced_accuracy", "auroc", "log_loss", "sensitivity[0]", "sensitivity[1]"
    ]  # fmt: skip


def test_classes_may_come_in_any_order():
    y, proba = make_cases(100, 3, np.random.default_rng(2))
    names = np.array(["b", "c", "a"])
    shuffled = [2, 0, 1]
    first = evaluate(names[y], proba, names, n_bootstrap=50)
    second = evaluate(names[y], proba[:, shuffled], names[shuffled], n_bootstrap=50)
    pd.testing.assert_frame_equal(first, second.loc[first.index])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    cases=st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=25).filter(
        lambda rows: {positive for positive, _, weight in rows if weight} == {True, False}
    )
)
def test_weighted_auroc_equals_sklearn(cases):
    positive, score, weight = (np.array(column, dtype=float) for column in zip(*cases, strict=True))
    found = weighted_auroc(positive, score, weight[None])
    used = weight > 0
    assert found[0] == pytest.approx(sk.roc_auc_score(positive[used], score[used], sample_weight=weight[used]))


def test_auroc_is_undefined_without_both_kinds():
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 1.0]])
    found = weighted_auroc(np.array([1.0, 1.0, 0.0]), np.array([0.2, 0.9, 0.5]), weights)
    np.testing.assert_array_equal(found, [np.nan, np.nan, 0.0])


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(3)
    y, proba = make_cases(100_000, 2, rng)
    truth = evaluate(y, proba, [0, 1], n_bootstrap=0)["estimate"]
    hits = []
    for start in range(0, 300 * 150, 150):
        part = slice(start, start + 150)
        found = evaluate(y[part], proba[part], [0, 1], n_bootstrap=200, random_state=start)
        hits.append((found["low"] <= truth) & (truth <= found["high"]))
    coverage = pd.DataFrame(hits).mean()
    assert coverage.min() > 0.90  # of 0.95; 300 trials have a standard error of 0.013
    assert coverage.max() < 0.99


def test_interval_of_accuracy_has_the_binomial_width():
    y = np.zeros(400, dtype=int)
    y[:200] = 1
    proba = np.tile([0.3, 0.7], (400, 1))
    found = evaluate(y, proba, [0, 1], n_bootstrap=4000).loc["accuracy"]
    assert found["estimate"] == 0.5
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 400), rel=0.06)


def test_intervals_over_patients_are_wider_when_their_images_are_alike():
    y, proba = make_cases(60, 2, np.random.default_rng(4))
    y, proba, patients = np.repeat(y, 10), np.repeat(proba, 10, axis=0), np.repeat(np.arange(60), 10)
    by_case = evaluate(y, proba, [0, 1])
    by_patient = evaluate(y, proba, [0, 1], groups=patients)
    pd.testing.assert_series_equal(by_case["estimate"], by_patient["estimate"])
    width = [frame.loc["accuracy", "high"] - frame.loc["accuracy", "low"] for frame in (by_case, by_patient)]
    assert width[1] / width[0] == pytest.approx(np.sqrt(10), rel=0.15)


def test_groups_of_one_case_change_nothing():
    y, proba = make_cases(80, 3, np.random.default_rng(5))
    plain = evaluate(y, proba, [0, 1, 2], n_bootstrap=100)
    pd.testing.assert_frame_equal(plain, evaluate(y, proba, [0, 1, 2], groups=np.arange(80), n_bootstrap=100))


def test_resamples_that_lack_a_class_are_left_out():
    y = np.array([1, 0, 0, 0, 0, 0])  # about a third of the resamples lack class 1
    proba = np.column_stack([1 - (y + 1) / 4, (y + 1) / 4])
    found = evaluate(y, proba, [0, 1], n_bootstrap=300)
    assert found.loc["auroc"].tolist() == [1.0, 1.0, 1.0]
    assert np.isfinite(found.to_numpy()).all()


def test_absent_class_is_left_out_of_means():
    y, proba = make_cases(90, 3, np.random.default_rng(6))
    kept = y != 2
    found = evaluate(y[kept], proba[kept], [0, 1, 2], n_bootstrap=20)
    assert found.loc["sensitivity[2]"].isna().all()
    assert found.loc["auroc[2]"].isna().all()
    mean = (found.loc["auroc[0]", "estimate"] + found.loc["auroc[1]", "estimate"]) / 2
    assert found.loc["auroc", "estimate"] == pytest.approx(mean)


def test_same_seed_same_intervals():
    y, proba = make_cases(70, 2, np.random.default_rng(7))
    first = evaluate(y, proba, [0, 1], n_bootstrap=100, random_state=3)
    pd.testing.assert_frame_equal(first, evaluate(y, proba, [0, 1], n_bootstrap=100, random_state=3))
    assert not first.equals(evaluate(y, proba, [0, 1], n_bootstrap=100, random_state=4))


def test_chunks_do_not_change_the_draws(monkeypatch):
    y, proba = make_cases(50, 2, np.random.default_rng(8))
    whole = evaluate(y, proba, [0, 1], n_bootstrap=64)
    monkeypatch.setattr("knobo._resampling._CHUNK", 500)
    pd.testing.assert_frame_equal(whole, evaluate(y, proba, [0, 1], n_bootstrap=64))


def test_no_resamples_no_intervals():
    y, proba = make_cases(50, 2, np.random.default_rng(9))
    found = evaluate(y, proba, [0, 1], n_bootstrap=0)
    assert found[["low", "high"]].isna().all(axis=None)
    assert found["estimate"].notna().all()


def test_numbers_and_their_text_are_the_same_label():
    y, proba = make_cases(50, 12, np.random.default_rng(10))
    text = evaluate(y.astype(str), proba, np.arange(12), n_bootstrap=0)["estimate"]
    pd.testing.assert_series_equal(text, evaluate(y, proba, np.arange(12), n_bootstrap=0)["estimate"])


GOOD = {"y_true": [0, 1, 1], "proba": [[0.6, 0.4], [0.3, 0.7], [0.5, 0.5]], "classes": [0, 1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": []}, "y_true is empty"),
        ({"y_true": [0, 1, np.nan]}, r"y_true has 1 missing entries \(first at row 2\)"),
        ({"y_true": ["a", None, "b"]}, r"first at row 1"),
        ({"y_true": [[0, 1, 1]]}, r"y_true has shape \(1, 3\)"),
        ({"y_true": [0, 1, 7]}, "y_true holds 7, which the classifier never saw"),
        ({"y_true": [0, 1]}, "2 labels but 3 rows"),
        ({"proba": [0.1, 0.2, 0.3]}, r"shape \(3,\); expected one column for each of the 2 classes"),
        ({"proba": [[0.6, 0.4], [np.nan, 0.7], [0.5, 0.5]]}, r"1 rows are no probabilities \(first at row 1"),
        ({"proba": [[0.6, 0.4], [0.3, 0.7], [2.0, -1.0]]}, "first at row 2"),
        ({"proba": [[3.0, 0.4], [0.3, 0.7], [0.5, 0.5]]}, "Scores and logits"),
        ({"classes": [0, 0]}, "two or more distinct labels"),
        ({"classes": [0]}, "two or more distinct labels"),
        ({"groups": ["p1", "p2"]}, "3 labels but 2 groups"),
        ({"groups": ["p1", "p1", "p1"]}, "groups hold 'p1' only"),
        ({"groups": ["p1", "p2", None]}, "groups has 1 missing"),
        ({"n_bootstrap": -1}, "n_bootstrap is -1"),
        ({"confidence": 95}, "confidence is 95"),
    ],
)
def test_unusable_input_is_named(change, message):
    with pytest.raises(InputError, match=message):
        evaluate(**{**GOOD, **change})
