"""The methods of the shift bench, with their concepts learned once on the archive."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from baselines import (
    Bottleneck,
    ConceptVectors,
    GroupDROProbe,
    HybridBottleneck,
    KnoBoHead,
    LaBoHead,
    LinearProbe,
    SparseHead,
    TextSimilarity,
)
from phantom_pools import CLASSES

from knobo.bank import load_bank
from knobo.encoders import TextEncoder
from knobo.grounding import ConceptScorer, ZeroShotScorer, annotate_reports
from knobo.heads import ConceptHead, ConceptHeadCV, alpha_max, class_weights
from knobo.knowledge import build_bank

MATCHED = (5, 10, 15)

# What was drawn, under the name that the literature's findings have.
TRUTH = {
    "chest": {
        "cardiomegaly": "cardiomegaly",
        "pleural_effusion_left": "pleural-effusion",
        "pleural_effusion_right": "pleural-effusion",
        "consolidation": "consolidation",
        "pneumothorax": "pneumothorax",
        "nodule": "pulmonary-nodule",
        "hyperinflation": "hyperinflation",
        "mediastinal_widening": "mediastinal-widening",
        "atelectasis": "atelectasis",
        "interstitial_lines": "interstitial-lines",
        "support_device": "support-device",
    },
    "skin": {
        "asymmetry": "asymmetry",
        "irregular_border": "irregular-border",
        "colour_variegation": "colour-variegation",
        "pigment_network": "atypical-pigment-network",
        "dots_globules": "irregular-dots-and-globules",
        "streaks": "streaks",
        "blue_white_veil": "blue-white-veil",
        "regression": "regression",
        "ulceration": "ulceration",
        "vessels": "vessels",
    },
}


class MatchedHead:
    """The densest head of the path with at most ``per_class`` concepts a class on average."""

    def __new__(cls, head, per_class):
        return partial(_matched, head, per_class)


class Identity:
    """Concepts that need no reading."""

    def transform(self, X):
        return X


def bank_for(modality):
    """The literature's findings and signs for the classes of the phantoms."""
    if modality == "chest":
        return build_bank(CLASSES["chest"], "chest-xray", modality="chest-xray", progress=False)
    return load_bank("skin-lesion")


def methods_for(modality, archive, encoder_name, encoder):
    """Mapping of method to (makes an estimator, gives the features of a pool)."""
    bank, classes = bank_for(modality), np.unique(CLASSES[modality])
    X, answers = archive.embeddings[encoder_name], annotate_reports(list(archive.reports), bank)
    scorer = ConceptScorer(progress=False).fit(X, answers)
    signs, confidence = bank.subset(scorer.concepts_).prior_matrix(classes)
    vectors = ConceptVectors().fit(X, answers)
    prior = {"prior_signs": signs, "prior_confidence": confidence}

    def embedding(pool):
        return pool.embeddings[encoder_name]

    made = {
        "linear probe": LinearProbe,
        "L1 probe": partial(LinearProbe, sparse=True),
        "reweighted probe (told)": partial(LinearProbe, reweight=True),
        "group-DRO probe (told)": GroupDROProbe,
        "PCBM": lambda: Bottleneck(vectors, SparseHead()),
        "PCBM-h": lambda: HybridBottleneck(vectors, SparseHead()),
        "KnoBo's loop": lambda: Bottleneck(scorer, KnoBoHead(signs)),
        "free head": lambda: Bottleneck(scorer, ConceptHeadCV(prior=None)),
        "knobo": lambda: Bottleneck(scorer, ConceptHeadCV(**prior)),
    }
    if isinstance(encoder, TextEncoder):
        made |= _text_methods(bank.subset(scorer.concepts_), encoder, X, signs, prior)
    methods = {name: (make, embedding) for name, make in made.items()}
    return methods | _truth_methods(modality, bank, classes)


def _text_methods(bank, encoder, X, signs, prior):
    texts = encoder.encode_texts([concept.name for concept in bank])
    similar = TextSimilarity(texts).fit(X)
    scaled = TextSimilarity(texts, standardise=True).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zero_shot = ZeroShotScorer(bank, encoder).fit(X)
    return {
        "dot-product CBM": lambda: Bottleneck(similar, LinearProbe()),
        "LaBo-style": lambda: Bottleneck(similar, LaBoHead(signs)),
        "LF-CBM-style": lambda: Bottleneck(scaled, SparseHead()),
        "knobo zero-shot": lambda: Bottleneck(zero_shot, ConceptHeadCV(**prior)),
    }


def _truth_methods(modality, bank, classes):
    """Heads on what was drawn."""
    names = list(TRUTH[modality])
    all_signs, all_confidence = bank.prior_matrix(classes)
    columns = [list(bank.ids).index(TRUTH[modality][name]) for name in names]
    prior = {"prior_signs": all_signs[:, columns], "prior_confidence": all_confidence[:, columns]}

    def truth(pool):
        return pool.findings[names].to_numpy(float)

    return {
        "true concepts, KnoBo's loop": (lambda: Bottleneck(Identity(), KnoBoHead(prior["prior_signs"])), truth),
        "true concepts, free head": (lambda: Bottleneck(Identity(), ConceptHeadCV(prior=None)), truth),
        "true concepts, knobo": (lambda: Bottleneck(Identity(), ConceptHeadCV(**prior)), truth),
    }


def nonzero_weights(model):
    """Mean number of concepts with a weight for each class; NaN for a method that reads the embedding."""
    if not isinstance(model, Bottleneck):
        return np.nan
    return float((np.abs(model.head_.coef_) > 1e-6).sum(axis=1).mean())
