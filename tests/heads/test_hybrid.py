"""The residual beside the concepts, and how much of the decisions it is."""

import numpy as np
import pandas as pd
import pytest
from activations_data import make_activations
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from knobo.errors import InputError, NotFittedError
from knobo.heads import ConceptHead, ConceptHeadCV, HybridHead


@pytest.fixture(params=[2, 4], ids=["two classes", "four classes"])
def beside(request):
    """Eight activations and five embedding columns that know more about the class; labels."""
    A, y = make_activations(400, 8, request.param)
    E = 0.3 * np.random.default_rng(1).normal(size=(400, 5)) + 3.0
    E[np.arange(400), y] += 0.5
    return np.hstack([A, E]), y


def test_concept_head_stays_as_it_is(beside):
    X, y = beside
    hybrid, head = HybridHead(8, head=ConceptHead(0.003)).fit(X, y), ConceptHead(0.003).fit(X[:, :8], y)
    np.testing.assert_array_equal(hybrid.coef_, head.coef_)
    np.testing.assert_array_equal(hybrid.intercept_, head.intercept_)
    concepts, _ = hybrid.split_logits(X)
    expected = head.decision_function(X[:, :8])
    np.testing.assert_allclose(concepts[:, -1] if len(head.coef_) == 1 else concepts, expected)


def test_residual_helps_and_its_parts_add_up(beside):
    X, y = beside
    hybrid = HybridHead(8).fit(X, y)
    assert hybrid.score(X, y) > hybrid.head_.score(X[:, :8], y)
    concepts, residual = hybrid.split_logits(X)
    assert concepts.shape == residual.shape == (400, len(hybrid.classes_))
    logits = concepts + residual
    decision = hybrid.decision_function(X)
    np.testing.assert_allclose(logits[:, 1] if decision.ndim == 1 else logits, decision)
    np.testing.assert_allclose(residual.mean(axis=0), 0.0, atol=1e-10)
    expected = (hybrid.embedding_mean_ - X[:, 8:]) @ -hybrid.residual_coef_.T
    np.testing.assert_allclose(residual[:, -len(hybrid.residual_coef_) :], expected)


def test_residual_is_the_ridge_regression_with_the_concepts_as_offset(beside):
    X, y = beside
    hybrid = HybridHead(8, residual_alpha=0.05, tol=1e-9).fit(X, y)
    E = X[:, 8:] - X[:, 8:].mean(axis=0)
    scale = np.sqrt((E**2).sum(axis=1).mean())
    p = hybrid.predict_proba(X) - np.eye(len(hybrid.classes_))[y]
    gradient = (p[:, -len(hybrid.residual_coef_) :].T @ E) / scale / len(y) + 0.05 * hybrid.residual_coef_ * scale
    np.testing.assert_allclose(gradient, 0.0, atol=1e-9)
    assert hybrid.certificate_.converged
    assert hybrid.certificate_.duality_gap < 1e-12


def test_without_useful_concepts_it_is_a_probe_of_the_embedding(beside):
    X, y = beside
    hybrid = HybridHead(8, head=ConceptHead(100.0), residual_alpha=0.02, tol=1e-9).fit(X, y)
    E = X[:, 8:] - X[:, 8:].mean(axis=0)
    E /= np.sqrt((E**2).sum(axis=1).mean())
    probe = LogisticRegression(C=1 / (400 * 0.02), tol=1e-10, max_iter=2000).fit(E, y)
    assert hybrid.residual_share_["logit_variance"] == 1.0
    assert np.mean(hybrid.predict(X) == probe.predict(E)) > 0.9


def test_share_falls_with_the_penalty_from_almost_all_to_nothing(beside):
    X, y = beside
    shares = [HybridHead(8, residual_alpha=alpha).fit(X, y).residual_share_ for alpha in (1e-4, 1e-2, 1.0, 1e6)]
    variance = [share["logit_variance"] for share in shares]
    assert variance == sorted(variance, reverse=True)
    assert variance[0] > 0.3
    assert variance[-1] < 1e-6
    assert shares[-1]["decisions_changed"] == 0.0
    assert shares[0]["decisions_changed"] > 0.1


def test_share_is_what_it_says(beside):
    X, y = beside
    hybrid = HybridHead(8).fit(X, y)
    concepts, residual = hybrid.split_logits(X[:100])
    share = hybrid.residual_share(X[:100])
    assert share["decisions_changed"] == np.mean(concepts.argmax(axis=1) != (concepts + residual).argmax(axis=1))
    free = [part - part.mean(axis=1, keepdims=True) for part in (concepts, residual)]
    variances = [part.var(axis=0).sum() for part in free]
    assert share["logit_variance"] == pytest.approx(variances[1] / sum(variances))


def test_unit_and_offset_of_the_embedding_do_not_matter(beside):
    X, y = beside
    moved = X.copy()
    moved[:, 8:] = 1e4 * X[:, 8:] - 7e4
    plain, scaled = HybridHead(8, tol=1e-9).fit(X, y), HybridHead(8, tol=1e-9).fit(moved, y)
    np.testing.assert_allclose(scaled.predict_proba(moved), plain.predict_proba(X), atol=1e-7)


def test_without_an_embedding_it_is_the_concept_head(beside):
    X, y = beside
    hybrid = HybridHead(8).fit(X[:, :8], y)
    np.testing.assert_allclose(hybrid.predict_proba(X[:, :8]), hybrid.head_.predict_proba(X[:, :8]))
    assert (hybrid.residual_share_ == 0.0).all()


def test_repeated_samples_equal_integer_weights(beside):
    X, y = beside
    counts = np.random.default_rng(0).integers(0, 3, len(y))
    weighted = HybridHead(8, tol=1e-9).fit(X, y, sample_weight=counts)
    repeated = HybridHead(8, tol=1e-9).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-6)


def test_takes_the_head_and_the_names_that_it_is_given(beside):
    X, y = beside
    names = [f"finding {j}" for j in range(8)] + [f"e{j}" for j in range(5)]
    hybrid = HybridHead(8, head=ConceptHeadCV(alphas=4, cv=2)).fit(pd.DataFrame(X, columns=names), y)
    assert hybrid.head_.alpha_ > 0
    assert list(hybrid.head_.weights_frame().columns) == names[:8]
    assert hybrid.predict(pd.DataFrame(X, columns=names)).shape == y.shape


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_concepts": 0}, "n_concepts must be an integer of at least 1, got 0"),
        ({"n_concepts": 14}, r"n_concepts is 14, but X has 13 feature\(s\) only"),
        ({"n_concepts": 8, "residual_alpha": 0.0}, "residual_alpha must be a number above 0, got 0.0"),
        ({"n_concepts": 8, "tol": 0.0}, "tol must be a number above 0"),
        ({"n_concepts": 8, "head": ConceptHead(-1.0)}, "alpha must be a number of at least 0, got -1.0"),
    ],
)
def test_unusable_settings_are_named(parameters, message, beside):
    with pytest.raises(InputError, match=message):
        HybridHead(**parameters).fit(*beside)


def test_residual_that_stops_early_warns(beside):
    with pytest.warns(ConvergenceWarning, match="The residual stopped at a gradient of"):
        HybridHead(8, tol=1e-15, max_iter=1, residual_alpha=1e-6).fit(*beside)


def test_use_before_fit():
    for call in ("predict", "split_logits", "residual_share"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(HybridHead(1), call)([[0.0]])
