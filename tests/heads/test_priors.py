"""What each prior promises of the weights."""

import numpy as np
import pytest
from activations_data import make_activations
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier

from knobo.heads import ConceptHead, ConceptHeadCV, LocalCertificate, MultiLabelConceptHead, alpha_max
from knobo.heads.objective import log_loss, log_probabilities, make_penalty
from knobo.heads.tanh import make_tanh_penalty

a_few = settings(max_examples=15, deadline=None, derandomize=True)
problems = st.fixed_dictionaries(
    {"seed": st.integers(0, 10_000), "n_classes": st.integers(2, 4), "alpha": st.sampled_from([0.003, 0.02])}
)


def draw(seed, n_classes, alpha, n=60, m=8):
    """Activations, labels of every class, and signs of the rows of weights."""
    A, y = make_activations(n, m, n_classes, seed)
    y[:n_classes] = np.arange(n_classes)
    signs = np.random.default_rng(seed).integers(-1, 2, (1 if n_classes == 2 else n_classes, m)).astype(float)
    return A, y, signs


@a_few
@given(problem=problems, l1_ratio=st.sampled_from([0.0, 0.5, 1.0]))
def test_hard_signs_hold_exactly(problem, l1_ratio):
    A, y, signs = draw(**problem)
    head = ConceptHead(problem["alpha"], l1_ratio=l1_ratio, prior="hard", prior_signs=signs, prior_strength=0.0)
    head.fit(A, y)
    assert not (signs * head.coef_ < 0).any()
    assert head.certificate_.converged
    assert np.isfinite(head.certificate_.objective)


@a_few
@given(problem=problems)
def test_hard_prior_is_the_limit_of_the_sign_prior(problem):
    A, y, signs = draw(**problem)
    hard = ConceptHead(problem["alpha"], prior="hard", prior_signs=signs).fit(A, y)
    soft = ConceptHead(problem["alpha"], prior="sign", prior_signs=signs, prior_strength=1e6).fit(A, y)
    np.testing.assert_allclose(hard.coef_, soft.coef_, atol=1e-5)


def test_hard_prior_treats_unsure_signs_as_the_sign_prior_does(four_classes):
    signs = np.random.default_rng(0).integers(-1, 2, (4, 12)).astype(float)
    unsure = {"prior_signs": signs, "prior_confidence": np.full((4, 12), 0.9), "prior_strength": 0.5}
    hard, soft = (ConceptHead(0.003, prior=prior, **unsure).fit(*four_classes) for prior in ("hard", "sign"))
    np.testing.assert_array_equal(hard.coef_, soft.coef_)
    assert (signs * hard.coef_ < 0).any()


@a_few
@given(problem=problems, nothing=st.sampled_from(["signs", "strength", "confidence"]))
def test_shrink_without_a_prior_is_the_lasso(problem, nothing):
    A, y, signs = draw(**problem)
    lasso = ConceptHead(problem["alpha"]).fit(A, y)
    told = {
        "signs": {"prior_signs": 0 * signs},
        "strength": {"prior_signs": signs, "prior_strength": 0.0},
        "confidence": {"prior_signs": signs, "prior_confidence": 0 * signs},
    }[nothing]
    shrunk = ConceptHead(problem["alpha"], prior="shrink", **told).fit(A, y)
    np.testing.assert_array_equal(shrunk.coef_, lasso.coef_)


@a_few
@given(problem=problems, strength=st.sampled_from([0.5, 3.0]))
def test_shrink_lies_between_the_lasso_and_a_cheaper_lasso_where_signs_agree(problem, strength):
    A, y, _ = draw(**problem)
    lasso = ConceptHead(problem["alpha"]).fit(A, y)
    signs = np.where(lasso.coef_ == 0, 1.0, np.sign(lasso.coef_))
    free = ConceptHead(problem["alpha"], prior="shrink", prior_signs=signs, prior_strength=strength).fit(A, y)
    assert free.certificate_.objective <= lasso.certificate_.objective + 1e-12
    cheaper = ConceptHead(problem["alpha"] / (1 + strength)).fit(A, y)
    assert free.certificate_.objective >= cheaper.certificate_.objective - 1e-7


def test_shrink_trades_wrong_weights_for_right_ones(four_classes):
    A, y = four_classes
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (4, 12))
    wrong, right = [], []
    for strength in (0.0, 1.0, 10.0, 1e4):
        head = ConceptHead(0.003, prior="shrink", prior_signs=signs, prior_strength=strength).fit(A, y)
        wrong.append(np.maximum(-signs * head.coef_, 0).sum())
        right.append(np.maximum(signs * head.coef_, 0).sum())
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[-1] == 0.0 < wrong[0]
    assert right[-1] > right[0]


