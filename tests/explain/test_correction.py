"""An expert's corrections: in the order asked for, with a weight only, and the accuracy that they lead to."""

import numpy as np
import pandas as pd
import pytest
from random_explanations import random_explanation

from knobo.errors import InputError
from knobo.explain import correction_order, intervention_curve


def truth_of(why, seed=0):
    return np.random.default_rng(seed).integers(0, 2, why.activations.shape).astype(float)


def test_orders_follow_their_policy(why):
    k = why.logits.argmax(axis=1)
    values = np.abs(why.contributions[np.arange(4), k])
    for policy, score in (("contribution", -values), ("uncertainty", np.abs(why.activations - 0.5))):
        order = correction_order(why, policy)
        assert (np.diff(np.take_along_axis(score, order, axis=1), axis=1) >= 0).all()
    certificate = correction_order(why, "certificate")
    assert (certificate[:, 3] == 3).all()  # AUROC 0.7
    assert (certificate[:, 4] == 0).all()  # AUROC 0.9; the three without one come first
    first, again, other = (correction_order(why, "random", random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("policy", ["contribution", "uncertainty", "certificate", "random"])
def test_concepts_without_weight_or_truth_come_last(parts, why, policy):
    parts["weights"][:, 1] = 0
    known = np.ones((4, 5), bool)
    known[:, 2] = False
    order = correction_order(type(why)(**parts), policy, known=known)
    assert (np.sort(order[:, 3:], axis=1) == [1, 2]).all()


def test_correcting_puts_the_truth_in_the_place_of_the_first_concepts(why):
    truth = pd.DataFrame(truth_of(why), columns=why.bank.ids)
    np.testing.assert_array_equal(why.correct(truth).activations, truth)
    one = why.correct(truth, 1)
    first = correction_order(why, "contribution")[:, 0]
    changed = one.activations != why.activations
    assert (changed.sum(axis=1) <= 1).all()
    np.testing.assert_array_equal(one.activations[np.arange(4), first], truth.to_numpy()[np.arange(4), first])
    np.testing.assert_array_equal(why.correct(truth, 0).activations, why.activations)


def test_unknown_truth_and_missing_columns_leave_the_activation_alone(why):
    truth = pd.DataFrame({"nodule": [1.0, np.nan, 0.0, 1.0], "not in the bank": 1.0})
    corrected = why.correct(truth)
    np.testing.assert_array_equal(corrected.activations[:, 3], [1.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(np.delete(corrected.activations, 3, 1), np.delete(why.activations, 3, 1))


@pytest.mark.parametrize("policy", ["contribution", "uncertainty", "certificate", "random"])
def test_the_curve_is_the_accuracy_after_correcting_so_many(policy):
    why = random_explanation(3, n=40, n_classes=3)
    truth, y = truth_of(why), why.classes[np.random.default_rng(1).integers(0, 3, 40)]
    curve = intervention_curve(why, y, truth, policies=[policy], n_repeats=1)
    for n_corrected, accuracy in zip(curve["n_corrected"], curve["accuracy"], strict=True):
        corrected = why.correct(truth, n_corrected, policy=policy)
        assert accuracy == pytest.approx((corrected.predicted == y).mean())


def test_all_policies_start_and_end_together_and_a_perfect_expert_helps():
    why = random_explanation(5, n=200, m=6)
    truth = truth_of(why)
    y = why.classes[(truth @ why.weights.T + why.intercept).argmax(axis=1)]  # the head is right about true findings
    curve = intervention_curve(why, y, truth)
    ends = curve.groupby("policy")["accuracy"].agg(["first", "last"])
    assert ends["first"].nunique() == 1
    np.testing.assert_allclose(ends["last"], 1.0)
    area = curve.groupby("policy")["accuracy"].mean()
    assert area["contribution"] > area["random"]
    assert curve.loc[curve["policy"] == "random", "spread"].max() > 0
    assert (curve.loc[curve["policy"] != "random", "spread"] == 0).all()


def test_the_curve_ends_where_it_is_told_or_where_nothing_is_left_to_correct():
    why = random_explanation(5, n=10)
    truth, y = truth_of(why), ["class 0"] * 10
    assert intervention_curve(why, y, truth, max_concepts=2)["n_corrected"].max() == 2
    truth[:, :4] = np.nan
    assert intervention_curve(why, y, truth)["n_corrected"].max() == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": ["normal"] * 3}, r"y has shape \(3,\); pass one label for each of the 4 cases"),
        ({"y": ["flu"] * 4}, "no class 'flu'"),
        ({"truth": np.ones((4, 2))}, r"truth has shape \(4, 2\); expected \(4, 5\)"),
        ({"truth": np.full((4, 5), 1.5)}, r"truth must lie in \[0, 1\], got 1.5"),
        ({"truth": [["yes"] * 5] * 4}, "truth must be numbers"),
        ({"truth": np.full((4, 5), np.nan)}, "truth says nothing about any concept that has a weight"),
        ({"truth": pd.DataFrame({"lung": [1.0] * 4})}, "no column that is a concept"),
        ({"policies": ["alphabet"]}, "no policy 'alphabet'; choose one of contribution, uncertainty"),
        ({"policies": []}, "policies is empty"),
        ({"max_concepts": 9}, "number of concepts to correct is 9; it must be whole, from 0 to 5"),
        ({"n_repeats": 0}, "n_repeats is 0"),
    ],
)
def test_curves_that_cannot_be_measured_are_refused(why, change, message):
    options = {"y": ["normal"] * 4, "truth": np.ones((4, 5))} | change
    with pytest.raises(InputError, match=message):
        intervention_curve(why, **options)


def test_edits_and_their_effect_make_a_table(why):
    edited = why.intervene({"nodule": 0.0, "pleural-effusion": 1.0})
    frame = why.edits_frame(edited)
    assert len(frame) == 7  # the second case has no nodule already
    np.testing.assert_allclose(
        frame.groupby("case")["effect"].sum(),
        [edited.logits[i, k] - why.logits[i, k] for i, k in enumerate(why.logits.argmax(axis=1))],
    )
    np.testing.assert_array_equal(frame["predicted_before"], [why.predicted[i] for i in frame["case"]])
    assert frame["probability_after"].iloc[0] == pytest.approx(edited.probabilities[0, 0])
    assert len(why.edits_frame(why)) == 0
    assert list(why.edits_frame(why).columns) == list(frame.columns)
    with pytest.raises(InputError, match="not of the same cases"):
        why.edits_frame(edited[:2])
