"""Words for where a finding is seen name what the map supports, and nothing else."""

import warnings

import numpy as np
import pytest

from knobo.bank import ConceptBank
from knobo.encoders import load_encoder
from knobo.explain import ConceptMaps, chest_places, concept_maps
from knobo.grounding import ZeroShotScorer
from knobo.phantom import make_chest_xrays


def blob(row, column, size=30):
    """One map with a bright square at a place in shares of the image."""
    found = np.zeros((1, size, size), np.float32)
    r, c = int(row * size), int(column * size)
    found[0, r - 2 : r + 3, c - 2 : c + 3] = 1
    return ConceptMaps((found,), ("effusion",), "occlusion")


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        (0.85, 0.8, "left lower third"),  # the patient's left is at the right of the image
        (0.15, 0.2, "right upper third"),
        (0.5, 0.5, "middle third"),
        (1 / 3, 0.2, "right half"),
        (1 / 3, 0.5, None),
    ],
)
def test_side_and_third_are_named_where_the_map_lies_in_them(row, column, words):
    assert chest_places(blob(row, column)) == {"effusion": [words]}


def test_a_map_that_shows_nothing_has_no_place():
    assert chest_places(ConceptMaps((np.full((1, 9, 9), -1, np.float32),), ("effusion",), "rise")) == {
        "effusion": [None]
    }


def test_effusions_of_phantoms_are_on_their_own_side():
    data = make_chest_xrays(40, hospital="C", random_state=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = load_encoder("phantom-clip")
    names = ["left pleural effusion", "right pleural effusion"]
    rows = encoder.encode_images(list(data.images))
    scorer = ZeroShotScorer(ConceptBank.from_names(names), encoder, calibration="none").fit(rows)
    for name, side, other in zip(names, ("left", "right"), ("right", "left"), strict=True):
        answers = data.findings[f"pleural_effusion_{side}"].to_numpy(dtype=bool)
        images = [image for image, there in zip(data.images, answers, strict=True) if there]
        maps = concept_maps(encoder, images, scorer.coef_[[names.index(name)]], [name])
        said = [place or "" for place in chest_places(maps)[name]]
        assert len(said) >= 5
        assert np.mean([side in place for place in said]) > 0.7
        assert np.mean([other in place for place in said]) < 0.15
