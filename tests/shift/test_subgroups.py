"""Rates are counted within subgroups, small ones are left out, and a shortcut is told from an honest score."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from knobo.errors import InputError
from knobo.shift import check_shortcut, check_subgroups, threshold_at_specificity

CLASSES = ["well", "sick"]


def make_cases(n=600, seed=0, *, harder="f"):
    rng = np.random.default_rng(seed)
    y, sex = rng.integers(2, size=n), rng.choice(["f", "m"], size=n)
    z = 2.5 * (y - 0.5) * np.where(sex == harder, 0.4, 1.6) + rng.normal(size=n)
    p = 1 / (1 + np.exp(-2 * z))
    metadata = pd.DataFrame({"sex": sex, "age": rng.normal(60, 10, size=n).round(1)})
    return np.array(CLASSES)[y], np.column_stack([1 - p, p]), metadata


@pytest.fixture(scope="module")
def cases():
    return make_cases()


@pytest.fixture(scope="module")
def report(cases):
    y, proba, metadata = cases
    return check_subgroups(y, proba, CLASSES, metadata, intersections=True, n_bootstrap=100)


def test_rates_equal_sklearns(cases, report):
    y, proba, metadata = cases
    f = (metadata["sex"] == "f").to_numpy()
    truth, call = y[f] == "sick", proba[f, 1] > 0.5
    row = report.table.loc[("sex", "f")]
    assert row["n"] == f.sum()
    assert row["n_positive"] == truth.sum()
    assert row["accuracy"] == pytest.approx(np.mean(truth == call))
    assert row["tpr"] == pytest.approx(recall_score(truth, call))
    assert row["fpr"] == pytest.approx(1 - recall_score(~truth, ~call))
    assert row["ppv"] == pytest.approx(precision_score(truth, call))
    assert row["auroc"] == pytest.approx(roc_auc_score(truth, proba[f, 1]))
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def test_gap_names_the_levels_that_lie_apart(report):
    gap = report.gaps.loc[("sex", "tpr")]
    assert (gap["highest"], gap["lowest"]) == ("m", "f")
    assert gap["gap"] == pytest.approx(report.table.loc[("sex", "m"), "tpr"] - report.table.loc[("sex", "f"), "tpr"])
    assert 0 < gap["gap_low"] < gap["gap"] < gap["gap_high"]
    assert gap["ratio_high"] < 1
    assert report.gaps.loc[("age", "auroc"), "gap_low"] < 0.02


def test_numbers_are_cut_and_columns_crossed(cases, report):
    middle = cases[2]["age"].median()
    assert set(report.table.loc["age"].index) == {f"above {middle:g}", f"up to {middle:g}"}
    crossed = report.table.loc["sex × age"]
    assert len(crossed) == 4
    assert crossed["n"].sum() == 600


def test_worst_subgroup_of_all(report):
    worst = report.worst()
    assert worst.loc["auroc", "level"].startswith("f")
    assert worst.loc["fpr", "value"] == report.table["fpr"].max()


def test_small_and_missing_groups():
    y, proba, metadata = make_cases(200)
    site = np.where(np.arange(200) < 8, "rare", "common").astype(object)
    site[150:] = None
    report = check_subgroups(y, proba, CLASSES, pd.DataFrame({"site": site}), n_bootstrap=20)
    assert report.table.loc[("site", "rare")].drop(["n", "n_positive"]).isna().all()
    assert report.table.loc[("site", "missing"), "n"] == 50
    assert "rare" not in report.gaps[["highest", "lowest"]].to_numpy()
    alone = check_subgroups(y, proba, CLASSES, metadata[["sex"]].assign(sex="f"), n_bootstrap=0)
    assert alone.gaps.empty
    assert alone.table["auroc_low"].isna().all()


def test_intervals_over_patients_are_wider(cases):
    y, proba, metadata = (part[:150] for part in cases)
    patients = np.repeat(np.arange(150), 4)
    width = []
    for groups in (None, patients):
        table = check_subgroups(
            y[patients], proba[patients], CLASSES, metadata.iloc[patients], groups=groups, n_bootstrap=200
        ).table
        width.append((table["accuracy_high"] - table["accuracy_low"]).mean())
    assert width[1] / width[0] == pytest.approx(2, rel=0.25)


def test_one_of_three_classes_may_be_positive():
    rng = np.random.default_rng(1)
    y, proba = rng.choice(["a", "b", "c"], size=200), rng.dirichlet([1, 1, 1], size=200)
    metadata = pd.DataFrame({"s": rng.choice(["x", "y"], size=200)})
    table = check_subgroups(y, proba, ["a", "b", "c"], metadata, positive="c", n_bootstrap=0).table
    x = (metadata["s"] == "x").to_numpy()
    assert table.loc[("s", "x"), "tpr"] == pytest.approx(np.mean(proba[x & (y == "c")].argmax(axis=1) == 2))
    with pytest.raises(InputError, match="say which one is positive"):
        check_subgroups(y, proba, ["a", "b", "c"], metadata)


def test_threshold_keeps_the_specificity_and_can_be_carried(cases):
    y, proba, metadata = cases
    threshold = threshold_at_specificity(y, proba, CLASSES, specificity=0.9)
    below = proba[y == "well", 1] < threshold
    assert 0.9 <= below.mean() < 0.9 + 2 / len(below)
    table = check_subgroups(y, proba, CLASSES, metadata[["sex"]], threshold=threshold, n_bootstrap=0).table
    assert np.average(table["fpr"], weights=table["n"] - table["n_positive"]) == pytest.approx(1 - below.mean())


def test_text_html_and_plot(report):
    from matplotlib.figure import Figure

    assert "Positive: sick" in repr(report)
    assert f"{report.table.loc[('sex', 'f'), 'tpr']:.2f}" in report._repr_html_()
    ax = Figure().subplots()
    assert report.plot("auroc", ax) is ax
    assert ax.get_xlabel() == "AUROC"
    assert len(ax.get_yticklabels()) == len(report.table)


def make_drains(n=800, pull=0.0, seed=2):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    drain = rng.random(n) < np.where(y == 1, 0.7, 0.3)
    p = 1 / (1 + np.exp(-(1.5 * (y - 0.5) + pull * (drain - 0.5) + rng.normal(size=n))))
    return np.array(CLASSES)[y], np.column_stack([1 - p, p]), drain


def test_shortcut_is_told_from_an_honest_score():
    honest = check_shortcut(*make_drains()[:2], CLASSES, make_drains()[2], n_bootstrap=200)
    assert honest.loc["auroc_difference", "low"] < 0 < honest.loc["auroc_difference", "high"]
    y, proba, drain = make_drains(pull=2.0)
    found = check_shortcut(y, proba, CLASSES, drain, n_bootstrap=200)
    assert found.loc["auroc_difference", "low"] > 0.2
    assert found.loc["fpr_difference", "low"] > 0.2
    helped = (y == "sick") == drain
    assert found.loc["auroc_helped", "estimate"] == pytest.approx(roc_auc_score(y[helped] == "sick", proba[helped, 1]))
    assert found.loc["tpr_difference", "estimate"] == pytest.approx(
        found.loc["tpr_with", "estimate"] - found.loc["tpr_without", "estimate"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"present": [1] * 800}, "present holds 1 different values"),
        ({"present": [1, 0]}, "800 labels but 2 entries"),
        ({"min_count": 300}, r"There are \d+ positive cases with present = False, fewer than the 300"),
        ({"positive": "dead"}, "positive is 'dead', which is no class"),
        ({"threshold": 2}, "threshold is 2"),
    ],
)
def test_unusable_shortcut_is_named(change, message):
    y, proba, drain = make_drains()
    with pytest.raises(InputError, match=message):
        check_shortcut(**{"y": y, "proba": proba, "classes": CLASSES, "present": drain, **change})


def test_unusable_input_is_named(cases):
    y, proba, metadata = cases
    with pytest.raises(InputError, match="metadata has 3 rows"):
        check_subgroups(y, proba, CLASSES, metadata.head(3))
    with pytest.raises(InputError, match="metadata has no column"):
        check_subgroups(y, proba, CLASSES, metadata[[]])
    with pytest.raises(InputError, match="specificity is 9"):
        threshold_at_specificity(y, proba, CLASSES, specificity=9)
    with pytest.raises(InputError, match="no negative case"):
        threshold_at_specificity(y[y == "sick"], proba[y == "sick"], CLASSES)
