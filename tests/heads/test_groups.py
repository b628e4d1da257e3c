"""Groups of concepts: the penalty, its solver, and what it promises of the weights."""

import numpy as np
import pytest
from activations_data import make_activations
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from knobo.heads import ConceptHead, ConceptHeadCV, alpha_max
from knobo.heads.groups import make_group_penalty, solve_groups
from knobo.heads.objective import Penalty, make_penalty, objective
from knobo.heads.problem import Problem

FAMILIES = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 4])


def in_or_out(coef, families):
    """Number of weights of each class and family, and the size of the family, both of shape (R, G)."""
    members = families[:, None] == np.unique(families)
    return (coef != 0).astype(int) @ members, members.sum(axis=0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n_classes=st.integers(2, 4),
    alpha=st.sampled_from([0.003, 0.02, 0.1]),
    l1_ratio=st.sampled_from([0.5, 1.0]),
)
def test_groups_are_in_or_out_of_a_class_together(seed, n_classes, alpha, l1_ratio):
    A, y = make_activations(80, 12, n_classes, seed)
    y[:n_classes] = np.arange(n_classes)
    head = ConceptHead(alpha, l1_ratio=l1_ratio, concept_groups=FAMILIES, prior=None).fit(A, y)
    held, size = in_or_out(head.coef_, FAMILIES)
    assert ((held == 0) | (held == size)).all()
    assert head.certificate_.converged
    assert 0 <= head.certificate_.duality_gap <= 1e-5 * head.certificate_.objective


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 4), prior=st.sampled_from(["sign", "hard", None]))
def test_groups_of_one_are_the_lasso(seed, n_classes, prior):
    A, y = make_activations(80, 12, n_classes, seed)
    y[:n_classes] = np.arange(n_classes)
    signs = np.random.default_rng(seed).integers(-1, 2, (1 if n_classes == 2 else n_classes, 12))
    told = {"alpha": 0.01, "prior": prior, "prior_signs": signs}
    lasso = ConceptHead(**told).fit(A, y)
    grouped = ConceptHead(concept_groups=np.arange(12)[::-1], **told).fit(A, y)
    np.testing.assert_allclose(grouped.coef_, lasso.coef_, atol=1e-5)
    assert grouped.certificate_.objective == pytest.approx(lasso.certificate_.objective, rel=1e-9)


def test_hard_signs_hold_exactly_within_groups(activations):
    A, y = activations
    signs = np.random.default_rng(0).integers(-1, 2, (1 if y.max() == 1 else 4, 12)).astype(float)
    head = ConceptHead(0.003, prior="hard", prior_signs=signs, concept_groups=FAMILIES).fit(A, y)
    assert head.certificate_.converged
    assert not (signs * head.coef_ < 0).any()
    assert head.coef_.any()


def test_optimality_conditions_hold_for_the_given_activations(four_classes):
    A, y = four_classes
    A = A * 10.0 ** np.arange(-3, 3).repeat(2)  # mixed units within and between the groups
    signs = np.random.default_rng(0).integers(-1, 2, (4, 12)).astype(float)
    slopes = make_penalty(signs, np.abs(signs), alpha=0.0, prior_strength=0.2)
    penalty = make_group_penalty(slopes, FAMILIES, 0.002)
    solution = solve_groups(Problem(A, y, np.ones(len(y)), n_classes=4), penalty)
    s = np.full(len(y), 1 / len(y))
    nothing = make_penalty(signs, np.abs(signs), alpha=0.0)

    def loss(flat):
        return objective(flat.reshape(4, 12), solution.b, A, y, s, nothing)

    gradient = approx_fprime(solution.W.ravel(), loss, 1e-7).reshape(4, 12)
    assert solution.certificate.converged
    np.testing.assert_allclose(penalty.residual(solution.W, gradient) / A.std(axis=0), 0.0, atol=1e-5)
    value = objective(solution.W, solution.b, A, y, s, slopes)
    norms = np.add.reduceat(solution.W**2, [0, 3, 5, 6, 10], axis=1) ** 0.5
    assert solution.certificate.objective == pytest.approx(value + 0.002 * (norms @ np.sqrt([3, 2, 1, 4, 2])).sum())


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_conjugate_bounds_every_product_and_is_met(ridge):
    rng = np.random.default_rng(0)
    shape = (2, 5)
    slopes = Penalty(rng.random(shape), rng.random(shape), np.full(shape, ridge))
    penalty = make_group_penalty(slopes, np.array([0, 0, 1, 1, 1]), 0.3).scaled(np.array([1.0, 2.0, 0.5, 1.0, 3.0]))
    pull = 3 * rng.normal(size=shape)
    pull *= penalty.largest_mix(pull)
    best = max(float((pull * W).sum()) - penalty.value(W) for W in rng.normal(size=(4000, *shape)))
    assert best <= penalty.conjugate(pull) + 1e-12
    if ridge:
        assert penalty.conjugate(pull) > 0
    else:
        assert penalty.conjugate(pull) == 0.0
        assert penalty.largest_mix(pull) == pytest.approx(1.0)
        assert penalty.largest_mix(2 * pull) == pytest.approx(0.5)


