"""phantom-clip, the image-text model that ships, reads phantoms of a hospital it has not seen, and says what it is."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import knobo.encoders
from knobo.bank import ConceptBank
from knobo.encoders import TextEncoder, load_encoder
from knobo.encoders.load import phantom_card
from knobo.grounding import ZeroShotScorer
from knobo.phantom import make_chest_xrays, make_skin_lesions

NAMES = {
    "pleural_effusion_left": "left pleural effusion",
    "pleural_effusion_right": "right pleural effusion",
    "nodule": "pulmonary nodule",
    "pigment_network": "atypical pigment network",
    "dots_globules": "dots and globules",
    "blue_white_veil": "blue-white veil",
}


@pytest.fixture(scope="module")
def phantom_clip():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_encoder("phantom-clip")


def test_default_encoder_is_phantom_clip_and_warns_that_it_knows_no_patients():
    with pytest.warns(UserWarning, match="knows nothing about real patients"):
        encoder = load_encoder()
    assert encoder.spec == "phantom-clip"
    assert isinstance(encoder, TextEncoder)


def test_card_says_that_the_data_are_synthetic():
    assert "knows nothing about real patients" in phantom_card()


def test_weights_fit_into_ten_megabytes():
    folder = Path(knobo.encoders.__file__).parent / "phantom_clip"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10e6


def test_reads_findings_at_a_new_hospital_without_labels(phantom_clip):
    aurocs = []
    for make in (make_chest_xrays, make_skin_lesions):
        data = make(150, hospital="C", random_state=77)
        answers = data.findings.drop(columns="no_finding", errors="ignore")
        bank = ConceptBank.from_names([NAMES.get(name, name.replace("_", " ")) for name in answers])
        rows = phantom_clip.encode_images(list(data.images))
        scores = ZeroShotScorer(bank, phantom_clip, calibration="none").fit(rows).transform(rows)
        aurocs += [roc_auc_score(answers[name], scores[:, k]) for k, name in enumerate(answers)]
    assert len(aurocs) == 21
    assert np.mean(aurocs) >= 0.90
    assert np.min(aurocs) > 0.6
