import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, StratifiedKFold

from knobo.errors import InputError, NotFittedError
from knobo.heads import ConceptHead, ConceptHeadCV, alpha_max


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_alpha_max_is_where_the_first_weight_appears(activations, strength):
    A, y = activations
    weights = np.random.default_rng(0).random(len(y))
    signs = np.random.default_rng(1).integers(-1, 2, (len(np.unique(y)), 12))
    settings = {"l1_ratio": 0.7, "prior_signs": signs, "prior_strength": strength, "class_weight": "balanced"}
    top = alpha_max(ConceptHead(**settings), A, y, weights)
    assert not ConceptHead(top * (1 + 1e-6), **settings).fit(A, y, weights).coef_.any()
    assert ConceptHead(top * (1 - 1e-3), **settings).fit(A, y, weights).coef_.any()


def test_alpha_max_leaves_the_head_alone(two_classes):
    head = ConceptHead()
    assert alpha_max(head, *two_classes) > 0
    assert not hasattr(head, "classes_")


def test_scores_are_the_held_out_losses_of_the_heads(four_classes):
    A, y = four_classes
    weights = 0.5 + np.random.default_rng(0).random(len(y))
    folds = list(StratifiedKFold(3, shuffle=True, random_state=1).split(A, y))
    search = ConceptHeadCV([0.003, 0.03, 0.01], cv=folds, l1_ratio=0.9).fit(A, y, weights)
    assert list(search.scores_["alpha"]) == [0.03, 0.01, 0.003]
    for _, row in search.scores_.iterrows():
        proba, nonzero = np.empty((len(y), 4)), []
        for train, test in folds:
            head = ConceptHead(row["alpha"], l1_ratio=0.9).fit(A[train], y[train], weights[train])
            proba[test] = head.predict_proba(A[test])
            nonzero.append(np.count_nonzero(head.coef_))
        assert row["log_loss"] == pytest.approx(log_loss(y, proba, sample_weight=weights), rel=1e-6)
        assert row["n_nonzero"] == pytest.approx(np.mean(nonzero))


def test_choice_is_the_least_loss_and_the_fit_uses_all_samples(activations):
    A, y = activations
    search = ConceptHeadCV(alphas=12).fit(A, y)
    best = search.scores_["log_loss"].idxmin()
    assert search.alpha_ == search.scores_["alpha"][best]
    assert 0 < best < 12
    np.testing.assert_allclose(search.coef_, ConceptHead(search.alpha_).fit(A, y).coef_, atol=1e-6)
    assert search.certificate_.converged
    assert search.scores_["alpha"][0] == pytest.approx(alpha_max(ConceptHead(), A, y))
    assert search.scores_["alpha"].iloc[-1] == pytest.approx(search.scores_["alpha"][0] / 500)
    assert search.scores_["n_nonzero"].iloc[-1] > search.scores_["n_nonzero"][0]


def test_one_standard_error_uses_fewer_concepts(four_classes):
    best, sparse = (ConceptHeadCV(alphas=15, rule=rule).fit(*four_classes) for rule in ("best", "1se"))
    pd.testing.assert_frame_equal(best.scores_, sparse.scores_)
    row = best.scores_.set_index("alpha")
    assert sparse.alpha_ > best.alpha_
    assert np.count_nonzero(sparse.coef_) < np.count_nonzero(best.coef_)
    limit = row["log_loss"][best.alpha_] + row["std_error"][best.alpha_]
    assert row["log_loss"][sparse.alpha_] <= limit
    assert (row["log_loss"][row.index > sparse.alpha_] > limit).all()


def test_groups_stay_in_one_fold(two_classes):
    A, y = two_classes
    patients = np.arange(len(y)) // 3
    by_hand = ConceptHeadCV(alphas=4, cv=GroupKFold(4)).fit(A, y, groups=patients)
    expected = ConceptHeadCV(alphas=4, cv=list(GroupKFold(4).split(A, y, patients))).fit(A, y)
    pd.testing.assert_frame_equal(by_hand.scores_, expected.scores_)
    # Copies of one image under many patients' names would leak; under one name they stay together.
    copies = np.repeat(np.arange(60), 5)
    noise, labels = np.random.default_rng(0).random((60, 80))[copies], (np.arange(60) % 2)[copies]
    leaking = ConceptHeadCV([1e-3], cv=5).fit(noise, labels)
    honest = ConceptHeadCV([1e-3], cv=5).fit(noise, labels, groups=copies)
    assert leaking.scores_["log_loss"][0] < 0.2
    assert honest.scores_["log_loss"][0] > 0.6


def test_same_seed_same_choice(four_classes):
    first, second, other = (ConceptHeadCV(alphas=4, random_state=seed).fit(*four_classes) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.scores_, second.scores_)
    assert not first.scores_["log_loss"].equals(other.scores_["log_loss"])


def test_activations_that_tell_nothing_give_a_head_without_concepts():
    A, y = np.full((20, 3), 0.5), np.arange(20) % 2
    search = ConceptHeadCV(alphas=3, cv=2).fit(A, y)
    assert not search.coef_.any()
    np.testing.assert_allclose(search.predict_proba(A), 0.5)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_path_of_a_ridge_reaches_weak_penalties_too(two_classes, l1_ratio):
    search = ConceptHeadCV(alphas=8, l1_ratio=l1_ratio).fit(*two_classes)
    assert search.scores_["alpha"][0] == pytest.approx(alpha_max(ConceptHead(l1_ratio=l1_ratio), *two_classes))
    assert search.scores_["alpha"].iloc[-1] == pytest.approx(alpha_max(ConceptHead(), *two_classes) / 500)
    assert 0 < search.scores_["log_loss"].idxmin() < 7
    if l1_ratio == 0:
        assert search.coef_.all()


