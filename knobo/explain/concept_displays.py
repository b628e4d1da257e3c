"""Displays of the findings themselves: how they are spread, go together and look, and what correcting them does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo.errors import InputError
from knobo.explain._checks import check_each
from knobo.explain._drawing import shorten
from knobo.explain.activations import concept_correlation, prototypes
from knobo.explain.correction import Policy, check_targets, intervention_curve
from knobo.explain.display import NAME_WIDTH, TEXT, Display, label_rows, strongest, tidy
from knobo.explain.explanation import Explanation
from knobo.explain.style import AGAINST, CLASS_COLOURS, FOR, QUIET, readable
from knobo.images import ImageSource, read_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

_MARKERS = "osD^vPX"
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))


@dataclass
class ActivationDisplay(Display):
    """How the activations of each finding are spread in each class: median, middle half, and 5th to 95th percentile.

    Parameters
    ----------
    explanation : Explanation
    y : array-like of shape (n,)
        True classes. Classes without a case are left out.
    max_concepts : int
        Those with the largest absolute weight in any class; select others with ``explanation[:, concepts]``.
    """

    explanation: Explanation
    y: ArrayLike
    max_concepts: int = 8

    def __post_init__(self) -> None:
        self._rows = check_targets(self.explanation, self.y)
        self._present = sorted(set(self._rows.tolist()))
        self._shown = strongest(np.abs(self.explanation.weights).max(axis=0), self.max_concepts)

    def _height(self) -> float:
        return 0.75 + max(len(self._shown), 1) * (0.1 + 0.06 * len(self._present)) + 0.08 * len(self._present)

    def _draw(self, ax: Axes) -> None:
        why, n_classes = self.explanation, len(self._present)
        for place, k in enumerate(self._present):
            A = why.activations[self._rows == k][:, self._shown]
            low, first, middle, third, high = np.percentile(A, [5, 25, 50, 75, 95], axis=0)
            heights = np.arange(len(self._shown)) + 0.74 * ((place + 0.5) / n_classes - 0.5)
            colour = CLASS_COLOURS[k % len(CLASS_COLOURS)]
            ax.hlines(heights, low, high, color=colour, linewidth=0.7)
            ax.hlines(heights, first, third, color=colour, linewidth=2.2)
            style: dict[str, Any] = {"marker": _MARKERS[k % len(_MARKERS)], "markersize": 3.5, "linestyle": "none"}
            label = f"{shorten(readable(why.classes[k]), 30, 1)} (n = {(self._rows == k).sum()})"
            ax.plot(middle, heights, color=colour, markeredgecolor="black", markeredgewidth=0.4, label=label, **style)
        label_rows(ax, [why.bank.concepts[j].name for j in self._shown])
        for row in range(1, len(self._shown)):
            ax.axhline(row - 0.5, color="0.9", linewidth=0.5, zorder=0)
        ax.set_xlim(-0.02, 1.02)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        tidy(ax, xlabel="activation: median, middle half, 5–95 %")
        legend(ax, n_columns=1 if n_classes < 3 else 2)


@dataclass
class CorrelationDisplay(Display):
    """Which findings go together: the correlation of their activations, those alike beside each other.

    Parameters
    ----------
    explanation : Explanation
    method : {"pearson", "spearman"}
    max_concepts : int
        Those with the largest absolute weight in any class.

    Attributes
    ----------
    correlation : DataFrame of shape (m, m)
        Of all concepts, also those that are not drawn.
    """

    explanation: Explanation
    method: Any = "pearson"
    max_concepts: int = 12

    def __post_init__(self) -> None:
        self.correlation = concept_correlation(self.explanation, self.method)
        varies = self.correlation.notna().any(axis=1).to_numpy()
        weights = np.abs(self.explanation.weights).max(axis=0)
        self._shown = strongest(np.where(varies, weights + 1e-12, 0.0), self.max_concepts)
        if not self._shown:
            raise InputError("No activation varies over these cases; there is no correlation to draw.")

    def _height(self) -> float:
        return 0.45 + 0.2 * len(self._shown) + 0.1

    def _draw(self, ax: Axes) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        R = self.correlation.to_numpy()[np.ix_(self._shown, self._shown)]
        order = _alike(R)
        R = np.where(np.tri(len(R), k=-1), R[np.ix_(order, order)], np.nan)
        colours = LinearSegmentedColormap.from_list("knobo", [AGAINST, "white", FOR])
        ax.imshow(np.ma.masked_invalid(R), cmap=colours, vmin=-1, vmax=1, aspect="auto")
        for i, j in np.argwhere(~np.isnan(R)).tolist():
            text = f"{R[i, j]:.1f}".replace("-", "−").replace("−0.0", "0.0")
            ink = "white" if abs(R[i, j]) > 0.75 else "black"
            ax.text(j, i, text, ha="center", va="center", fontsize=TEXT - 1.5, color=ink)
        names = [self.explanation.bank.concepts[self._shown[j]].name for j in order]
        label_rows(ax, [f"{name}  {place}" for place, name in enumerate(names, start=1)], NAME_WIDTH + 4)
        ax.set_xticks(np.arange(len(names)), [str(place) for place in range(1, len(names) + 1)])
        ax.tick_params(axis="x", length=0)
        tidy(ax, xlabel=f"{self.method.capitalize()} correlation, {len(self.explanation)} images")
        ax.spines[:].set_visible(False)


@dataclass
class PrototypeDisplay(Display):
    """The images that show a finding most and least, each with its activation.

    Parameters
    ----------
    explanation : Explanation
        Of as many images as there are at hand.
    concepts : sequence of str
        Concept ids, one row each.
    images : sequence of n images, optional
        Paths, PIL images or arrays; by default the explanation's own.
    n_cases : int
        Images of each kind.

    Attributes
    ----------
    prototypes : dict of concept id to Prototypes
    """

    explanation: Explanation
    concepts: Sequence[str]
    images: Sequence[ImageSource] | None = field(default=None, repr=False)
    n_cases: int = 3

    def __post_init__(self) -> None:
        ids = [self.concepts] if isinstance(self.concepts, str) else list(self.concepts)
        if not ids:
            raise InputError("No concept is selected; choose at least one.")
        self.prototypes = {concept_id: prototypes(self.explanation, concept_id, self.n_cases) for concept_id in ids}
        own = self.explanation.images if self.images is None else self.images
        checked = check_each(own, len(self.explanation), "images")
        if checked is None:
            raise InputError("There are no images to draw: pass images=, or make the explanation with images.")
        self._pictures = checked

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *args: Any, ax: Axes | None = None, **options: Any) -> Self:
        """Explain the images ``X`` with a fitted classifier, then draw them."""
        options.setdefault("images", X)
        return super().from_estimator(estimator, X, *args, ax=ax, **options)

    def _height(self) -> float:
        cell = self.width / (2 * self.n_cases + 0.3)
        return 0.1 + cell * (1.6 * len(self.prototypes) + 0.3)

    def _draw(self, ax: Axes) -> None:
        shift = 0.3  # between the two kinds, in units of an image
        for row, (concept_id, (most, least)) in enumerate(self.prototypes.items()):
            [column] = [j for j, known in enumerate(self.explanation.bank.ids) if known == concept_id]
            top = 1.6 * row
            for place, i in enumerate([*most.tolist(), *least[::-1].tolist()]):
                left = place + shift * (place >= len(most))
                _picture(ax, self._pictures[i], left, top)
                text = f"{self.explanation.activations[i, column]:.2f}"
                ax.text(left + 0.5, top + 1.02, text, ha="center", va="top", fontsize=TEXT, color=QUIET)
            style: dict[str, Any] = {"va": "bottom", "fontsize": TEXT, "parse_math": False}
            ax.text(0, top - 0.04, shorten(self.explanation.bank[concept_id].name, 60, 1), weight="bold", **style)
        n_most, n_least = (len(kind) for kind in next(iter(self.prototypes.values())))
        bottom = 1.6 * len(self.prototypes) - 0.3
        for text, x in (("shown most", n_most / 2), ("shown least", n_most + shift + n_least / 2)):
            ax.text(x, bottom, text, ha="center", va="top", fontsize=TEXT)
        ax.set_xlim(0, n_most + n_least + shift)
        ax.set_ylim(bottom + 0.25, -0.3)
        ax.set_aspect("equal")
        ax.set_axis_off()


@dataclass
class InterventionCurveDisplay(Display):
    """Accuracy against the number of findings that an expert has corrected.

    The parameters are those of :func:`intervention_curve`.

    Attributes
    ----------
    curve : DataFrame
        As :func:`intervention_curve` returns it.
    """

    explanation: Explanation
    y: ArrayLike
    truth: pd.DataFrame | ArrayLike
    policies: Sequence[Policy] = ("random", "uncertainty", "contribution")
    max_concepts: int | None = None
    n_repeats: int = 10
    random_state: int = 0

    def __post_init__(self) -> None:
        self.curve = intervention_curve(
            self.explanation,
            self.y,
            self.truth,
            policies=self.policies,
            max_concepts=self.max_concepts,
            n_repeats=self.n_repeats,
            random_state=self.random_state,
        )

    def _height(self) -> float:
        return 2.3

    def _draw(self, ax: Axes) -> None:
        for place, (policy, part) in enumerate(self.curve.groupby("policy", sort=False)):
            x, y, spread = (part[name].to_numpy() for name in ("n_corrected", "accuracy", "spread"))
            colour = CLASS_COLOURS[place % len(CLASS_COLOURS)]
            style: dict[str, Any] = {"marker": _MARKERS[place % 7], "markersize": 3, "linestyle": _DASHES[place % 7]}
            ax.plot(x, y, color=colour, linewidth=1.1, label=_WORDS.get(str(policy), str(policy)), **style)
            if spread.any():
                ax.fill_between(x, y - spread, y + spread, color=colour, alpha=0.18, linewidth=0)
        ax.locator_params(axis="x", integer=True)
        tidy(ax, xlabel="findings of each image that the expert has corrected", ylabel="accuracy")
        ax.spines["left"].set_visible(True)
        ax.spines["left"].set_color(QUIET)
        legend(ax, n_columns=1)


_WORDS = {
    "random": "in random order",
    "uncertainty": "least certain first",
    "contribution": "largest contribution first",
    "certificate": "lowest AUROC first",
}


def legend(ax: Axes, n_columns: int) -> None:
    """Put the legend above the axes, where it covers nothing."""
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=n_columns,
        frameon=False,
        fontsize=TEXT,
        borderaxespad=0.2,
        handlelength=2.2,
        columnspacing=1.0,
        labelspacing=0.25,
    )


def _alike(R: NDArray[np.float64]) -> list[int]:
    """Order in which concepts that correlate, either way, are neighbours (average linkage on 1 − |r|)."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(R) < 3:
        return list(range(len(R)))
    distance = np.clip(1 - np.abs(np.nan_to_num(R)), 0, 1)
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()


def _picture(ax: Axes, source: ImageSource, left: float, top: float) -> None:
    """Draw an image in the middle of the unit square at (left, top), in its own proportions."""
    pixels = np.asarray(read_image(source))
    height, width = pixels.shape[:2]
    w, h = 0.96 * width / max(width, height), 0.96 * height / max(width, height)
    x, y = left + (1 - w) / 2, top + (1 - h) / 2
    ax.imshow(pixels, extent=(x, x + w, y + h, y), interpolation="antialiased")
