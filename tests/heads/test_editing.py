"""A reader's edits hold exactly, change nothing else by hand, and are written down."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from knobo.errors import FormatError, InputError, InputTypeError
from knobo.heads import (
    ConceptHead,
    ConceptHeadCV,
    ForceSign,
    Merge,
    Pin,
    Release,
    Rename,
    Veto,
    change_table,
    class_weights,
    edit_head,
    merge_columns,
    read_edits,
    write_edits,
)
from knobo.heads.edits import edit_from_dict


@pytest.fixture
def fitted(activations):
    A, y = activations
    return ConceptHead(0.005).fit(A, y), A, y


def strongest(head):
    """Class, concept number and weight of the largest weight."""
    W = class_weights(head)[0]
    k, j = np.unravel_index(np.abs(W).argmax(), W.shape)
    return head.classes_[k], int(j), W[k, j]


def own_weights(head, label):
    return class_weights(head)[0][list(head.classes_).index(label)]


def test_a_veto_of_all_classes_equals_a_fit_without_the_column(fitted):
    head, A, y = fitted
    _, j, _ = strongest(head)
    edited = edit_head(head, A, y, [Veto(j)], n_bootstrap=0)
    without = ConceptHead(0.005).fit(np.delete(A, j, axis=1), y)
    assert (edited.coef_[:, j] == 0).all()
    np.testing.assert_allclose(np.delete(edited.coef_, j, axis=1), without.coef_, atol=1e-5)


def test_the_head_that_was_edited_stays_as_it_was(fitted):
    head, A, y = fitted
    before = head.coef_.copy(), head.intercept_.copy(), set(vars(head))
    edit_head(head, A, y, [Veto(0), Pin(1, head.classes_[0], 2.0)], n_bootstrap=0)
    np.testing.assert_array_equal(head.coef_, before[0])
    np.testing.assert_array_equal(head.intercept_, before[1])
    assert set(vars(head)) == before[2]


def test_a_veto_of_one_class_leaves_the_concept_to_the_others(four_classes):
    A, y = four_classes
    head = ConceptHead(0.002).fit(A, y)
    label, j, _ = strongest(head)
    edited = edit_head(head, A, y, [Veto(j, label)], n_bootstrap=0)
    assert own_weights(edited, label)[j] == 0
    assert (edited.coef_[:, j] != 0).any()
    assert edited.certificate_.converged


def test_a_forced_sign_holds_and_is_optimal_at_zero(fitted):
    head, A, y = fitted
    label, j, weight = strongest(head)
    sign = -1 if weight > 0 else 1
    edited = edit_head(head, A, y, [ForceSign(j, label, sign)], n_bootstrap=0)
    assert own_weights(edited, label)[j] * sign >= 0
    if len(head.classes_) == 2:
        np.testing.assert_allclose(edited.coef_, edit_head(head, A, y, [Veto(j)], n_bootstrap=0).coef_, atol=1e-6)


def test_a_sign_that_holds_already_changes_nothing(fitted):
    head, A, y = fitted
    label, j, weight = strongest(head)
    edited = edit_head(head, A, y, [ForceSign(j, label, int(np.sign(weight)))], n_bootstrap=0)
    np.testing.assert_allclose(edited.coef_, head.coef_, atol=1e-6)


def test_a_weight_pinned_to_its_own_value_changes_nothing(fitted):
    head, A, y = fitted
    label, j, weight = strongest(head)
    edited = edit_head(head, A, y, [Pin(j, label, float(weight))], n_bootstrap=0)
    assert own_weights(edited, label)[j] == pytest.approx(weight, abs=1e-12)
    np.testing.assert_allclose(edited.coef_, head.coef_, atol=1e-5)


def test_a_pinned_weight_is_a_better_fit_than_one_that_is_only_overwritten(fitted):
    head, A, y = fitted
    label, j, weight = strongest(head)
    edited = edit_head(head, A, y, [Pin(j, label, 3.0 * float(weight))], n_bootstrap=0)
    assert own_weights(edited, label)[j] == pytest.approx(3.0 * weight)
    assert edited.certificate_.duality_gap < 1e-6
    overwritten = edit_head(head, A, y, [], n_bootstrap=0)
    overwritten.coef_ = head.coef_.copy()
    row = list(head.classes_).index(label) if len(head.classes_) > 2 else 0
    overwritten.coef_[row, j] *= 3.0
    loss = [-np.log(h.predict_proba(A)[np.arange(len(y)), y]).mean() for h in (edited, overwritten)]
    assert loss[0] < loss[1]


def test_two_classes_mirror_the_edits_of_the_first(two_classes):
    A, y = two_classes
    head = ConceptHead(0.005).fit(A, y)
    first = edit_head(head, A, y, [Pin(3, 0, 1.5), ForceSign(2, 0, 1)], n_bootstrap=0)
    second = edit_head(head, A, y, [Pin(3, 1, -1.5), ForceSign(2, 1, -1)], n_bootstrap=0)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    assert first.coef_[0, 3] == -1.5


def test_edits_stay_in_force_until_they_are_released(fitted):
    head, A, y = fitted
    _, j, _ = strongest(head)
    first = edit_head(head, A, y, [Veto(j)], n_bootstrap=0)
    second = edit_head(first, A, y, [Veto((j + 1) % 12)], n_bootstrap=0)
    assert (second.coef_[:, j] == 0).all()
    assert len(second.change_log_) == 2
    assert len(first.change_log_) == 1
    free = edit_head(second, A, y, [Release(j), Release((j + 1) % 12)], n_bootstrap=0)
    np.testing.assert_allclose(free.coef_, head.coef_, atol=1e-5)


def test_no_edits_refit_to_other_data_and_keep_the_earlier_ones(fitted):
    head, A, y = fitted
    _, j, _ = strongest(head)
    edited = edit_head(head, A, y, [Veto(j)], n_bootstrap=0)
    other = edit_head(edited, A[:200], y[:200], [])
    assert (other.coef_[:, j] == 0).all()
    assert not np.allclose(other.coef_, edited.coef_)
    assert len(other.change_log_) == 1


def test_a_merge_pools_the_log_odds_and_refits_on_one_column_less(fitted):
    head, A, y = fitted
    edits = [Merge("x2", "x5")]
    edited = edit_head(head, A, y, edits, n_bootstrap=0)
    merged = np.delete(A, 5, axis=1)
    merged[:, 2] = expit((logit(A[:, 2]) + logit(A[:, 5])) / 2)
    np.testing.assert_allclose(merge_columns(A, edits), merged)
    np.testing.assert_allclose(edited.coef_, ConceptHead(0.005).fit(merged, y).coef_, atol=1e-5)
    assert edited.predict(merged).shape == y.shape


def test_merged_signs_are_those_that_the_literature_agrees_on(four_classes):
    A, y = four_classes
    signs = np.zeros((4, 12))
    signs[:, 0], signs[:, 1] = [1, 1, 0, 0], [1, -1, -1, 0]
    confidence = np.where(signs != 0, 0.5, 0.0)
    confidence[0, 1] = 0.9
    head = ConceptHead(0.005, prior_signs=signs, prior_confidence=confidence).fit(A, y)
    edited = edit_head(head, A, y, [Merge(0, 1)], n_bootstrap=0)
    np.testing.assert_array_equal(edited.prior_signs[:, 0], [1, 0, -1, 0])
    np.testing.assert_array_equal(edited.prior_confidence[:, 0], [0.9, 0, 0.5, 0])


def test_tables_keep_their_names_through_renames_and_merges(fitted):
    head, A, y = fitted
    table = pd.DataFrame(A, columns=[f"finding {j}" for j in range(12)])
    head = ConceptHead(0.005).fit(table, y)
    edits = [Rename("finding 0", "oedema"), Merge("oedema", "finding 3"), Veto("finding 3")]
    edited = edit_head(head, table, y, edits, n_bootstrap=20)
    moved = merge_columns(table, edits)
    assert list(edited.feature_names_in_) == list(moved.columns)
    assert moved.columns[0] == "oedema"
    assert "finding 3" not in moved
    assert (edited.coef_[:, 0] == 0).all()  # an absorbed name finds the concept that it became
    assert edited.predict(moved).shape == y.shape


def test_the_log_says_what_why_and_with_what_effect_and_is_json(fitted):
    head, A, y = fitted
    label, j, weight = strongest(head)
    veto = Veto(j, label, why="seen on the marker, not on the lung", who="reader 2", when="2026-01-05")
    edited = edit_head(head, A[:200], y[:200], [veto], test=(A[200:], y[200:]), n_bootstrap=50)
    (entry,) = json.loads(json.dumps(edited.change_log_, allow_nan=False))
    (record,) = entry["edits"]
    assert record["why"] == "seen on the marker, not on the lung"
    assert record["who"] == "reader 2"
    assert record["before"] == {str(label): pytest.approx(weight)}
    assert record["after"] == {str(label): 0.0}
    assert entry["compared_on"] == "held-out data"
    table = change_table(entry)
    assert list(table.index) == ["accuracy", "balanced_accuracy", "auroc", "log_loss"]
    assert table.loc["accuracy", "before"] == pytest.approx(head.score(A[200:], y[200:]))
    assert table.loc["accuracy", "after"] == pytest.approx(edited.score(A[200:], y[200:]))
    assert (table["change_low"] <= table["change_high"]).all()


def test_heads_chosen_by_cross_validation_are_edited_at_the_alpha_they_chose(two_classes):
    A, y = two_classes
    chosen = ConceptHeadCV(alphas=5, cv=3).fit(A, y)
    edited = edit_head(chosen, A, y, [Veto(0)], n_bootstrap=0)
    assert edited.alpha == chosen.alpha_
    assert edited.coef_[0, 0] == 0


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([Veto("x77")], "no concept 'x77'. Did you mean 'x7'"),
        ([Veto(99)], "no concept number 99; there are 12"),
        ([Pin(0, "mars", 1.0)], "no class 'mars'; it has 0, 1"),
        ([Merge(1, 1)], "cannot be merged with itself"),
        ([Rename(0, "x1")], "already is a concept 'x1'"),
    ],
)
def test_edits_that_cannot_be_applied_are_named(two_classes, edits, message):
    A, y = two_classes
    head = ConceptHead(0.01).fit(A, y)
    with pytest.raises(InputError, match=message):
        edit_head(head, A, y, edits)


def test_what_is_no_edit_no_head_or_no_activation_is_refused(two_classes):
    A, y = two_classes
    head = ConceptHead(0.01).fit(A, y)
    with pytest.raises(InputTypeError, match="Veto, ForceSign"):
        edit_head(head, A, y, ["veto x1"])
    with pytest.raises(InputTypeError, match="needs a fitted ConceptHead"):
        edit_head(LogisticRegression().fit(A, y), A, y, [Veto(0)])
    with pytest.raises(InputError, match=r"in \[0, 1\] can be merged"):
        edit_head(head, 3 * A, y, [Merge(0, 1)])
    with pytest.raises(InputError, match="12 different names"):
        edit_head(head, A, y, [Veto(0)], names=["a", "b"])


def test_values_that_an_edit_cannot_have_are_refused():
    with pytest.raises(InputError, match="must be 1"):
        ForceSign("nodule", "a", 0)
    with pytest.raises(InputError, match="finite number"):
        Pin("nodule", "a", float("nan"))
    with pytest.raises(InputError, match="new name"):
        Rename("nodule", " ")


def test_edits_come_back_from_json_the_same(tmp_path):
    edits = [
        Veto("nodule", why="artefact"),
        ForceSign("nodule", "a", -1, who="reader"),
        Pin("nodule", 1, 0.5),
        Release("nodule"),
        Rename("nodule", "mass"),
        Merge("nodule", "mass", when="2026-01-01"),
    ]
    assert read_edits(write_edits(tmp_path / "edits.json", edits)) == edits


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"edit": "paint", "concept": "a"}, "one of veto, force_sign"),
        ({"edit": "veto", "concept": "a", "weight": 1}, "no field 'weight'"),
        ({"edit": "pin", "concept": "a", "class_name": "b"}, "value"),
        ({"edit": "force_sign", "concept": "a", "class_name": "b", "sign": 3}, "must be 1"),
        ("veto", "needs a field 'edit'"),
    ],
)
def test_broken_records_are_named(record, message):
    with pytest.raises(FormatError, match=message):
        edit_from_dict(record)
