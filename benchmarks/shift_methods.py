"""The methods of the shift bench, with their concepts learned once on the archive."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
from baselines import (
    Bottleneck,
    ConceptVectors,
    Erased,
    GroupDROProbe,
    HybridBottleneck,
    KnoBoHead,
    LaBoHead,
    LinearProbe,
    SparseHead,
    TextSimilarity,
    eraser,
)
from phantom_pools import CLASSES, levels
from sklearn.metrics import roc_auc_score

from knobo.bank import load_bank
from knobo.encoders import TextEncoder
from knobo.grounding import ConceptScorer, ZeroShotScorer, annotate_reports
from knobo.heads import ConceptHeadCV
from knobo.knowledge import build_bank

MATCHED = (3, 5)
CARRIES = 0.65  # AUROC from which on a concept counts as a carrier of a confounder

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


@dataclass(frozen=True)
class Scaled:
    """A concept layer whose activations are multiplied: by 0 to mask a concept, by less than 1 to make it dearer."""

    layer: ConceptScorer
    factors: np.ndarray

    def transform(self, X):
        return self.layer.transform(X) * self.factors


class Identity:
    """Concepts that need no reading."""

    def transform(self, X):
        return X


def bank_for(modality):
    """The literature's findings and signs for the classes of the phantoms."""
    if modality == "chest":
        return build_bank(CLASSES["chest"], "chest-xray", modality="chest-xray", progress=False)
    return load_bank("skin-lesion")


def methods_for(modality, archive, encoder_name, encoder, *, variants=False):
    """Mapping of method to (makes an estimator, gives the features of a pool).

    ``variants`` adds changes of Knobo's head that might shrink the gap further.
    """
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
    if variants:
        made |= _variants(scorer, prior, X, answers, levels(modality, archive.metadata)) | _matched(
            scorer, vectors, prior
        )
    if isinstance(encoder, TextEncoder):
        made |= _text_methods(bank.subset(scorer.concepts_), encoder, X, signs, prior)
    methods = {name: (make, embedding) for name, make in made.items()}
    return methods | _truth_methods(modality, bank, classes)


def _variants(scorer, prior, X, answers, columns):
    """Other priors and penalties, and concepts left out that carry a confounder in the archive."""
    quality = scorer.quality_.loc[list(scorer.concepts_), "auroc"].to_numpy(float)
    activations = scorer.transform(X)
    erase = eraser(X, [column == column.iloc[0] for column in columns.values()])
    clean = Erased(erase, ConceptScorer(min_auroc=0.0, min_count=1).fit(erase(X), answers[list(scorer.concepts_)]))
    carried = np.max([_carries(activations, column) for column in columns.values()], axis=0)
    return {
        "probe, confounders erased": partial(Bottleneck, Erased(erase), LinearProbe()),
        "knobo, confounders erased": partial(Bottleneck, clean, ConceptHeadCV(**prior)),
        "KnoBo's loop, no prior": partial(Bottleneck, scorer, KnoBoHead()),
        "KnoBo's loop, 2,000 epochs": partial(Bottleneck, scorer, KnoBoHead(prior["prior_signs"], epochs=2000)),
        "knobo, prior shrink": partial(Bottleneck, scorer, ConceptHeadCV(**prior | {"prior": "shrink"})),
        "knobo, prior hard": partial(Bottleneck, scorer, ConceptHeadCV(**prior | {"prior": "hard"})),
        "knobo, prior x10": partial(Bottleneck, scorer, ConceptHeadCV(**prior, prior_strength=10)),
        "knobo, confidence 1": partial(Bottleneck, scorer, ConceptHeadCV(**prior | {"prior_confidence": None})),
        "knobo, ridge": partial(Bottleneck, scorer, ConceptHeadCV(**prior, l1_ratio=0.0)),
        "knobo, half L1": partial(Bottleneck, scorer, ConceptHeadCV(**prior, l1_ratio=0.5)),
        "knobo, 1se": partial(Bottleneck, scorer, ConceptHeadCV(**prior, rule="1se")),
        "knobo, by certificate": partial(Bottleneck, Scaled(scorer, 2 * quality - 1), ConceptHeadCV(**prior)),
        "knobo, carriers masked": partial(Bottleneck, Scaled(scorer, carried < CARRIES), ConceptHeadCV(**prior)),
    }


def _matched(scorer, vectors, prior):
    """Heads with so many concepts a class at most."""
    heads = (
        ("knobo", scorer, prior),
        ("free head", scorer, {"prior": None}),
        ("PCBM vectors, free head", vectors, {"prior": None}),
    )
    return {
        f"{name}, ≤{k} concepts": partial(Bottleneck, layer, ConceptHeadCV(max_concepts_per_class=k, **settings))
        for k in MATCHED
        for name, layer, settings in heads
    }


def _carries(activations, column):
    """AUROC, at least 0.5, with which each concept tells the two levels apart."""
    level = column.to_numpy() == column.iloc[0]
    areas = np.array([roc_auc_score(level, values) for values in activations.T])
    return np.maximum(areas, 1 - areas)


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
    """Mean number of concepts with a weight for each class; NaN where none are weighed."""
    reads_concepts = isinstance(model, Bottleneck) and getattr(model.layer, "layer", model) is not None
    if not reads_concepts or not hasattr(model.head_, "coef_"):
        return np.nan
    return float((np.abs(model.head_.coef_) > 1e-6).sum(axis=1).mean())
