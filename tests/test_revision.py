"""A reader edits a whole classifier: bank, scorer, head, explanation and files stay one."""

import json

import numpy as np
import pytest
from scipy.special import logit
from sklearn.base import clone
from typer.testing import CliRunner

from knobo.classifier import ConceptBottleneckClassifier, load
from knobo.cli import app
from knobo.errors import InputError
from knobo.heads import ConceptHead, Merge, Pin, Rename, Veto, bootstrap_head, write_edits
from knobo.reporting import write_report

MERGE = Merge("pleural-effusion", "cardiomegaly", why="one sign to our readers", who="reader 1")


@pytest.fixture(scope="module")
def fitted(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    return ConceptBottleneckClassifier(six_concepts, colour_encoder, head=ConceptHead(0.003)).fit(
        images, y, concepts=answers
    )


@pytest.fixture(scope="module")
def edited(fitted):
    edits = [
        MERGE,
        Rename("consolidation", "airspace opacity"),
        Veto("atelectasis", "normal", why="not in our protocol"),
    ]
    return fitted.edit(edits, n_bootstrap=30)


def test_bank_scorer_head_and_reference_agree_after_a_merge(edited, fitted, band_images):
    images, y, _ = band_images
    assert "cardiomegaly" not in edited.bank_
    assert list(edited.concepts(images[:2])) == list(edited.bank_.ids)
    assert edited.head_.coef_.shape[1] == len(edited.bank_) == len(edited.reference_) == len(fitted.bank_) - 1
    assert edited.score(images, y) > 0.6
    why = edited.explain(images[:5])
    np.testing.assert_allclose(why.logits, edited.decision_function(images[:5]), atol=1e-9)


def test_the_merged_probe_has_the_mean_log_odds_of_both(edited, fitted, band_images):
    images = band_images[0][:20]
    before, after = logit(fitted.concepts(images)), logit(edited.concepts(images))
    np.testing.assert_allclose(
        after["pleural-effusion"], before[["pleural-effusion", "cardiomegaly"]].mean(axis=1), rtol=1e-4
    )


def test_the_merged_concept_has_the_words_evidence_and_signs_of_both(edited, fitted):
    merged = edited.bank_["pleural-effusion"]
    assert "cardiomegaly" in merged.synonyms
    assert len(merged.evidence) == 2
    signs, _ = edited.bank_.prior_matrix(edited.classes_)
    np.testing.assert_array_equal(signs[:, edited.bank_.ids.index("pleural-effusion")], [1, -1, 0])
    np.testing.assert_array_equal(edited.head_.prior_signs, signs)


def test_a_merged_probe_is_said_to_be_unmeasured(edited):
    row = edited.concept_quality_.loc["pleural-effusion"]
    assert np.isnan(row["auroc"])
    assert "not measured" in row["reason"]
    assert edited.concept_quality_.loc["cardiomegaly", "kept"] == False  # noqa: E712


def test_a_rename_keeps_the_id(edited):
    concept = edited.bank_["consolidation"]
    assert concept.name == "airspace opacity"
    assert "consolidation" in concept.synonyms


def test_the_classifier_that_was_edited_stays_as_it_was(fitted, edited, band_images):
    assert len(fitted.bank_) == 6
    assert fitted.change_log_ == []
    assert fitted.scorer_.coef_.shape[0] == 6
    assert "reason" in fitted.concept_quality_
    assert edited is not fitted
    assert clone(edited).get_params().keys() == fitted.get_params().keys()


def test_an_edited_classifier_comes_back_from_disk_with_its_log_and_its_bounds(edited, band_images, tmp_path):
    images, y, _ = band_images
    back = load(edited.save(tmp_path / "model"), encoder=edited.encoder)
    assert back.change_log_ == edited.change_log_
    np.testing.assert_allclose(back.predict_proba(images), edited.predict_proba(images))
    again = back.edit([Veto("nodule")], images, y, n_bootstrap=0)
    row, column = list(back.classes_).index("normal"), back.bank_.ids.index("atelectasis")
    assert again.head_.coef_[row, column] == 0  # the veto of before
    assert (again.head_.coef_[:, back.bank_.ids.index("nodule")] == 0).all()
    assert len(again.change_log_) == 2


def test_edits_without_data_use_what_fit_held_out(fitted):
    activations, y, _ = fitted._seen
    assert fitted.edit([], n_bootstrap=0).head_.coef_ == pytest.approx(fitted.head_.coef_, abs=1e-6)
    assert len(activations) == len(y)


def test_a_classifier_from_disk_needs_data_to_be_edited(fitted, tmp_path, band_images):
    back = load(fitted.save(tmp_path / "model"), encoder=fitted.encoder)
    with pytest.raises(InputError, match="give X and y"):
        back.edit([Veto("nodule")])
    with pytest.raises(InputError, match="both X and y"):
        back.edit([Veto("nodule")], band_images[0])


def test_concepts_that_were_merged_need_new_data(edited):
    with pytest.raises(InputError, match="merged since"):
        edited.edit([Veto("nodule")])


def test_unknown_concepts_are_named(fitted):
    with pytest.raises(InputError, match="no concept 'rib fracture'"):
        fitted.edit([Veto("rib fracture")])
    with pytest.raises(InputError, match="merged with itself"):
        fitted.edit([Merge("nodule", "nodule")])
    with pytest.raises(InputError, match="concept number 9"):
        fitted.edit([Veto(9)])


def test_calibration_and_prevalence_are_logged_and_saved(fitted, band_images, tmp_path):
    images, y, _ = band_images
    moved = fitted.calibrate(images, y).for_prevalence([0.2, 0.7, 0.1], source=[1 / 3] * 3)
    assert [entry["edits"][0]["edit"] for entry in moved.change_log_] == ["temperature", "prevalence"]
    assert moved.predict_proba(images)[:, 1].mean() > fitted.predict_proba(images)[:, 1].mean()
    back = load(moved.save(tmp_path / "model"), encoder=fitted.encoder)
    assert back.head_.temperature_ == moved.head_.temperature_
    again = back.calibrate(images, y)  # takes both out before
    np.testing.assert_allclose(again.head_.coef_, fitted.calibrate(images, y).head_.coef_, rtol=1e-6)


def test_the_report_shows_the_changes_and_the_conflicts(fitted, band_images, tmp_path):
    images, y, _ = band_images
    edits = [
        Pin("cardiomegaly", "heart_failure", -0.5, why="<b>to be shown</b>"),
        Rename("nodule", "lung nodule"),
        Veto("pneumothorax"),
    ]
    changed = fitted.edit(edits, n_bootstrap=20).calibrate(images, y)
    conflicts = bootstrap_head(changed.head_, *fitted._seen[:2], n_bootstrap=10).conflicts()
    page = write_report(changed, images[:12], y[:12], tmp_path / "r.html", conflicts=conflicts).read_text()
    assert "Changes made by reviewers" in page
    assert "cardiomegaly: weight for heart failure fixed at −0.50" in page
    assert "&lt;b&gt;to be shown" in page
    assert "nodule: renamed to lung nodule" in page
    assert "logits divided by" in page
    assert "Where the classifier and the literature differ" in page
    temperature = changed.head_.temperature_
    assert (
        f"−{0.5 / temperature:.2f} to −{0.5 / temperature:.2f}" in page
    )  # a pinned weight, on the scale that is shown
    assert "100%" in page.split('id="h-conflicts"')[1].split("</table>")[0]
    plain = write_report(fitted, images[:12], y[:12], tmp_path / "p.html").read_text()
    assert "Changes made by reviewers" not in plain
    with pytest.raises(InputError, match="conflicts lacks"):
        write_report(changed, images[:12], y[:12], tmp_path / "q.html", conflicts=conflicts[["concept"]])


def test_the_command_line_applies_edits_to_a_saved_model(six_concepts, band_images, tmp_path):
    from PIL import Image

    from knobo.encoders import load_encoder

    images, y, answers = band_images
    rows = []
    for i in range(0, 180, 3):
        Image.fromarray(images[i]).resize((48, 48)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{y[i]}")
    (tmp_path / "images.csv").write_text("image,diagnosis\n" + "\n".join(rows) + "\n")
    paths = [tmp_path / row.split(",")[0] for row in rows]
    encoder = load_encoder("classical")
    clf = ConceptBottleneckClassifier(six_concepts, encoder).fit(paths, y[::3], concepts=answers[::3])
    clf.save(tmp_path / "model")
    target = clf.bank_.ids[0]
    write_edits(tmp_path / "edits.json", [Veto(target, why="artefact")])
    arguments = [tmp_path / name for name in ("model", "edits.json", "images.csv")]
    options = ["--label", "diagnosis", "--out", tmp_path / "edited"]
    result = CliRunner().invoke(app, ["edit", "apply", *map(str, [*arguments, *options])], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    back = load(tmp_path / "edited")
    assert (back.weights_[:, 0] == 0).all()
    shown = CliRunner().invoke(app, ["edit", "log", str(tmp_path / "edited")], catch_exceptions=False)
    assert json.loads(shown.output)[0]["edits"][0]["why"] == "artefact"