@pytest.mark.parametrize("prior", ["sign", "hard", "shrink", "tanh"])
def test_alpha_max_holds_for_every_prior(prior, activations):
    A, y = activations
    signs = np.random.default_rng(1).integers(-1, 2, (len(np.unique(y)), 12))
    told = {"prior": prior, "prior_signs": signs, "prior_strength": 0.3, "l1_ratio": 0.8}
    top = alpha_max(ConceptHead(**told), A, y)
    assert not ConceptHead(top * (1 + 1e-6), **told).fit(A, y).coef_.any()
    assert ConceptHead(top * (1 - 1e-2), **told).fit(A, y).coef_.any()


@a_few
@given(problem=problems, prior=st.sampled_from(["hard", "shrink", "tanh"]))
def test_permuting_concepts_and_classes_permutes_weights(problem, prior):
    A, y, signs = draw(**problem)
    rng = np.random.default_rng(problem["seed"])
    concepts, classes = rng.permutation(8), rng.permutation(problem["n_classes"])
    told = {"prior": prior, "l1_ratio": 0.9}
    plain = ConceptHead(problem["alpha"], prior_signs=signs, **told).fit(A, y)
    if problem["n_classes"] == 2:  # the log-odds change sides with the classes
        swap = -1.0 if classes[0] == 1 else 1.0
        moved_signs, expected = swap * signs[:, concepts], swap * plain.coef_[:, concepts]
    else:
        moved_signs, expected = signs[np.ix_(classes, concepts)], plain.coef_[np.ix_(classes, concepts)]
    moved = ConceptHead(problem["alpha"], prior_signs=moved_signs, **told).fit(A[:, concepts], np.argsort(classes)[y])
    np.testing.assert_allclose(moved.coef_, expected, atol=1e-5)


@a_few
@given(problem=problems, prior=st.sampled_from(["hard", "shrink", "tanh"]))
def test_repeated_samples_equal_integer_weights(problem, prior):
    A, y, signs = draw(**problem)
    counts = np.random.default_rng(problem["seed"]).integers(1, 4, len(y))
    head = ConceptHead(problem["alpha"], prior=prior, prior_signs=signs, l1_ratio=0.9)
    weighted = head.fit(A, y, sample_weight=counts).coef_
    repeated = head.fit(np.repeat(A, counts, axis=0), np.repeat(y, counts)).coef_
    np.testing.assert_allclose(weighted, repeated, atol=1e-5)


@a_few
@given(problem=problems, prior=st.sampled_from(["sign", "hard", "shrink"]))
def test_huge_penalty_leaves_the_class_frequencies(problem, prior):
    A, y, signs = draw(**problem)
    head = ConceptHead(100.0, prior=prior, prior_signs=signs).fit(A, y)
    assert not head.coef_.any()
    np.testing.assert_allclose(head.predict_proba(A[:1])[0], np.bincount(y) / len(y), atol=1e-7)


@pytest.mark.parametrize("prior", ["sign", "hard", "shrink", "tanh", None])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_sample_a_class_is_enough(prior, n_classes):
    A, signs = np.eye(n_classes), np.eye(n_classes)
    head = ConceptHead(0.01, prior=prior, prior_signs=signs).fit(A, np.arange(n_classes))
    np.testing.assert_array_equal(head.predict(A), np.arange(n_classes))


def tanh_objective(head, A, y, signs):
    s = np.full(len(y), 1 / len(y))
    loss = log_loss(log_probabilities(A @ head.coef_.T + head.intercept_), y, s)
    known = signs != 0
    return loss + np.abs(np.tanh(head.coef_) - signs)[known].mean()


@pytest.mark.parametrize("alpha", [0.0, 0.002])
def test_tanh_objective_is_the_papers_and_its_certificate_says_local(alpha, activations):
    A, y = activations
    signs = np.random.default_rng(0).integers(-1, 2, (1 if y.max() == 1 else 4, 12)).astype(float)
    head = ConceptHead(alpha, l1_ratio=0.5, prior="tanh", prior_signs=signs).fit(A, y)
    net = alpha * (0.5 * np.abs(head.coef_).sum() + 0.25 * (head.coef_**2).sum())
    assert head.certificate_.objective == pytest.approx(tanh_objective(head, A, y, signs) + net, rel=1e-10)
    assert isinstance(head.certificate_, LocalCertificate)
    assert head.certificate_.converged
    assert head.certificate_.duality_gap > 0


