"""Displays of what the classifier makes of the findings: one case, many cases, and the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from knobo.errors import InputError
from knobo.explain._drawing import number_room
from knobo.explain.display import TEXT, Display, label_rows, strongest, tidy
from knobo.explain.explanation import Explanation
from knobo.explain.plots import plot_contributions, plot_weights
from knobo.explain.style import AGAINST, FOR, QUIET, readable, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


@dataclass
class WaterfallDisplay(Display):
    """How the findings lead from the average image to one image's score; see :func:`plot_contributions`.

    Parameters
    ----------
    explanation : Explanation
    case : int
        Position of the case.
    label : class, optional
        By default the one that the explanation is turned to, else the predicted one.
    max_concepts : int
    evidence : bool
        Write cited sentences below the bars.
    """

    explanation: Explanation
    case: int = 0
    label: Any = None
    max_concepts: int = 8
    evidence: bool = False

    def _height(self) -> float:
        one, k = _turn(self.explanation[self.case], self.label)
        rows = 4 + min(self.max_concepts + 1, int((one.weights[k] != 0).sum()))
        return 0.7 + 0.2 * rows + 1.6 * self.evidence

    def _draw(self, ax: Axes) -> None:
        plot_contributions(self.explanation, self.case, self.label, ax, self.max_concepts, self.evidence)


@dataclass
class WeightsDisplay(Display):
    """The weights beside the signs that the literature gives; see :func:`plot_weights`.

    Parameters
    ----------
    explanation : Explanation
        A contrast gives the weights of one class against another.
    max_concepts : int
    """

    explanation: Explanation
    max_concepts: int = 15

    def _height(self) -> float:
        return 0.9 + 0.2 * min(self.max_concepts, len(self.explanation.bank))

    def _draw(self, ax: Axes) -> None:
        why = self.explanation
        names = [concept.name for concept in why.bank]
        plot_weights(why.weights, why.classes, names, why.prior_signs, ax, self.max_concepts)


@dataclass
class BarDisplay(Display):
    """How much each finding moves the score of one class: of one case, or on average over several.

    One case has bars to the right (for) and left (against). Several have the mean absolute contribution, blue (+) where
    the finding speaks for the class and orange (−) where it speaks against it. † marks a weight whose sign is the
    opposite of the literature's.

    Parameters
    ----------
    explanation : Explanation
    label : class, optional
        By default the one that the explanation is turned to, else the predicted one of the (first) case.
    max_concepts : int

    Attributes
    ----------
    values : ndarray of shape (m,)
    """

    explanation: Explanation
    label: Any = None
    max_concepts: int = 10

    def __post_init__(self) -> None:
        self.explanation, self._k = _turn(self.explanation, self.label)
        effects = self.explanation.contributions[:, self._k]
        self.values: Array = effects[0] if len(effects) == 1 else np.abs(effects).mean(axis=0)
        self._shown = strongest(np.abs(self.values), self.max_concepts)

    def _height(self) -> float:
        return 0.7 + 0.21 * max(len(self._shown), 2)

    def _draw(self, ax: Axes) -> None:
        why, k, shown = self.explanation, self._k, self._shown
        values, one = self.values[shown], len(self.explanation) == 1
        speaks_for = values > 0 if one else why.weights[k, shown] > 0
        rows = np.arange(len(shown))
        ax.barh(rows, values, height=0.66, color=np.where(speaks_for, FOR, AGAINST).tolist())
        for row, value, positive in zip(rows, values, speaks_for, strict=True):
            text = signed(value) if one else f"{value:.2f} ({'+' if positive else '−'})"
            side: dict[str, Any] = {"ha": "left", "xytext": (3, 0)}
            if value < 0:
                side = {"ha": "right", "xytext": (-3, 0)}
            ax.annotate(text, (value, row), textcoords="offset points", va="center", fontsize=TEXT, **side)
        ax.axvline(0, color=QUIET, linewidth=0.6)
        low, high = min(values.min(initial=0.0), 0.0), max(values.max(initial=0.0), 0.0)
        room = number_room(ax, TEXT + 1) * max(high - low, 1e-12)
        ax.set_xlim(low - room * (low < 0), high + room * (1.2 if not one else high > 0))
        ax.locator_params(axis="x", nbins=4)
        label_rows(ax, _names(why, k, shown))
        what = "contribution" if one else f"mean |contribution|, {len(why)} images"
        tidy(ax, _title(why, k), f"{what} ({_scale(why)})")


@dataclass
class StripDisplay(Display):
    """The contributions of every case to the score of one class: one row a finding, one point a case.

    Points that would cover each other are moved apart. The colour is the activation. † marks a weight whose sign is
    the opposite of the literature's.

    Parameters
    ----------
    explanation : Explanation
    label : class, optional
        By default the one that the explanation is turned to, else the predicted one of the first case.
    max_concepts : int
        Those with the largest mean absolute contribution.
    """

    explanation: Explanation
    label: Any = None
    max_concepts: int = 10
    colours: ClassVar[str] = "cividis"  # made for colour-blind readers

    def __post_init__(self) -> None:
        self.explanation, self._k = _turn(self.explanation, self.label)
        self._shown = strongest(np.abs(self.explanation.contributions[:, self._k]).mean(axis=0), self.max_concepts)

    def _height(self) -> float:
        return 0.8 + 0.27 * max(len(self._shown), 3)

    def _draw(self, ax: Axes) -> None:
        why, k, shown = self.explanation, self._k, self._shown
        values, activations = why.contributions[:, k, shown], why.activations[:, shown]
        ax.axvline(0, color=QUIET, linewidth=0.6, zorder=0)
        span = max(float(np.ptp(values)) if values.size else 0.0, 1e-12)
        heights = np.array([row + swarm(values[:, row] / span) for row in range(len(shown))]).T
        points = ax.scatter(
            values.ravel(),
            heights.ravel(),
            c=activations.ravel(),
            cmap=self.colours,
            vmin=0,
            vmax=1,
            s=5,
            linewidth=0,
            rasterized=values.size > 5000,
        )
        label_rows(ax, _names(why, k, shown))
        ax.locator_params(axis="x", nbins=5)
        tidy(ax, _title(why, k), f"contribution ({_scale(why)})")
        bar = ax.figure.colorbar(points, ax=ax, fraction=0.04, pad=0.03, aspect=30)
        bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        bar.ax.tick_params(labelsize=TEXT, length=2)
        bar.set_label("activation", fontsize=TEXT, labelpad=1)
        bar.outline.set_visible(False)


def swarm(x: Array, n_bins: int = 60, spread: float = 0.38) -> Array:
    """Offsets (n,) in ±``spread`` that keep points apart which share one of ``n_bins`` bins of the unit of ``x``."""
    bins = np.floor(x * n_bins).astype(int)
    _, where, counts = np.unique(bins, return_inverse=True, return_counts=True)
    most = counts.max(initial=1)
    offsets = np.zeros(len(x))
    for b, count in enumerate(counts):
        members = np.flatnonzero(where == b)
        step = 2 * spread / max(most - 1, 10)
        offsets[members] = (np.arange(count) - (count - 1) / 2) * step
    return offsets


def _turn(why: Explanation, label: Any) -> tuple[Explanation, int]:
    """The explanation turned to one class, and that class."""
    if len(why) == 0:
        raise InputError("There are no cases to draw.")
    k = int((why if label is None else why.for_class(label)).explained[0])
    return why.for_class(why.classes[k]), k


def _names(why: Explanation, k: int, shown: list[int]) -> list[str]:
    return [f"{why.bank.concepts[j].name}{' †' if why.agreement[k, j] < 0 else ''}" for j in shown]


def _title(why: Explanation, k: int) -> str:
    name = readable(why.classes[k])
    return f"{name} rather than {readable(why.classes[1 - k])}" if len(why.classes) == 2 else name


def _scale(why: Explanation) -> str:
    return "log-odds" if len(why.classes) == 2 else "logit"
