"""Parts are disjoint and exact, the tie is as asked in domain and reversed out of domain, patients stay together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.errors import InputError
from knobo.shift import confounded_split

PARTS = ("train", "val", "id_test", "test")


def parts_of(split):
    return {name: getattr(split, name) for name in PARTS}


def make_data(n, n_labels, n_levels, seed):
    rng = np.random.default_rng(seed)
    labels = np.array(["normal", "pneumonia", "copd", "heart_failure"])[rng.integers(n_labels, size=n)]
    return labels, np.array(["A", "B", "C"])[rng.integers(n_levels, size=n)]


def test_counts_are_the_cases_of_each_part():
    y, hospital = make_data(900, 3, 3, seed=0)
    split = confounded_split(y, hospital, strength=0.8, n_train=150, n_val=60, n_id_test=30, n_test=60)
    for name, part in parts_of(split).items():
        found = pd.crosstab(y[part], hospital[part])
        pd.testing.assert_frame_equal(split.counts.loc[name].loc[found.index], found, check_names=False)
    assert split.counts.groupby("part").sum().sum(axis=1).to_dict() == {
        "train": 150, "val": 60, "id_test": 30, "test": 60
    }  # fmt: skip


def test_tie_holds_in_domain_and_is_reversed_out_of_domain():
    y, hospital = make_data(2000, 2, 2, seed=1)
    split = confounded_split(y, hospital, strength=0.9, n_train=200, n_val=40, n_id_test=40, n_test=100)
    for name in PARTS:
        counts = split.counts.loc[name]
        pairs = split.reversed_pairs if name == "test" else split.pairs
        for label, level in pairs.items():
            assert counts.loc[label, level] == 0.9 * counts.loc[label].sum()
    assert set(split.pairs.values()) == {"A", "B"}
    assert all(split.reversed_pairs[label] != level for label, level in split.pairs.items())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n_labels=st.integers(2, 4),
    n_levels=st.integers(2, 3),
    strength=st.floats(0.5, 1.0),
    seed=st.integers(0, 1000),
    grouped=st.booleans(),
)
def test_any_split_is_disjoint_balanced_tied_and_reversed(n_labels, n_levels, strength, seed, grouped):
    y, hospital = make_data(600, n_labels, n_levels, seed)
    patients = np.random.default_rng(seed).integers(300, size=600) if grouped else np.arange(600)
    split = confounded_split(y, hospital, strength=strength, groups=patients if grouped else None, random_state=seed)
    parts = parts_of(split)
    assert len(np.unique(np.concatenate(list(parts.values())))) == sum(map(len, parts.values()))
    owners = [set(patients[part]) for part in parts.values()]
    assert len(set.union(*owners)) == sum(map(len, owners))
    for name in ("train", "val", "test"):
        counts = split.counts.loc[name]
        size = counts.sum(axis=1)
        assert size.nunique() == 1
        pairs = split.reversed_pairs if name == "test" else split.pairs
        for label, level in pairs.items():
            assert abs(counts.loc[label, level] - strength * size[label]) <= 0.5 + 1e-9
            others = counts.loc[label].drop(level)
            assert others.max() - others.min() <= 1


def test_default_pairs_follow_the_data():
    y = np.repeat(["sick", "well"], 100)
    sex = np.concatenate([np.repeat(["f", "m"], [30, 70]), np.repeat(["f", "m"], [60, 40])])
    assert confounded_split(y, sex).pairs == {"sick": "m", "well": "f"}


def test_default_pairs_share_the_levels_evenly():
    rng = np.random.default_rng(2)
    y, hospital = rng.integers(5, size=2000), rng.integers(3, size=2000)
    used = list(confounded_split(y, hospital).pairs.values())
    assert sorted(map(used.count, range(3))) == [1, 2, 2]


def test_default_size_is_the_largest_possible():
    y = np.repeat(["sick", "well"], 100)
    sex = np.tile(["f", "m"], 100)  # 50 in each of the four cells
    split = confounded_split(y, sex, strength=1.0)
    # a label's train and val come from one cell, its test from the other: 62 = 38 + 12 + 12 a label fills the first
    assert split.counts.loc[["train", "val"]].to_numpy().max(axis=1).tolist() == [38, 38, 12, 12]
    with pytest.raises(InputError, match="51"):
        confounded_split(y, sex, strength=1.0, n_train=78, n_val=24, n_test=24)


def test_given_pairs_leave_other_labels_and_levels_out():
    y, hospital = make_data(900, 3, 3, seed=3)
    split = confounded_split(y, hospital, pairs={"copd": "C", "normal": "A"}, strength=0.75)
    used = np.concatenate(list(parts_of(split).values()))
    assert set(y[used]) == {"copd", "normal"}
    assert set(hospital[used]) == {"A", "C"}
    assert split.pairs == {"copd": "C", "normal": "A"}
    assert split.reversed_pairs == {"copd": "A", "normal": "C"}


def test_pairs_may_be_numbers_or_their_text():
    y, marker = np.tile([0, 0, 1, 1], 50), np.tile([True, False], 100)
    split = confounded_split(y, marker, pairs={"0": True, "1": "False"})
    assert split.pairs == {0: True, 1: False}


def test_no_tie_at_the_lower_end():
    y, hospital = make_data(800, 2, 2, seed=4)
    split = confounded_split(y, hospital, strength=0.5, n_train=80, n_val=40, n_test=40)
    assert (split.counts.loc["train"] == 20).all(axis=None)
    assert (split.counts.loc["test"] == 10).all(axis=None)


def test_patients_with_many_images_stay_in_one_part():
    rng = np.random.default_rng(5)
    patients = rng.integers(100, size=1500)
    sex, y = rng.integers(2, size=100)[patients], rng.integers(2, size=1500)
    split = confounded_split(y, sex, groups=patients, strength=0.9)
    owners = [set(patients[part]) for part in parts_of(split).values()]
    assert len(set.union(*owners)) == sum(map(len, owners))
    # a patient has one sex and serves one part, so 0.9 T cases a label must fit into about 375: train is at most 500
    assert len(split.train) > 450


def test_same_seed_same_split():
    y, hospital = make_data(300, 2, 2, seed=6)
    first, second, third = (confounded_split(y, hospital, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train, second.train)
    assert not np.array_equal(first.train, third.train)


def test_cases_of_a_cell_are_drawn_with_equal_chance():
    y, hospital = np.tile(["a", "a", "b", "b"], 30), np.tile(["u", "v"], 60)
    drawn = np.zeros(120)
    for seed in range(200):
        drawn[confounded_split(y, hospital, strength=1.0, n_train=20, n_val=4, n_test=4, random_state=seed).train] += 1
    in_use = drawn[drawn > 0]
    assert len(in_use) == 60
    assert abs(in_use - 200 / 3).max() < 4 * np.sqrt(200 * (1 / 3) * (2 / 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": []}, "y is empty"),
        ({"y": ["a"] * 40}, "y holds 'a' only"),
        ({"column": ["u"] * 40}, "column holds 'u' only"),
        ({"column": [None] * 40}, r"column has 40 missing entries \(first at row 0\)"),
        ({"column": ["u", "v"]}, "40 labels but 2 entries"),
        ({"column": np.arange(40) / 7}, "column has 40 levels.*pandas.cut"),
        ({"groups": [1, 2]}, "40 labels but 2 groups"),
        ({"strength": 0.3}, r"strength is 0.3; with 2 paired levels it must lie between 0.5"),
        ({"strength": np.nan}, "strength is nan"),
        ({"pairs": {"a": "u", "c": "v"}}, "pairs names 'c', which y does not hold; it holds a, b"),
        ({"pairs": {"a": "u", "b": "w"}}, "pairs names 'w', which column does not hold; it holds u, v"),
        ({"pairs": {"a": "u", "b": "u"}}, "two different levels"),
        ({"pairs": {"a": "u"}}, "at least two labels"),
        ({"n_train": 10}, "n_train, n_val and n_test together"),
        ({"n_id_test": 10}, "n_id_test needs all three"),
        ({"n_train": 10, "n_val": 4, "n_test": 1}, "n_test is 1; with 2 labels"),
        ({"n_train": 30, "n_val": 4, "n_test": 4}, r"Label 'a' has 10 cases at level .* needs \d+ \(train 14, val 2\)"),
    ],
)
def test_unusable_input_is_named(change, message):
    good = {"y": np.repeat(["a", "b"], 20), "column": np.tile(["u", "v"], 20)}
    with pytest.raises(InputError, match=message):
        confounded_split(**{**good, **change})


def test_empty_cell_is_named():
    y = np.repeat(["sick", "well"], 50)
    view = np.array(["AP"] * 50 + ["AP", "PA"] * 25)
    with pytest.raises(InputError, match=r"Label 'sick' has 0 cases at level 'PA'.*add such cases"):
        confounded_split(y, view)


def test_too_few_patients_are_named():
    y, sex = np.tile(["a", "b"], 60), np.repeat(["f", "m"], 60)
    with pytest.raises(InputError, match="missing with each patient in one part only"):
        confounded_split(y, sex, groups=np.repeat([1, 2], 60))
