from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression

from knobo.heads.objective import log_probabilities, make_penalty, objective
from knobo.heads.problem import Problem
from knobo.heads.quadratic import minimise_quadratic
from knobo.heads.solver import solve as solve_default

solve = partial(solve_default, tol=1e-8)  # tight, for tests of exactness


def problem_and_penalty(A, y, *, alpha, l1_ratio=1.0, signs=None, strength=0.0, weights=None, intercept=True):
    n_classes = int(y.max()) + 1
    rows = 1 if n_classes == 2 else n_classes
    weights = np.ones(len(y)) if weights is None else weights
    signs = np.zeros((rows, A.shape[1])) if signs is None else signs
    penalty = make_penalty(signs, np.abs(signs), alpha=alpha, l1_ratio=l1_ratio, prior_strength=strength)
    return Problem(A, y, weights, n_classes=n_classes, intercept=intercept), penalty


def raw_residual(A, y, weights, penalty, solution, intercept=True):
    """Optimality conditions written out for the given activations, in units of each column's spread."""
    s = weights / weights.sum()
    p = np.exp(log_probabilities(A @ solution.W.T + solution.b))
    error = s[:, None] * (p - np.eye(p.shape[1])[y])[:, -len(solution.W) :]
    gradient = error.T @ A + penalty.ridge * solution.W
    low = gradient + np.where(solution.W > 0, penalty.up, -penalty.down)
    high = gradient + np.where(solution.W < 0, -penalty.down, penalty.up)
    # Zero must lie between low and high, which differ at W = 0 only.
    outside = np.maximum(np.maximum(low, -high), 0.0)
    spread = np.sqrt(s @ (A - intercept * (s @ A)) ** 2)
    outside = outside / np.where(spread > 1e-9, spread, 1.0)
    return max(outside.max(), np.abs(error.sum(axis=0)).max() if intercept else 0.0)


