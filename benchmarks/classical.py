"""What each family of classical descriptors is worth on real images, how steady it is, and how long it takes.

    python benchmarks/classical.py DATA [--repeats 5] [--cache FOLDER]

DATA holds ``ph2`` (attributes.csv), ``chest_xray`` (manifest.csv) and ``pneumoniamnist`` (pneumoniamnist.npz).
For all families, all but one, and one alone it prints held-out AUROC:

- melanoma: PH2, melanoma against the rest from a three-class linear probe; criteria: the mean over ten dermoscopic
  criteria, one logistic grounding function each. 5-fold, mean over repeats.
- chest: chest_xray, pneumonia against no finding, 5-fold by patient.
- 28 px: PneumoniaMNIST, trained on 1,200 images of the training part, tested on the test part.

Each has a second column, *changed*: the probe has learnt from images as they are, and every tested image is, by lot, as
it is, darker, brighter, of less contrast, or compressed (JPEG, quality 15). Columns headed ± hold half the width of the
95 % interval (images are drawn again, 1,000 times) of the column before.

A probe is ridge logistic regression on standardised values, divided by the square root of their number; its strength
(C = 10, 10, 3, 10) is the same in all rows and was not tuned for a row.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Memory
from PIL import Image, ImageEnhance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tqdm.auto import tqdm

from knobo.encoders import ClassicalEncoder
from knobo.encoders._canvas import make_canvas
from knobo.encoders.classical import FAMILIES
from knobo.images import concept_columns, read_image, read_manifest

CRITERIA = ("asymmetry", "pigment_network", "dots_globules", "streaks", "regression_areas", "blue_whitish_veil")


class Pair(NamedTuple):
    """Descriptors of the same images as they are, and changed."""

    clean: np.ndarray
    changed: np.ndarray

    def columns(self, chosen) -> Pair:
        """The same with some columns only."""
        return Pair(self.clean[:, chosen], self.changed[:, chosen])


def compress(image: Image.Image) -> Image.Image:
    """Write as a poor JPEG and read again."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=15)
    return Image.open(file)


CHANGES: tuple[Callable[[Image.Image], Image.Image], ...] = (
    lambda image: image,
    lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    lambda image: ImageEnhance.Contrast(image).enhance(0.65),
    compress,
)


def describe(sources, progress: bool = True) -> Pair:
    """Descriptors of images and of their changed copies; which change is drawn by lot (seed 0)."""
    encoder = ClassicalEncoder()
    lots = np.random.default_rng(0).integers(0, len(CHANGES), len(sources))
    changed = [CHANGES[lot](Image.fromarray(read_image(source))) for lot, source in zip(lots, sources, strict=True)]
    return Pair(*(encoder.encode_images(images, progress=progress) for images in (sources, changed)))


def probe(C: float):
    """Ridge logistic regression whose C means the same for any number of values."""
    scale = FunctionTransformer(lambda X: X / np.sqrt(X.shape[1]))
    return make_pipeline(StandardScaler(), scale, LogisticRegression(C=C, max_iter=1000))


def held_out(pair: Pair, y, positive, C, folds: Iterator) -> np.ndarray:
    """Probability of a class for each image when it is held out, of shape (2, n): as it is, and changed."""
    scores = np.empty((2, len(y)))
    for train, test in folds:
        model = probe(C).fit(pair.clean[train], y[train])
        for k, X in enumerate(pair):
            scores[k, test] = model.predict_proba(X[test])[:, list(model.classes_).index(positive)]
    return scores


def stratified(y, seed):
    """Five folds that keep the shares of the classes."""
    return StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y)


