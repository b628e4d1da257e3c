"""The three models are compared on the same folds, by predictions that none of them has seen."""

import numpy as np
import pytest

from knobo.classifier import ConceptBottleneckClassifier
from knobo.comparison import cross_validate
from knobo.errors import InputError


@pytest.fixture(scope="module")
def compared(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder)
    embeddings = colour_encoder.encode_images(images)
    return (clf, embeddings, y, answers), cross_validate(clf, embeddings, y, answers, cv=3)


def test_the_table_has_every_model_with_intervals(compared):
    _, (table, _) = compared
    assert set(table["model"]) == {"bottleneck", "linear probe", "expert concepts"}
    assert {"accuracy", "balanced_accuracy", "auroc"} <= set(table["metric"])
    assert (table["low"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["high"]).all()


def test_estimates_are_those_of_the_held_out_predictions(compared):
    (_, _, y, _), (table, probabilities) = compared
    classes = np.unique(y)
    for model, proba in probabilities.items():
        accuracy = np.mean(classes[proba.argmax(axis=1)] == y)
        row = table[(table["model"] == model) & (table["metric"] == "accuracy")]
        assert row["estimate"].item() == pytest.approx(accuracy)


def test_labels_without_information_are_not_learned(compared):
    (clf, embeddings, y, answers), _ = compared
    shuffled = np.random.default_rng(3).permutation(y)
    table, _ = cross_validate(clf, embeddings, shuffled, answers, cv=3)
    assert (table[table["metric"] == "accuracy"]["estimate"] < 0.5).all()


def test_groups_never_straddle_folds(compared):
    (clf, embeddings, y, answers), _ = compared
    groups = np.repeat(np.arange(60), 3)
    _, probabilities = cross_validate(clf, embeddings, y, answers, cv=3, groups=groups, expert=False)
    assert set(probabilities) == {"bottleneck", "linear probe"}
    assert probabilities["bottleneck"].shape == (180, 3)


def test_a_class_with_fewer_images_than_folds_is_named(compared):
    (clf, embeddings, y, answers), _ = compared
    rare = np.where(np.arange(180) < 2, "rare", y)
    with pytest.raises(InputError, match=r"Class 'rare' has 2 image\(s\)"):
        cross_validate(clf, embeddings, rare, answers, cv=3)
