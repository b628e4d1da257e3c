"""Counts, shares and bootstraps of a fitted head say what they claim."""

import numpy as np
import pandas as pd
import pytest

from knobo.errors import InputError
from knobo.heads import (
    ConceptHead,
    ConceptHeadCV,
    Veto,
    bootstrap_head,
    class_weights,
    compare_heads,
    compare_probabilities,
    contributing_concepts,
    count_concepts,
    edit_head,
    effective_concepts,
    plot_stability,
    prior_agreement,
)


@pytest.fixture
def with_prior(activations):
    A, y = activations
    rows = len(np.unique(y))
    signs = np.random.default_rng(3).integers(-1, 2, (rows, 12))
    confidence = np.random.default_rng(4).uniform(0.2, 1, (rows, 12))
    return ConceptHead(0.005, prior_signs=signs, prior_confidence=confidence, prior_strength=0.1).fit(A, y), A, y


def test_effective_concepts_are_the_mean_number_of_weights_a_class(with_prior):
    head, _, _ = with_prior
    W, _ = class_weights(head)
    assert list(count_concepts(head)) == [(row != 0).sum() for row in W]
    assert effective_concepts(head) == pytest.approx((W != 0).sum() / len(W))


def test_contributing_concepts_are_the_fewest_that_make_up_the_share(with_prior):
    head, A, _ = with_prior
    counts = contributing_concepts(head, A[:20], share=0.9)
    W, _ = class_weights(head)
    for i, n in enumerate(counts):
        k = list(head.classes_).index(head.predict(A[i : i + 1])[0])
        sizes = np.sort(np.abs(W[k] * (A[i] - A[:20].mean(axis=0))))[::-1]
        assert sizes[:n].sum() >= 0.9 * sizes.sum() - 1e-12
        assert sizes[: n - 1].sum() < 0.9 * sizes.sum()
    assert (contributing_concepts(head, A[:1]) == 0).all()  # a sample at the reference
    with pytest.raises(InputError, match="12 values"):
        contributing_concepts(head, A, reference=[0.0])


def test_agreement_with_the_prior_is_counted_three_ways(with_prior):
    head, _, _ = with_prior
    signs, confidence = head._signs("sign")
    table = prior_agreement(head)
    stated = (signs != 0) & (head.coef_ != 0)
    right = stated & (np.sign(head.coef_) == signs)
    assert table.loc["all", "n"] == stated.sum()
    assert table.loc["all", "share"] == pytest.approx(right.sum() / stated.sum())
    assert table.loc["all", "by_confidence"] == pytest.approx(confidence[right].sum() / confidence[stated].sum())
    weight = np.abs(head.coef_)
    assert table.loc["all", "by_weight"] == pytest.approx(weight[right].sum() / weight[stated].sum())


def test_without_a_prior_there_is_nothing_to_agree_with(two_classes):
    head = ConceptHead(0.01).fit(*two_classes)
    table = prior_agreement(head)
    assert (table["n"] == 0).all()
    assert table[["share", "by_confidence", "by_weight"]].isna().all(axis=None)


def test_conflicts_have_a_size_an_interval_and_the_share_of_refits(with_prior):
    head, A, y = with_prior
    boot = bootstrap_head(head, A, y, n_bootstrap=30)
    found = boot.conflicts()
    listed = head.prior_conflicts()
    key = ["class", "concept", "prior_sign", "weight", "confidence"]
    pd.testing.assert_frame_equal(
        found[key].sort_values(key[:2], ignore_index=True), listed[key].sort_values(key[:2], ignore_index=True)
    )
    assert (found["low"] <= found["high"]).all()
    np.testing.assert_allclose(found["effect"], found["weight"] * [A[:, int(c[1:])].std() for c in found["concept"]])
    assert found["frequency"].between(0, 1).all()
    assert len(found) > 0


def test_each_refit_is_the_fit_to_its_resample(four_classes):
    A, y = four_classes
    head = ConceptHead(0.01, tol=1e-9).fit(A, y)
    boot = bootstrap_head(head, A, y, n_bootstrap=2, random_state=5)
    drawn = np.random.default_rng(5).integers(300, size=(1, 300))
    np.testing.assert_allclose(boot.coef[0], ConceptHead(0.01).fit(A[drawn[0]], y[drawn[0]]).coef_, atol=2e-3)


