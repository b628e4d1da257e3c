"""scikit-learn's tools work on knobo's estimators: each is used here, and its result is checked."""

import importlib
import pkgutil

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, StratifiedKFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import knobo
from knobo.bank import ConceptBank
from knobo.encoders import ImageEncoder
from knobo.grounding import ConceptScorer, ZeroShotScorer
from knobo.heads import ConceptHead, ConceptHeadCV

CHECKED = {  # every check of check_estimator, in
    "ConceptHead": "tests/heads/test_estimator_checks.py",
    "ConceptHeadCV": "tests/heads/test_estimator_checks.py",
    "HybridHead": "tests/heads/test_estimator_checks.py",
    "MultiLabelConceptHead": "tests/heads/test_estimator_checks.py",
    "ConceptScorer": "tests/grounding/test_scorer_checks.py",
    "ZeroShotScorer": "this file",
}
NOT_NUMERIC = {  # check_estimator hands over arrays of random numbers, which these do not take
    "ImageEncoder": "takes images",
    "ConceptBottleneckClassifier": "takes images, and an expert's answers or reports beside the labels",
}


@pytest.fixture(scope="module")
def data():
    """Activations (200, 6) of which the first two decide, labels, and weights."""
    rng = np.random.default_rng(0)
    A = rng.random((200, 6))
    y = np.array(["healthy", "ill"])[(6 * (A[:, 0] - A[:, 1]) + rng.logistic(size=200) > 0).astype(int)]
    return A, y, rng.uniform(0.5, 2, 200)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def public_estimators():
    """Names of all public estimator classes of the package."""
    found = set()
    for module in pkgutil.walk_packages(knobo.__path__, "knobo."):
        if module.name.startswith("knobo._shipped"):
            continue
        for name, item in vars(importlib.import_module(module.name)).items():
            if isinstance(item, type) and issubclass(item, BaseEstimator) and item.__module__.startswith("knobo."):
                found.add(name)
    return {name for name in found if not name.startswith("_")}


def test_every_estimator_is_checked_or_takes_no_numbers():
    bases = {"LinearHead", "LinearScorer"}  # without parameters of their own
    assert public_estimators() - bases == set(CHECKED) | set(NOT_NUMERIC)


class Words:
    """Each text becomes a direction of its own, in as many dimensions as wanted."""

    spec = "words"

    def __init__(self, width=4):
        self.width = width

    def __repr__(self):
        return "Words()"

    def encode_images(self, images, *, progress=False):
        raise NotImplementedError

    def encode_texts(self, texts):
        rows = [np.random.default_rng(sum(map(ord, text))).normal(size=self.width) for text in texts]
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class AnyWidth(ZeroShotScorer):
    """The checks hand over embeddings of any width, and targets that are no answers."""

    def _text_encoder(self):
        return Words(self.n_features_in_)

    def fit(self, X, y=None):
        return super().fit(X)


@parametrize_with_checks([AnyWidth(ConceptBank.from_names(["nodule", "mass"]), Words())])
def test_zero_shot_scorer_passes_every_check(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else the check of array API input is skipped
    check(estimator)


def test_grid_search_finds_the_alpha_that_scores_best(data):
    A, y, _ = data
    search = GridSearchCV(ConceptHead(), {"alpha": [0.001, 0.01, 10.0]}, scoring="neg_log_loss", cv=3).fit(A, y)
    scores = [cross_val_score(ConceptHead(a), A, y, scoring="neg_log_loss", cv=3).mean() for a in (0.001, 0.01, 10.0)]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], scores)
    assert search.best_params_["alpha"] in (0.001, 0.01)


def test_a_pipeline_goes_from_images_to_classes(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    embeddings = colour_encoder.encode_images(images)
    scorer = ConceptScorer().fit(embeddings, answers)
    pipeline = Pipeline(
        [
            ("encoder", ImageEncoder(colour_encoder)),
            ("scorer", FrozenEstimator(scorer)),
            ("head", ConceptHead(0.003)),
        ]
    ).fit(images, y)
    assert pipeline.score(images, y) > 0.75
    expected = ConceptHead(0.003).fit(scorer.transform(embeddings), y).predict_proba(scorer.transform(embeddings))
    np.testing.assert_allclose(pipeline.predict_proba(images), expected, atol=1e-5)
    search = GridSearchCV(pipeline, {"head__alpha": [0.003, 10.0]}, cv=3).fit(images, y)
    assert search.best_params_ == {"head__alpha": 0.003}


def test_set_output_names_the_concepts_and_the_head_learns_the_names(colour_encoder, band_images):
    images, y, answers = band_images
    embeddings = colour_encoder.encode_images(images)
    scorer = ConceptScorer().set_output(transform="pandas").fit(embeddings, answers)
    table = scorer.transform(embeddings)
    assert list(table.columns) == list(scorer.get_feature_names_out())
    pipeline = make_pipeline(FrozenEstimator(scorer), ConceptHead(0.003)).fit(embeddings, y)
    assert list(pipeline[-1].feature_names_in_) == list(table.columns)


@pytest.mark.parametrize("head", [ConceptHead(0.02, l1_ratio=0.5), ConceptHeadCV(alphas=4, cv=3, rule="1se")])
def test_a_clone_has_the_parameters_and_nothing_learnt(data, head):
    A, y, _ = data
    fitted = clone(head).fit(A, y)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "coef_")
    np.testing.assert_array_equal(copy.fit(A, y).coef_, fitted.coef_)


