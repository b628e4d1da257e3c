"""Dials start at nothing, decisions and concepts are watched, and unusable input is named."""

import numpy as np
import pandas as pd
import pytest

from knobo.errors import InputError
from knobo.shift import stress_test
from knobo.shift.perturbations import PERTURBATIONS, perturb


def make_images(n=12, size=40, seed=0):
    """Grey fields with one bright or dark disc."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    images, y = [], rng.integers(2, size=n)
    for label in y:
        disc = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size / 5) ** 2
        grey = 110 + 90 * disc * (1 if label else -1) + rng.normal(scale=4, size=(size, size))
        images.append(np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return images, y


class Head:
    def predict_proba(self, concepts):
        p = 1 / (1 + np.exp(-20 * (concepts[:, 0] - 0.7)))
        return np.column_stack([1 - p, p])


class Bottleneck:
    """Sees the brightness of the middle and of the upper left corner; decides by the middle alone."""

    classes_ = np.array([0, 1])
    head_ = Head()

    def concepts(self, X):
        middle = [image[15:25, 15:25].mean() / 255 for image in X]
        corner = [image[:8, :8].mean() / 255 for image in X]
        return pd.DataFrame({"disc": middle, "corner": corner})

    def predict_proba(self, X):
        return self.head_.predict_proba(self.concepts(X).to_numpy())


@pytest.fixture(scope="module")
def report():
    return stress_test(Bottleneck(), *make_images())


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_dial_at_nothing_changes_nothing_and_more_changes_more(name):
    image, rng = make_images(1, size=96)[0][0], np.random.default_rng(0)
    np.testing.assert_array_equal(perturb(image, name, 0.0, rng), image)
    size = []
    for strength in (0.3, 1.0):
        changed = perturb(image, name, strength, np.random.default_rng(0))
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        size.append(np.abs(changed.astype(float) - image).mean())
    assert 0 < size[0] < size[1]


def test_decisions_and_concepts_are_watched(report):
    table = report.table
    assert set(table.index.unique("perturbation")) == set(PERTURBATIONS)
    assert table.index.unique("strength").tolist() == [0.1, 0.25, 0.5, 1.0]
    assert (table.loc["marker", "flipped"] == 0).all()
    assert (table.loc["marker", "accuracy"] == 1).all()
    assert table.loc[("gamma", 1.0), "flipped"] > 0.2 > table.loc[("gamma", 0.1), "flipped"]
    assert (table["flipped_low"] <= table["flipped"]).all()
    assert (table["flipped"] <= table["flipped_high"]).all()
    corner = report.concepts.loc[("marker", 1.0, "corner")]
    assert corner["change"] == pytest.approx(corner["moved"])
    assert corner["moved"] > 0.05
    assert report.first_to_move(1).loc["marker"].index.tolist() == ["corner"]


def test_first_strength_that_flips_is_kept():
    images, _ = make_images()
    paint = {"paint": lambda image, strength, rng: np.full_like(image, 255) if strength > 0.4 else image}
    report = stress_test(Bottleneck(), images, perturbations=paint)
    dark = Bottleneck().concepts(images)["disc"] < 0.7
    assert (report.flips.loc[dark, "paint"] == 0.5).all()
    assert report.flips.loc[~dark, "paint"].isna().all()
    assert report.table.loc[("paint", 1.0), "flipped"] == dark.mean()
    assert "accuracy" not in report.table


def test_classifier_without_concepts():
    class Plain:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return Head().predict_proba(Bottleneck().concepts(X).to_numpy())

    report = stress_test(Plain(), make_images()[0], perturbations=["jpeg"], strengths=[1])
    assert report.concepts.empty
    assert report.first_to_move().empty
    assert len(report.table) == 1


def test_text_html_and_plot(report):
    from matplotlib.figure import Figure

    assert "decisions on 12 images" in repr(report)
    assert "marker" in report._repr_html_()
    ax = Figure().subplots()
    assert report.plot(ax) is ax
    assert len(ax.lines) == len(PERTURBATIONS)
    assert report.to_frame().equals(report.table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "There is no image"),
        ({"y": [0, 1]}, "12 images but 2 labels"),
        ({"perturbations": ["snow"]}, "'snow' is no perturbation; choose among noise, blur"),
        ({"perturbations": []}, "There is no perturbation"),
        ({"strengths": [0.5, 2]}, "strengths are"),
    ],
)
def test_unusable_input_is_named(change, message):
    with pytest.raises(InputError, match=message):
        stress_test(**{"clf": Bottleneck(), "images": make_images()[0], **change})
