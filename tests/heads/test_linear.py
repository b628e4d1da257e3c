import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knobo.errors import InputError, NotFittedError
from knobo.heads import ConceptHead, class_weights


def random_signs(n_classes, m=12, seed=0):
    return np.random.default_rng(seed).integers(-1, 2, (n_classes, m)).astype(float)


def as_rows(signs):
    """Signs of the rows of weights: those of the log-odds where there are two classes."""
    return np.sign(signs[1:] - signs[:1]) if len(signs) == 2 else signs


def test_without_prior_and_l1_it_is_logistic_regression(activations):
    A, y = activations
    head = ConceptHead(0.002, l1_ratio=0.0, tol=1e-12).fit(A, y)
    peer = LogisticRegression(C=1 / (len(y) * 0.002), solver="newton-cg", tol=1e-11, max_iter=1000).fit(A, y)
    assert head.coef_.shape == peer.coef_.shape
    assert head.intercept_.shape == peer.intercept_.shape
    np.testing.assert_allclose(head.coef_, peer.coef_, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(head.decision_function(A), peer.decision_function(A), atol=1e-6)
    np.testing.assert_allclose(head.predict_proba(A), peer.predict_proba(A), atol=1e-7)
    np.testing.assert_allclose(head.predict_log_proba(A), peer.predict_log_proba(A), atol=1e-6)
    np.testing.assert_array_equal(head.predict(A), peer.predict(A))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}])
def test_class_weights_are_those_of_logistic_regression(two_classes, class_weight):
    A, y = two_classes
    own = 0.5 + np.random.default_rng(0).random(len(y))
    head = ConceptHead(0.01, l1_ratio=0.0, class_weight=class_weight, tol=1e-12).fit(A, y, sample_weight=own)
    if class_weight == "balanced":
        total = np.bincount(y, own)
        factors = total.sum() / (2 * total)
    else:
        factors = np.array([3.0, 0.5])
    weights = own * factors[y]
    peer = LogisticRegression(C=1 / (weights.sum() * 0.01), solver="newton-cg", tol=1e-11).fit(A, y, weights)
    np.testing.assert_allclose(head.coef_, peer.coef_, rtol=1e-6)


def test_weights_that_agree_with_the_literature_are_free_of_the_prior(activations):
    A, y = activations
    plain = ConceptHead(0.005).fit(A, y)
    agreeing = ConceptHead(0.005, prior_signs=np.sign(plain.coef_), prior_strength=50.0).fit(A, y)
    np.testing.assert_allclose(agreeing.coef_, plain.coef_, atol=1e-6)
    assert agreeing.certificate_.objective == pytest.approx(plain.certificate_.objective, rel=1e-10)


def test_strong_prior_sets_wrong_signs_to_exactly_zero(activations):
    A, y = activations
    n_classes = len(np.unique(y))
    signs = random_signs(n_classes)
    free = ConceptHead(0.001).fit(A, y)
    bound = ConceptHead(0.001, prior_signs=signs, prior_strength=1e4).fit(A, y)
    assert (as_rows(signs) * free.coef_ < 0).sum() >= 3
    assert not (as_rows(signs) * bound.coef_ < 0).any()
    assert bound.prior_conflicts().empty
    assert (as_rows(signs) * bound.coef_ > 0).any()


def test_prior_grows_with_strength_and_confidence(four_classes):
    A, y = four_classes
    signs = random_signs(4)

    def wrong(**settings):
        head = ConceptHead(0.001, prior_signs=signs, **settings).fit(A, y)
        return np.maximum(-signs * head.coef_, 0).sum()

    sums = [wrong(prior_strength=strength) for strength in (0.0, 0.2, 1.0, 5.0)]
    assert sums == sorted(sums, reverse=True)
    assert sums[-1] < 0.5 * sums[0]
    half = np.full((4, 12), 0.5)
    assert wrong(prior_strength=2.0, prior_confidence=half) == pytest.approx(wrong(prior_strength=1.0), abs=1e-6)


@pytest.mark.parametrize(
    "settings", [{"prior_strength": 0.0}, {"prior": None}, {"prior_confidence": np.zeros((4, 12))}]
)
def test_no_strength_is_no_prior(four_classes, settings):
    A, y = four_classes
    plain = ConceptHead(0.001).fit(A, y)
    head = ConceptHead(0.001, prior_signs=random_signs(4), **settings).fit(A, y)
    np.testing.assert_array_equal(head.coef_, plain.coef_)


def test_signs_of_two_classes_equal_signs_of_the_log_odds(two_classes):
    A, y = two_classes
    signs = random_signs(2)
    two = ConceptHead(0.001, prior_signs=signs).fit(A, y)
    one = ConceptHead(0.001, prior_signs=as_rows(signs)).fit(A, y)
    np.testing.assert_array_equal(two.coef_, one.coef_)


def test_conflicts_list_the_weights_that_contradict(four_classes):
    A, y = four_classes
    names = [f"finding {j}" for j in range(12)]
    labels = np.array(["a", "b", "c", "d"])[y]
    signs, confidence = random_signs(4), np.random.default_rng(1).random((4, 12))
    head = ConceptHead(0.001, prior_signs=signs, prior_confidence=confidence, prior_strength=0.1)
    head.fit(pd.DataFrame(A, columns=names), labels)
    conflicts = head.prior_conflicts()
    assert len(conflicts) == (signs * head.coef_ < 0).sum() > 0
    assert list(conflicts.columns) == ["class", "concept", "prior_sign", "confidence", "weight"]
    assert conflicts["weight"].abs().is_monotonic_decreasing
    for _, entry in conflicts.iterrows():
        at = "abcd".index(entry["class"]), names.index(entry["concept"])
        assert head.coef_[at] == entry["weight"]
        assert signs[at] == entry["prior_sign"] == -np.sign(entry["weight"])
        assert confidence[at] == entry["confidence"]