def test_rare_class_lowers_the_number_of_folds():
    rng = np.random.default_rng(0)
    A, y = rng.random((30, 3)), np.r_[np.zeros(27), np.ones(3)]
    expected = ConceptHeadCV([0.01], cv=3).fit(A, y)
    pd.testing.assert_frame_equal(ConceptHeadCV([0.01], cv=10).fit(A, y).scores_, expected.scores_)
    grouped = (ConceptHeadCV([0.01], cv=cv).fit(A, y, groups=np.arange(30)).scores_ for cv in (3, 10))
    pd.testing.assert_frame_equal(*grouped)


def test_one_split_has_no_standard_error(two_classes):
    A, y = two_classes
    one_split = [(np.arange(200), np.arange(200, 300))]
    search = ConceptHeadCV(alphas=5, cv=one_split, rule="1se").fit(A, y)
    assert search.scores_["std_error"].isna().all()
    assert search.alpha_ == ConceptHeadCV(alphas=5, cv=one_split).fit(A, y).alpha_


def test_to_head_is_the_same_classifier(four_classes):
    A, y = four_classes
    frame = pd.DataFrame(A, columns=[f"finding {j}" for j in range(12)])
    signs = np.random.default_rng(0).integers(-1, 2, (4, 12))
    search = ConceptHeadCV(alphas=4, prior_signs=signs).fit(frame, y)
    head = search.to_head()
    assert isinstance(head, ConceptHead)
    assert head.alpha == search.alpha_
    np.testing.assert_array_equal(head.predict_proba(frame), search.predict_proba(frame))
    pd.testing.assert_frame_equal(head.prior_conflicts(), search.prior_conflicts())
    with pytest.raises(NotFittedError, match="ConceptHeadCV instance is not fitted"):
        ConceptHeadCV().to_head()


def test_unfinished_folds_are_counted(four_classes):
    with (
        pytest.warns(ConvergenceWarning, match="10 of 10 fits in the folds stopped before"),
        pytest.warns(ConvergenceWarning, match="Stopped after 1 iterations"),
    ):
        ConceptHeadCV([1e-4, 1e-5], max_iter=1).fit(*four_classes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "least"}, "rule must be 'best' or '1se', got 'least'"),
        ({"alphas": 1}, "alphas must be an integer of at least 2, got 1"),
        ({"alphas": []}, r"alphas must be a number of values or a list of values, got \[\]"),
        ({"alphas": [0.1, -1.0]}, "alphas must be a number of at least 0, got"),
        ({"alphas": "many"}, "could not convert string to float: 'many'"),
        ({"cv": 1}, "cv must be an integer of at least 2, got 1"),
        ({"cv": "five"}, "Expected `cv` as an integer, a cross-validation object"),
    ],
)
def test_unusable_search_settings(settings, message, two_classes):
    with pytest.raises(InputError, match=message):
        ConceptHeadCV(**settings).fit(*two_classes)


def test_unusable_folds(two_classes):
    A, y = two_classes
    with pytest.raises(InputError, match="Class 'b' has a single sample, which cannot be both learnt and held out"):
        ConceptHeadCV().fit([[0.1], [0.2], [0.3]], ["a", "a", "b"])
    with pytest.raises(InputError, match="inconsistent numbers of samples"):
        ConceptHeadCV().fit(A, y, groups=[1, 2, 3])
    with pytest.raises(InputError, match="n_splits=5 greater than the number of groups: 2"):
        ConceptHeadCV().fit(A, y, groups=np.arange(len(y)) % 2)
    with pytest.raises(InputError, match="All weights in one part of fold 0 are zero"):
        ConceptHeadCV([0.1], cv=[(np.arange(10), np.arange(10, 20))]).fit(
            A, y, sample_weight=np.r_[np.zeros(10), np.ones(290)]
        )


def test_the_worst_group_chooses_by_the_group_with_the_largest_held_out_loss(two_classes):
    A, y = two_classes
    hospital = np.arange(300) % 3
    y = np.where((hospital == 2) & (np.arange(300) % 2 == 0), 1 - y, y)  # one hospital with many wrong labels
    alphas = [0.1, 0.01, 0.001]
    head = ConceptHeadCV(alphas, cv=LeaveOneGroupOut(), scoring="worst_group").fit(A, y, groups=hospital)
    losses = np.array(
        [
            [
                log_loss(y[hospital == g], fold.predict_proba(A[hospital == g]), labels=[0, 1])
                for g in range(3)
                for fold in [ConceptHead(alpha).fit(A[hospital != g], y[hospital != g])]
            ]
            for alpha in alphas
        ]
    )
    np.testing.assert_allclose(head.scores_["worst_group"], losses.max(axis=1), rtol=1e-5)
    assert head.alpha_ == alphas[losses.max(axis=1).argmin()]


def test_the_worst_group_within_the_domain_is_judged_on_folds_that_mix_the_groups(two_classes):
    A, y = two_classes
    sex = (np.arange(300) // 7) % 2
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(A, y))
    scores = ConceptHeadCV([0.1, 0.01], cv=folds, scoring="worst_group").fit(A, y, groups=sex).scores_
    assert (scores["worst_group"] > scores["log_loss"]).all()


@pytest.mark.parametrize("settings", [{"scoring": "auroc"}, {"scoring": "worst_group", "rule": "1se"}])
def test_other_choices_are_refused(two_classes, settings):
    A, y = two_classes
    with pytest.raises(InputError, match="scoring"):
        ConceptHeadCV(3, **settings).fit(A, y, groups=np.arange(300))
    with pytest.raises(InputError, match="needs groups"):
        ConceptHeadCV(3, scoring="worst_group").fit(A, y)
