"""Several labels a sample, some of them not known."""

import numpy as np
import pandas as pd
import pytest
from activations_data import make_activations
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.multioutput import MultiOutputClassifier

from knobo.errors import InputError, NotFittedError
from knobo.heads import ConceptHead, MultiLabelConceptHead


@pytest.fixture
def labelled():
    """Activations (200, 8) and three labels (200, 3), a fifth of them missing."""
    A, y = make_activations(200, 8, 4)
    rng = np.random.default_rng(0)
    Y = np.column_stack([y == 0, y >= 2, y == 1]).astype(float)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    return A, Y


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), missing=st.floats(0, 0.5), prior=st.sampled_from(["sign", "hard", "shrink", None]))
def test_missing_labels_equal_a_fit_to_the_known_ones(seed, missing, prior):
    A, y = make_activations(120, 8, 3, seed)
    rng = np.random.default_rng(seed)
    Y = (y[:, None] == np.arange(3)).astype(float)
    Y[rng.random(Y.shape) < missing] = np.nan
    Y[:2] = [[0, 0, 0], [1, 1, 1]]
    weights, signs = 0.5 + rng.random(120), rng.integers(-1, 2, (3, 8))
    told = {"alpha": 0.01, "prior": prior, "prior_strength": 0.5}
    head = MultiLabelConceptHead(prior_signs=signs, **told).fit(A, Y, sample_weight=weights)
    for label in range(3):
        known = ~np.isnan(Y[:, label])
        one = ConceptHead(prior_signs=signs[[label]], **told).fit(A[known], Y[known, label], weights[known])
        np.testing.assert_allclose(head.coef_[label], one.coef_[0], atol=1e-9)
        np.testing.assert_allclose(head.intercept_[label], one.intercept_[0], atol=1e-9)


def test_without_missing_labels_it_is_one_classifier_a_label(labelled):
    A, Y = labelled
    Y = np.nan_to_num(Y)
    head = MultiLabelConceptHead(0.005).fit(A, Y)
    peer = MultiOutputClassifier(ConceptHead(0.005)).fit(A, Y)
    np.testing.assert_allclose(head.coef_, np.vstack([one.coef_ for one in peer.estimators_]), atol=1e-9)
    np.testing.assert_array_equal(head.predict(A), peer.predict(A))
    np.testing.assert_allclose(head.predict_proba(A), np.column_stack([p[:, 1] for p in peer.predict_proba(A)]))
    assert head.score(A, Y) == pytest.approx(peer.score(A, Y))


def test_outputs_have_one_column_a_label(labelled):
    A, Y = labelled
    head = MultiLabelConceptHead().fit(A, Y)
    logits = head.decision_function(A)
    assert head.multilabel_
    assert logits.shape == head.predict(A).shape == head.predict_proba(A).shape == (200, 3)
    np.testing.assert_allclose(head.predict_proba(A), 1 / (1 + np.exp(-logits)))
    np.testing.assert_array_equal(head.predict(A), logits > 0)
    assert head.coef_.shape == (3, 8)
    assert len(head.certificates_) == len(head.n_iter_) == 3


def test_one_column_of_labels_stays_one_column(labelled):
    A, Y = labelled
    head = MultiLabelConceptHead().fit(A, Y[:, :1])
    assert head.predict(A).shape == head.predict_proba(A).shape == head.decision_function(A).shape == (200, 1)


def test_each_label_may_have_its_own_alpha(labelled):
    A, Y = labelled
    alphas = [0.001, 0.01, 10.0]
    head = MultiLabelConceptHead(alphas).fit(A, Y)
    for label, alpha in enumerate(alphas):
        shared = MultiLabelConceptHead(alpha).fit(A, Y)
        np.testing.assert_array_equal(head.coef_[label], shared.coef_[label])
    assert not head.coef_[2].any()


def test_huge_penalty_leaves_the_frequencies_of_the_known_labels(labelled):
    A, Y = labelled
    head = MultiLabelConceptHead(100.0).fit(A, Y)
    np.testing.assert_allclose(head.predict_proba(A[:1])[0], np.nanmean(Y, axis=0), atol=1e-7)


def test_balanced_labels_have_even_odds_without_concepts(labelled):
    head = MultiLabelConceptHead(100.0, class_weight="balanced").fit(*labelled)
    np.testing.assert_allclose(head.intercept_, 0.0, atol=1e-7)


def test_score_counts_known_labels_only(labelled):
    A, Y = labelled
    head = MultiLabelConceptHead().fit(A, Y)
    predicted = head.predict(A).astype(float)
    assert head.score(A, np.where(np.isnan(Y), np.nan, predicted)) == 1.0
    predicted[:50, 0] = 1 - predicted[:50, 0]
    assert head.score(A, predicted) == 0.75
    weights = np.where(np.arange(200) < 50, 3.0, 1.0)
    assert head.score(A, predicted, weights) == pytest.approx(0.5)
    nothing = np.full_like(predicted, np.nan)
    nothing[60:] = predicted[60:]
    assert head.score(A, nothing) == 1.0


def test_tables_give_their_names(labelled):
    A, Y = labelled
    names = [f"finding {j}" for j in range(8)]
    head = MultiLabelConceptHead().fit(pd.DataFrame(A, columns=names), pd.DataFrame(Y, columns=["a", "b", "c"]))
    assert list(head.classes_) == ["a", "b", "c"]
    frame = head.weights_frame()
    assert list(frame.index) == ["a", "b", "c"]
    assert list(frame.columns) == names
    np.testing.assert_array_equal(frame.to_numpy(), head.coef_)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64", "object"])