def test_conflicts_are_listed_for_a_fit_without_the_prior(four_classes):
    signs = random_signs(4)
    head = ConceptHead(0.001, prior=None, prior_signs=signs).fit(*four_classes)
    assert len(head.prior_conflicts()) == (signs * head.coef_ < 0).sum() > 0


def test_conflicts_of_two_classes_speak_of_the_second(two_classes):
    A, y = two_classes
    head = ConceptHead(0.001).fit(A, np.array(["ill", "well"])[y])
    strongest = int(np.abs(head.coef_[0]).argmax())
    signs = np.zeros((2, 12))
    signs[0, strongest] = np.sign(head.coef_[0, strongest])
    conflict = head.set_params(prior_signs=signs).prior_conflicts().iloc[0]
    assert conflict["class"] == "well"
    assert conflict["concept"] == f"x{strongest}"
    assert conflict["prior_sign"] == -signs[0, strongest]


def test_class_weights_give_every_class_its_logit(activations):
    A, y = activations
    head = ConceptHead(0.005).fit(A, y)
    W, b = class_weights(head)
    logits = A @ W.T + b
    decision = head.decision_function(A)
    assert W.shape == (len(head.classes_), 12)
    if len(head.classes_) == 2:
        np.testing.assert_allclose(logits, np.column_stack([-decision, decision]))
    else:
        np.testing.assert_allclose(logits, decision)
        assert head.intercept_.sum() == pytest.approx(0.0, abs=1e-12)
    W[:] = 0.0
    assert head.coef_.any()


def test_certificate_is_kept(activations):
    head = ConceptHead(0.005, tol=1e-7).fit(*activations)
    assert head.certificate_.converged
    assert head.certificate_.kkt_residual <= head.certificate_.tol == 1e-7
    assert head.certificate_.duality_gap < 1e-4 * head.certificate_.objective
    assert head.n_iter_ >= 1


def test_intercept_can_be_left_out(activations):
    head = ConceptHead(0.005, fit_intercept=False).fit(*activations)
    assert not head.intercept_.any()
    assert head.coef_.any()


def test_max_iter_reached_warns_with_the_certificate(four_classes):
    with pytest.warns(ConvergenceWarning, match=r"after 1 iterations at a KKT residual of .* duality gap of"):
        head = ConceptHead(1e-4, max_iter=1).fit(*four_classes)
    assert not head.certificate_.converged


@pytest.mark.parametrize("n_classes", [2, 3])
def test_separated_classes_without_penalty_end_finite_and_warned(n_classes):
    A = np.random.default_rng(0).random((30, 2)) * 0.1
    y = np.arange(30) % n_classes
    A[:, 0] += y
    with pytest.warns(ConvergenceWarning, match=r"separated without error .* Set alpha above 0"):
        head = ConceptHead(alpha=0.0, tol=1e-8).fit(A, y)
    assert head.score(A, y) == 1.0
    assert np.isfinite(head.coef_).all()
    assert head.certificate_.objective < 1e-6


def test_unpenalised_fit_of_overlapping_classes_does_not_warn(two_classes):
    A, y = two_classes
    head = ConceptHead(alpha=0.0, tol=1e-10).fit(A, y)
    peer = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-11, max_iter=1000).fit(A, y)
    np.testing.assert_allclose(head.coef_, peer.coef_, rtol=1e-5)


def test_works_inside_scikit_learn(four_classes):
    A, y = four_classes
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ConceptHead(prior_signs=random_signs(4))),
        {"concepthead__alpha": [0.1, 0.01], "concepthead__prior_strength": [0.0, 1.0]},
        cv=3,
    ).fit(A, y)
    assert search.best_params_["concepthead__alpha"] == 0.01
    assert search.best_score_ > 0.4


def test_clone_keeps_the_prior():
    signs = random_signs(3)
    np.testing.assert_array_equal(clone(ConceptHead(prior_signs=signs)).prior_signs, signs)


def test_text_labels_of_pandas_are_read(two_classes):
    A, y = two_classes
    labels = pd.Series(np.array(["ill", "well"])[y], index=np.arange(len(y)) + 7)
    head = ConceptHead().fit(A, labels)
    assert list(head.classes_) == ["ill", "well"]
    assert set(head.predict(A)) == {"ill", "well"}


@pytest.mark.parametrize("call", ["predict", "decision_function", "predict_proba"])
def test_use_before_fit(call):
    with pytest.raises(NotFittedError, match="ConceptHead instance is not fitted yet"):
        getattr(ConceptHead(), call)([[0.0]])
    with pytest.raises(NotFittedError, match="not fitted yet"):
        class_weights(ConceptHead())


def test_other_number_of_concepts(two_classes):
    head = ConceptHead().fit(*two_classes)
    with pytest.raises(InputError, match="X has 3 features, but ConceptHead is expecting 12"):
        head.predict(np.zeros((2, 3)))
