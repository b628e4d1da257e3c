"""Zero-shot: prompt pairs against image embeddings, with a made-up encoder whose texts and images share directions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from knobo import ConceptBottleneckClassifier, load
from knobo.bank import ConceptBank
from knobo.errors import InputError, InputTypeError
from knobo.grounding import ZeroShotScorer, concept_prompts, default_pairs, text_directions

FINDINGS = {"effusion": "effusion", "nodule": "nodule"}


class WordEncoder:
    """Text embeddings are a shared direction, plus the finding's where it is named, unless it is denied."""

    spec = "words"
    logit_scale = 40.0
    d = 16

    def __init__(self):
        self.axes = {"effusion": np.eye(self.d)[1], "nodule": np.eye(self.d)[2]}
        self.asked = []

    def encode_images(self, images, *, progress=False):
        raise NotImplementedError

    def encode_texts(self, texts):
        self.asked.extend(texts)
        rows = []
        for text in texts:
            denied = any(word in text.split() for word in ("no", "not", "without"))
            named = sum((axis for name, axis in self.axes.items() if name in text), np.zeros(self.d))
            rows.append(np.eye(self.d)[0] * 2 + named * (0.2 if denied else 0.8))
        rows = np.array(rows, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def bank():
    return ConceptBank.from_names(FINDINGS)


@pytest.fixture
def images():
    """Embeddings of 400 images, effusion in 30 %, nodule in half of them, and the truth."""
    rng = np.random.default_rng(0)
    truth = pd.DataFrame({"effusion": rng.random(400) < 0.3, "nodule": rng.random(400) < 0.5}, dtype=float)
    X = rng.normal(size=(400, 16)) * 0.15
    X[:, 0] += 3
    X[:, 1:3] += 0.7 * truth.to_numpy()
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), truth


def test_half_means_something_after_calibration_without_labels(bank, images):
    X, truth = images
    raw = ZeroShotScorer(bank, WordEncoder(), calibration="none").fit(X).transform(X)
    calibrated = ZeroShotScorer(bank, WordEncoder()).fit(X).transform(X)
    for j, concept in enumerate(bank.ids):
        assert roc_auc_score(truth[concept], calibrated[:, j]) == roc_auc_score(truth[concept], raw[:, j]) > 0.95
        assert np.mean((calibrated[:, j] >= 0.5) == truth[concept]) > 0.95
    assert np.mean((raw >= 0.5) == truth) < 0.8


def test_uncalibrated_activations_are_the_softmax_of_a_prompt_pair(bank, images):
    X, _ = images
    encoder = WordEncoder()
    pairs = [("{finding}", "no {finding}")]
    found = ZeroShotScorer(bank, encoder, pairs=pairs, logit_scale=7.0, calibration="none").fit(X).transform(X)
    yes, no = encoder.encode_texts(["effusion", "no effusion"])
    logits = 7.0 * np.stack([X @ yes, X @ no], axis=1)
    expected = np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)


def test_temperature_is_the_encoders_own_or_clips(bank, images):
    X, _ = images
    own = ZeroShotScorer(bank, WordEncoder(), calibration="none").fit(X)
    given = ZeroShotScorer(bank, WordEncoder(), calibration="none", logit_scale=40.0).fit(X)
    np.testing.assert_array_equal(own.coef_, given.coef_)
    encoder = WordEncoder()
    encoder.logit_scale = None
    default = ZeroShotScorer(bank, encoder, calibration="none").fit(X)
    np.testing.assert_allclose(default.coef_, own.coef_ * 2.5)


def test_a_few_labels_calibrate_and_certify(bank, images):
    X, truth = images
    few = truth.copy()
    few.iloc[80:] = np.nan
    few["other"] = 1.0
    scorer = ZeroShotScorer(bank, WordEncoder(), calibration="platt").fit(X, few)
    assert list(scorer.calibration_["how"]) == ["platt", "platt"]
    assert not scorer.certificate_["abstain"].any()
    assert scorer.certificate_.loc["nodule", "n_unknown"] == 320
    assert ZeroShotScorer(bank, WordEncoder()).fit(X).certificate_["abstain"].all()
    held_out = scorer.certify(X[80:], truth.iloc[80:], domain=np.repeat(["A", "B"], 160))
    assert (held_out["auroc"] > 0.95).all()
    assert len(held_out) == 4


def test_prevalence_may_differ_between_concepts(bank, images):
    X, _ = images
    scorer = ZeroShotScorer(bank, WordEncoder(), calibration="offset", prevalence={"effusion": 0.1, "nodule": 0.8})
    np.testing.assert_allclose(scorer.fit(X).transform(X).mean(axis=0), [0.1, 0.8], atol=1e-3)


def test_prompts_of_the_bank_come_first_and_each_text_is_encoded_once(bank):
    concept = next(iter(bank)).model_copy(update={"prompts": ("fluid in the chest",)})
    positive, negative = concept_prompts(concept)
    assert positive[0] == "fluid in the chest"
    assert len(negative) == len(default_pairs()) == len(positive) - 1
    encoder = WordEncoder()
    directions = text_directions([concept, concept], encoder)
    assert len(encoder.asked) == len(set(encoder.asked)) == len(positive) + len(negative)
    np.testing.assert_array_equal(directions[0], directions[1])


def test_a_classifier_takes_it_and_saves_it(bank, images, tmp_path):
    X, truth = images
    scorer = ZeroShotScorer(bank, WordEncoder()).fit(X)
    clf = ConceptBottleneckClassifier(bank, WordEncoder(), scorer=FrozenEstimator(scorer)).fit(X, truth["effusion"])
    assert clf.score(X, truth["effusion"]) > 0.9
    again = load(clf.save(tmp_path / "model"), encoder=WordEncoder())
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_it_clones(bank):
    scorer = ZeroShotScorer(bank, WordEncoder(), prevalence=0.2)
    assert clone(scorer).prevalence == 0.2


@pytest.mark.parametrize(
    ("options", "fit", "error", "message"),
    [
        ({"calibration": "magic"}, {}, InputError, "Unknown calibration 'magic'"),
        ({"calibration": "platt"}, {}, InputError, "learns from answers"),
        ({"logit_scale": -1.0}, {}, InputError, "logit_scale must be positive"),
        ({"pairs": []}, {}, InputError, "no prompt pairs"),
        ({"pairs": [("yes", "no")]}, {}, InputError, "lacks '{finding}'"),
        ({"encoder": "classical"}, {}, InputTypeError, "classical has no text side"),
        ({}, {"y": np.zeros((400, 2))}, InputTypeError, "must be a DataFrame"),
        ({}, {"X": np.ones((5, 3))}, InputError, "3 columns but the texts 16"),
    ],
)
def test_unusable_arguments_are_named(bank, images, options, fit, error, message):
    arguments = {"bank": bank, "encoder": WordEncoder(), **options}
    with pytest.raises(error, match=message):
        ZeroShotScorer(arguments.pop("bank"), arguments.pop("encoder"), **arguments).fit(**{"X": images[0], **fit})
