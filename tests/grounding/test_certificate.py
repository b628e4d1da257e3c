"""Certificates: intervals that cover, calibration errors by hand, domains apart, and abstention instead of a guess."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.metrics import roc_auc_score

from knobo.errors import InputError
from knobo.grounding import certify, plot_certificate
from knobo.grounding.certificate import calibration_error, delong_interval


@pytest.fixture
def answers():
    """300 images: a concept that is seen, one that is not, one with three yes only, one that nobody answered."""
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 4)) < [0.4, 0.5, 0.01, 0.5]).astype(float)
    labels[:3, 2], labels[3:, 2], labels[:, 3] = 1.0, 0.0, np.nan
    labels[:50, 0] = np.nan
    activations = np.clip(0.5 * np.nan_to_num(labels) + rng.random(labels.shape) * 0.5, 0, 1)
    activations[:, 1] = rng.random(300)
    activations[:, 0] = np.clip(activations[:, 0] + 0.2 * rng.normal(size=300), 0, 1)
    return labels, activations, ["seen", "noise", "rare", "silent"]


def delong_by_hand(labels, scores):
    """Standard error from the placement of each pair, as in DeLong's paper."""
    yes, no = scores[labels == 1], scores[labels == 0]
    wins = (yes[:, None] > no[None]) + 0.5 * (yes[:, None] == no[None])
    return np.sqrt(wins.mean(axis=1).var(ddof=1) / len(yes) + wins.mean(axis=0).var(ddof=1) / len(no))


def test_interval_is_delongs_also_with_ties():
    rng = np.random.default_rng(1)
    labels = (rng.random(80) < 0.3).astype(float)
    scores = np.round(labels + rng.normal(size=80), 1)
    auroc, low, high = delong_interval(labels, scores)
    assert auroc == pytest.approx(roc_auc_score(labels, scores))
    assert high - auroc == pytest.approx(1.959964 * delong_by_hand(labels, scores), rel=1e-6)
    assert auroc - low == pytest.approx(high - auroc)


def test_the_95_percent_interval_covers_about_95_percent_of_the_time():
    rng = np.random.default_rng(2)
    true_auroc = 0.7602  # of two normals one standard deviation apart
    covered = 0
    for _ in range(400):
        labels = np.repeat([1.0, 0.0], [30, 50])
        _, low, high = delong_interval(labels, labels + rng.normal(size=80))
        covered += low <= true_auroc <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_repeated_images_of_a_patient_do_not_narrow_the_interval():
    rng = np.random.default_rng(3)
    labels = np.repeat([1.0, 0.0], 40)
    scores = labels + rng.normal(size=80)
    _, low, _ = delong_interval(labels, scores)
    _, naive, _ = delong_interval(np.tile(labels, 5), np.tile(scores, 5))
    _, honest, _ = delong_interval(np.tile(labels, 5), np.tile(scores, 5), groups=np.tile(np.arange(80), 5))
    assert naive > low + 0.02
    assert honest == pytest.approx(low, abs=0.003)


def test_a_curve_without_errors_keeps_an_interval():
    labels = np.repeat([1.0, 0.0], 6)
    auroc, low, high = delong_interval(labels, labels)
    assert (auroc, high) == (1.0, 1.0)
    assert 0.5 < low < 1.0


def test_calibration_error_by_hand():
    # bin 0.0-0.1 holds two rows: mean activation 0.05, half are yes; bin 0.9-1.0 holds one row
    error = calibration_error(np.array([1.0, 0.0, 1.0]), np.array([0.04, 0.06, 1.0]))
    assert error == pytest.approx((2 * 0.45 + 0) / 3)


def test_what_cannot_be_seen_abstains(answers):
    table = certify(*answers)
    assert list(table.index) == answers[2]
    assert list(table["abstain"]) == [False, True, True, True]
    assert table.loc["seen", "auroc_low"] > 0.5
    assert table.loc["noise", "auroc_low"] < 0.5 < table.loc["noise", "auroc_high"]
    assert table.loc["rare", "n_yes"] == 3
    assert table.loc["silent", ["auroc", "ece", "brier"]].isna().all()
    assert table.loc["silent", "n_unknown"] == 300
    assert certify(*answers, min_count=3).loc["rare", "abstain"] == (table.loc["rare", "auroc_low"] <= 0.5)


def test_unknown_answers_change_nothing(answers):
    labels, activations, names = answers
    known = ~np.isnan(labels[:, 0])
    alone = certify(labels[known, :1], activations[known, :1], names[:1])
    both = certify(labels, activations, names)
    pd.testing.assert_series_equal(alone.loc["seen"].drop("n_unknown"), both.loc["seen"].drop("n_unknown"))


def test_domains_are_certified_apart(answers):
    labels, activations, names = answers
    hospital = np.where(np.arange(300) % 2, "A", "B")
    table = certify(labels, activations, names, domain=hospital)
    assert list(table.index[:2]) == [("seen", "A"), ("seen", "B")]
    here = hospital == "A"
    expected = certify(labels[here], activations[here], names).loc["seen", "auroc"]
    assert table.loc[("seen", "A"), "auroc"] == expected


def test_lengths_must_agree(answers):
    with pytest.raises(InputError, match="300 images but 2 groups"):
        certify(*answers, groups=[1, 2])
    with pytest.raises(InputError, match="300 images but 1 domains"):
        certify(*answers, domain=["A"])


def test_plot_shows_each_measured_concept_best_first(answers):
    table = certify(*answers)
    ax = plot_certificate(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(
        table["auroc"].dropna().sort_values(ascending=False).index
    )
    plt.close(ax.figure)


def test_plot_by_domain_draws_into_the_given_axes_and_names_the_domains(answers):
    table = certify(*answers, domain=np.where(np.arange(300) % 2, "ward_a", "ward_b"))
    figure, ax = plt.subplots()
    assert plot_certificate(table, max_concepts=2, ax=ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ward a", "ward b"]
    assert len(ax.get_yticks()) == 2
    plt.close(figure)


def test_nothing_to_plot_is_an_error(answers):
    with pytest.raises(InputError, match="No concept has an AUROC"):
        plot_certificate(certify(*answers).loc[["silent"]])
