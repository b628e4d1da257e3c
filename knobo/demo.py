"""The main job on synthetic chest radiographs, from text and images to a reviewed, shift-checked prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator

from knobo.bank import ConceptBank
from knobo.classifier import ConceptBottleneckClassifier, linear_probe
from knobo.encoders import load_encoder
from knobo.grounding import ConceptScorer, annotate_reports
from knobo.knowledge import build_bank
from knobo.phantom import PhantomDataset, make_chest_xrays
from knobo.reporting import LeakagePanel, leakage_panel, write_report
from knobo.shift import ShiftReport, check_shift
from knobo.storage import atomic_path, write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

CLASSES = ("normal", "pneumonia", "heart_failure", "copd")
PORTABLE = ("pneumonia", "heart_failure")  # the classes that hospital A images with its marker


@dataclass(frozen=True)
class DemoResult:
    """What the demo found, and where it wrote it.

    Attributes
    ----------
    table : DataFrame
        One row a model: in-domain and out-of-domain accuracy, their average and gap.
    concepts_per_class : Series
        Number of concepts with a non-zero weight for each class.
    folder : Path
    """

    table: pd.DataFrame
    concepts_per_class: pd.Series[int]
    folder: Path


def run_demo(
    out: str | Path,
    *,
    n_archive: int = 400,
    n_train: int = 400,
    n_test: int = 240,
    size: int = 224,
    strength: float = 0.95,
    random_state: int = 0,
    progress: bool = True,
) -> DemoResult:
    """Run the whole pipeline on synthetic hospitals and write everything that it makes to a folder.

    Hospital A prints a marker on most of its pneumonia and heart-failure images, so a classifier can cheat there;
    hospital B has another machine and prints it on the others. Grounding functions learn from an archive of hospital
    A whose reports, not labels, are used and whose marker is printed at random.

    Parameters
    ----------
    out : str or Path
        Folder for ``bank.json``, ``model/``, ``metrics.json``, ``shift.csv``, ``report.html`` and the plots.
    n_archive, n_train, n_test : int
        Numbers of images in the archive, in hospital A's training set, and in each hospital's test set.
    size : int
        Side of the images in pixels.
    strength : float
        Share of the images whose marker follows the tie between marker and label.
    random_state : int
    progress : bool
        Show progress bars.

    Returns
    -------
    DemoResult
    """
    folder = Path(out)
    draw = _Draw(size, strength, progress)
    archive = draw("A", n_archive, tie=None, seed=random_state)
    train = draw("A", n_train, tie=True, seed=random_state + 1)
    source = draw("A", n_test, tie=True, seed=random_state + 2)
    target = draw("B", n_test, tie=False, seed=random_state + 3)

    bank = build_bank(CLASSES, "chest-xray", modality="chest-xray", progress=progress)
    encoder = load_encoder("classical")
    embed = {
        name: encoder.encode_images(list(data.images), progress=progress)
        for name, data in {"archive": archive, "train": train, "source": source, "target": target}.items()
    }
    scorer = ConceptScorer(progress=progress).fit(embed["archive"], annotate_reports(archive.reports, bank))
    clf = ConceptBottleneckClassifier(bank, encoder, scorer=FrozenEstimator(scorer))
    clf.fit(embed["train"], train.labels)
    probe = linear_probe().fit(embed["train"], train.labels)

    shifts = {
        name: check_shift(model, (embed["source"], source.labels), (embed["target"], target.labels))
        for name, model in {"concept bottleneck": clf, "linear probe": probe}.items()
    }
    used = pd.Series((np.abs(clf.weights_) > 0).sum(axis=1), index=clf.classes_, name="concepts used")
    result = DemoResult(_accuracy_table(shifts), used, folder)
    leakage = leakage_panel(clf, embed["train"], train.labels, embed["target"], target.labels)
    _write(result, clf, shifts, leakage, bank=bank, embeddings=embed["target"], data=target, progress=progress)
    return result


@dataclass(frozen=True)
class _Draw:
    """Draws synthetic hospitals with balanced classes and a marker that is tied to them, reversed, or at random."""

    size: int
    strength: float
    progress: bool

    def __call__(self, hospital: str, n: int, *, tie: bool | None, seed: int) -> PhantomDataset:
        labels = np.resize(CLASSES, n)
        marker = _tied_marker(labels, tie, self.strength, seed)
        return make_chest_xrays(
            n,
            size=self.size,
            hospital=hospital,
            labels=labels,
            marker=marker,
            random_state=seed,
            progress=self.progress,
        )


def _tied_marker(labels: NDArray[Any], tie: bool | None, strength: float, seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng([seed, 77])
    if tie is None:
        return rng.random(len(labels)) < 0.5
    follows = rng.random(len(labels)) < strength
    return (np.isin(labels, PORTABLE) == follows) == tie


def _accuracy_table(shifts: dict[str, ShiftReport]) -> pd.DataFrame:
    rows = {name: report.to_frame().loc["accuracy"] for name, report in shifts.items()}
    return pd.DataFrame(rows).T[["id", "ood", "average", "gap"]].astype(float)


def _write(
    result: DemoResult,
    clf: ConceptBottleneckClassifier,
    shifts: dict[str, ShiftReport],
    leakage: LeakagePanel,
    *,
    bank: ConceptBank,
    embeddings: NDArray[Any],
    data: PhantomDataset,
    progress: bool,
) -> None:
    """Write tables, model, report and plots; the cases shown are those of hospital B."""
    folder = result.folder
    bank.to_json(folder / "bank.json")
    clf.save(folder / "model")
    frames = {name: report.to_frame() for name, report in shifts.items()}
    write_text(folder / "shift.csv", pd.concat(frames, names=["model", "metric"]).to_csv())
    write_json(
        folder / "metrics.json",
        {
            "format": "knobo.demo-metrics",
            "format_version": 1,
            "data": "synthetic chest radiographs",
            "accuracy": result.table.round(6).to_dict(orient="index"),
            "concepts_used": {str(name): int(count) for name, count in result.concepts_per_class.items()},
            "bank_concepts": len(bank),
        },
    )
    write_report(
        clf,
        embeddings,
        data.labels,
        folder / "report.html",
        leakage=leakage,
        shift=shifts,
        metadata=data.metadata[["sex", "age", "view", "marker"]],
        pictures=list(data.images),
        title="Synthetic chest radiographs of hospital B",
        notice="All images and reports are synthetic: these figures say nothing about patients.",
        progress=progress,
    )
    _draw_plots(folder, clf, shifts, embeddings, data)


def _draw_plots(
    folder: Path,
    clf: ConceptBottleneckClassifier,
    shifts: dict[str, ShiftReport],
    embeddings: NDArray[Any],
    data: PhantomDataset,
) -> None:
    from knobo.explain import plot_case, plot_weights

    why = clf.explain(embeddings)
    probability = why.probabilities.max(axis=1) * (why.predicted == data.labels) * (data.labels == "heart_failure")
    case = int(probability.argmax())
    with _figure(folder / "explanation.png", (11, 5.5)) as figure:
        plot_case(why, data.images[case], case=case, figure=figure)
    with _figure(folder / "weights.png", (8, 6)) as figure:
        signs, _ = clf.bank_.prior_matrix(clf.classes_)
        plot_weights(clf.weights_, clf.classes_, [c.name for c in clf.bank_], signs, ax=figure.subplots())
    with _figure(folder / "shift.png", (9, 6)) as figure:
        for ax, (name, report) in zip(figure.subplots(len(shifts), 1, sharex=True), shifts.items(), strict=True):
            report.plot(ax=ax)
            ax.set_title(name, loc="right")


@contextmanager
def _figure(path: Path, inches: tuple[float, float]) -> Iterator[Figure]:
    """A figure that is written to ``path`` when the block ends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    yield figure
    with atomic_path(path) as part:
        figure.savefig(part, dpi=120)