def test_sample_weights_are_routed_through_a_search_and_a_pipeline(data, routing):
    A, y, weights = data
    head = ConceptHead(0.01).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    pipeline = make_pipeline("passthrough", head)
    search = GridSearchCV(pipeline, {"concepthead__alpha": [0.01]}, cv=StratifiedKFold(3)).fit(
        A, y, sample_weight=weights
    )
    expected = ConceptHead(0.01).fit(A, y, sample_weight=weights)
    np.testing.assert_array_equal(search.best_estimator_[-1].coef_, expected.coef_)
    assert not np.allclose(expected.coef_, ConceptHead(0.01).fit(A, y).coef_)


def test_groups_are_routed_to_the_head_that_chooses_by_folds(data, routing):
    A, y, _ = data
    hospital = np.arange(200) % 4
    head = ConceptHeadCV(alphas=3, cv=LeaveOneGroupOut()).set_fit_request(groups=True)
    pipeline = make_pipeline("passthrough", head).fit(A, y, groups=hospital)
    direct = ConceptHeadCV(alphas=3, cv=LeaveOneGroupOut()).fit(A, y, groups=hospital)
    pd.testing.assert_frame_equal(pipeline[-1].scores_, direct.scores_)


def test_partial_dependence_of_a_linear_head_is_monotone_in_the_sign_of_the_weight(data):
    A, y, _ = data
    head = ConceptHead(0.01).fit(A, y)
    for j, sign in ((0, 1), (1, -1)):
        assert np.sign(head.coef_[0, j]) == sign
        curve = partial_dependence(head, A, [j], grid_resolution=8, kind="average")["average"][0]
        assert (np.diff(curve) * sign > 0).all()


def test_permuting_the_concepts_that_decide_matters_most(data):
    A, y, _ = data
    head = ConceptHead(0.01).fit(A, y)
    importance = permutation_importance(head, A, y, n_repeats=5, random_state=0).importances_mean
    assert set(np.argsort(-importance)[:2]) == {0, 1}
    assert (importance[(head.coef_ == 0)[0]] == 0).all()


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_calibrated_classifier_cv_takes_a_head(data, method):
    A, y, _ = data
    calibrated = CalibratedClassifierCV(ConceptHead(0.05), method=method, cv=3).fit(A[:150], y[:150])
    proba = calibrated.predict_proba(A[150:])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert calibrated.score(A[150:], y[150:]) > 0.6
    assert not np.allclose(proba, ConceptHead(0.05).fit(A[:150], y[:150]).predict_proba(A[150:]))


def test_cross_validated_scores_are_those_of_the_folds(data):
    A, y, _ = data
    folds = list(StratifiedKFold(4).split(A, y))
    by_hand = [ConceptHead(0.01).fit(A[a], y[a]).score(A[b], y[b]) for a, b in folds]
    np.testing.assert_allclose(cross_val_score(ConceptHead(0.01), A, y, cv=folds), by_hand)


def test_one_against_the_rest_gives_each_class_a_head_of_its_own(four_groups):
    A, y = four_groups
    rest = OneVsRestClassifier(ConceptHead(0.01)).fit(A, y)
    np.testing.assert_allclose(rest.estimators_[2].coef_, ConceptHead(0.01).fit(A, y == 2).coef_)


@pytest.fixture
def four_groups():
    rng = np.random.default_rng(1)
    A = rng.random((200, 5))
    return A, (6 * A[:, :4] + rng.gumbel(size=(200, 4))).argmax(axis=1)


def test_the_heads_and_the_classifier_are_classifiers():
    assert is_classifier(ConceptHead())
    assert is_classifier(ConceptHeadCV())
    assert is_classifier(knobo.ConceptBottleneckClassifier())
