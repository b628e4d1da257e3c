"""The bottleneck learns, explains itself exactly, and comes back from disk the same."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score

import knobo.encoders
from knobo.bank import ConceptBank
from knobo.classifier import ConceptBottleneckClassifier, linear_probe, load
from knobo.errors import FileError, FormatError, InputError, InputTypeError, NotFittedError
from knobo.grounding import ConceptScorer
from knobo.heads import ConceptHead


@pytest.fixture(scope="module")
def fitted(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    return ConceptBottleneckClassifier(six_concepts, colour_encoder).fit(images, y, concepts=answers)


def test_it_learns_through_the_concepts(fitted, band_images):
    images, y, answers = band_images
    assert fitted.score(images, y) > 0.75
    assert set(fitted.bank_.ids) <= set(answers.columns)
    activations = fitted.concepts(images)
    assert list(activations.columns) == list(fitted.bank_.ids)
    assert activations.to_numpy().min() >= 0
    assert activations.to_numpy().max() <= 1


def test_probabilities_and_labels_agree(fitted, band_images):
    images, _, _ = band_images
    proba = fitted.predict_proba(images)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict(images), fitted.classes_[proba.argmax(axis=1)])


def test_the_literature_reaches_the_head(fitted):
    signs, _ = fitted.bank_.prior_matrix(fitted.classes_)
    np.testing.assert_array_equal(fitted.head_.prior_signs, signs)
    assert np.count_nonzero(signs) == 3


def test_contributions_add_up_to_every_logit(fitted, band_images):
    images, _, _ = band_images
    why = fitted.explain(images[:9])
    np.testing.assert_allclose(why.logits, fitted.decision_function(images[:9]), atol=1e-9)
    np.testing.assert_allclose(why.probabilities, fitted.predict_proba(images[:9]), atol=1e-9)


def test_two_classes_explain_the_log_odds_of_the_second(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    two = y != "normal"
    images = [image for image, keep in zip(images, two, strict=True) if keep]
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder).fit(images, y[two], concepts=answers[two])
    logit = clf.decision_function(images)
    assert logit.shape == (len(images),)
    np.testing.assert_allclose(clf.explain(images).logits, np.column_stack([-logit, logit]), atol=1e-9)
    np.testing.assert_allclose(clf.explain(images).probabilities, clf.predict_proba(images), atol=1e-9)


def test_images_may_be_paths_arrays_pictures_or_ready_embeddings(fitted, colour_encoder, band_images, tmp_path):
    images = band_images[0][:4]
    pictures = [Image.fromarray(image) for image in images]
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    expected = fitted.predict_proba(images)
    for same in (pictures, paths, np.stack(images), colour_encoder.encode_images(images)):
        np.testing.assert_allclose(fitted.predict_proba(same), expected, atol=1e-6)


def test_with_a_store_a_second_classifier_encodes_nothing(six_concepts, colour_encoder, band_images, tmp_path, fitted):
    images, y, answers = band_images

    class Counting(type(colour_encoder)):
        seen = 0

        def encode_images(self, images, *, progress=False):
            self.seen += len(images)
            return super().encode_images(images)

        def fingerprint(self):
            return "six bands"

    encoder = Counting()
    clf = ConceptBottleneckClassifier(six_concepts, encoder, store=tmp_path / "store")
    clf.fit(images, y, concepts=answers)
    assert encoder.seen == len(images)
    again = clone(clf).fit(images, y, concepts=answers)
    assert again.encoder_.seen == len(images)  # the clone has a copy of the encoder, counter included
    np.testing.assert_allclose(again.predict_proba(images), fitted.predict_proba(images), atol=1e-6)


def test_reports_teach_the_concepts_too(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    reports = [
        " ".join(f"{'There is' if row[c.id] else 'No'} {c.name}." for c in six_concepts)
        for _, row in answers.iterrows()
    ]
    by_reports = ConceptBottleneckClassifier(six_concepts, colour_encoder).fit(images, y, reports=reports)
    by_expert = ConceptBottleneckClassifier(six_concepts, colour_encoder).fit(images, y, concepts=answers)
    np.testing.assert_allclose(by_reports.predict_proba(images), by_expert.predict_proba(images))


def test_an_experts_answer_outweighs_the_report_and_the_report_fills_its_gaps(
    six_concepts, colour_encoder, band_images
):
    images, y, answers = band_images
    expert = answers[["consolidation"]].copy()
    expert.iloc[:90] = np.nan
    reports = ["There is consolidation."] * len(y)
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder, scorer=ConceptScorer(min_auroc=0.0))
    clf.fit(images, y, concepts=expert, reports=reports)
    counts = clf.concept_quality_.loc["consolidation"]
    assert counts["n_yes"] == 90 + expert["consolidation"].sum()
    assert counts["n_unknown"] == 0


def test_a_frozen_scorer_is_used_as_it_is(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    embeddings = colour_encoder.encode_images(images)
    scorer = ConceptScorer().fit(embeddings[:90], answers.iloc[:90])
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder, scorer=FrozenEstimator(scorer))
    clf.fit(embeddings[90:], y[90:])
    np.testing.assert_allclose(clf.concepts(embeddings), scorer.transform(embeddings))
    assert list(clf.bank_.ids) == list(scorer.concepts_)


def test_without_a_bank_the_concept_columns_make_one(colour_encoder, band_images):
    images, y, answers = band_images
    clf = ConceptBottleneckClassifier(encoder=colour_encoder)
    clf.fit(images, y, concepts=answers.rename(columns={"pleural-effusion": "Pleural_Effusion"}))
    assert clf.bank_["pleural-effusion"].name == "Pleural Effusion"


def test_it_works_in_sklearns_cross_validation(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    embeddings = colour_encoder.encode_images(images)
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder)
    scores = cross_val_score(clf, embeddings, y, cv=3, params={"concepts": answers})
    assert scores.shape == (3,)
    assert scores.mean() > 0.7
    assert clone(clf).get_params()["bank"] == six_concepts


def test_the_head_may_be_chosen(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder, head=ConceptHead(alpha=10.0))
    clf.fit(images, y, concepts=answers)
    assert not clf.weights_.any()


def test_groups_of_the_head_may_come_from_the_bank(six_concepts, colour_encoder, band_images, tmp_path):
    images, y, answers = band_images
    head = ConceptHead(prior="hard", concept_groups="bank")
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder, head=head).fit(images, y, concepts=answers)
    assert clf.head_.concept_groups == clf.bank_.concept_groups()
    again = load(clf.save(tmp_path / "model"), encoder=colour_encoder)
    assert (again.head_.concept_groups, again.head_.prior) == (clf.head_.concept_groups, "hard")


def test_saved_and_loaded_it_predicts_and_explains_the_same(fitted, colour_encoder, band_images, tmp_path):
    images, _, _ = band_images
    again = load(fitted.save(tmp_path / "model"), encoder=colour_encoder)
    np.testing.assert_array_equal(again.predict_proba(images), fitted.predict_proba(images))
    pd.testing.assert_frame_equal(again.explain(images[:3]).to_frame(), fitted.explain(images[:3]).to_frame())
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["arrays.safetensors", "bank.json", "model.json"]
    again.save(tmp_path / "again")
    for name in ("bank.json", "arrays.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_encoder_may_be_the_path_of_a_model_folder(six_concepts, band_images, tmp_path):
    images, y, answers = band_images
    folder = Path(knobo.encoders.__file__).parent / "phantom_clip"
    clf = ConceptBottleneckClassifier(six_concepts, folder).fit(images, y, concepts=answers)
    again = load(clf.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(images[:20]), clf.predict(images[:20]))


def test_integer_labels_stay_integers(six_concepts, colour_encoder, band_images, tmp_path):
    images, y, answers = band_images
    codes = np.unique(y, return_inverse=True)[1]
    clf = ConceptBottleneckClassifier(six_concepts, colour_encoder).fit(images, codes, concepts=answers)
    again = load(clf.save(tmp_path / "model"), encoder=colour_encoder)
    assert again.predict(images).dtype.kind == "i"
    np.testing.assert_array_equal(again.predict(images), clf.predict(images))


def test_the_linear_probe_reads_embeddings(colour_encoder, band_images):
    images, y, _ = band_images
    embeddings = colour_encoder.encode_images(images)
    assert np.mean(linear_probe().fit(embeddings, y).predict(embeddings) == y) > 0.7  # chance is 1/3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"y": ["a"] * 180}, "one class only"),
        (lambda a: {"y": a["y"][:-1]}, "180 images but 179 labels"),
        (lambda a: {"y": np.where(np.arange(180) == 5, None, a["y"])}, "missing labels .first at row 5"),
        (
            lambda a: {"concepts": None},
            "pass reports=, or concepts=; or use an encoder with a text side",
        ),
        (lambda a: {"concepts": a["concepts"].iloc[1:]}, "180 images but 179 rows of concept answers"),
        (lambda a: {"reports": ["x"]}, "180 images but 1 reports"),
        (lambda a: {"concepts": a["concepts"].rename(columns={"nodule": "tumour"})}, "no concept 'tumour'"),
        (lambda a: {"concepts": a["concepts"].replace(1.0, np.nan)}, "No concept has 10 yes and 10 no answers"),
    ],
)
def test_unusable_data_are_named(six_concepts, colour_encoder, band_images, change, message):
    images, y, answers = band_images
    arguments = {"y": y, "concepts": answers}
    arguments |= change(arguments)
    with pytest.raises(InputError, match=message):
        ConceptBottleneckClassifier(six_concepts, colour_encoder).fit(images, **arguments)


def test_unusable_settings_are_named(six_concepts, colour_encoder, band_images):
    images, y, answers = band_images
    with pytest.raises(InputTypeError, match=r"single path 'a\.png'; put it in a list"):
        ConceptBottleneckClassifier(six_concepts, colour_encoder).fit("a.png", y, concepts=answers)
    with pytest.raises(InputError, match="There is no bank that says what to look for"):
        ConceptBottleneckClassifier(encoder=colour_encoder).fit(images, y, reports=["x"] * 180)
    frozen = FrozenEstimator(ConceptScorer().fit(colour_encoder.encode_images(images), answers))
    with pytest.raises(InputError, match="A frozen scorer learns nothing"):
        ConceptBottleneckClassifier(six_concepts, colour_encoder, scorer=frozen).fit(images, y, concepts=answers)
    other = ConceptBank.from_names(["something else"])
    with pytest.raises(InputError, match="no concept 'pleural-effusion'"):
        ConceptBottleneckClassifier(other, colour_encoder, scorer=frozen).fit(images, y)
    with pytest.raises(NotFittedError, match="not fitted"):
        ConceptBottleneckClassifier(six_concepts, colour_encoder).predict(images)


def _edit(path, **changes):
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))


def test_a_broken_model_folder_is_named(fitted, tmp_path):
    folder = fitted.save(tmp_path / "model")
    _edit(folder / "model.json", format_version=7)
    with pytest.raises(FormatError, match="format_version 7"):
        load(folder)
    folder = fitted.save(tmp_path / "model")
    _edit(folder / "model.json", scorer={"sorcery": 1})
    with pytest.raises(FormatError, match="does not describe a model: TypeError"):
        load(folder)
    folder = fitted.save(tmp_path / "model")
    fitted.bank_.subset(fitted.bank_.ids[:1]).to_json(folder / "bank.json")
    with pytest.raises(FormatError, match=r"bank\.json has 1 concepts"):
        load(folder)
    (folder / "arrays.safetensors").unlink()
    with pytest.raises(FileError, match=r"arrays\.safetensors: no such file"):
        load(folder)
    with pytest.raises(FileError, match=r"nowhere.model\.json"):
        load(tmp_path / "nowhere")


def test_maps_of_concepts_and_activations_of_a_region(fitted, band_images):
    images, _, _ = band_images
    concept = fitted.bank_.ids[0]
    maps = fitted.saliency(images[:2], [concept], windows=[0.5])
    assert maps.concepts == (concept,)
    assert len(maps) == 2
    height, width = maps.maps[0].shape[1:]
    whole = fitted.region_concepts(images[:1], [(0, 0, width, height)])
    pd.testing.assert_frame_equal(whole, fitted.concepts(images[:1]))
    with pytest.raises(InputError, match="no concept 'nonsense'"):
        fitted.saliency(images[:1], ["nonsense"])
    with pytest.raises(InputError, match="2 images but 1 regions"):
        fitted.region_concepts(images[:2], [(0, 0, 2, 2)])
