import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize_scalar

from knobo.heads.objective import (
    Penalty,
    balance_rows,
    dual_bound,
    log_loss,
    log_probabilities,
    loss_derivative,
    make_penalty,
    merge_binary_prior,
    objective,
)

slopes = st.floats(0, 3)


def one(value):
    return np.array([float(value)])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(v=st.floats(-5, 5), up=slopes, down=slopes, ridge=slopes, step=st.floats(0.01, 3))
def test_prox_is_the_minimiser_that_it_claims_to_be(v, up, down, ridge, step):
    penalty = Penalty(one(up), one(down), one(ridge))
    found = penalty.prox(one(v), step)

    def cost(w):
        return (w - v) ** 2 / (2 * step) + penalty.value(one(w))

    best = minimize_scalar(cost, bounds=(-6, 6), method="bounded", options={"xatol": 1e-9})
    assert cost(found[0]) <= best.fun + 1e-9
    # The gradient of the quadratic is what the penalty has to balance.
    np.testing.assert_allclose(penalty.residual(found, (found - v) / step), 0.0, atol=1e-9)


def test_residual_is_zero_inside_the_corner_and_grows_outside():
    penalty = Penalty(np.full(4, 1.0), np.full(4, 0.5), np.zeros(4))
    gradient = np.array([0.4, 0.9, -0.9, -1.5])
    np.testing.assert_allclose(penalty.residual(np.zeros(4), gradient), [0.0, 0.4, 0.0, 0.5])


def test_prior_and_l1_share_two_slopes():
    signs = np.array([[1.0, -1.0, 0.0]])
    penalty = make_penalty(signs, np.array([[0.5, 1.0, 0.0]]), alpha=0.1, l1_ratio=0.8, prior_strength=2.0)
    np.testing.assert_allclose(penalty.up, [[0.08, 0.08 + 2.0 / 2 * 1.0, 0.08]])
    np.testing.assert_allclose(penalty.down, [[0.08 + 2.0 / 2 * 0.5, 0.08, 0.08]])
    np.testing.assert_allclose(penalty.ridge, 0.02)


def test_penalty_equals_the_formula_of_the_objective():
    rng = np.random.default_rng(0)
    W, P, c = rng.normal(size=(3, 5)), rng.integers(-1, 2, (3, 5)).astype(float), rng.random((3, 5))
    prior = (c * np.maximum(0, -P * W))[P != 0].mean()
    net = 0.7 * np.abs(W).sum() + 0.3 / 2 * (W**2).sum()
    penalty = make_penalty(P, c, alpha=0.2, l1_ratio=0.7, prior_strength=3.0)
    assert penalty.value(W) == pytest.approx(3.0 * prior + 0.2 * net)


def test_binary_prior_merges_to_the_log_odds_of_the_second_class():
    signs = np.array([[0.0, -1.0, 1.0, 1.0, 0.0, -1.0], [1.0, 1.0, 1.0, -1.0, 0.0, 0.0]])
    confidence = np.array([[0.9, 0.3, 0.8, 0.6, 0.0, 0.4], [0.5, 0.7, 0.9, 0.2, 0.0, 0.9]])
    merged, sure = merge_binary_prior(signs, confidence)
    np.testing.assert_array_equal(merged, [[1, 1, 0, -1, 0, 1]])
    np.testing.assert_allclose(sure, [[0.5, 0.7, 0.0, 0.6, 0.0, 0.4]])


@pytest.mark.parametrize("n_rows", [1, 3])
def test_derivative_agrees_with_finite_differences(n_rows):
    rng = np.random.default_rng(1)
    codes = np.array([0, 1, max(1, n_rows - 1), 0])
    s = np.array([0.1, 0.2, 0.3, 0.4])
    logits = rng.normal(size=(4, n_rows))

    def loss(flat):
        return log_loss(log_probabilities(flat.reshape(4, n_rows)), codes, s)

    expected = approx_fprime(logits.ravel(), loss, 1e-7).reshape(4, n_rows)
    np.testing.assert_allclose(loss_derivative(log_probabilities(logits), codes, s), expected, atol=1e-6)


