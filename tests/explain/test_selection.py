"""Whatever part of an explanation is looked at, its sum is the logit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_explanations import random_explanation

from knobo.errors import InputError

SEEDS = st.integers(0, 10_000)
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def total(why):
    return why.base + why.contributions.sum(axis=2) + why.rest


@given(SEEDS, st.integers(2, 5), st.sets(st.integers(0, 5), min_size=1), st.integers(0, 4))
@SETTINGS
def test_contributions_and_rest_add_up_to_the_logit_after_any_selection(seed, n_classes, concepts, case):
    why = random_explanation(seed, n_classes=n_classes)
    part = why[:, sorted(concepts)]
    for one, whole in ((why, why), (part, why), (part[case], why[case]), (part[case, 0], why[case])):
        np.testing.assert_allclose(one.logits, whole.logits, atol=1e-12)
        np.testing.assert_allclose(total(one), whole.logits, atol=1e-12)
        np.testing.assert_allclose(one.base, whole.base, atol=1e-12)
        np.testing.assert_allclose(one.probabilities, whole.probabilities, atol=1e-12)


@given(SEEDS, st.integers(2, 5), st.sets(st.integers(0, 5), min_size=1))
@SETTINGS
def test_a_contrast_adds_up_to_the_log_odds_of_the_two_classes(seed, n_classes, concepts):
    why = random_explanation(seed, n_classes=n_classes)[:, sorted(concepts)]
    first, second = why.classes[0], why.classes[-1]
    contrast = why.contrast(first, second)
    assert list(contrast.classes) == [second, first]
    odds = np.log(why.probabilities[:, 0] / why.probabilities[:, -1])
    np.testing.assert_allclose(contrast.logits[:, 1], odds, atol=1e-9)
    np.testing.assert_allclose(total(contrast), contrast.logits, atol=1e-12)
    np.testing.assert_allclose(contrast.probabilities.sum(axis=1), 1)
    if n_classes > 2:
        np.testing.assert_allclose(contrast.logits[:, 1], why.logits[:, 0] - why.logits[:, -1], atol=1e-12)


@given(SEEDS, st.floats(0, 1))
@SETTINGS
def test_an_intervention_on_a_part_is_that_on_the_whole(seed, value):
    why = random_explanation(seed)
    edit = {"finding-2": value}
    np.testing.assert_allclose(why[:, "finding-2"].intervene(edit).logits, why.intervene(edit).logits, atol=1e-12)


def test_concepts_are_chosen_by_id_position_slice_and_mask(why):
    assert why[:, "nodule"].bank.ids == ("nodule",)
    assert why[0, ["nodule", "pleural-effusion"]].bank.ids == ("nodule", "pleural-effusion")
    assert why[0, -1].bank.ids == ("support-device",)
    assert why[1:, :2].bank.ids == ("pleural-effusion", "enlarged-heart")
    assert why[:, np.array([True, False, False, False, True])].bank.ids == ("pleural-effusion", "support-device")
    assert why[:, "nodule"].quality["auroc"].tolist() == [0.7]
    assert why[:, :].rest.any() == False  # noqa: E712
    np.testing.assert_array_equal(why[:, "consolidation"].prior_signs[:, 0], why.prior_signs[:, 2])


@pytest.mark.parametrize(
    ("concepts", "message"),
    [
        ("plural-effusion", "no concept 'plural-effusion'.*Did you mean 'pleural-effusion'"),
        (["nodule", "xyz"], "no concept 'xyz'.*There are:"),
        (5, "no concept at position 5: there are 5"),
        ([], "No concept is selected"),
        (slice(0, 0), "No concept is selected"),
        (["nodule", "nodule"], "more than once"),
        (1.5, "Select concepts by position"),
    ],
)
def test_an_index_that_stands_for_no_concept_is_refused(why, concepts, message):
    with pytest.raises(InputError, match=message):
        why[:, concepts]


def test_a_class_is_what_tables_and_html_speak_of(why):
    turned = why.for_class("normal")
    assert set(turned.to_frame()["class"]) == {"normal"}
    assert set(turned.to_frame("pneumonia")["class"]) == {"pneumonia"}
    assert set(turned.for_class(None).to_frame()["class"]) == {"heart_failure", "normal", "pneumonia"}
    assert "Case 0: normal" in turned[0]._repr_html_()
    assert list(turned.predicted) == list(why.predicted)
    with pytest.raises(InputError, match=r"no class 'norml'.*Did you mean 'normal'"):
        why.for_class("norml")


def test_a_contrast_carries_the_difference_of_the_priors_and_needs_two_classes(why):
    contrast = why.contrast("heart_failure", "pneumonia")
    np.testing.assert_array_equal(contrast.prior_signs[1], np.sign(why.prior_signs[0] - why.prior_signs[2]))
    assert set(contrast.to_frame()["class"]) == {"heart_failure"}
    with pytest.raises(InputError, match="needs two classes, got 'normal' twice"):
        why.contrast("normal", "normal")


def test_what_is_left_out_is_named_wherever_a_sum_is_shown(why):
    part = why[0, ["nodule", "support-device"]]
    assert "findings left out" in part._repr_html_()
    assert "findings left out" not in why[0]._repr_html_()
    case = part.to_dict()["cases"][0]
    added = part.base[0] + sum(case["contributions"]["heart_failure"].values()) + case["rest"]["heart_failure"]
    assert added == pytest.approx(why.logits[0, 0])
    assert "findings left out" in [label.get_text() for label in part.plot().get_yticklabels()]


def test_a_rest_of_another_shape_is_refused(parts, why):
    with pytest.raises(InputError, match=r"rest has shape \(4, 2\); expected \(4, 3\)"):
        type(why)(**parts, rest=np.zeros((4, 2)))
