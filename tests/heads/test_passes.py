import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.heads import problem as problem_module
from knobo.heads import solver as solver_module
from knobo.heads.objective import Penalty, dual_bound, log_probabilities, make_penalty, objective
from knobo.heads.passes import over_blocks
from knobo.heads.problem import Problem
from knobo.heads.solver import solve


def make_problem(seed, n, m, n_classes, **settings):
    rng = np.random.default_rng(seed)
    A = rng.random((n, m))
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    weights = rng.random(n) + 0.1
    return A, y, weights, Problem(A, y, weights, n_classes=n_classes, **settings)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("intercept", [True, False])
def test_blockwise_bound_equals_the_formula(n_classes, intercept):
    _, y, weights, problem = make_problem(0, 5000, 4, n_classes, intercept=intercept)
    rows = problem.n_rows
    penalty = Penalty(np.full((rows, 4), 0.002), np.full((rows, 4), np.inf), np.full((rows, 4), 0.1))
    penalty.ridge[:, 0] = 0.0
    V = 0.5 * np.random.default_rng(1).normal(size=(rows, 4 + intercept))
    log_p = log_probabilities(problem.logits(V))
    s = weights / weights.sum()
    expected = dual_bound(log_p, problem.X[:, :4], y, s, penalty, intercept=intercept)
    _, gradient = problem.double.loss_and_gradient(V)
    found = problem.double.lower_bound(V, gradient, problem.double.class_pull(), penalty)
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_single_precision_is_the_same_problem_in_another_order(n_classes):
    *_, problem = make_problem(0, 5000, 4, n_classes)
    V = np.random.default_rng(1).normal(size=(problem.n_rows, 5))
    loss, gradient = problem.double.loss_and_gradient(V)
    rough_loss, rough_gradient = problem.single.loss_and_gradient(V)
    assert problem.single.X.dtype == np.float32
    assert rough_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(rough_gradient, gradient, atol=1e-6)
    np.testing.assert_allclose(problem.single.class_pull(), problem.double.class_pull(), atol=1e-6)


def test_beginnings_hold_the_classes_in_their_proportions():
    A, y = np.random.default_rng(0).random((10_000, 2)), np.repeat([0, 1, 2], [9000, 900, 100])
    head = Problem(A, y, np.ones(10_000), n_classes=3).single.head(1000)
    np.testing.assert_allclose(np.bincount(head.codes), [900, 90, 10], atol=1)
    assert head.sample_weight.sum() == pytest.approx(1.0)


def test_offset_is_a_fixed_part_of_the_logits():
    A, y, weights, _ = make_problem(0, 300, 5, 3)
    fixed = np.zeros((3, 5))
    fixed[1, 2] = 1.5
    free = np.ones((3, 5), dtype=bool)
    free[1, 2] = False
    penalty = make_penalty(np.zeros((3, 5)), np.zeros((3, 5)), alpha=0.01).only(free)
    problem = Problem(A, y, weights, n_classes=3, offset=A @ fixed.T)
    found = solve(problem, penalty, tol=1e-10)
    s = weights / weights.sum()
    plain = make_penalty(np.zeros((3, 5)), np.zeros((3, 5)), alpha=0.01)
    value = objective(found.W + fixed, found.b, A, y, s, plain) - 0.01 * 1.5
    assert found.W[1, 2] == 0.0
    assert found.certificate.objective == pytest.approx(value, rel=1e-9)
    assert found.certificate.duality_gap < 1e-8


def test_blocks_come_in_order_and_cover_every_sample_once():
    slices = list(over_blocks(100_001, lambda here: here, size=1000))
    assert [part.start for part in slices] == list(range(0, 100_001, 1000))
    assert slices[-1].stop == 100_001


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(60, 200),
    m=st.integers(1, 20),
    n_classes=st.integers(2, 4),
    kind=st.sampled_from(["plain", "collinear", "constant", "tiny", "huge", "float32", "sorted"]),
    l1_ratio=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_rough_start_and_single_precision_reach_the_same_optimum(seed, n, m, n_classes, kind, l1_ratio):
    A, y, weights, _ = make_problem(seed, n, m, n_classes)
    if kind == "collinear":
        A[:, m // 2 :] = 2 * A[:, : m - m // 2]
    elif kind == "constant":
        A[:, 0] = 0.3
    elif kind in ("tiny", "huge"):
        A *= {"tiny": 1e-8, "huge": 1e8}[kind]
    elif kind == "sorted":
        y = np.sort(y)
    scale = A.std(axis=0).max()
    rows = 1 if n_classes == 2 else n_classes
    none = np.zeros((rows, m))
    penalty = make_penalty(none, none, alpha=0.01 * scale, l1_ratio=l1_ratio)
    best = solve(Problem(A, y, weights, n_classes=n_classes), penalty, tol=1e-10).certificate.objective
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem_module, "_LARGE", 0)
        patch.setattr(solver_module, "_FIRST_SAMPLES", 20)
        patch.setattr(solver_module, "_FEWEST", 10)
        given_as = A.astype(np.float32) if kind == "float32" else A
        found = solve(Problem(given_as, y, weights, n_classes=n_classes), penalty)
        tight = solve(Problem(A, y, weights, n_classes=n_classes), penalty, tol=1e-9)
    assert found.certificate.converged
    assert found.certificate.objective == pytest.approx(best, rel=1e-5)
    assert tight.certificate.converged
    assert tight.certificate.objective == pytest.approx(best, rel=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000), n=st.integers(10, 60), m=st.integers(1, 15), n_classes=st.integers(2, 4),
    l1_ratio=st.sampled_from([0.0, 0.5, 1.0]), warm=st.booleans(),
)  # fmt: skip
def test_forbidden_signs_hold_exactly_and_the_rest_is_optimal(seed, n, m, n_classes, l1_ratio, warm):
    *_, problem = make_problem(seed, n, m, n_classes)
    rng = np.random.default_rng(seed)
    rows = problem.n_rows
    signs = rng.integers(-1, 2, (rows, m))
    plain = make_penalty(np.zeros((rows, m)), np.zeros((rows, m)), alpha=0.01, l1_ratio=l1_ratio)
    penalty = Penalty(np.where(signs < 0, np.inf, plain.up), np.where(signs > 0, np.inf, plain.down), plain.ridge)
    start = (rng.normal(size=(rows, m)), np.zeros(rows)) if warm else None
    found = solve(problem, penalty, tol=1e-8, start=start)
    assert found.certificate.converged
    assert np.isfinite(found.W).all()
    assert not (found.W * signs < 0).any()
    assert found.certificate.duality_gap < 1e-5
    free = solve(problem, plain, tol=1e-8).certificate.objective
    assert found.certificate.objective >= free - 1e-9


def test_many_samples_give_the_same_answer_on_any_number_of_cores(monkeypatch):
    A, y, weights, _ = make_problem(0, 40_000, 6, 3)
    none = np.zeros((3, 6))
    penalty = make_penalty(none, none, alpha=0.001)
    answers = []
    for cores in (1, 3):
        monkeypatch.setattr("joblib.cpu_count", lambda cores=cores: cores)
        answers.append(solve(Problem(A, y, weights, n_classes=3), penalty).W)
    np.testing.assert_array_equal(*answers)
