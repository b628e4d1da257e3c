"""Grounding functions reach the optimum, held-out activations are held out, weak concepts are dropped by name."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knobo.errors import InputError, NotFittedError
from knobo.grounding import ConceptScorer, concept_answers, held_out_quality
from knobo.grounding.supervised import _choose


@pytest.fixture
def data():
    """200 embeddings of size 12; two concepts that can be read off them, one that is noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 12)) * rng.uniform(0.5, 3, 12) + 1
    easy = X[:, 0] + 0.3 * rng.normal(size=200) > 1
    partly = X[:, 1] - X[:, 2] + rng.normal(size=200) > 0
    answers = pd.DataFrame({"easy": easy, "partly": partly, "noise": rng.random(200) < 0.5}, dtype=float)
    answers.loc[:39, "partly"] = np.nan
    return X, answers


def test_transform_gives_probabilities_of_the_kept_concepts(data):
    X, answers = data
    scorer = ConceptScorer().fit(X, answers)
    activations = scorer.transform(X)
    assert list(scorer.get_feature_names_out()) == ["easy", "partly"]
    assert activations.shape == (200, 2)
    assert activations.min() >= 0
    assert activations.max() <= 1
    assert roc_auc_score(answers["easy"], activations[:, 0]) > 0.95


@pytest.mark.parametrize("d", [12, 300])
def test_grounding_functions_equal_sklearn_on_standardised_embeddings(d):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, d)) + 2
    truth = (X[:, 0] > 2).astype(float)
    scorer = ConceptScorer(Cs=(0.01,), min_auroc=0.0).fit(X, truth[:, None])
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-10, max_iter=5000)).fit(X, truth)
    np.testing.assert_allclose(scorer.transform(X)[:, 0], peer.predict_proba(X)[:, 1], atol=1e-4)


def test_fit_transform_is_out_of_fold():
    rng = np.random.default_rng(2)
    X, coin = rng.normal(size=(60, 200)), (rng.random((60, 1)) < 0.5).astype(float)
    scorer = ConceptScorer(min_auroc=0.0, min_count=1, Cs=(1.0,))
    held_out = scorer.fit_transform(X, coin)
    assert roc_auc_score(coin, scorer.transform(X)) == 1.0  # the fit itself knows every coin by heart
    assert roc_auc_score(coin, held_out) < 0.75


def test_held_out_activations_never_depend_on_their_own_label(data):
    X, answers = data
    y = answers[["partly"]].fillna(0.0)
    before = ConceptScorer(min_auroc=0.0).fit_transform(X, y)
    changed = y.copy()
    changed.iloc[7] = 1 - changed.iloc[7]
    after = ConceptScorer(min_auroc=0.0).fit_transform(X, changed)
    # flipping row 7 moves the functions of all other folds, but not the one that scores row 7 with the same strength
    assert after[7] == pytest.approx(before[7], abs=1e-9)
    assert not np.allclose(after, before, atol=1e-6)


def test_groups_stay_in_one_fold():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(30), 4)
    signature = rng.normal(size=(30, 40))[patients]  # every image of a patient is the same
    coin = (rng.random(30) < 0.5).astype(float)[patients][:, None]
    leaky = ConceptScorer(min_auroc=0.0).fit_transform(signature, coin)
    honest = ConceptScorer(min_auroc=0.0).fit_transform(signature, coin, groups=patients)
    assert roc_auc_score(coin, leaky) > 0.95
    assert roc_auc_score(coin, honest) < 0.75


def test_quality_lists_every_concept_with_counts_and_reason(data):
    X, answers = data
    answers["rare"] = 0.0
    answers.loc[:2, "rare"] = 1.0
    quality = ConceptScorer().fit(X, answers).quality_
    assert list(quality.index) == ["easy", "partly", "noise", "rare"]
    assert quality.loc["partly", "n_unknown"] == 40
    assert quality.loc["easy", "n_yes"] + quality.loc["easy", "n_no"] == 200
    assert list(quality["kept"]) == [True, True, False, False]
    assert quality.loc["noise", "reason"] == "held-out AUROC below 0.6"
    assert quality.loc["rare", "reason"] == "fewer than 10 yes or no answers"
    assert quality.loc["easy", "reason"] == ""
    assert np.isnan(quality.loc["rare", "auroc"])


def test_held_out_quality_ignores_unknown_answers():
    labels = np.array([[1.0], [0.0], [np.nan], [1.0]])
    quality = held_out_quality(labels, np.array([[0.9], [0.2], [0.0], [0.4]]), ["x"])
    assert quality.loc["x", "auroc"] == 1.0
    assert quality.loc["x", "accuracy"] == pytest.approx(2 / 3)
    assert quality.loc["x", "brier"] == pytest.approx((0.01 + 0.04 + 0.36) / 3)


def test_scorer_follows_sklearn_conventions(data):
    X, answers = data
    scorer = ConceptScorer(min_auroc=0.7).set_output(transform="pandas")
    frame = scorer.fit(X, answers).transform(X)
    assert list(frame.columns) == ["easy", "partly"]
    assert clone(scorer).get_params() == scorer.get_params()
    again = ConceptScorer(min_auroc=0.7).fit(X, answers)
    np.testing.assert_array_equal(again.coef_, scorer.coef_)


