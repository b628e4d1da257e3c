"""What each family of classical descriptors is worth on real images, and how long it takes.

    python benchmarks/classical.py DATA [--repeats 5]

DATA holds ``ph2`` (attributes.csv), ``chest_xray`` (manifest.csv) and ``pneumoniamnist`` (pneumoniamnist.npz).
For all families, all but one, and one alone it prints held-out AUROC (mean over repeats of 5-fold cross-validation):

- PH2: melanoma against the rest from a three-class linear probe; and the mean over ten dermoscopic criteria, one
  logistic grounding function each.
- chest_xray: pneumonia against no finding, folds by patient.
- PneumoniaMNIST: trained on 1,200 images of the training part, tested on the test part.

A probe is ridge logistic regression on standardised values, divided by the square root of their number; its strength
(C = 10, 10, 3, 10) is the same in all rows and was not tuned for a row.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from joblib import Memory
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tqdm.auto import tqdm

from knobo.encoders import ClassicalEncoder
from knobo.encoders._canvas import make_canvas
from knobo.encoders.classical import FAMILIES
from knobo.images import concept_columns, read_image, read_manifest

CRITERIA = ("asymmetry", "pigment_network", "dots_globules", "streaks", "regression_areas", "blue_whitish_veil")


def probe(C: float):
    """Ridge logistic regression whose C means the same for any number of values; solved in the span of the samples."""
    scale = FunctionTransformer(lambda X: X / np.sqrt(X.shape[1]))
    return make_pipeline(StandardScaler(), scale, LogisticRegression(C=C, max_iter=1000))


def cross_validated(X, y, C, folds, groups=None):
    """Held-out probabilities of the classes."""
    return cross_val_predict(probe(C), X, y, groups=groups, cv=folds, method="predict_proba")


def melanoma(X, labels, repeats):
    """AUROC of melanoma against the rest."""
    at = sorted(set(labels)).index("melanoma")
    scores = []
    for seed in range(repeats):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        scores.append(roc_auc_score(labels == "melanoma", cross_validated(X, labels, 10, folds)[:, at]))
    return np.mean(scores)


def criteria(X, concepts, repeats):
    """AUROC of grounding functions, mean over concepts."""
    scores = []
    for seed in range(repeats):
        for answers in concepts.to_numpy().T:
            folds = StratifiedKFold(5, shuffle=True, random_state=seed)
            scores.append(roc_auc_score(answers, cross_validated(X, answers, 10, folds)[:, 1]))
    return np.mean(scores)


def chest(X, labels, patients, repeats):
    """AUROC of pneumonia against no finding."""
    folds = [GroupKFold(5, shuffle=True, random_state=seed) for seed in range(repeats)]
    return np.mean([roc_auc_score(labels, cross_validated(X, labels, 3, f, patients)[:, 1]) for f in folds])


def small(X, y, n_train):
    """AUROC on the test part of PneumoniaMNIST."""
    return roc_auc_score(y[n_train:], probe(10).fit(X[:n_train], y[:n_train]).predict_proba(X[n_train:])[:, 1])


def load_small(path: Path, n_train: int):
    """Images and labels: n_train of the training part, then the test part."""
    arrays = np.load(path)
    chosen = np.sort(np.random.default_rng(0).permutation(len(arrays["train_images"]))[:n_train])
    images = [*arrays["train_images"][chosen], *arrays["test_images"]]
    return images, np.concatenate([arrays["train_labels"][chosen].ravel(), arrays["test_labels"].ravel()])


def timings(images) -> None:
    """Print milliseconds an image: the canvas, each family, all."""
    pixels = [read_image(image) for image in images]
    start = time.perf_counter()
    canvases = [make_canvas(rgb) for rgb in pixels]
    print(
        f"\nms an image ({len(pixels)} images): canvas {1e3 * (time.perf_counter() - start) / len(pixels):.1f}", end=""
    )
    for name, family in FAMILIES.items():
        start = time.perf_counter()
        for canvas in canvases:
            family.describe(canvas)
        print(f", {name} {1e3 * (time.perf_counter() - start) / len(pixels):.1f}", end="")
    start = time.perf_counter()
    ClassicalEncoder().encode_images(images)
    print(f"; reading and all together {1e3 * (time.perf_counter() - start) / len(pixels):.1f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", type=Path, help="Folder that keeps the embeddings between runs.")
    options = parser.parse_args()
    encoder = ClassicalEncoder()
    encode = Memory(options.cache, verbose=0).cache(encoder.encode_images, ignore=["progress"])

    skin = read_manifest(options.data / "ph2" / "attributes.csv", label="diagnosis")
    concepts = concept_columns(skin.frame, CRITERIA)
    xray = read_manifest(options.data / "chest_xray" / "manifest.csv", label="label", group="patient_id")
    keep = np.flatnonzero(np.isin(xray.labels, ["no_finding", "pneumonia"]))
    tiny, tiny_labels = load_small(options.data / "pneumoniamnist" / "pneumoniamnist.npz", 1200)
    sets = [encode(images, progress=True) for images in (skin.paths, [xray.paths[k] for k in keep], tiny)]

    owner = np.array([name.partition("_")[0] for name in encoder.feature_names])
    rows = {"all": owner != ""} | {f"without {name}": owner != name for name in FAMILIES}
    rows |= {f"{name} alone": owner == name for name in FAMILIES}
    print(f"\n{'':20s} {'d':>5s} {'melanoma':>9s} {'criteria':>9s} {'chest':>9s} {'28 px':>9s}")
    for row, columns in tqdm(rows.items(), disable=None):
        one, two, three = (X[:, columns] for X in sets)
        values = (
            melanoma(one, skin.labels, options.repeats),
            criteria(one, concepts, max(options.repeats // 2, 1)),
            chest(two, xray.labels[keep], xray.groups[keep], max(options.repeats // 2, 1)),
            small(three, tiny_labels, 1200),
        )
        tqdm.write(f"{row:20s} {columns.sum():5d} " + " ".join(f"{value:9.4f}" for value in values))
    timings(skin.paths[:60])


if __name__ == "__main__":
    main()