@pytest.mark.parametrize("intercept", [True, False])
def test_ridge_equals_scikit_learn(activations, intercept):
    A, y = activations
    weights = 0.2 + np.random.default_rng(0).random(len(y))
    alpha = 0.003
    peer = LogisticRegression(
        C=1 / (weights.sum() * alpha), solver="newton-cg", tol=1e-11, max_iter=1000, fit_intercept=intercept
    )
    peer.fit(A, y, sample_weight=weights)
    ours = solve(*problem_and_penalty(A, y, alpha=alpha, l1_ratio=0.0, weights=weights, intercept=intercept), tol=1e-12)
    np.testing.assert_allclose(ours.W, peer.coef_, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(ours.b, peer.intercept_, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_lasso_equals_saga(activations, l1_ratio):
    A, y = activations
    alpha = 0.004
    peer = LogisticRegression(
        C=1 / (len(y) * alpha), l1_ratio=l1_ratio, solver="saga", tol=1e-9, max_iter=20_000, random_state=0
    ).fit(A, y)
    problem, penalty = problem_and_penalty(A, y, alpha=alpha, l1_ratio=l1_ratio)
    ours = solve(problem, penalty, tol=1e-8)
    s = np.full(len(y), 1 / len(y))
    theirs = objective(peer.coef_, peer.intercept_, A, y, s, penalty)
    assert ours.certificate.objective == pytest.approx(objective(ours.W, ours.b, A, y, s, penalty), rel=1e-12)
    assert ours.certificate.objective <= theirs + 1e-12
    assert ours.certificate.objective == pytest.approx(theirs, rel=1e-6)
    assert np.count_nonzero(ours.W) < ours.W.size


@pytest.mark.parametrize(("alpha", "l1_ratio", "strength"), [(0.01, 1.0, 0.0), (0.01, 0.3, 2.0), (0.0, 1.0, 5.0)])
def test_gap_bounds_the_distance_to_the_optimum(activations, alpha, l1_ratio, strength):
    A, y = activations
    rows = 1 if y.max() == 1 else 4
    signs = np.random.default_rng(0).integers(-1, 2, (rows, A.shape[1])).astype(float)
    problem, penalty = problem_and_penalty(A, y, alpha=alpha, l1_ratio=l1_ratio, signs=signs, strength=strength)
    best = solve(problem, penalty, tol=1e-12).certificate
    rough = solve(problem, penalty, max_iter=2).certificate
    assert best.converged
    assert best.duality_gap < 1e-8 if alpha else best.duality_gap <= best.objective
    assert not rough.converged
    assert 0 < rough.objective - best.objective <= rough.duality_gap


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(4, 40),
    m=st.integers(1, 30),
    n_classes=st.integers(2, 4),
    kind=st.sampled_from(["plain", "binary", "collinear", "constant", "rank one", "mixed units"]),
    alpha=st.sampled_from([1e-4, 1e-2, 0.1]),
    l1_ratio=st.sampled_from([0.0, 0.5, 1.0]),
    strength=st.sampled_from([0.0, 1.0, 100.0]),
    intercept=st.booleans(),
)
def test_optimality_conditions_hold_on_any_problem(seed, n, m, n_classes, kind, alpha, l1_ratio, strength, intercept):
    rng = np.random.default_rng(seed)
    A = rng.random((n, m))
    if kind == "binary":
        A = (A > 0.5).astype(float)
    elif kind == "collinear":
        A[:, m // 2 :] = 2 * A[:, : m - m // 2]
    elif kind == "constant":
        A[:, 0] = 0.3
    elif kind == "rank one":
        A = np.outer(A[:, 0], A[0])
    elif kind == "mixed units":
        A = A * 10.0 ** rng.integers(-4, 5, m)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    weights = rng.integers(1, 4, n).astype(float)
    signs = rng.integers(-1, 2, (1 if n_classes == 2 else n_classes, m)).astype(float)
    problem, penalty = problem_and_penalty(
        A, y, alpha=alpha, l1_ratio=l1_ratio, signs=signs, strength=strength, weights=weights, intercept=intercept
    )
    solution = solve(problem, penalty, tol=1e-8)
    assert solution.certificate.converged
    assert solution.certificate.kkt_residual <= 1e-8
    assert raw_residual(A, y, weights, penalty, solution, intercept) <= 1e-7
    assert solution.certificate.duality_gap >= 0


def test_hessian_is_the_derivative_of_the_gradient(activations):
    A, y = activations
    problem, _ = problem_and_penalty(A, y, alpha=0.1)
    V = 0.3 * np.random.default_rng(0).normal(size=problem.null_weights().shape)
    rows, columns = np.nonzero(np.ones_like(V))

    def gradient(flat):
        return problem.gradient(log_probabilities(problem.X @ flat.reshape(V.shape).T)).ravel()

    expected = approx_fprime(V.ravel(), gradient, 1e-7)
    log_p = log_probabilities(problem.X @ V.T)
    np.testing.assert_allclose(problem.hessian(log_p, rows, columns), expected, atol=1e-6)
    np.testing.assert_allclose(problem.hessian(log_p, rows, columns, rough=True), expected, atol=1e-5)


def test_rough_hessian_of_many_samples_is_close_to_the_exact_one():
    rng = np.random.default_rng(0)
    A, y = rng.random((9000, 3)), rng.integers(0, 3, 9000)
    problem, _ = problem_and_penalty(A, y, alpha=0.1)
    log_p = log_probabilities(problem.X @ problem.null_weights().T)
    rows, columns = np.nonzero(np.ones((3, 4)))
    exact, rough = problem.hessian(log_p, rows, columns), problem.hessian(log_p, rows, columns, rough=True)
    np.testing.assert_allclose(rough, exact, atol=0.03)
    assert not np.array_equal(rough, exact.astype(np.float32))


def test_minimise_quadratic_meets_its_tolerance_where_weights_must_change_sign():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(20, 40))
    H = half @ half.T / 40 + 1e-3 * np.eye(20)
    c = rng.normal(size=20)
    slopes = make_penalty(np.zeros(20), np.zeros(20), alpha=0.5)
    begin = -3 * np.sign(np.linalg.solve(H, -c))
    u = minimise_quadratic(H, H @ begin + c, slopes, begin, tol=1e-10)
    assert slopes.residual(u, H @ u + c).max() <= 1e-9
    assert 0 < np.count_nonzero(u) < 20


def test_minimise_quadratic_survives_a_matrix_that_rounding_made_indefinite():
    H = np.array([[1.0, 1.0 + 1e-3], [1.0 + 1e-3, 1.0]])
    nothing = make_penalty(np.zeros(2), np.zeros(2), alpha=0.0)
    gradient, u = np.array([1.0, 1.0]), np.zeros(2)
    for _ in range(3):
        assert np.isfinite(u).all()
        before = gradient @ u + 0.5 * u @ H @ u
        u = minimise_quadratic(H, gradient + H @ u, nothing, u, tol=1e-3)
        assert gradient @ u + 0.5 * u @ H @ u <= before
    np.testing.assert_allclose(u, -0.5, atol=1e-2)


def test_start_changes_the_time_but_not_the_answer(four_classes):
    A, y = four_classes
    problem, penalty = problem_and_penalty(A, y, alpha=0.01, l1_ratio=0.9)
    cold = solve(problem, penalty, tol=1e-11)
    warm = solve(problem, penalty, tol=1e-11, start=(cold.W, cold.b))
    far = solve(problem, penalty, tol=1e-11, start=(cold.W[::-1] + 1.0, cold.b - 2.0))
    assert warm.n_iter <= 1
    np.testing.assert_allclose(warm.W, cold.W, atol=1e-8)
    np.testing.assert_allclose(far.W, cold.W, atol=1e-8)
    np.testing.assert_allclose(far.b, cold.b, atol=1e-8)


def test_answer_is_the_same_to_the_last_bit_every_time(four_classes):
    first, second = (solve(*problem_and_penalty(*four_classes, alpha=0.01)) for _ in range(2))
    np.testing.assert_array_equal(first.W, second.W)


def test_repeated_samples_equal_integer_weights(activations):
    A, y = activations
    counts = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = solve(*problem_and_penalty(A, y, alpha=0.01, weights=counts.astype(float)))
    repeated = solve(*problem_and_penalty(np.repeat(A, counts, axis=0), np.repeat(y, counts), alpha=0.01))
    np.testing.assert_allclose(weighted.W, repeated.W, atol=1e-7)
    np.testing.assert_allclose(weighted.b, repeated.b, atol=1e-7)


def test_permuting_concepts_and_classes_permutes_weights(four_classes):
    A, y = four_classes
    rng = np.random.default_rng(0)
    signs = rng.integers(-1, 2, (4, 12)).astype(float)
    concepts, classes = rng.permutation(12), rng.permutation(4)
    plain = solve(*problem_and_penalty(A, y, alpha=0.01, l1_ratio=0.9, signs=signs, strength=1.0))
    moved = solve(
        *problem_and_penalty(
            A[:, concepts],
            np.argsort(classes)[y],
            alpha=0.01,
            l1_ratio=0.9,
            signs=signs[np.ix_(classes, concepts)],
            strength=1.0,
        )
    )
    np.testing.assert_allclose(moved.W, plain.W[np.ix_(classes, concepts)], atol=1e-7)


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_units_of_the_activations_do_not_matter(two_classes, unit):
    A, y = two_classes
    plain = solve(*problem_and_penalty(A, y, alpha=0.01))
    scaled = solve(*problem_and_penalty(A * unit, y, alpha=0.01 * unit))
    np.testing.assert_allclose(scaled.W * unit, plain.W, rtol=1e-6)


def test_more_concepts_than_samples():
    rng = np.random.default_rng(0)
    A, y = rng.random((20, 200)), np.arange(20) % 3
    solution = solve(*problem_and_penalty(A, y, alpha=0.01))
    assert solution.certificate.converged
    assert np.count_nonzero(solution.W) < 60


def test_huge_penalty_leaves_the_class_frequencies(four_classes):
    A, y = four_classes
    solution = solve(*problem_and_penalty(A, y, alpha=10.0))
    assert not solution.W.any()
    np.testing.assert_allclose(np.exp(log_probabilities(solution.b[None]))[0], np.bincount(y) / len(y), rtol=1e-12)


def test_samples_without_weight_do_not_matter(two_classes):
    A, y = two_classes
    weights = np.ones(len(y))
    weights[::3] = 0.0
    ours = solve(*problem_and_penalty(A, y, alpha=0.01, weights=weights))
    A[::3] = 1e3
    again = solve(*problem_and_penalty(A, y, alpha=0.01, weights=weights))
    np.testing.assert_array_equal(again.W, ours.W)


def test_solver_stops_at_max_iter_and_says_so(four_classes):
    certificate = solve(*problem_and_penalty(*four_classes, alpha=1e-4), max_iter=1).certificate
    assert not certificate.converged
    assert certificate.kkt_residual > certificate.tol
