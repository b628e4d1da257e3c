"""Turn the dial of a perturbation up: which decisions flip first, and which concepts move?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from knobo._validation import knobo_errors, show
from knobo.errors import InputError
from knobo.images import ImageSource, read_image
from knobo.shift._checks import encode_labels
from knobo.shift._inputs import SupportsPredictProba, classes_of
from knobo.shift.perturbations import PERTURBATIONS, Perturbation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

STRENGTHS = (0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class StressReport:
    """What perturbations do to decisions and concepts.

    Attributes
    ----------
    table : DataFrame, rows (perturbation, strength)
        ``flipped``, the share of images whose decision is another one than without perturbation, with a Wilson interval
        ``flipped_low``, ``flipped_high``; ``confidence``, the mean probability of the first decision; with labels also
        ``accuracy``.
    concepts : DataFrame, rows (perturbation, strength, concept)
        ``change``, the mean change of the activation, and ``moved``, its mean size. Empty without concepts.
    flips : DataFrame of shape (images, perturbations)
        Lowest strength of those tried at which the decision flips; NaN where it holds.
    """

    table: pd.DataFrame
    concepts: pd.DataFrame
    flips: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the table of perturbations."""
        return self.table.copy()

    def first_to_move(self, top: int = 3) -> pd.DataFrame:
        """Return the ``top`` concepts that each perturbation moves most, on average over its strengths."""
        if self.concepts.empty:
            return self.concepts
        mean = self.concepts.groupby(level=["perturbation", "concept"], sort=False).mean()
        return mean.sort_values("moved", ascending=False, kind="stable").groupby("perturbation", sort=False).head(top)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the share of flipped decisions against the strength, one line a perturbation.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib Axes
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
        shown = self.table["flipped"].unstack("perturbation", sort=False)
        shown = shown[shown.iloc[-1].sort_values(ascending=False, kind="stable").index]
        for number, (name, values) in enumerate(shown.items()):
            marker, style = "osD^vP*Xh"[number % 9], ("-", "--", ":")[number // 3 % 3]
            ax.plot([0, *shown.index], [0, *values], marker=marker, linestyle=style, label=str(name))
        ax.set_xlabel("Strength of the perturbation")
        ax.set_ylabel("Share of decisions that flip")
        ax.set_ylim(-0.02, max(0.2, 1.1 * float(shown.to_numpy().max())))
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
        return ax

    def __repr__(self) -> str:
        return f"StressReport\n{self._as_text().to_string()}\n{self._caption()}"

    def _repr_html_(self) -> str:
        return f'<div class="knobo-stress">{self._as_text().to_html(border=0)}<p>{escape(self._caption())}</p></div>'

    def _as_text(self) -> pd.DataFrame:
        return self.table["flipped"].unstack("strength", sort=False).rename_axis(index=None).round(2)

    def _caption(self) -> str:
        return f"Share of the decisions on {len(self.flips)} images that flip, by strength (0: as it is; 1: strong)."


def stress_test(
    clf: SupportsPredictProba,
    images: Sequence[ImageSource],
    y: ArrayLike | None = None,
    *,
    perturbations: Sequence[str] | Mapping[str, Perturbation] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    random_state: int = 0,
) -> StressReport:
    """Perturb images step by step and watch decisions and concepts.

    Parameters
    ----------
    clf : fitted classifier
        Takes a list of RGB arrays of shape (H, W, 3), uint8. With ``concepts`` and ``head_``, as a
        ConceptBottleneckClassifier has them, concepts are watched, too, and each image is encoded once.
    images : sequence of path, PIL image or array
        All are held in memory.
    y : array-like of shape (n,), optional
        Labels, for the accuracy.
    perturbations : sequence of str, or mapping of name to function, optional
        Some of noise, blur, gamma, contrast, crop, rotation, jpeg, marker, resolution (default: all); or functions of
        (image, strength, rng) that return an image of that shape.
    strengths : sequence of float in (0, 1]
        Turned up in rising order.
    random_state : int
        Of the noise; the same for every strength.

    Returns
    -------
    StressReport

    Raises
    ------
    InputError
        If there is no image, a perturbation is unknown, or a strength is out of range.
    """
    classes = classes_of(clf)
    dials = sorted({float(strength) for strength in strengths})
    if not dials or not 0 < dials[0] <= dials[-1] <= 1:
        raise InputError(f"strengths are {list(strengths)}; pass one or more that are above 0 and at most 1.")
    functions = _choose(perturbations)
    if len(images) == 0:
        raise InputError("There is no image; pass at least one.")
    codes = None if y is None else encode_labels(y, classes, "y")
    if codes is not None and len(codes) != len(images):
        raise InputError(f"There are {len(images)} images but {len(codes)} labels; pass one label an image.")
    pictures = [read_image(image) for image in images]
    before, seen = _predict(clf, pictures)
    first = before.argmax(axis=1)
    rows: dict[tuple[str, float], dict[str, float]] = {}
    moves: dict[tuple[str, float], pd.DataFrame] = {}
    flips = pd.DataFrame(np.nan, index=range(len(images)), columns=list(functions))
    for name, function in functions.items():
        for strength in dials:
            rng = np.random.default_rng(random_state)
            proba, concepts = _predict(clf, [function(picture, strength, rng) for picture in pictures])
            now = proba.argmax(axis=1)
            count = int(np.sum(now != first))
            interval = binomtest(count, len(first)).proportion_ci(method="wilson")
            ends = {"flipped_low": interval.low, "flipped_high": interval.high}
            rows[name, strength] = {"flipped": count / len(first), **ends}
            rows[name, strength]["confidence"] = float(proba[np.arange(len(first)), first].mean())
            if codes is not None:
                rows[name, strength]["accuracy"] = float(np.mean(now == codes))
            if concepts is not None and seen is not None:
                change = concepts - seen
                moves[name, strength] = pd.DataFrame({"change": change.mean(), "moved": change.abs().mean()})
            flips.loc[(now != first) & flips[name].isna().to_numpy(), name] = strength
    names = ["perturbation", "strength"]
    table = pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(list(rows), names=names))
    together = pd.concat(moves, names=[*names, "concept"]) if moves else pd.DataFrame()
    return StressReport(table, together, flips)


def _choose(perturbations: Sequence[str] | Mapping[str, Perturbation] | None) -> dict[str, Perturbation]:
    if perturbations is None:
        return dict(PERTURBATIONS)
    if isinstance(perturbations, Mapping):
        return dict(perturbations)
    unknown = [name for name in perturbations if name not in PERTURBATIONS]
    if unknown or not perturbations:
        what = f"{show(unknown[0])} is no perturbation" if unknown else "There is no perturbation"
        raise InputError(f"{what}; choose among {', '.join(PERTURBATIONS)}.")
    return {name: PERTURBATIONS[name] for name in perturbations}


def _predict(clf: Any, pictures: list[Any]) -> tuple[Array, pd.DataFrame | None]:
    """Probabilities and, where the classifier has them, concept activations."""
    with knobo_errors():
        if hasattr(clf, "concepts") and hasattr(clf, "head_"):
            concepts = clf.concepts(pictures)
            return np.asarray(clf.head_.predict_proba(concepts.to_numpy())), concepts
        return np.asarray(clf.predict_proba(pictures)), None