def auroc(y, scores, draws: int = 1000) -> tuple[float, float]:
    """AUROC, and half the width of its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    values = []
    for chosen in rng.integers(0, len(y), (draws, len(y))):
        if 0 < y[chosen].sum() < len(y):
            values.append(roc_auc_score(y[chosen], scores[chosen]))
    return float(roc_auc_score(y, scores)), float(np.ptp(np.percentile(values, (2.5, 97.5))) / 2)


def melanoma(pair, labels, repeats):
    """AUROC and half-width of melanoma against the rest, as it is and changed; scores are averaged over repeats."""
    runs = [held_out(pair, labels, "melanoma", 10, stratified(labels, seed)) for seed in range(repeats)]
    return [auroc(labels == "melanoma", scores) for scores in np.mean(runs, axis=0)]


def criteria(pair, concepts, repeats):
    """AUROC of grounding functions, mean over concepts; as it is and changed."""
    found = []
    for answers in concepts.to_numpy().T:
        for seed in range(repeats):
            scores = held_out(pair, answers, 1, 10, stratified(answers, seed))
            found.append([roc_auc_score(answers, row) for row in scores])
    return np.mean(found, axis=0)


def chest(pair, ill, patients, repeats):
    """AUROC and half-width of pneumonia against no finding, as it is and changed."""
    folds = [GroupKFold(5, shuffle=True, random_state=seed).split(ill, ill, patients) for seed in range(repeats)]
    return [auroc(ill, scores) for scores in np.mean([held_out(pair, ill, True, 3, f) for f in folds], axis=0)]


def small(pair, y, n_train):
    """AUROC and half-width on the test part of PneumoniaMNIST, as it is and changed."""
    scores = held_out(pair, y, 1, 10, iter([(np.arange(n_train), np.arange(n_train, len(y)))]))
    return [auroc(y[n_train:], row[n_train:]) for row in scores]


def load_small(path: Path, n_train: int):
    """Images and labels: n_train of the training part, then the test part."""
    arrays = np.load(path)
    chosen = np.sort(np.random.default_rng(0).permutation(len(arrays["train_images"]))[:n_train])
    images = [*arrays["train_images"][chosen], *arrays["test_images"]]
    return images, np.concatenate([arrays["train_labels"][chosen].ravel(), arrays["test_labels"].ravel()])


def timings(images) -> None:
    """Print milliseconds of one core an image: the canvas, each family, all."""

    def per_image(work) -> float:
        start = time.process_time()
        for item in tqdm(work, leave=False, disable=None):
            item()
        return 1e3 * (time.process_time() - start) / len(work)

    pixels = [read_image(image) for image in images]
    parts = {"canvas": per_image([lambda rgb=rgb: make_canvas(rgb) for rgb in pixels])}
    canvases = [make_canvas(rgb) for rgb in pixels]
    for name, family in FAMILIES.items():
        parts[name] = per_image([lambda c=canvas, f=family: f.describe(c) for canvas in canvases])
    print(f"\nms of one core an image ({len(images)} images):", end=" ")
    print(", ".join(f"{name} {ms:.1f}" for name, ms in parts.items()), f"; in all {sum(parts.values()):.1f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", type=Path, help="Folder that keeps the embeddings between runs.")
    options = parser.parse_args()
    cached = Memory(options.cache, verbose=0).cache(describe, ignore=["progress"])

    skin = read_manifest(options.data / "ph2" / "attributes.csv", label="diagnosis")
    concepts = concept_columns(skin.frame, CRITERIA)
    xray = read_manifest(options.data / "chest_xray" / "manifest.csv", label="label", group="patient_id")
    keep = np.flatnonzero(np.isin(xray.labels, ["no_finding", "pneumonia"]))
    ill = xray.labels[keep] == "pneumonia"
    tiny, tiny_labels = load_small(options.data / "pneumoniamnist" / "pneumoniamnist.npz", 1200)
    sets = [cached(list(images)) for images in (skin.paths, [xray.paths[k] for k in keep], tiny)]

    owner = np.array([name.partition("_")[0] for name in ClassicalEncoder().feature_names])
    rows = {"all": owner != ""} | {f"without {name}": owner != name for name in FAMILIES}
    rows |= {f"{name} alone": owner == name for name in FAMILIES}
    heads = [f"{name:>8s}    ±   changed    ±" for name in ("melanoma", "chest", "28 px")]
    print(f"\n{'':20s} {'d':>5s} {heads[0]} criteria changed {heads[1]} {heads[2]}")
    few = max(options.repeats // 2, 1)
    for row, columns in tqdm(rows.items(), disable=None):
        one, two, three = (pair.columns(columns) for pair in sets)
        measured = [*melanoma(one, skin.labels, options.repeats), criteria(one, concepts, few)]
        measured += [*chest(two, ill, xray.groups[keep], few), *small(three, tiny_labels, 1200)]
        tqdm.write(f"{row:20s} {columns.sum():5d}  " + "  ".join(f"{a:.3f} {b:.3f}" for a, b in measured))
    timings(skin.paths[:60])


if __name__ == "__main__":
    main()
