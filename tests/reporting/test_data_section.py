"""Counts, the check of the split, and subgroups."""

import numpy as np
import pandas as pd

from knobo.reporting.data_section import counts, split_check, subgroups

CLASSES = np.array(["ill", "well"])
TRUTH = CLASSES[np.arange(60) % 2]
PROBA = np.where((np.arange(60) % 2 == 0)[:, None], [0.8, 0.2], [0.3, 0.7])
PROBA[:10] = PROBA[:10, ::-1]


def test_images_are_counted_by_class_and_domain():
    table = counts(TRUTH, CLASSES, np.array(["A"] * 20 + ["B"] * 40))
    assert table["columns"] == ["A", "B"]
    assert [row["counts"] for row in table["rows"]] == [[10, 20], [10, 20], [20, 40]]
    assert counts(TRUTH, CLASSES, None)["columns"] == ["images"]


def test_patients_in_both_sets_are_counted_and_not_named():
    assert split_check([1, 1, 2, 3], ["3", "4"]) == {"here": 3, "training": 2, "both": 1}
    assert split_check([1, 2], [3])["both"] == 0
    assert split_check([1, 2], None)["both"] is None


def test_subgroups_are_values_or_thirds_of_numbers():
    metadata = pd.DataFrame(
        {
            "view": ["AP"] * 10 + ["PA"] * 47 + ["lateral"] * 3,
            "age": np.arange(18, 78),
            "note": [f"n{i}" for i in range(60)],
        }
    )
    view, age = subgroups(TRUTH, PROBA, CLASSES, metadata, None)
    assert [(row["name"], row["n"]) for row in view["rows"]] == [("AP", 10), ("PA", 47)]
    assert [row["accuracy"]["value"] for row in view["rows"]] == ["0.000", "1.000"]
    assert view["left_out"] == 1
    assert [row["n"] for row in age["rows"]] == [20, 20, 20]
    assert age["rows"][0]["name"].startswith("18 to ")


def test_missing_values_are_a_group_of_their_own():
    metadata = pd.DataFrame({"sex": ["F"] * 20 + [None] * 20 + ["M"] * 20})
    (sex,) = subgroups(TRUTH, PROBA, CLASSES, metadata, None)
    assert [row["name"] for row in sex["rows"]] == ["F", "M", "not known"]
