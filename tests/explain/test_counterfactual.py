"""The smallest change: it flips the decision, and nothing smaller does, by arguments other than the solver's."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_explanations import random_explanation
from scipy.optimize import linprog

from knobo.errors import InputError

SEEDS = st.integers(0, 10_000)
SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)


def constraints(why, i, target):
    """G d >= h: the target leads every other class."""
    k = why.class_index(target)
    others = [o for o in range(len(why.classes)) if o != k]
    return why.weights[k] - why.weights[others], why.logits[i, others] - why.logits[i, k]


def smallest_l1(why, i, target, columns):
    """Linear program over |d|, written another way: d and a bound t on each |d|."""
    G, h = constraints(why, i, target)
    G, a, m = G[:, columns], why.activations[i, columns], len(columns)
    A = np.vstack([np.hstack([-G, 0 * G]), np.hstack([np.eye(m), -np.eye(m)]), np.hstack([-np.eye(m), -np.eye(m)])])
    bounds = [*zip(-a, 1 - a, strict=True), *[(0, None)] * m]
    found = linprog([0] * m + [1] * m, A, np.concatenate([-h, np.zeros(2 * m)]), bounds=bounds)
    return found.fun if found.status == 0 else np.inf


@given(SEEDS, st.integers(2, 4), st.sampled_from(["l1", "l2"]), st.sampled_from([None, 2]))
@SETTINGS
def test_the_decision_is_flipped_within_the_limits(seed, n_classes, norm, most):
    why = random_explanation(seed, n_classes=n_classes)
    allowed = ["finding-0", "finding-2", "finding-5"]
    flip = why.counterfactual("class 1", norm=norm, concepts=allowed, max_concepts=most)
    change = flip.after.activations - why.activations
    assert (flip.after.predicted[flip.reached] == "class 1").all()
    assert not change[~flip.reached].any()
    assert not change[:, [1, 3, 4]].any()
    assert ((change != 0).sum(axis=1) <= (most or 3)).all()
    length = np.abs(change).sum(axis=1) if norm == "l1" else np.linalg.norm(change, axis=1)
    np.testing.assert_allclose(length[flip.reached], flip.distance[flip.reached], atol=1e-9)


@given(SEEDS, st.integers(2, 4))
@SETTINGS
def test_no_smaller_l1_change_exists(seed, n_classes):
    why = random_explanation(seed, n=3, n_classes=n_classes)
    flip = why.counterfactual("class 0")
    best = [0.0 if why.predicted[i] == "class 0" else smallest_l1(why, i, "class 0", range(6)) for i in range(3)]
    np.testing.assert_allclose(flip.distance, best, atol=1e-4)


@given(SEEDS, st.integers(1, 3))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_no_smaller_l1_change_of_so_few_concepts_exists(seed, most):
    why = random_explanation(seed, n=2, n_classes=3)
    flip = why.counterfactual("class 2", max_concepts=most)
    for i in range(2):
        tried = [smallest_l1(why, i, "class 2", list(columns)) for columns in combinations(range(6), most)]
        best = 0.0 if why.predicted[i] == "class 2" else min(tried)
        assert flip.distance[i] == pytest.approx(best, abs=1e-4)
    assert flip.exact


@given(SEEDS, st.integers(2, 4))
@SETTINGS
def test_no_smaller_l2_change_exists(seed, n_classes):
    """At the nearest point d of a convex set no allowed step leads downhill: d·x >= d·d for every allowed x."""
    why = random_explanation(seed, n=3, n_classes=n_classes)
    flip = why.counterfactual("class 1", norm="l2")
    change = flip.after.activations - why.activations
    for i in np.flatnonzero(flip.reached & (flip.distance > 0)):
        G, h = constraints(why, i, "class 1")
        bounds = list(zip(-why.activations[i], 1 - why.activations[i], strict=True))
        found = linprog(change[i], -G, -h - 1e-6, bounds=bounds)
        assert found.fun >= flip.distance[i] ** 2 - 1e-5


def test_without_a_target_the_nearest_class_is_taken(why):
    flip = why.counterfactual()
    each = np.array([why.counterfactual(label).distance for label in why.classes])
    each[why.logits.argmax(axis=1), np.arange(4)] = np.inf
    np.testing.assert_allclose(flip.distance, each.min(axis=0))
    assert list(flip.target) == list(why.classes[each.argmin(axis=0)])
    assert list(flip.after.predicted) == list(flip.target)


def test_table_and_sentences_say_what_would_be_different(why):
    flip = why.counterfactual("pneumonia", max_concepts=1)
    frame = flip.to_frame()
    assert list(frame["case"]) == [0, 1]  # the others are pneumonia already
    assert set(frame["concept"]) == {"consolidation"}
    np.testing.assert_allclose(frame["after"] - frame["before"], frame["change"])
    assert flip.sentences()[0] == "It would be pneumonia (0.49) with consolidation 0.50 → 0.92."
    assert flip.sentences()[2] == "It is pneumonia as it is."
    stuck = why.counterfactual("normal", concepts=["nodule"])
    assert list(stuck.reached) == [False, True, False, False]
    assert stuck.sentences()[0] == "No change of these findings would make it normal."
    assert len(stuck.to_frame()) == 0


def test_l2_in_few_concepts_is_not_claimed_to_be_the_smallest(why):
    flip = why.counterfactual("normal", norm="l2", max_concepts=2)
    assert not flip.exact
    assert (flip.distance >= why.counterfactual("normal", norm="l2").distance - 1e-9).all()
    assert why.counterfactual("normal", norm="l2").exact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "l0"}, "norm must be 'l1' or 'l2', got 'l0'"),
        ({"max_concepts": 0}, "max_concepts is 0"),
        ({"margin": 0.0}, "margin must be a positive"),
        ({"margin": float("nan")}, "margin must be a positive"),
        ({"concepts": ["lung"]}, "no concept 'lung'"),
        ({"target": "flu"}, "no class 'flu'"),
    ],
)
def test_impossible_requests_are_refused(why, options, message):
    with pytest.raises(InputError, match=message):
        why.counterfactual(**options)
