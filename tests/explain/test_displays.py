"""Displays draw the right numbers, keep them, take an axes, and fit the column of a journal without a cut."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from random_explanations import random_explanation

from knobo.errors import InputError
from knobo.explain import (
    ActivationDisplay,
    BarDisplay,
    CorrelationDisplay,
    InterventionCurveDisplay,
    PrototypeDisplay,
    StripDisplay,
    WaterfallDisplay,
    WeightsDisplay,
)

COLUMN = 85 / 25.4


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def many():
    images = [np.full((8, 8 + i), i / 40) for i in range(40)]
    return random_explanation(2, n=40, images=images)


def arguments(display, why):
    """What a display needs beside the explanation."""
    y = why.classes[np.random.default_rng(0).integers(0, 3, len(why))]
    truth = np.random.default_rng(1).integers(0, 2, why.activations.shape).astype(float)
    needs = {ActivationDisplay: [y], InterventionCurveDisplay: [y, truth], PrototypeDisplay: [["finding-1"]]}
    return needs.get(display, [])


ALL = (
    WaterfallDisplay,
    WeightsDisplay,
    BarDisplay,
    StripDisplay,
    ActivationDisplay,
    CorrelationDisplay,
    PrototypeDisplay,
    InterventionCurveDisplay,
)


@pytest.mark.parametrize("display", ALL)
def test_each_fits_a_column_and_cuts_nothing(display, many):
    drawn = display.from_explanation(many, *arguments(display, many))
    assert drawn.figure_ is drawn.ax_.figure
    assert drawn.figure_.get_size_inches()[0] == pytest.approx(COLUMN)
    drawn.figure_.draw_without_rendering()
    box, (width, height) = drawn.figure_.get_tightbbox(), drawn.figure_.get_size_inches()
    assert min(box.x0, box.y0) > -0.03
    assert box.x1 < width + 0.03
    assert box.y1 < height + 0.03
    sizes = [text.get_fontsize() for text in (*drawn.ax_.texts, *drawn.ax_.get_yticklabels()) if text.get_text()]
    assert min(sizes, default=6) >= 5


@pytest.mark.parametrize("display", ALL)
def test_each_draws_on_a_given_axes_and_again_on_another(display, many):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 5))
    drawn = display.from_explanation(many, *arguments(display, many), ax=left)
    assert drawn.ax_ is left
    assert drawn.figure_ is figure
    assert drawn.plot(right) is drawn
    assert drawn.ax_ is right
    assert tuple(figure.get_size_inches()) == (9, 5)


@pytest.mark.parametrize("display", ALL)
def test_each_takes_a_fitted_classifier_and_images(display, many):
    class Fitted:
        def explain(self, X):
            return many

    drawn = display.from_estimator(Fitted(), many.images, *arguments(display, many))
    assert drawn.ax_.figure is drawn.figure_


def test_bars_are_the_mean_absolute_contribution_or_those_of_one_case(many):
    several = BarDisplay(many, label="class 1")
    np.testing.assert_allclose(several.values, np.abs(many.contributions[:, 1]).mean(axis=0))
    widths = [bar.get_width() for bar in several.plot().ax_.patches]
    np.testing.assert_allclose(widths, sorted(several.values[several.values > 0])[::-1])
    one = BarDisplay(many[3], label="class 1", max_concepts=2)
    np.testing.assert_allclose(one.values, many.contributions[3, 1])
    assert len(one.plot().ax_.patches) == 2


def test_strip_shows_every_case_at_its_contribution(many):
    display = StripDisplay.from_explanation(many, label="class 2")
    offsets = display.ax_.collections[0].get_offsets()
    used = np.flatnonzero(many.weights[2])
    np.testing.assert_allclose(np.sort(offsets[:, 0]), np.sort(many.contributions[:, 2, used].ravel()))
    assert np.abs(offsets[:, 1] - np.round(offsets[:, 1])).max() < 0.4


def test_activations_show_the_median_of_each_class(many):
    y = np.repeat(many.classes, [10, 10, 20])
    display = ActivationDisplay.from_explanation(many[:, ["finding-0"]], y)
    medians = [np.median(many.activations[y == label, 0]) for label in many.classes]
    points = [line.get_xdata() for line in display.ax_.lines if line.get_linestyle() == "None"]
    np.testing.assert_allclose(np.ravel(points), medians)


def test_correlation_keeps_all_concepts_and_draws_the_strongest(many):
    display = CorrelationDisplay.from_explanation(many, max_concepts=3)
    assert display.correlation.shape == (6, 6)
    assert len(display.ax_.get_yticklabels()) == 3


def test_prototypes_are_drawn_from_most_to_least(many):
    display = PrototypeDisplay.from_explanation(many, "finding-1", n_cases=2)
    order = np.argsort(many.activations[:, 1])[::-1]
    shown = [text.get_text() for text in display.ax_.texts]
    values = [f"{many.activations[i, 1]:.2f}" for i in (*order[:2], *order[-2:])]
    assert shown[:4] == values
    assert len(display.ax_.images) == 4


def test_the_curve_draws_what_was_measured(many):
    y, truth = arguments(InterventionCurveDisplay, many)
    display = InterventionCurveDisplay.from_explanation(many, y, truth, policies=("contribution",))
    np.testing.assert_array_equal(display.ax_.lines[0].get_ydata(), display.curve["accuracy"])


def test_what_cannot_be_drawn_is_refused(why, many):
    with pytest.raises(InputError, match="no cases to draw"):
        BarDisplay(many[[]])
    with pytest.raises(InputError, match="max_concepts is 0"):
        StripDisplay(many, max_concepts=0)
    with pytest.raises(InputError, match="no images to draw"):
        PrototypeDisplay(why, ["nodule"])
    with pytest.raises(InputError, match="4 cases but 1 images"):
        PrototypeDisplay(why, ["nodule"], images=[np.zeros((2, 2))])
    with pytest.raises(InputError, match="No concept is selected"):
        PrototypeDisplay(many, [])
    with pytest.raises(InputError, match="No activation varies"):
        CorrelationDisplay(why[[0, 0, 0]])
