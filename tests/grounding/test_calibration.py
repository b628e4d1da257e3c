"""Calibration: 0.5 gets its meaning from images without labels, or from a few labels; the ranking never changes."""

import numpy as np
import pytest
from scipy.special import expit

from knobo.errors import InputError
from knobo.grounding import calibrate
from knobo.grounding.certificate import calibration_error


@pytest.fixture
def scored():
    """2,000 scores that are off by −7, and the truth: 20 % yes, 2.5 standard deviations higher."""
    rng = np.random.default_rng(0)
    truth = (rng.random(2000) < 0.2).astype(float)
    return 1.3 * (rng.normal(size=2000) + 2.5 * truth) - 7, truth


def activations(scores, line):
    return expit(line.slope * scores + line.offset)


def test_uncalibrated_scores_stay_as_they_are(scored):
    line = calibrate(scored[0], "none")
    assert (line.slope, line.offset) == (1.0, 0.0)


@pytest.mark.parametrize("prevalence", [None, 0.1, 0.9])
def test_offset_brings_the_mean_to_the_prevalence(scored, prevalence):
    line = calibrate(scored[0], "offset", prevalence=prevalence)
    assert line.slope == 1.0
    assert activations(scored[0], line).mean() == pytest.approx(prevalence or 0.5, abs=1e-6)


@pytest.mark.parametrize("prevalence", [None, 0.2])
def test_mixture_finds_the_two_groups_without_labels(scored, prevalence):
    scores, truth = scored
    found = activations(scores, calibrate(scores, "mixture", prevalence=prevalence))
    assert calibration_error(truth, found) < 0.05
    assert np.mean((found >= 0.5) == truth) > 0.9


def test_mixture_without_two_groups_says_nothing():
    scores = np.random.default_rng(1).normal(size=5000)
    found = activations(scores, calibrate(scores, "mixture", prevalence=0.3))
    assert found.mean() == pytest.approx(0.3, abs=0.02)
    assert found.std() < 0.15
    constant = activations(np.zeros(10), calibrate(np.zeros(10), "mixture", prevalence=0.3))
    np.testing.assert_allclose(constant, 0.3)


def test_platt_uses_the_labels_that_there_are(scored):
    scores, truth = scored
    labels = np.full(2000, np.nan)
    labels[:150] = truth[:150]
    line = calibrate(scores, "platt", labels=labels)
    assert line.how == "platt"
    assert calibration_error(truth, activations(scores, line)) < 0.06


def test_platt_with_too_few_labels_falls_back_and_says_so(scored):
    labels = np.full(2000, np.nan)
    labels[:3] = 0.0
    assert calibrate(scored[0], "platt", labels=labels).how == "mixture"
    assert calibrate(scored[0], "platt").how == "mixture"


@pytest.mark.parametrize("how", ["offset", "mixture", "platt"])
def test_calibration_never_turns_a_concept_upside_down(scored, how):
    scores, truth = scored
    assert calibrate(scores, how, labels=1 - truth).slope >= 0


@pytest.mark.parametrize(("how", "prevalence"), [("magic", None), ("offset", 1.0), ("mixture", 0.0)])
def test_unusable_options_are_named(scored, how, prevalence):
    with pytest.raises(InputError, match=r"magic|between 0 and 1"):
        calibrate(scored[0], how, prevalence=prevalence)