def test_start_changes_the_time_but_not_the_answer(four_classes):
    A, y = four_classes
    slopes = make_penalty(np.zeros((4, 12)), np.zeros((4, 12)), alpha=0.0)
    problem, penalty = Problem(A, y, np.ones(len(y)), n_classes=4), make_group_penalty(slopes, FAMILIES, 0.01)
    cold = solve_groups(problem, penalty, tol=1e-10)
    warm = solve_groups(problem, penalty, tol=1e-10, start=(cold.W, cold.b))
    assert warm.n_iter <= 1 < cold.n_iter
    np.testing.assert_allclose(warm.W, cold.W, atol=1e-8)


def test_alpha_max_is_where_the_first_family_appears(activations):
    told = {"concept_groups": FAMILIES, "l1_ratio": 0.7}
    top = alpha_max(ConceptHead(**told), *activations)
    assert not ConceptHead(top * (1 + 1e-6), **told).fit(*activations).coef_.any()
    held, size = in_or_out(ConceptHead(top * (1 - 1e-3), **told).fit(*activations).coef_, FAMILIES)
    assert held.any()
    assert ((held == 0) | (held == size)).all()


def test_cross_validation_keeps_the_families(four_classes):
    search = ConceptHeadCV(alphas=6, cv=3, concept_groups=[f"family {g}" for g in FAMILIES]).fit(*four_classes)
    held, size = in_or_out(search.coef_, FAMILIES)
    assert search.certificate_.converged
    assert ((held == 0) | (held == size)).all()


def test_intercept_can_be_left_out(four_classes):
    head = ConceptHead(0.01, concept_groups=FAMILIES, fit_intercept=False).fit(*four_classes)
    assert head.certificate_.converged
    assert not head.intercept_.any()


def test_permuting_concepts_and_classes_permutes_weights(four_classes):
    A, y = four_classes
    rng = np.random.default_rng(0)
    concepts, classes = rng.permutation(12), rng.permutation(4)
    plain = ConceptHead(0.01, l1_ratio=0.9, concept_groups=FAMILIES).fit(A, y)
    moved = ConceptHead(0.01, l1_ratio=0.9, concept_groups=FAMILIES[concepts]).fit(
        A[:, concepts], np.argsort(classes)[y]
    )
    np.testing.assert_allclose(moved.coef_, plain.coef_[np.ix_(classes, concepts)], atol=1e-6)


def test_repeated_samples_equal_integer_weights(four_classes):
    A, y = four_classes
    counts = np.random.default_rng(0).integers(0, 4, len(y))
    head = ConceptHead(0.01, l1_ratio=0.9, concept_groups=FAMILIES)
    weighted = head.fit(A, y, sample_weight=counts).coef_
    repeated = head.fit(np.repeat(A, counts, axis=0), np.repeat(y, counts)).coef_
    np.testing.assert_allclose(weighted, repeated, atol=1e-6)
