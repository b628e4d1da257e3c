"""The audit finds the column that is tied to the label and seen, and says why a column cannot be audited."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from knobo.errors import InputError
from knobo.shift import audit_confounders
from knobo.shift._association import association, cramers_v, explained_variance


def make_archive(n=400, tie=0.8, seed=0):
    """A marker tied to the label and seen, a site tied and not seen, an age seen and not tied."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    follow = [np.where(rng.random(n) < tie, y, 1 - y) for _ in range(2)]
    age = rng.normal(60, 10, size=n)
    concepts = pd.DataFrame(
        {
            "opacity": y + rng.normal(size=n),
            "edge": follow[0] + 0.4 * rng.normal(size=n),
            "calcification": age / 10 + 0.4 * rng.normal(size=n),
        }
    )
    metadata = pd.DataFrame({"marker": np.array(["no", "yes"])[follow[0]], "site": follow[1], "age": age})
    return metadata, np.array(["well", "sick"])[y], concepts


@pytest.fixture(scope="module")
def audit():
    metadata, y, concepts = make_archive(600, tie=0.88)
    embedding = concepts.to_numpy() @ np.random.default_rng(1).normal(size=(3, 6))
    head = LogisticRegression()
    return audit_confounders(metadata, y, concepts=concepts, embeddings=embedding, estimator=head, n_bootstrap=50)


def test_tie_and_sight_are_told_apart(audit):
    table = audit.table
    assert table["kind"].tolist() == ["category", "category", "number"]
    assert table.loc["marker", "association"] > 0.5
    assert table.loc["site", "association"] > 0.5
    assert table.loc["age", "association"] < 0.05
    assert table.loc["marker", "concepts_within_label"] > 0.9
    assert 0.4 < table.loc["site", "concepts_within_label"] < 0.6
    assert table.loc["site", "concepts"] > 0.65  # through the label only
    assert table.loc["age", "concepts"] > 0.8
    assert table.loc["age", "label"] < 0.05
    np.testing.assert_allclose(table["embedding"], table["concepts"], atol=0.06)


def test_intervals_hold_their_estimate(audit):
    for name in ("association", "label", "concepts", "embedding"):
        assert (audit.table[f"{name}_low"] <= audit.table[name] + 1e-9).all()
        assert (audit.table[name] <= audit.table[f"{name}_high"] + 0.02).all()


def test_concept_that_carries_the_column_comes_first(audit):
    first = audit.carriers.groupby("column", sort=False).first()["concept"]
    assert first[["marker", "age"]].tolist() == ["edge", "calcification"]
    site = audit.carriers.set_index(["column", "concept"]).loc[("site", "opacity")]
    assert site["share"] > 0.05 > site["within_label"]


def test_gap_opens_where_a_seen_tie_is_reversed(audit):
    frame = audit.to_frame()
    assert frame.loc["marker", "reversed_gap"] > 0.15
    assert frame.loc["marker", "reversed_gap_low"] > 0
    assert (frame.loc[["site", "age"], "reversed_gap_low"] < 0).all()  # not seen; not tied
    assert frame["reversed_strength"].tolist() == pytest.approx([0.88, 0.88, 0.5], abs=0.05)
    assert audit.reversed["marker"].counts.loc["target"].nunique() == 1  # labels are balanced


def test_text_html_and_plot_show_the_figures(audit):
    from matplotlib.figure import Figure

    figure = f"{audit.table.loc['marker', 'association']:.2f}"
    assert figure in repr(audit)
    assert figure in audit._repr_html_()
    assert "not causes" in audit._repr_html_()
    ax = Figure().subplots()
    assert audit.plot(ax) is ax
    assert {tick.get_text() for tick in ax.get_yticklabels()} == {"marker", "site", "age"}
    assert f"V {figure}" in [text.get_text() for text in ax.texts]


def test_patients_stay_in_one_fold():
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(60), 5)
    looks = rng.normal(size=(60, 8))[patient] + 0.05 * rng.normal(size=(300, 8))
    sex, y = rng.integers(2, size=60)[patient], rng.integers(2, size=300)
    metadata = pd.DataFrame({"sex": sex})
    leaky = audit_confounders(metadata, y, concepts=pd.DataFrame(looks), n_bootstrap=50)
    honest = audit_confounders(metadata, y, concepts=pd.DataFrame(looks), groups=patient, n_bootstrap=50)
    width = [t.table.loc["sex", "concepts_high"] - t.table.loc["sex", "concepts_low"] for t in (leaky, honest)]
    assert leaky.table.loc["sex", "concepts"] > honest.table.loc["sex", "concepts"]
    assert width[1] > width[0]


