"""Without any answer the encoder's own words ground the concepts: it works, says so, and certifies nothing."""

import numpy as np
import pandas as pd
import pytest

from knobo import ConceptBottleneckClassifier, load
from knobo.errors import InputError
from knobo.grounding import ConceptScorer, ZeroShotScorer
from knobo.images import read_image
from knobo.reporting import write_report

NOTE = "6 concepts are read by the words of test-words alone .zero-shot., and nothing certifies"


class WordEncoder:
    """Images are the mean colours of their six bands; texts that name finding j look like a bright band j."""

    spec = "test-words"
    logit_scale = 50.0

    def __init__(self, names):
        self.names = names

    def encode_images(self, images, *, progress=False):
        bands = [np.array_split(read_image(image).astype(float), 6, axis=1) for image in images]
        return unit(np.array([[band.mean() for band in row] for row in bands]) + 1)

    def encode_texts(self, texts):
        rows = np.ones((len(texts), 6))
        for row, text in zip(rows, texts, strict=True):
            denied = {"no", "not", "without", "absent", "normal"} & set(text.split())
            row += [(-0.5 if denied else 0.5) * (name in text) for name in self.names]
        return unit(rows)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder(six_concepts):
    return WordEncoder([concept.name for concept in six_concepts])


@pytest.fixture(scope="module")
def fitted(six_concepts, encoder, band_images):
    images, y, _ = band_images
    with pytest.warns(UserWarning, match=NOTE):
        return ConceptBottleneckClassifier(six_concepts, encoder).fit(images, y)


def test_it_sees_the_concepts_and_the_classes(fitted, band_images):
    images, y, answers = band_images
    seen = fitted.concepts(images)[list(answers.columns)]
    assert isinstance(fitted.scorer_, ZeroShotScorer)
    assert fitted.scorer_.calibration_["how"].eq("mixture").all()
    assert np.mean((seen.to_numpy() >= 0.5) == answers.to_numpy()) > 0.85
    assert fitted.score(images, y) > 0.75


def test_every_concept_is_in_use_and_abstains(fitted, six_concepts):
    quality = fitted.concept_quality_
    assert list(quality.index) == list(six_concepts.ids)
    assert quality["kept"].all()
    assert quality["abstain"].all()
    assert quality["auroc"].isna().all()
    assert (quality[["n_yes", "n_no"]] == 0).all(axis=None)


def test_answers_may_certify_it_later(fitted, encoder, band_images):
    images, _, answers = band_images
    certificate = fitted.scorer_.certify(encoder.encode_images(images), answers)
    assert (certificate["auroc"] > 0.9).all()


def test_it_comes_back_from_disk_as_what_it_was(fitted, encoder, band_images, tmp_path):
    images = band_images[0][:20]
    again = load(fitted.save(tmp_path / "model"), encoder=encoder)
    np.testing.assert_array_equal(again.predict_proba(images), fitted.predict_proba(images))
    assert isinstance(again.scorer_, ZeroShotScorer)
    assert again.scorer_.calibration == "mixture"
    assert again.concept_quality_["abstain"].all()
    np.testing.assert_array_equal(again.explain(images).logits, fitted.explain(images).logits)
    twice = load(again.save(tmp_path / "again"), encoder=encoder)
    pd.testing.assert_frame_equal(twice.concept_quality_, again.concept_quality_)


def test_explanations_add_up_and_claim_no_quality(fitted, band_images):
    images = band_images[0][:5]
    why = fitted.explain(images)
    np.testing.assert_allclose(why.logits, fitted.decision_function(images), atol=1e-9)
    assert why[0].to_frame()["auroc"].isna().all()
    assert str(why[0])


def test_the_report_says_that_nothing_was_checked(fitted, band_images, tmp_path):
    images, y, _ = band_images
    page = " ".join(write_report(fitted, images[:30], y[:30], tmp_path / "r.html", max_cases=2).read_text().split())
    assert "6 findings in use have never been checked" in page
    assert "own words and checked on no image" in page


def test_ready_embeddings_will_do(fitted, six_concepts, encoder, band_images):
    images, y, _ = band_images
    with pytest.warns(UserWarning, match=NOTE):
        clf = ConceptBottleneckClassifier(six_concepts, encoder).fit(encoder.encode_images(images), y)
    np.testing.assert_array_equal(clf.predict_proba(images), fitted.predict_proba(images))


def test_answers_come_before_words_and_leave_out_what_they_do_not_speak_of(six_concepts, encoder, band_images):
    images, y, answers = band_images
    clf = ConceptBottleneckClassifier(six_concepts, encoder).fit(images, y, concepts=answers[["consolidation"]])
    assert isinstance(clf.scorer_, ConceptScorer)
    assert clf.bank_.ids == ("consolidation",)


def test_a_scorer_that_learns_is_not_replaced(six_concepts, encoder, band_images):
    images, y, _ = band_images
    with pytest.raises(InputError, match="no concept answers to learn from"):
        ConceptBottleneckClassifier(six_concepts, encoder, scorer=ConceptScorer()).fit(images, y)


def test_words_need_a_bank(encoder, band_images):
    images, y, _ = band_images
    with pytest.raises(InputError, match="There is no bank that says what to look for"):
        ConceptBottleneckClassifier(encoder=encoder).fit(images, y)