def test_tanh_is_a_minimum_among_its_neighbours_and_the_same_every_time(four_classes):
    A, y = four_classes
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (4, 12))
    head, again = (ConceptHead(0.0, prior="tanh", prior_signs=signs).fit(A, y) for _ in range(2))
    np.testing.assert_array_equal(head.coef_, again.coef_)
    best = tanh_objective(head, A, y, signs)
    rng = np.random.default_rng(0)
    for _ in range(20):
        again.coef_ = head.coef_ + 1e-3 * rng.normal(size=head.coef_.shape)
        assert tanh_objective(again, A, y, signs) > best


def test_tanh_alone_does_not_limit_the_weights_of_separated_classes():
    A = np.random.default_rng(0).random((30, 2)) * 0.1
    y = np.arange(30) % 2
    A[:, 0] += y
    with pytest.warns(ConvergenceWarning, match="Set alpha above 0"):
        ConceptHead(0.0, prior="tanh", prior_signs=[[1, 1]]).fit(A, y)


def test_tanh_gives_exact_zeros_under_l1(four_classes):
    A, y = four_classes
    head = ConceptHead(0.05, prior="tanh", prior_signs=np.eye(4, 12)).fit(A, y)
    assert 0 < np.count_nonzero(head.coef_) < head.coef_.size


def test_tanh_ends_below_many_small_gradient_steps(four_classes):
    A, y = four_classes
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (4, 12))
    head = ConceptHead(0.0, prior="tanh", prior_signs=signs).fit(A, y)
    W, b, onehot = np.zeros((4, 12)), np.zeros(4), np.eye(4)[y]
    for _ in range(3000):
        error = (np.exp(log_probabilities(A @ W.T + b)) - onehot) / len(y)
        W -= 0.5 * (error.T @ A - signs * (1 - np.tanh(W) ** 2) / signs.size)
        b -= 0.5 * error.sum(axis=0)
    descent = ConceptHead()
    descent.coef_, descent.intercept_ = W, b
    assert tanh_objective(head, A, y, signs) <= tanh_objective(descent, A, y, signs)


def test_tanh_penalty_is_the_formula():
    rng = np.random.default_rng(0)
    W, signs, c = rng.normal(size=(3, 5)), rng.integers(-1, 2, (3, 5)).astype(float), rng.random((3, 5))
    c[signs == 0] = 0.0
    nothing = make_penalty(signs, c, alpha=0.0)
    expected = 2.0 * (c * np.abs(np.tanh(W) - signs))[signs != 0].mean()
    assert make_tanh_penalty(nothing, signs, c, 2.0).value(W) == pytest.approx(expected)


@pytest.mark.parametrize("prior", ["hard", "shrink", "tanh"])
def test_cross_validation_takes_every_prior(prior, four_classes):
    signs = np.random.default_rng(0).integers(-1, 2, (4, 12))
    search = ConceptHeadCV(alphas=6, cv=3, prior=prior, prior_signs=signs, prior_strength=0.1).fit(*four_classes)
    assert search.certificate_.converged
    head = search.to_head()
    assert head.prior == prior
    np.testing.assert_array_equal(head.coef_, search.coef_)


def test_one_against_the_rest_is_scikit_learns(four_classes):
    A, y = four_classes
    ours = MultiLabelConceptHead(0.005).fit(A, y)
    theirs = OneVsRestClassifier(ConceptHead(0.005)).fit(A, y)
    np.testing.assert_allclose(ours.coef_, np.vstack([one.coef_ for one in theirs.estimators_]), atol=1e-7)
    np.testing.assert_allclose(ours.predict_proba(A), theirs.predict_proba(A), atol=1e-7)
    np.testing.assert_array_equal(ours.predict(A), theirs.predict(A))


def test_weights_frame_is_coef_with_names(activations):
    A, y = activations
    labels = np.array(["a", "b", "c", "d"])[y]
    head = ConceptHead(0.005).fit(A, labels)
    frame = head.weights_frame()
    np.testing.assert_array_equal(frame.to_numpy(), head.coef_)
    assert list(frame.index) == (["b"] if y.max() == 1 else ["a", "b", "c", "d"])
    assert list(frame.columns[:2]) == ["x0", "x1"]