def test_activations_are_the_logistic_of_a_linear_function(data):
    X, answers = data
    scorer = ConceptScorer().fit(X, answers)
    np.testing.assert_allclose(scorer.transform(X), expit(X @ scorer.coef_.T + scorer.intercept_))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y.iloc[:-1]), "200 images but 199 rows of concept answers"),
        (lambda X, y: (X, y[["easy"]].replace(1.0, 2.0)), "Concept 'easy' has the answer 2 in row"),
        (lambda X, y: (np.where(X > 5, np.nan, X), y), "NaN"),
        (lambda X, y: (X, y[["noise"]]), "No concept has a held-out AUROC of 0.6"),
        (lambda X, y: (X, y[["easy"]] * 0), "No concept has 10 yes and 10 no answers.*easy: 0 yes, 200 no"),
        (lambda X, y: (X, y.rename(columns={"partly": "easy"})), "must have different names"),
        (lambda X, y: (X[:3], y[:3]), "minimum of 5 is required"),
    ],
)
def test_unusable_data_are_named(data, change, message):
    X, y = change(*data)
    with pytest.raises(InputError, match=message):
        ConceptScorer().fit(X, y)


def test_answers_are_needed_and_fitting_comes_first(data):
    X, _ = data
    with pytest.raises(InputError, match="pass y"):
        ConceptScorer().fit_transform(X)
    with pytest.raises(InputError, match="200 images but 3 groups"):
        ConceptScorer().fit(data[0], data[1], groups=[1, 2, 3])
    with pytest.raises(NotFittedError, match="not fitted yet"):
        ConceptScorer().transform(X)


def test_a_concept_whose_interval_reaches_chance_is_kept_and_marked():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(40, 3))
    weak = (X[:, 0] + 2.0 * rng.normal(size=40) > 0).astype(float)
    sure = (X[:, 1] > 0).astype(float)
    answers = pd.DataFrame({"weak": weak, "sure": sure})
    table = ConceptScorer(min_auroc=0.51).fit(X, answers).certificate_
    assert table.loc["weak", "auroc"] > 0.51
    assert table.loc["weak", "auroc_low"] < 0.5
    assert list(table["abstain"]) == [True, False]
    assert list(table["kept"]) == [True, True]


def test_certificates_by_domain_and_on_other_images(data):
    X, answers = data
    hospital = np.repeat(["A", "B"], 100)
    scorer = ConceptScorer().fit(X, answers, domain=hospital)
    assert list(scorer.domain_certificate_.index) == [("easy", "A"), ("easy", "B"), ("partly", "A"), ("partly", "B")]
    assert scorer.domain_certificate_.loc[("partly", "A"), "n_unknown"] == 40
    elsewhere = scorer.certify(X[:100], answers.iloc[:100].drop(columns="partly"))
    assert elsewhere.loc["easy", "auroc"] > 0.95
    assert elsewhere.loc["partly", "abstain"]
    with pytest.raises(InputError, match="DataFrame"):
        scorer.certify(X, answers.to_numpy())


def test_balanced_weights_bring_rare_findings_to_one_half():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(600, 5))
    rare = pd.DataFrame({"rare": (X[:, 0] + rng.normal(size=600) > 2).astype(float)})
    plain = ConceptScorer().fit(X, rare).transform(X)
    balanced = ConceptScorer(class_weight="balanced").fit(X, rare).transform(X)
    assert (plain >= 0.5).mean() < 0.1
    assert (balanced >= 0.5).mean() > 0.15


@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"device": "cpu:0"}])
def test_threads_and_batches_give_the_same_scorer(data, options):
    X, answers = data
    single = ConceptScorer(Cs=(0.01, 1.0))
    other = ConceptScorer(Cs=(0.01, 1.0), **options)
    np.testing.assert_allclose(other.fit_transform(X, answers), single.fit_transform(X, answers), atol=3e-4)
    np.testing.assert_allclose(other.transform(X), single.transform(X), atol=3e-4)


def test_an_l1_share_makes_grounding_functions_sparse(data):
    X, answers = data
    scorer = ConceptScorer(Cs=(0.1,), l1_ratio=1.0).fit(X, answers)
    assert (scorer.coef_ == 0).mean() > 0.2
    assert roc_auc_score(answers["easy"], scorer.transform(X)[:, 0]) > 0.95


def test_single_precision_embeddings_give_nearly_the_same_activations(data):
    X, answers = data
    double = ConceptScorer().fit_transform(X, answers)
    single = ConceptScorer().fit_transform(X.astype(np.float32), answers)
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, double, atol=3e-4)


def test_an_experts_answer_beats_the_report_and_gaps_stay_gaps():
    expert = pd.DataFrame({"nodule": [1.0, np.nan, np.nan]})
    reports = ["No nodule.", "There is a nodule.", "Normal heart size."]
    _, answers = concept_answers(3, None, expert, reports)
    np.testing.assert_array_equal(answers["nodule"], [1.0, 1.0, np.nan])


def test_weaker_penalties_are_not_tried_once_the_loss_has_risen():
    losses = np.array([[10.0, 10.0], [8.0, 8.0], [9.0, 8.05], [1.0, 1.0]])  # two folds, four strengths
    assert _choose(losses[:2])[1] is False
    chosen, settled = _choose(losses[:3])
    assert list(chosen) == [1, 1, 1]  # the first fold is judged by the second's loss, the second by the first's
    assert settled is False  # 8.05 is within 1 % of 8
    assert list(_choose(losses)[0]) == [3, 1, 1]
    assert _choose(losses + np.array([[0.0], [0.0], [1.0], [0.0]]))[1] is True