def test_gaps_of_any_pandas_column_are_gaps(dtype, labelled):
    A, Y = labelled
    head = MultiLabelConceptHead().fit(A, pd.DataFrame(Y).astype(dtype))
    np.testing.assert_array_equal(head.coef_, MultiLabelConceptHead().fit(A, Y).coef_)


def test_permuting_labels_and_concepts_permutes_weights(labelled):
    A, Y = labelled
    signs = np.random.default_rng(0).integers(-1, 2, (3, 8))
    concepts, labels = np.random.default_rng(1).permutation(8), [2, 0, 1]
    plain = MultiLabelConceptHead(prior_signs=signs).fit(A, Y)
    moved = MultiLabelConceptHead(prior_signs=signs[np.ix_(labels, concepts)]).fit(A[:, concepts], Y[:, labels])
    np.testing.assert_allclose(moved.coef_, plain.coef_[np.ix_(labels, concepts)], atol=1e-7)


def test_classes_take_the_one_against_the_rest_strategy(four_classes):
    A, y = four_classes
    labels = np.array(["a", "b", "c", "d"])[y]
    head = MultiLabelConceptHead(0.005).fit(A, labels)
    assert not head.multilabel_
    assert head.coef_.shape == (4, 12)
    np.testing.assert_allclose(head.predict_proba(A).sum(axis=1), 1.0)
    np.testing.assert_array_equal(head.predict(A), head.classes_[head.predict_proba(A).argmax(axis=1)])
    assert head.score(A, labels) == np.mean(head.predict(A) == labels)


def test_two_classes_are_the_concept_head(two_classes):
    A, y = two_classes
    signs = np.random.default_rng(0).integers(-1, 2, (2, 12))
    ours, plain = (kind(0.005, prior_signs=signs).fit(A, y) for kind in (MultiLabelConceptHead, ConceptHead))
    np.testing.assert_allclose(ours.coef_, plain.coef_, atol=1e-9)
    np.testing.assert_allclose(ours.decision_function(A), plain.decision_function(A), atol=1e-8)
    np.testing.assert_allclose(ours.predict_proba(A), plain.predict_proba(A), atol=1e-8)


def test_works_inside_scikit_learn(labelled):
    A, Y = labelled
    search = GridSearchCV(MultiLabelConceptHead(), {"alpha": [0.1, 0.005]}, cv=KFold(3)).fit(A, Y)
    assert search.best_params_ == {"alpha": 0.005}
    assert cross_val_predict(MultiLabelConceptHead(), A, np.nan_to_num(Y), cv=3, method="predict_proba").shape == (
        200,
        3,
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": [0.1, 0.2]}, r"alpha must be one number, or one for each of 3 labels; got \[0.1, 0.2\]"),
        ({"alpha": [0.1, -0.2, 0.3]}, r"alpha must be a number of at least 0, got -0.2"),
        ({"alpha": "much"}, r"alpha must be a number of at least 0, got 'much'"),
        ({"class_weight": {0: 2.0}}, r"labels of shape \(n, L\) class_weight must be None or 'balanced', got \{0"),
        ({"prior_signs": np.ones((2, 8))}, r"shape \(3, 8\), one row a label and one column a concept; got \(2, 8\)"),
        ({"prior_signs": np.full((3, 8), 3)}, r"prior_signs must be -1, 0 or 1, got 3"),
        ({"prior": "soft"}, r"prior must be 'sign', .* got 'soft'"),
        ({"max_iter": 0}, r"max_iter must be an integer of at least 1"),
    ],
)
def test_unusable_settings_are_named(parameters, message, labelled):
    with pytest.raises(InputError, match=message):
        MultiLabelConceptHead(**parameters).fit(*labelled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Y: np.where(np.isnan(Y), np.nan, 2 * Y), "must hold 1, 0 or NaN"),
        (lambda Y: np.full(Y.shape, np.nan), "Label 0 is never known .* drop its column"),
        (lambda Y: np.column_stack([Y[:, 0], np.ones(len(Y))]), "Label 1 is present in all samples .one class only"),
        (lambda Y: np.column_stack([np.zeros(len(Y)), Y[:, 1]]), "Label 0 is absent in all samples"),
        (lambda Y: Y[:-1], "inconsistent numbers of samples"),
        (lambda Y: Y[:, 0], "NaN"),
        (lambda Y: None, "requires y to be passed"),
        (lambda Y: np.zeros(len(Y)), "y holds one class only"),
    ],
)
def test_unusable_labels_are_named(change, message, labelled):
    A, Y = labelled
    with pytest.raises(InputError, match=message):
        MultiLabelConceptHead().fit(A, change(Y))


def test_score_of_other_labels_is_refused(labelled):
    A, Y = labelled
    head = MultiLabelConceptHead().fit(A, Y)
    with pytest.raises(InputError, match=r"y has shape \(200, 2\), expected \(200, 3\)"):
        head.score(A, Y[:, :2])
    with pytest.raises(InputError, match="nothing to score"):
        head.score(A, np.full_like(Y, np.nan))


def test_weights_that_leave_one_value_of_a_label_are_refused(labelled):
    A, Y = labelled
    weights = np.where(Y[:, 1] == 1, 0.0, 1.0)
    with pytest.raises(InputError, match="weights of all samples of class 1 are zero"):
        MultiLabelConceptHead().fit(A, Y, sample_weight=weights)


def test_labels_that_stop_early_are_counted(labelled):
    with pytest.warns(ConvergenceWarning, match=r"3 of 3 labels stopped before .*the first is 0"):
        MultiLabelConceptHead(1e-4, max_iter=1).fit(*labelled)


def test_use_before_fit():
    for call in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(MultiLabelConceptHead(), call)([[0.0]])
    with pytest.raises(NotFittedError, match="not fitted yet"):
        MultiLabelConceptHead().weights_frame()
