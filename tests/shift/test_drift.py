"""Moved concepts are found, unmoved ones are not, and the kernel test does not depend on its chunks."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from knobo.errors import InputError
from knobo.shift import check_drift
from knobo.shift._two_sample import kolmogorov_smirnov, permuted_sides, squared_mmd

NAMES = ["haze", "line", "nodule", "effusion"]


def make_concepts(n, rng, move=0.0):
    return pd.DataFrame(rng.normal(size=(n, 4)) + np.array([move, 0, 0, 0]), columns=NAMES)


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    here, there = make_concepts(150, rng), make_concepts(120, rng, move=0.8)
    return check_drift(here, there, embeddings=(here.to_numpy(), there.to_numpy()), n_permutations=99)


def test_moved_concept_is_found(report):
    assert report.concepts["drifted"].to_dict() == {name: name == "haze" for name in report.concepts.index}
    assert report.concepts.index[0] == "haze"
    row = report.concepts.loc["haze"]
    assert row["wasserstein"] == pytest.approx(abs(row["mean_target"] - row["mean_source"]), rel=0.1)
    assert (report.concepts["q"] >= report.concepts["p"]).all()


def test_sets_as_a_whole_are_told_apart(report):
    assert list(report.sets.index) == ["concepts", "embedding"]
    assert (report.sets["mmd_p"] == 0.01).all()
    assert (report.sets["classifier_p"] < 0.01).all()
    assert (report.sets["classifier_low"] > 0.5).all()


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(1)
    reports = [check_drift(make_concepts(40, rng), make_concepts(40, rng), n_permutations=39) for _ in range(60)]
    assert np.mean([r.concepts["drifted"].any() for r in reports]) < 0.12
    assert np.mean([r.sets.loc["concepts", "mmd_p"] <= 0.05 for r in reports]) < 0.15
    assert np.mean([r.sets.loc["concepts", "classifier_p"] <= 0.05 for r in reports]) < 0.15


def test_images_of_few_patients_are_no_evidence():
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(8), 20)
    sets = [make_concepts(8, rng).iloc[patients].reset_index(drop=True) for _ in range(2)]
    assert check_drift(*sets, n_permutations=99).concepts["drifted"].any()
    assert not check_drift(*sets, groups=(patients, patients), n_permutations=99).concepts["drifted"].any()


def test_statistics_follow_their_definitions():
    rng = np.random.default_rng(3)
    values, side = np.round(rng.normal(size=60), 1), rng.random(60) < 0.4
    sides = permuted_sides(side, np.arange(60), 5, rng)
    assert kolmogorov_smirnov(values, sides)[0] == pytest.approx(ks_2samp(values[side], values[~side]).statistic)
    features = rng.normal(size=(60, 3))
    whole = squared_mmd(features, sides, 1000)
    np.testing.assert_allclose(squared_mmd(features, sides, 7), whole)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    kernel = np.exp(-distance / np.median(distance[np.triu_indices(60, 1)]))
    np.fill_diagonal(kernel, 0)
    m, n = side.sum(), (~side).sum()
    expected = (
        kernel[np.ix_(side, side)].sum() / (m * (m - 1))
        + kernel[np.ix_(~side, ~side)].sum() / (n * (n - 1))
        - 2 * kernel[np.ix_(side, ~side)].mean()
    )
    assert whole[0] == pytest.approx(expected)


def test_text_html_and_plot(report):
    from matplotlib.figure import Figure

    assert "1 of 4 concepts drifted" in repr(report)
    assert "haze" in report._repr_html_()
    ax = Figure().subplots()
    assert report.plot(ax, top=2) is ax
    assert len(ax.get_yticklabels()) == 2
    assert report.to_frame().equals(report.concepts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": pd.DataFrame(np.zeros((9, 2)))}, "different columns"),
        ({"target": pd.DataFrame(np.zeros((3, 4)), columns=NAMES)}, "target 3; a test needs at least 4"),
        ({"target": pd.DataFrame(np.full((9, 4), np.nan), columns=NAMES)}, "not finite"),
        ({"embeddings": (np.zeros((9, 2)), np.zeros((9, 3)))}, "embeddings have 2 columns in source and 3"),
        ({"groups": ([1] * 9, [1] * 9)}, "at least 4 patients"),
        ({"alpha": 5}, "alpha must lie"),
    ],
)
def test_unusable_input_is_named(change, message):
    good = {name: make_concepts(9, np.random.default_rng(4)) for name in ("source", "target")}
    with pytest.raises(InputError, match=message):
        check_drift(**{**good, **change})
