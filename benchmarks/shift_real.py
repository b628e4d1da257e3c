"""The real, small suite: pneumonia against no finding, trained on AP against PA films and tested on the reverse.

Concepts come from other patients: findings of 400 NIH radiographs, mined from reports. Few of them can be read well off
descriptors of the picture (the held-out AUROCs are printed), and the view is written all over it. Two remedies use the
*archive's* view and no label of the task: directions of the embedding that tell the view are projected out until folds
of the archive tell it no better than by chance (``baselines.eraser``), and the head is held to the literature's signs.
Test images choose nothing.
"""

from __future__ import annotations

import time
import warnings
from functools import partial

import numpy as np
import pandas as pd
from baselines import Bottleneck, Erased, GroupDROProbe, KnoBoHead, LinearProbe, eraser
from shift_methods import nonzero_weights
from sklearn.metrics import roc_auc_score

from knobo.bank import load_bank
from knobo.encoders import embed
from knobo.grounding import ConceptScorer
from knobo.heads import ConceptHeadCV
from knobo.shift import confounded_split

SIZES = {"n_train": 140, "n_val": 40, "n_id_test": 60, "n_test": 300}
CLASSES = ("no_finding", "pneumonia")
# NIH column: finding of the bank; an infiltrate is an opacity, and emphysema is seen as hyperinflation.
CONCEPTS = {
    "atelectasis": "atelectasis",
    "cardiomegaly": "cardiomegaly",
    "consolidation": "consolidation",
    "effusion": "pleural-effusion",
    "emphysema": "hyperinflation",
    "infiltration": "lung-opacity",
    "mass": "pulmonary-mass",
    "nodule": "pulmonary-nodule",
    "pleural_thickening": "pleural-thickening",
    "pneumothorax": "pneumothorax",
}


class Signs:
    """The literature alone: standardised activations, each with its sign; the labels teach nothing."""

    def __init__(self, signs):
        self.signs = signs

    def __sklearn_clone__(self):
        return self

    def fit(self, A, y):
        self.classes_, self.mean, self.spread = np.unique(y), A.mean(axis=0), A.std(axis=0)
        return self

    def predict_proba(self, A):
        score = 1 / (1 + np.exp(-((A - self.mean) / self.spread) @ self.signs))
        return np.column_stack([1 - score, score])


def read(folder, encoder):
    """Embeddings and tables of the task (pneumonia and no finding) and of the archive."""
    tables, rows = [], []
    for name, table in (("chest_xray", "manifest.csv"), ("nih_findings", "labels.csv")):
        frame = pd.read_csv(folder / name / table, dtype={"patient_id": str})
        if name == "chest_xray":
            frame = frame[frame["label"].isin(CLASSES)].reset_index(drop=True)
        tables.append(frame.assign(view=np.where(frame["view"] == "PA", "PA", "AP")))
        rows.append(embed(encoder, [str(folder / name / file) for file in frame["image"]], progress=False).rows)
    return (rows[0], tables[0]), (rows[1], tables[1])


def methods_for(X, archive):
    """Mapping of method to what makes it; and the held-out quality of the concepts, plain and with the view erased."""
    bank = load_bank("chest-xray")
    answers = archive[list(CONCEPTS)].astype(float)
    erase = eraser(X, [archive["view"] == "AP"])
    scorer = ConceptScorer(min_auroc=0.0, min_count=10, class_weight="balanced").fit(X, answers)
    clean = ConceptScorer(min_auroc=0.0, min_count=10, class_weight="balanced").fit(erase(X), answers)
    made = {
        "linear probe": LinearProbe,
        "group-DRO probe (told)": GroupDROProbe,
        "probe, view erased": lambda: Bottleneck(Erased(erase), LinearProbe()),
    }
    for suffix, layer in (("", scorer), (", view erased", Erased(erase, clean))):
        names = layer.layer.concepts_ if suffix else layer.concepts_
        signs, confidence = bank.subset(CONCEPTS[name] for name in names).prior_matrix(["normal", "pneumonia"])
        prior = {"prior_signs": signs, "prior_confidence": confidence}
        total = np.sign(signs[1] - signs[0])
        made |= {
            f"KnoBo's loop{suffix}": partial(Bottleneck, layer, KnoBoHead(signs)),
            f"free head{suffix}": partial(Bottleneck, layer, ConceptHeadCV(prior=None)),
            f"knobo{suffix}": partial(Bottleneck, layer, ConceptHeadCV(**prior)),
            f"literature's signs alone{suffix}": partial(Bottleneck, layer, Signs(total)),
        }
    quality = pd.DataFrame({"AUROC": scorer.quality_["auroc"], "view erased": clean.quality_["auroc"]})
    return made, quality


def real(folder, encoder, seeds):
    """One row a method and seed: AUROC in domain and reversed, or where the view is tied to nothing."""
    (X, cases), (archive_X, archive) = read(folder, encoder)
    return compare(X, cases, archive_X, archive, seeds)


def compare(X, cases, archive_X, archive, seeds, sizes=SIZES):
    """Rows as :func:`real`, from embeddings; and the held-out AUROC of the concepts."""
    methods, quality = methods_for(archive_X, archive)
    y, view, rows = cases["label"].to_numpy(str), cases["view"].to_numpy(str), []
    groups = np.char.add(y, view)
    for seed in range(seeds):
        for strength in (0.5, 1.0):
            split = confounded_split(
                y,
                view,
                strength=strength,
                pairs={"pneumonia": "AP", "no_finding": "PA"},
                groups=cases["patient_id"],
                random_state=seed,
                **sizes,
            )
            where = {"modality": "chest", "confounder": "view", "strength": strength, "encoder": "real", "seed": seed}
            for name, make in methods.items():
                rows.append(where | {"method": name} | _score(make, X, y, groups, split))
    return pd.DataFrame(rows), quality


def _score(make, X, y, groups, split):
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = X[split.val], y[split.val], groups[split.val]
        model = make().fit(X[split.train], y[split.train], groups=groups[split.train], validation=held)
    seconds = time.process_time() - start
    area = {
        part: roc_auc_score(y[at] == "pneumonia", model.predict_proba(X[at])[:, 1])
        for part, at in (("id", split.id_test), ("ood", split.test))
    }
    return area | {"concepts": nonzero_weights(model), "seconds": seconds}