def test_logits_of_any_size_give_finite_log_probabilities():
    log_p = log_probabilities(np.array([[1e4], [-1e4]]))
    np.testing.assert_allclose(log_p, [[-1e4, 0.0], [0.0, -1e4]])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n_classes=st.integers(2, 4),
    alpha=st.sampled_from([0.0, 1e-3, 0.1]),
    l1_ratio=st.sampled_from([0.0, 0.5, 1.0]),
    size=st.floats(0.01, 10),
    intercept=st.booleans(),
)
def test_dual_bound_of_any_candidate_is_below_the_objective_of_any_other(
    seed, n_classes, alpha, l1_ratio, size, intercept
):
    rng = np.random.default_rng(seed)
    n, m, rows = 9, 4, 1 if n_classes == 2 else n_classes
    A, s = rng.random((n, m)), rng.random(n)
    s /= s.sum()
    codes = np.arange(n) % n_classes
    P = rng.integers(-1, 2, (rows, m)).astype(float)
    penalty = make_penalty(P, np.ones((rows, m)), alpha=alpha, l1_ratio=l1_ratio, prior_strength=0.5)
    b = rng.normal(size=rows) * intercept
    log_p = log_probabilities(A @ (size * rng.normal(size=(rows, m))).T + b)
    lower = dual_bound(log_p, A, codes, s, penalty, intercept=intercept)
    for _ in range(5):
        W, other = rng.normal(size=(rows, m)), rng.normal(size=rows) * intercept
        assert lower <= objective(W, other, A, codes, s, penalty) + 1e-12


def test_equivalent_weights_are_balanced_without_a_cost():
    W = np.array([[1.0, 3.0, 2.0], [4.0, 1.0, 0.0], [-3.0, 2.0, -2.0], [-2.5, 0.5, 0.0]])
    signs = np.zeros_like(W)
    lasso, net, nothing = (make_penalty(signs, signs, alpha=a, l1_ratio=r) for a, r in ((0.3, 1), (0.3, 0.5), (0, 1)))
    # Two above and two below zero: the mean becomes zero. All on one side, or a zero in the middle: nothing is free.
    np.testing.assert_allclose(balance_rows(W, lasso), W + np.array([0.125, 0.0, 0.0]))
    assert lasso.value(balance_rows(W, lasso)) == pytest.approx(lasso.value(W))
    # Out of reach of mean zero, the shift ends where a weight meets zero.
    skewed = np.array([[0.5], [1.0], [-1.0], [-9.0]])
    none = np.zeros_like(skewed)
    stopped = balance_rows(skewed, make_penalty(none, none, alpha=0.3))
    np.testing.assert_array_equal(stopped, [[1.5], [2.0], [0.0], [-8.0]])
    np.testing.assert_array_equal(balance_rows(W, net), W)
    np.testing.assert_allclose(balance_rows(W, nothing).sum(axis=0), 0.0, atol=1e-12)


def test_hard_prior_forbids_the_wrong_side_of_sure_signs_only():
    signs, confidence = np.array([[1.0, -1.0, 1.0, 0.0]]), np.array([[1.0, 1.0, 0.5, 0.0]])
    penalty = make_penalty(signs, confidence, alpha=0.1, prior_strength=3.0, prior="hard")
    np.testing.assert_allclose(penalty.up, [[0.1, np.inf, 0.1, 0.1]])
    np.testing.assert_allclose(penalty.down, [[np.inf, 0.1, 0.1 + 3.0 / 3 * 0.5, 0.1]])


def test_shrink_prior_scales_the_slopes_of_l1():
    signs, confidence = np.array([[1.0, -1.0, 0.0]]), np.array([[1.0, 0.5, 0.0]])
    penalty = make_penalty(signs, confidence, alpha=0.1, l1_ratio=0.5, prior_strength=2.0, prior="shrink")
    np.testing.assert_allclose(penalty.up, [[0.05 / 3, 0.05 * 2, 0.05]])
    np.testing.assert_allclose(penalty.down, [[0.05 * 3, 0.05 / 2, 0.05]])
    np.testing.assert_allclose(penalty.ridge, 0.05)


def test_forbidden_signs_cost_infinitely_and_zero_weights_nothing():
    penalty = Penalty(np.array([1.0, np.inf]), np.array([np.inf, 2.0]), np.zeros(2))
    assert penalty.value(np.array([3.0, -1.0])) == 5.0
    assert penalty.value(np.zeros(2)) == 0.0
    assert penalty.value(np.array([0.0, 1.0])) == np.inf
    np.testing.assert_array_equal(penalty.prox(np.array([-4.0, 4.0]), 0.5), [0.0, 0.0])
    np.testing.assert_array_equal(penalty.residual(np.zeros(2), np.array([7.0, -7.0])), [0.0, 0.0])


def test_balanced_rows_keep_to_the_allowed_signs():
    W = np.array([[1.0], [0.0], [0.0]])
    one, free = np.ones((3, 1)), np.zeros((3, 1))
    forbidden = Penalty(one, np.array([[1.0], [np.inf], [2.0]]), free)
    np.testing.assert_array_equal(balance_rows(W, forbidden), W)
    upwards = Penalty(np.array([[1.0], [np.inf], [1.0]]), one, free)
    np.testing.assert_array_equal(balance_rows(-W, upwards), -W)
