"""Shares add up to the drop, the concept that moved carries it, and remedies are measured on the target."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from knobo.errors import InputError, InputTypeError, NotFittedError
from knobo.shift import explain_gap
from knobo.shift._linear_head import LinearHead, score_cases

NAMES = ["haze", "line", "noise"]


def make_set(n, rng, n_classes=2, move=0.0):
    y = rng.integers(n_classes, size=n)
    A = rng.normal(size=(n, 3))
    A[:, 0] += 2 * (y == 1) + move
    A[:, 1] += 2 * (y == n_classes - 1)
    return pd.DataFrame(A, columns=NAMES), y


@pytest.fixture(scope="module", params=[2, 3])
def case(request):
    rng = np.random.default_rng(0)
    head = LogisticRegression().fit(*make_set(400, rng, request.param))
    return head, make_set(200, rng, request.param), make_set(160, rng, request.param, move=2.0)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
def test_shares_add_up_to_the_drop(case, metric):
    head, source, target = case
    why = explain_gap(head, source, target, metric=metric, n_bootstrap=50)
    score = [score_cases(LinearHead.of(head).logits(A.to_numpy()), y, metric).mean() for A, y in (source, target)]
    assert why.summary.loc["drop", "value"] == pytest.approx(score[0] - score[1])
    whole = why.summary.loc["class shares", "value"] + why.table["explained"].sum()
    assert whole == pytest.approx(why.summary.loc["drop", "value"])
    assert why.table.index[0] == "haze"
    assert why.table.loc["haze", "explained_low"] > 0
    assert why.table.loc["noise", "explained"] == pytest.approx(0, abs=0.05)
    assert (why.table["explained_low"] <= why.table["explained_high"]).all()


def test_score_is_the_classifiers_own(case):
    head, (A, y), _ = case
    logits = LinearHead.of(head).logits(A.to_numpy())
    np.testing.assert_allclose(score_cases(logits, y, "log_loss"), np.log(head.predict_proba(A)[np.arange(len(y)), y]))
    np.testing.assert_array_equal(score_cases(logits, y, "accuracy"), head.predict(A) == y)


def test_sampled_values_are_shapley_values():
    """One pair of cases: every order can be walked through."""
    rng = np.random.default_rng(1)
    head = LogisticRegression().fit(*make_set(400, rng))
    A = pd.DataFrame([[2.0, 1.5, 0.3], [0.0, 0.0, 0.0]], columns=NAMES)
    B = pd.DataFrame([[-1.0, 0.5, 2.0], [0.0, 0.0, 0.0]], columns=NAMES)
    y = np.array([1, 0])
    why = explain_gap(head, (A, y), (B, y), n_samples=4000, n_bootstrap=0)
    expected = np.zeros(3)
    for order in itertools.permutations(range(3)):
        now = B.to_numpy()[0].copy()
        for j in order:
            before = head.predict_log_proba(pd.DataFrame([now], columns=NAMES))[0, 1]
            now[j] = A.iloc[0, j]
            expected[j] += (head.predict_log_proba(pd.DataFrame([now], columns=NAMES))[0, 1] - before) / 6 / 2
    np.testing.assert_allclose(why.table.loc[NAMES, "explained"], expected, atol=0.01)


def test_remedies_are_what_the_target_would_gain(case):
    head, source, (B, y) = case
    why = explain_gap(head, source, (B, y), n_bootstrap=50)
    masked = B.assign(haze=source[0]["haze"].mean())
    now, then = (head.predict_log_proba(A)[np.arange(len(y)), y].mean() for A in (B, masked))
    assert why.table.loc["haze", "masked"] == pytest.approx(then - now)
    assert why.table.loc["haze", "recalibrated_low"] > 0
    assert why.table.loc["haze", "recalibrated"] == pytest.approx(why.table.loc["haze", "explained"], rel=0.4)


def test_margins_add_up_to_what_the_true_class_fell_behind(case):
    head, (A, y), (B, z) = case
    why = explain_gap(head, (A, y), (B, z), n_samples=1, n_bootstrap=0)
    behind = 0.0
    for k in range(len(head.classes_)):
        means = []
        for values, labels in ((A, y), (B, z)):
            logits = LinearHead.of(head).logits(values.to_numpy()[labels == k]).mean(axis=0)
            means.append(logits[k] - np.delete(logits, k).mean())
        behind += np.mean(z == k) * (means[0] - means[1])
    assert why.table["margin"].sum() == pytest.approx(behind)


def test_other_class_shares_alone_are_told_apart():
    rng = np.random.default_rng(2)
    A, y = make_set(3000, rng)
    A.loc[y == 1, "haze"] -= 1.5  # class 1 is the harder one
    head = LogisticRegression().fit(A[:1000], y[:1000])
    kept = np.flatnonzero((np.arange(3000) >= 2000) & ((y == 1) | (rng.random(3000) < 0.2)))
    bias = LogisticRegression().fit(A[:1000], y[:1000])
    bias.intercept_ -= 1.5  # so that class 1 loses
    why = explain_gap(bias, (A[1000:2000], y[1000:2000]), (A.iloc[kept], y[kept]), n_bootstrap=100)
    assert why.summary.loc["class shares", "low"] > 0
    assert (why.table["explained_low"] < 0.05).all()
    assert head.classes_.tolist() == [0, 1]


def test_groups_of_concepts_act_together(case):
    head, source, target = case
    why = explain_gap(head, source, target, concept_groups={"haze": "lung", "line": "lung"}, n_bootstrap=0)
    assert set(why.table.index) == {"lung", "noise"}
    alone = explain_gap(head, source, target, n_bootstrap=0).table["explained"]
    assert why.table.loc["lung", "explained"] == pytest.approx(alone[["haze", "line"]].sum(), abs=0.03)
    assert why.table["explained_low"].isna().all()


def test_intervals_over_patients_are_wider(case):
    head, source, (B, y) = case
    patients = np.repeat(np.arange(160), 4)
    target = B.iloc[patients].reset_index(drop=True), y[patients]
    width = []
    for groups in (None, (None, patients)):
        table = explain_gap(head, source, target, groups=groups, n_samples=1, n_bootstrap=100).table
        width.append(table.loc["haze", "recalibrated_high"] - table.loc["haze", "recalibrated_low"])
    assert width[1] > 1.4 * width[0]


def test_bottleneck_reads_its_own_concepts(case):
    head, (A, y), (B, z) = case

    class Bottleneck:
        classes_ = head.classes_
        head_ = head

        def concepts(self, X):
            return pd.DataFrame(X, columns=NAMES)

    why = explain_gap(Bottleneck(), (A.to_numpy(), y), (B.to_numpy(), z), n_bootstrap=0)
    pd.testing.assert_frame_equal(why.table, explain_gap(head, (A, y), (B, z), n_bootstrap=0).table)


def test_text_html_and_plot(case):
    from matplotlib.figure import Figure

    why = explain_gap(*case, n_bootstrap=20)
    assert f"{why.table.loc['haze', 'explained']:+.3f}" in repr(why)
    assert "other class shares alone" in why._repr_html_()
    ax = Figure().subplots()
    assert why.plot(ax, top=2) is ax
    assert len(ax.patches) == 2
    assert why.to_frame().equals(why.table)


def test_unusable_input_is_named(case):
    head, (A, y), (B, z) = case
    with pytest.raises(InputError, match="metric is 'auroc'; pass one of log_loss, accuracy"):
        explain_gap(head, (A, y), (B, z), metric="auroc")
    with pytest.raises(InputError, match="target holds 1, of which source has no case"):
        explain_gap(head, (A[y != 1], y[y != 1]), (B, z))
    with pytest.raises(InputError, match="target has 2 concepts; the head knows 3"):
        explain_gap(head, (A, y), (B[NAMES[:2]], z))
    with pytest.raises(InputError, match="concept_groups names 'veil'"):
        explain_gap(head, (A, y), (B, z), concept_groups={"veil": "x"})
    with pytest.raises(InputTypeError, match="no linear head"):
        explain_gap(RandomForestClassifier(2).fit(A, y), (A, y), (B, z))
    with pytest.raises(NotFittedError):
        explain_gap(LogisticRegression(), (A, y), (B, z))