def test_columns_that_cannot_be_audited_say_why():
    metadata, y, concepts = make_archive(60)
    metadata = metadata.assign(
        name=[f"case {i}" for i in range(60)],
        scanner="one",
        many=np.repeat([f"room {i}" for i in range(30)], 2),
        sparse=[1.5 * i if i < 5 else None for i in range(60)],
        half=np.where(y == "well", "x", None),
    )
    names = ["name", "scanner", "many", "sparse", "half"]
    notes = audit_confounders(
        metadata.assign(half=np.where(y == "well", metadata["marker"], None)),
        y,
        concepts=concepts,
        columns=names,
        min_count=2,
        cv=2,
        n_bootstrap=0,
    ).table["note"]
    assert notes["name"] == notes["scanner"] == "fewer than two levels with at least 2 cases"
    assert notes["many"] == "30 levels; cut it into at most 20"
    assert "fewer than two levels" in notes["sparse"]
    assert notes["half"] == "one class only where it is known"


def test_split_with_an_empty_cell_is_noted():
    metadata, y, concepts = make_archive(120)
    metadata["marker"] = y
    audit = audit_confounders(
        metadata, y, concepts=concepts, columns=["marker"], estimator=LogisticRegression(), n_bootstrap=0
    )
    assert "reversed split: Label 'sick' has 0 cases at level" in audit.table.loc["marker", "note"]
    assert audit.table.loc["marker", "association"] == pytest.approx(1.0, abs=0.01)
    assert audit.reversed == {}


def test_level_of_too_few_patients_is_noted():
    metadata, y, concepts = make_archive(100)
    patients = np.where(metadata["marker"] == "yes", 0, np.arange(100))
    audit = audit_confounders(metadata, y, concepts=concepts, columns=["marker"], groups=patients, n_bootstrap=0)
    assert audit.table.loc["marker", "note"] == "level 'yes' has 1 patients, fewer than 5 folds"
    assert audit._repr_html_()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concepts": None}, "nothing to read from"),
        ({"concepts": pd.DataFrame({"a": [1.0, 2.0]})}, r"concepts has shape \(2, 1\)"),
        ({"embeddings": np.full((60, 2), np.nan)}, "embedding holds values that are not finite"),
        ({"columns": ["sx"]}, "no column 'sx'; it has marker, site, age"),
        ({"groups": [1, 2]}, "60 labels but 2 groups"),
        ({"y": ["a"] * 60}, "one class only"),
        ({"confidence": 95}, "confidence is 95"),
    ],
)
def test_unusable_input_is_named(change, message):
    metadata, y, concepts = make_archive(60)
    with pytest.raises(InputError, match=message):
        audit_confounders(**{"metadata": metadata, "y": y, "concepts": concepts, **change})


def test_corrected_association_of_unrelated_columns_is_near_zero():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(200):
        a, b = rng.integers(3, size=40), rng.integers(4, size=40)
        ones = np.ones((1, 40))
        found.append((cramers_v(a, b, ones)[0] ** 2, explained_variance(a, rng.normal(size=40), ones)[0]))
    assert np.median(found, axis=0).max() < 0.01


def test_association_of_a_perfect_tie_is_one():
    codes = np.repeat([0, 1, 2], 30)
    assert association(codes, codes, None, 0, 0.95, 0)[0] == pytest.approx(1.0)
    assert association(codes, codes.astype(float) ** 2, None, 0, 0.95, 0)[0] == pytest.approx(1.0)


def test_interval_of_the_association_covers():
    rng = np.random.default_rng(4)
    draw = lambda n: (y := rng.integers(2, size=n), np.where(rng.random(n) < 0.7, y, 1 - y))  # noqa: E731
    hits = [association(*draw(150), None, 200, 0.95, 0)[1:] for _ in range(150)]
    assert 0.88 < np.mean([low <= 0.4 <= high for low, high in hits]) <= 1.0  # V = 2 × 0.7 − 1
