"""At most k concepts a class."""

import numpy as np
import pytest
from activations_data import make_activations
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.heads import ConceptHead, ConceptHeadCV, MultiLabelConceptHead
from knobo.heads.objective import make_penalty
from knobo.heads.problem import Problem
from knobo.heads.solver import solve


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n_classes=st.integers(2, 4),
    most=st.integers(1, 4),
    prior=st.sampled_from(["sign", "hard", "shrink", None]),
    alpha=st.sampled_from([0.0, 0.001, 0.02]),
)
def test_no_class_has_more_concepts_than_allowed(seed, n_classes, most, prior, alpha):
    A, y = make_activations(150, 10, n_classes, seed)
    y[:n_classes] = np.arange(n_classes)
    signs = np.random.default_rng(seed).integers(-1, 2, (1 if n_classes == 2 else n_classes, 10))
    head = ConceptHead(alpha, max_concepts_per_class=most, prior=prior, prior_signs=signs).fit(A, y)
    assert (head.coef_ != 0).sum(axis=1).max() <= most
    assert head.certificate_.converged


def test_what_is_left_is_refitted_exactly_with_penalty_and_prior(four_classes):
    A, y = four_classes
    signs = np.random.default_rng(0).integers(-1, 2, (4, 12)).astype(float)
    head = ConceptHead(0.001, max_concepts_per_class=3, prior_signs=signs, prior_strength=0.2).fit(A, y)
    penalty = make_penalty(signs, np.abs(signs), alpha=0.001, prior_strength=0.2).only(head.coef_ != 0)
    refit = solve(Problem(A, y, np.ones(len(y)), n_classes=4), penalty)
    assert ((head.coef_ != 0).sum(axis=1) == 3).all()
    np.testing.assert_allclose(head.coef_, refit.W, atol=1e-6)
    assert head.certificate_.objective == pytest.approx(refit.certificate.objective, rel=1e-10)


def test_room_enough_changes_nothing(activations):
    plain = ConceptHead(0.01).fit(*activations)
    roomy = ConceptHead(0.01, max_concepts_per_class=12).fit(*activations)
    np.testing.assert_allclose(roomy.coef_, plain.coef_, atol=1e-6)


def test_weights_are_less_shrunk_than_on_the_path_at_the_same_number(two_classes):
    few = ConceptHead(0.001, max_concepts_per_class=3).fit(*two_classes)
    path = [ConceptHead(alpha).fit(*two_classes) for alpha in np.geomspace(0.3, 0.001, 60)]
    sparse = [head for head in path if np.count_nonzero(head.coef_) == 3][-1]
    assert np.count_nonzero(few.coef_) == 3
    assert np.abs(few.coef_).sum() > np.abs(sparse.coef_).sum()


def test_path_with_more_room_fits_no_worse(four_classes):
    losses = [ConceptHead(0.001, max_concepts_per_class=k).fit(*four_classes).certificate_.objective for k in (1, 3, 9)]
    assert losses == sorted(losses, reverse=True)


def test_cross_validation_keeps_the_number_in_every_fold(four_classes):
    search = ConceptHeadCV(alphas=8, cv=3, max_concepts_per_class=2).fit(*four_classes)
    assert (search.coef_ != 0).sum(axis=1).max() == 2
    assert search.scores_["n_nonzero"].max() <= 8
    assert search.to_head().max_concepts_per_class == 2


def test_labels_have_their_own_concepts(four_classes):
    A, y = four_classes
    Y = np.column_stack([y == 0, y >= 2]).astype(float)
    head = MultiLabelConceptHead(0.001, max_concepts_per_class=2).fit(A, Y)
    assert ((head.coef_ != 0).sum(axis=1) == 2).all()
    one = ConceptHead(0.001, max_concepts_per_class=2).fit(A, Y[:, 1])
    np.testing.assert_allclose(head.coef_[1], one.coef_[0], atol=1e-7)
