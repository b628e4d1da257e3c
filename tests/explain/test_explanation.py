"""The record: exact, immutable, sliceable, and readable as table, JSON and HTML."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest

from knobo.bank import ConceptBank
from knobo.errors import InputError, InputTypeError
from knobo.explain import Explanation


def test_base_and_contributions_add_up_to_the_logit(why, why_two):
    for one in (why, why_two):
        np.testing.assert_allclose(one.base + one.contributions.sum(axis=2), one.logits, atol=1e-12)
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1)


def test_with_two_classes_row_one_is_the_log_odds_of_the_second(why_two):
    p = why_two.probabilities
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), why_two.logits[:, 1])
    assert list(why_two.predicted) == ["sick" if logit > 0 else "well" for logit in why_two.logits[:, 1]]


def test_predicted_is_the_most_probable_class(why):
    assert list(why.predicted) == ["heart_failure", "normal", "pneumonia", "pneumonia"]


def test_a_case_a_slice_positions_and_a_mask(why):
    assert len(why) == 4
    assert len(why[2]) == 1
    assert why[2].cases == why[-2].cases == (2,)
    assert why[1:].cases == (1, 2, 3)
    assert why[[3, 0]].cases == (3, 0)
    assert why[np.array([True, False, False, True])].cases == (0, 3)
    assert why[[]].cases == ()
    assert why[[3, 0]][1].cases == (0,)
    np.testing.assert_array_equal(why[[3, 0]].logits, why.logits[[3, 0]])
    assert [one.cases[0] for one in why] == [0, 1, 2, 3]


def test_names_and_images_stay_with_their_cases(parts):
    why = Explanation(**parts, case_ids=["a", "b", "c", "d"], images=[np.zeros((2, 2)) + i / 4 for i in range(4)])
    assert why[2].cases == ("c",)
    assert why[[3, 1]].images[0][0, 0] == 0.75


@pytest.mark.parametrize("index", [4, -5, "a", 1.0, [0, 4], np.array([True, False])])
def test_an_index_that_stands_for_no_case_is_refused(why, index):
    with pytest.raises(InputError, match=r"no case at position|Select cases by position"):
        why[index]


def test_nothing_can_be_changed(why, parts):
    parts["activations"][0, 0] = 0.123  # the caller's array is not the explanation's
    assert why.activations[0, 0] == 0.9
    with pytest.raises(ValueError, match="read-only"):
        why.weights[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        why.bank = None


def test_the_table_has_the_largest_contribution_first(why):
    frame = why.to_frame()
    assert list(frame["case"].unique()) == [0, 1, 2, 3]
    assert len(frame) == 4 * 5
    for case, rows in frame.groupby("case"):
        assert (np.diff(rows["contribution"].abs()) <= 1e-12).all()
        assert set(rows["class"]) == {why.predicted[case]}
    np.testing.assert_allclose(frame["weight"] * (frame["activation"] - frame["reference"]), frame["contribution"])


def test_the_table_carries_prior_certificate_and_citation(why):
    rows = why[0].to_frame(label="heart_failure").set_index("concept")
    effusion, consolidation = rows.loc["pleural-effusion"], rows.loc["consolidation"]
    assert (effusion["prior_sign"], effusion["agrees"], effusion["auroc"]) == (1, True, 0.9)
    assert (effusion["cui"], effusion["source"]) == ("C0032227", "Manual")
    assert effusion["sentence"] == "Effusions go with heart failure."  # what the sign rests on
    assert (consolidation["agrees"], consolidation["sentence"]) == (False, "This is consolidation.")
    assert pd.isna(rows.loc["nodule", "agrees"])
    assert pd.isna(consolidation["auroc"])


def test_the_table_of_another_class_and_of_no_case(why):
    assert set(why.to_frame(label="normal")["class"]) == {"normal"}
    empty = why[[]].to_frame()
    assert len(empty) == 0
    assert list(empty.columns) == list(why.to_frame().columns)
    with pytest.raises(InputError, match=r"no class 'heart failur'.*Did you mean 'heart_failure'"):
        why.to_frame(label="heart failur")


def test_the_dictionary_is_json_and_adds_up(why):
    document = json.loads(json.dumps(why[:2].to_dict(), allow_nan=False))
    assert [case["case"] for case in document["cases"]] == [0, 1]
    for case in document["cases"]:
        for label, logit in case["logits"].items():
            parts = document["base"][label] + sum(case["contributions"][label].values())
            assert parts == pytest.approx(logit)


def test_an_intervention_recomputes_everything(why):
    absent = why.intervene({"pleural-effusion": 0.0})
    np.testing.assert_array_equal(absent.activations[:, 0], 0)
    np.testing.assert_array_equal(absent.activations[:, 1:], why.activations[:, 1:])
    change = absent.logits - why.logits
    np.testing.assert_allclose(change, -why.activations[:, [0]] * why.weights[:, 0])
    assert absent.probabilities[0, 0] < why.probabilities[0, 0]
    assert why.activations[0, 0] == 0.9


def test_intervening_with_the_present_value_changes_nothing(why):
    same = why.intervene({"pleural-effusion": why.activations[:, 0], "nodule": why.activations[:, 3]})
    np.testing.assert_array_equal(same.logits, why.logits)
    pd.testing.assert_frame_equal(same.to_frame(), why.to_frame())


def test_an_unknown_concept_is_named(why):
    with pytest.raises(InputError, match=r"no concept 'pleural effusion'.*Did you mean 'pleural-effusion'"):
        why.intervene({"pleural effusion": 0.0})


def test_permuting_concepts_permutes_contributions(parts):
    order = [3, 0, 4, 1, 2]
    bank = parts["bank"].subset([parts["bank"].ids[j] for j in order])
    moved = parts | {"bank": bank, "reference": parts["reference"][order]}
    for name in ("activations", "weights", "prior_signs"):
        moved[name] = parts[name][:, order]
    a, b = Explanation(**parts), Explanation(**moved)
    np.testing.assert_array_equal(a.contributions[:, :, order], b.contributions)
    np.testing.assert_allclose(a.logits, b.logits)


def test_repr_and_html(why):
    assert repr(why) == "Explanation(4 cases, 5 concepts, classes: heart_failure, normal, pneumonia)"
    html = why._repr_html_()
    assert html.count("<table") == 3
    assert "1 more cases" not in html
    assert "1 more case;" in html
    assert "Effusions go with heart failure." in html
    assert "No cases" in why[[]]._repr_html_()


def test_markup_in_names_and_sentences_is_escaped(parts):
    document = parts["bank"].model_dump()
    document["concepts"][0]["name"] = "<script>alert(1)</script>"
    document["prior"][0]["evidence"][0]["sentence"] = "<img src=x onerror=alert(2)>"
    classes = np.array(["<b>bad</b>", "normal", "pneumonia"])
    why = Explanation(**parts | {"bank": ConceptBank.model_validate(document), "classes": classes}, case_ids="<&>'")
    html = why._repr_html_()
    assert not re.search(r"<(script|img|b)\b", html)
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activations": np.zeros((2, 4))}, r"activations has shape \(2, 4\); expected \(n, 5\)"),
        ({"activations": np.zeros(5)}, r"activations has shape \(5,\)"),
        ({"activations": np.full((1, 5), 1.1)}, r"activations must lie in \[0, 1\], got 1.1"),
        ({"activations": np.full((1, 5), np.nan)}, "activations holds 5 values that are NaN"),
        ({"activations": [["a"] * 5]}, "activations must be numbers"),
        ({"reference": np.full(5, -0.1)}, r"reference must lie in \[0, 1\]"),
        ({"reference": np.zeros(4)}, r"reference has shape \(4,\); expected \(5,\)"),
        ({"weights": np.zeros((2, 5))}, r"weights has shape \(2, 5\); expected \(3, 5\)"),
        ({"intercept": [0.0, np.inf, 0.0]}, "intercept holds 1 values that are NaN or infinite"),
        ({"classes": ["a"]}, "classes must be two or more distinct labels"),
        ({"classes": ["a", "b", "a"]}, "distinct labels, got .'a', 'b', 'a'"),
        ({"classes": ["a", "b"], "weights": np.ones((2, 5)), "intercept": [0, 0]}, "row 0 .* must be the negative"),
        ({"prior_signs": np.full((3, 5), 0.5)}, r"prior_signs must be -1, 0 \(unknown\) or 1"),
        ({"quality": pd.DataFrame({"auroc": [1.0]}, index=["x"])}, "quality has no row for any concept"),
        ({"quality": pd.DataFrame({"auroc": [1.0, 1.0]}, index=["nodule"] * 2)}, "one row a concept"),
        ({"case_ids": [1, 2]}, "4 cases but 2 case_ids"),
        ({"images": [1, 2]}, "4 cases but 2 images"),
    ],
)
def test_parts_that_do_not_fit_are_named(parts, change, message):
    with pytest.raises(InputError, match=message):
        Explanation(**parts | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bank": ["nodule"]}, "bank must be a ConceptBank, got list"), ({"quality": {}}, "quality must be a DataFrame")],
)
def test_parts_of_another_type_are_named(parts, change, message):
    with pytest.raises(InputTypeError, match=message):
        Explanation(**parts | change)


def test_what_a_class_rests_on_stands_with_its_source(why):
    frame = why.weights_frame("heart_failure")
    assert list(frame["concept"]) == ["enlarged-heart", "pleural-effusion", "consolidation", "support-device"]
    assert frame.loc[1, ["sentence", "source"]].tolist() == ["Effusions go with heart failure.", "Manual"]
    np.testing.assert_allclose(frame["mean_effect"][0], np.abs(why.contributions[:, 0, 1]).mean())
    assert list(why.weights_frame()["class"].unique()) == list(why.classes)
    assert set(why.contrast("normal", "pneumonia").weights_frame()["class"]) == {"normal"}
    assert why[[]].weights_frame()["mean_effect"].isna().all()


def test_the_dictionary_carries_certificates_prior_and_evidence(why):
    document = why[:1].to_dict()
    assert [concept["auroc"] for concept in document["concepts"]] == [0.9, None, None, 0.7, None]
    assert document["prior_signs"]["heart_failure"]["pleural-effusion"] == 1
    cited = {"sentence": "Effusions go with heart failure.", "source": "Manual"}
    assert document["evidence"]["heart_failure"]["pleural-effusion"] == cited
