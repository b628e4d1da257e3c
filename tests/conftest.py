"""A small world that needs no image model: six concepts, an encoder of mean colours, and images that it can read."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from knobo.bank import Concept, ConceptBank, Evidence, PriorSign
from knobo.images import read_image

matplotlib.use("Agg")

NAMES = ("pleural effusion", "consolidation", "cardiomegaly", "nodule", "atelectasis", "pneumothorax")
CLASSES = np.array(["heart_failure", "normal", "pneumonia"])


class ColourEncoder:
    """Embeds an image as the mean colours of its six vertical bands, at unit length."""

    spec = "test-colours"

    def encode_images(self, images, *, progress=False):
        bands = [np.array_split(read_image(image).astype(float), 6, axis=1) for image in images]
        means = np.array([[band.mean() for band in row] for row in bands]) + 1.0
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def six_concepts() -> ConceptBank:
    concepts = tuple(
        Concept(
            id=name.replace(" ", "-"),
            name=name,
            question=f"Is there {name}?",
            evidence=(Evidence(passage_id="p:1", source="A test", title="T", sentence=f"There is {name}."),),
        )
        for name in NAMES
    )
    prior = (
        PriorSign(class_name="heart failure", concept_id="cardiomegaly", sign=1, confidence=0.9),
        PriorSign(class_name="pneumonia", concept_id="consolidation", sign=1, confidence=0.9),
        PriorSign(class_name="normal", concept_id="pleural-effusion", sign=-1, confidence=0.5),
    )
    return ConceptBank(concepts=concepts, classes=tuple(CLASSES), modality="chest-xray", prior=prior)


@pytest.fixture(scope="session")
def colour_encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture(scope="session")
def band_images(six_concepts) -> tuple[list[np.ndarray], np.ndarray, pd.DataFrame]:
    """180 images, labels and true answers: band j is bright when concept j is present."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat(np.arange(3), 60))
    rates = np.array(
        [[0.7, 0.1, 0.9, 0.1, 0.3, 0.1], [0.05, 0.05, 0.1, 0.1, 0.1, 0.05], [0.4, 0.9, 0.1, 0.2, 0.4, 0.1]]
    )
    present = rng.random((180, 6)) < rates[codes]
    levels = 60 + 120 * present + rng.normal(0, 25, (180, 6))
    images = [np.repeat(np.repeat(row[None, :], 12, axis=0), 4, axis=1).clip(0, 255).astype(np.uint8) for row in levels]
    return images, CLASSES[codes], pd.DataFrame(present.astype(float), columns=list(six_concepts.ids))
