"""Contributions add up to the logit for every class, whatever the numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from knobo.explain.contributions import agreement, base_values, contributions, logits, probabilities, rank

reals = st.floats(-50, 50, allow_subnormal=False)
shares = st.floats(0, 1, allow_subnormal=False)


@st.composite
def problems(draw):
    n, m, k = draw(st.integers(0, 5)), draw(st.integers(1, 6)), draw(st.integers(2, 5))
    A, reference = draw(arrays(float, (n, m), elements=shares)), draw(arrays(float, m, elements=shares))
    return A, draw(arrays(float, (k, m), elements=reals)), draw(arrays(float, k, elements=reals)), reference


@given(problems())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_base_and_contributions_add_up_to_the_logit_of_every_class(problem):
    A, W, b, reference = problem
    total = base_values(W, b, reference) + contributions(A, W, reference).sum(axis=2)
    np.testing.assert_allclose(total, logits(A, W, b), rtol=1e-12, atol=1e-11)


@given(problems())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_average_image_has_no_contributions(problem):
    _, W, b, reference = problem
    np.testing.assert_array_equal(contributions(reference[None], W, reference), 0)
    np.testing.assert_allclose(logits(reference[None], W, b)[0], base_values(W, b, reference), rtol=1e-12, atol=1e-11)


def test_probabilities_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    A, y = rng.random((90, 4)), rng.integers(3, size=90)
    many = LogisticRegression().fit(A, y)
    np.testing.assert_allclose(probabilities(logits(A, many.coef_, many.intercept_)), many.predict_proba(A))
    two = LogisticRegression().fit(A, y > 0)
    W, b = np.vstack([-two.coef_, two.coef_]), np.concatenate([-two.intercept_, two.intercept_])
    np.testing.assert_allclose(probabilities(logits(A, W, b)), two.predict_proba(A))
    np.testing.assert_allclose(probabilities(logits(A, W, b))[:, 1], expit(two.decision_function(A)))


def test_agreement_needs_both_signs():
    W = np.array([[2.0, -2.0, 0.0, 2.0, -1.0]])
    P = np.array([[1.0, 1.0, 1.0, 0.0, -1.0]])
    np.testing.assert_array_equal(agreement(W, P), [[1, -1, 0, 0, 1]])


def test_rank_takes_the_largest_and_sums_the_rest():
    values, weights = np.array([0.1, -3.0, 0.0, 2.0, 0.5]), np.array([1.0, -1.0, 0.0, 2.0, 1.0])
    ranked = rank(values, weights, 2)
    assert ranked.top.tolist() == [1, 3]
    assert ranked.n_rest == 2
    np.testing.assert_allclose(ranked.rest, 0.6)
    assert rank(values, weights, 9).n_rest == 0
    assert len(rank(values, np.zeros(5), 3).top) == 0
