"""All concepts in one call: scikit-learn's optimum for each, on the rows with a known label only."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from knobo.errors import InputError
from knobo.grounding import draw_balanced, fit_logistic


@pytest.fixture(scope="module")
def pool():
    """600 float32 embeddings of size 90 that share a mean, with falling variances, and four concepts' labels."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(600, 90))
    X = (Z / np.sqrt(np.arange(1, 91)) + 2).astype(np.float32)
    logits = 2 * Z[:, :4] + rng.logistic(size=(600, 4)) - [0, 1, 2, 0]
    labels = (logits > 0).astype(float)
    labels[rng.random(labels.shape) < [0, 0.3, 0.5, 0.9]] = np.nan
    return X, labels


def sklearn_probabilities(X, labels, **options):
    """The tight float64 optimum of scikit-learn, column by column."""
    options = {"C": 1.0, "solver": "newton-cholesky", "tol": 1e-10, "max_iter": 1000, **options}
    columns = []
    for column in labels.T:
        known = ~np.isnan(column)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(**options).fit(X[known].astype(np.float64), column[known])
        columns.append(model.predict_proba(X.astype(np.float64))[:, 1])
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("C", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_concept_is_at_the_optimum_of_sklearn(pool, C, class_weight, dtype):
    X, labels = pool
    functions = fit_logistic(X.astype(dtype), labels, C=C, class_weight=class_weight)
    expected = sklearn_probabilities(X, labels, C=C, class_weight=class_weight)
    assert np.abs(functions(X) - expected).max() < 3e-4
    assert (functions.error <= 1e-4).all()


def test_a_smaller_tolerance_is_tighter(pool):
    X, labels = pool
    X = X.astype(np.float64)
    functions = fit_logistic(X, labels, tol=1e-9)
    tighter = sklearn_probabilities(X, labels, solver="newton-cg", tol=1e-12)
    assert np.abs(functions(X) - tighter).max() < 1e-7


def test_fewer_rows_than_dimensions(pool):
    X, labels = pool
    functions = fit_logistic(X[:50], labels[:50, :2])
    assert np.abs(functions(X[:50]) - sklearn_probabilities(X[:50], labels[:50, :2])).max() < 3e-4


def test_separable_and_weakly_penalised_labels_converge():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 30)) * np.logspace(1, -1, 30)
    labels = (X[:, :1] > 0).astype(float)
    functions = fit_logistic(X, labels, C=1e4)
    assert np.abs(functions(X) - sklearn_probabilities(X, labels, C=1e4)).max() < 1e-3
    assert functions.error[0] <= 1e-4


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_l1_shares_equal_saga(pool, l1_ratio):
    X, labels = pool
    functions = fit_logistic(X, labels[:, :2], C=0.05, l1_ratio=l1_ratio, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn_probabilities(
            X,
            labels[:, :2],
            C=0.05,
            l1_ratio=l1_ratio,
            class_weight="balanced",
            solver="saga",
            tol=1e-7,
            max_iter=20000,
        )
    assert np.abs(functions(X) - expected).max() < 3e-4
    assert (functions.coef == 0).any()


def test_unknown_labels_are_left_out_whatever_their_rows_hold(pool):
    X, labels = pool
    changed = X.copy()
    changed[np.isnan(labels[:, 1])] *= -3
    rows = ~np.isnan(labels[:, 1])
    masked = fit_logistic(changed, labels[:, 1:2])
    alone = fit_logistic(X[rows], labels[rows, 1:2])
    np.testing.assert_allclose(masked(X), alone(X), atol=3e-4)


def test_each_concept_may_have_its_own_strength(pool):
    X, labels = pool
    together = fit_logistic(X, labels[:, :2], C=[0.01, 10.0])
    weak = fit_logistic(X, labels[:, 1:2], C=10.0)
    np.testing.assert_allclose(together(X)[:, 1], weak(X)[:, 0], atol=3e-4)
    assert np.abs(together.coef[1]).max() > 3 * np.abs(together.coef[0]).max()


def test_threads_change_nothing(pool):
    X, labels = pool
    np.testing.assert_array_equal(fit_logistic(X, labels, n_jobs=2).coef, fit_logistic(X, labels).coef)


@pytest.mark.parametrize("C", [0.01, 5.0])
def test_the_batched_path_for_gpus_gives_the_same_functions(pool, C):
    X, labels = pool
    batched = fit_logistic(X, labels, C=C, class_weight="balanced", device="cpu:0")  # torch, on the CPU
    single = fit_logistic(X, labels, C=C, class_weight="balanced")
    assert np.abs(batched(X) - single(X)).max() < 1e-4


def test_batches_are_cut_to_the_memory(pool, monkeypatch):
    X, labels = pool
    whole = fit_logistic(X, labels, device="cpu:0")
    monkeypatch.setattr("knobo.grounding.batched._CPU_BYTES", 1)
    np.testing.assert_allclose(fit_logistic(X, labels, device="cpu:0").coef, whole.coef, atol=1e-3)


def test_functions_are_one_matrix_product_in_the_precision_of_the_embeddings(pool):
    X, labels = pool
    functions = fit_logistic(X, labels)
    exact = expit(X.astype(np.float64) @ functions.coef.T + functions.intercept)
    np.testing.assert_allclose(functions(X.astype(np.float64)), exact, rtol=1e-12)
    np.testing.assert_allclose(functions(X), exact, atol=1e-5)
    assert functions(X).dtype == np.float64


def test_draw_balanced_keeps_half_of_each_answer_and_no_other_row():
    labels = np.array([[1.0] * 30 + [0.0] * 60 + [np.nan] * 10, [1.0] * 5 + [0.0] * 95]).T
    drawn = draw_balanced(labels, 20)
    assert (np.nansum(drawn, axis=0) == [10, 5]).all()
    assert ((drawn == 0).sum(axis=0) == [10, 10]).all()
    same = ~np.isnan(drawn)
    np.testing.assert_array_equal(drawn[same], labels[same])
    np.testing.assert_array_equal(drawn, draw_balanced(labels, 20))
    with pytest.raises(InputError, match="max_samples must be at least 2"):
        draw_balanced(labels, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.ones((600, 1))}, "Column 0 of the labels lacks yes or no"),
        ({"labels": np.ones((3, 1))}, "one row an image"),
        ({"labels": np.full((600, 1), 0.5)}, r"must be 1 \(yes\), 0 \(no\) or NaN"),
        ({"X": np.full((600, 2), np.inf)}, "NaN or infinite"),
        ({"C": 0.0}, "C must be positive"),
        ({"l1_ratio": 2.0}, "l1_ratio within"),
        ({"device": "warp"}, "Unknown device 'warp'"),
    ],
)
def test_unusable_arguments_are_named(pool, change, message):
    arguments = {"X": pool[0], "labels": pool[1], **change}
    with pytest.raises(InputError, match=message):
        fit_logistic(arguments.pop("X"), arguments.pop("labels"), **arguments)


def test_a_missing_gpu_is_named(pool, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="no device 'cuda'"):
        fit_logistic(*pool, device="cuda")