def test_strong_concepts_are_selected_always_and_noise_seldom():
    rng = np.random.default_rng(0)
    A = rng.random((400, 8))
    y = (4 * A[:, 0] - 4 * A[:, 1] + rng.logistic(size=400) > 0).astype(int)
    table = bootstrap_head(ConceptHead(0.02).fit(A, y), A, y, n_bootstrap=30).stability()
    assert list(table["concept"][:2]) in (["x0", "x1"], ["x1", "x0"])
    assert (table["frequency"][:2] == 1).all()
    assert (table["same_sign"][:2] == 1).all()
    assert (table["frequency"][2:] < 0.9).all()


def test_copies_of_patients_narrow_no_interval_when_groups_are_given(two_classes):
    A, y = two_classes
    rows = np.tile(np.arange(len(y)), 4)
    head = ConceptHead(0.01).fit(A, y)
    alone = bootstrap_head(head, A, y, n_bootstrap=60)
    grouped = bootstrap_head(head, A[rows], y[rows], groups=rows, n_bootstrap=60)
    copied = bootstrap_head(head, A[rows], y[rows], n_bootstrap=60)
    width = [boot.coef.std(axis=0).sum() for boot in (alone, grouped, copied)]
    assert width[1] == pytest.approx(width[0], rel=0.25)
    assert width[2] < 0.7 * width[0]


def test_refits_keep_edits_and_the_chosen_alpha(two_classes):
    A, y = two_classes
    head = edit_head(ConceptHeadCV(alphas=4, cv=3).fit(A, y), A, y, [Veto(0)], n_bootstrap=0)
    boot = bootstrap_head(head, A, y, n_bootstrap=5)
    assert (boot.coef[:, :, 0] == 0).all()
    assert boot.head.alpha == head.alpha


def test_resamples_that_lack_a_class_are_drawn_again(two_classes):
    A, _ = two_classes
    y = np.r_[np.zeros(28, int), 1, 1]
    boot = bootstrap_head(ConceptHead(0.01).fit(A[:30], y), A[:30], y, n_bootstrap=40)
    assert len(boot.coef) == 40
    assert boot.n_redrawn > 0


def test_other_data_than_the_heads_are_refused(two_classes):
    A, y = two_classes
    head = ConceptHead(0.01).fit(A, y)
    with pytest.raises(InputError, match="classes and concepts that the head was fitted to"):
        bootstrap_head(head, A[:, :5], y)
    with pytest.raises(InputError, match="at least two groups"):
        bootstrap_head(head, A, y, groups=np.zeros(len(y)))


def test_a_head_compared_with_itself_has_not_changed(activations):
    A, y = activations
    head = ConceptHead(0.01).fit(A, y)
    table = compare_heads(head, head, A, y, n_bootstrap=20)
    assert (table[["change", "change_low", "change_high"]] == 0).all(axis=None)
    assert (table["before_low"] < table["before_high"]).all()


def test_the_change_is_judged_on_the_same_resamples():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    p = np.clip(0.5 + 0.2 * (y - 0.5) + rng.normal(0, 0.2, 200), 0.02, 0.98)
    before, after = (np.column_stack([1 - q, q]) for q in (p, np.clip(p + 0.01 * (y - 0.5), 0.01, 0.99)))
    table = compare_probabilities(y, before, after, [0, 1])
    width = table["change_high"] - table["change_low"]
    assert width["log_loss"] < 0.2 * (table["before_high"] - table["before_low"])["log_loss"]


def test_heads_of_different_tasks_are_not_compared(two_classes, four_classes):
    first, second = (ConceptHead(0.01).fit(*data) for data in (two_classes, four_classes))
    with pytest.raises(InputError, match="same classes"):
        compare_heads(first, second, *two_classes)


def test_the_stability_plot_has_one_bar_a_concept(four_classes):
    A, y = four_classes
    table = bootstrap_head(ConceptHead(0.01).fit(A, y), A, y, n_bootstrap=10).stability()
    ax = plot_stability(table, class_name=2, max_concepts=5)
    expected = table[table["class"] == 2].head(5)
    assert [bar.get_width() for bar in ax.patches] == list(expected["frequency"])
    with pytest.raises(InputError, match="no class None"):
        plot_stability(table, ax=ax)
