"""Plots of what comes after a head is fitted. Each takes ``ax`` and returns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from knobo.errors import InputError
from knobo.heads._checks import check_proba, encode_labels
from knobo.heads.abstention import coverage_curve
from knobo.heads.calibration import calibration_metrics, reliability_table
from knobo.heads.operating import exact_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _VERMILION, _GREY = "#0072b2", "#d55e00", "0.6"  # Okabe-Ito: colour-blind readers can tell them apart
_COLOURS = (_BLUE, _VERMILION, "#009e73", "#cc79a7")


def plot_reliability(
    y: ArrayLike,
    probabilities: ArrayLike | Mapping[str, ArrayLike],
    classes: ArrayLike,
    *,
    n_bins: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often the most probable class is right, beside how probable it was said to be.

    Parameters
    ----------
    y : array-like of shape (n,)
        True labels.
    probabilities : array-like of shape (n, K), or mapping of name to such
        Class probabilities, such as ``{"before": p, "after": q}``; at most four.
    classes : array-like of shape (K,)
        Label of each column.
    n_bins : int
        Bins of equal size; bars are their 95 % Clopper-Pearson intervals.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax, (5.0, 4.6))
    labels = np.asarray(classes)
    codes = encode_labels(y, labels)
    named: dict[str, Any] = dict(probabilities) if isinstance(probabilities, Mapping) else {"": probabilities}
    if not 1 <= len(named) <= len(_COLOURS):
        raise InputError(f"plot_reliability draws one to {len(_COLOURS)} sets of probabilities, got {len(named)}.")
    ax.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--", label="perfect")
    lowest = 1.0
    for place, ((name, proba), colour) in enumerate(zip(named.items(), _COLOURS, strict=False)):
        p = check_proba(proba, len(codes), len(labels))
        table = reliability_table(p.argmax(axis=1) == codes, p.max(axis=1), n_bins=n_bins)
        hits = (table["observed"] * table["n"]).round().astype(int)
        ends = np.array([exact_interval(*pair, 0.95) for pair in zip(hits, table["n"], strict=True)]).T
        error = calibration_metrics(y, p, labels, n_bins=n_bins)["calibration_error"]
        label = f"{name + ': ' if name else ''}calibration error {error:.3f}"
        bars = np.abs(ends - table["observed"].to_numpy())
        marker = "os^D"[place]
        ax.errorbar(table["predicted"], table["observed"], bars, fmt=f"{marker}-", color=colour, capsize=2, label=label)
        lowest = min(lowest, float(ends.min()), float(table["predicted"].min()))
    floor = max(0.0, np.floor(10 * lowest) / 10)
    ax.set(xlim=(floor, 1.02), ylim=(floor, 1.02), xlabel="Probability of the predicted class")
    ax.set_ylabel("How often it is right")
    ax.legend(loc="lower right", frameon=False, fontsize="small")
    return _tidy(ax)


def plot_coverage(
    y: ArrayLike, proba: ArrayLike, classes: ArrayLike, *, threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the accuracy of the answers given, by the share of samples that get one.

    Parameters
    ----------
    y, proba, classes :
        As in :func:`coverage_curve`.
    threshold : float, optional
        Marks the point of this threshold, such as :func:`abstention_threshold` gives.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = _axes(ax, (5.6, 4.0))
    curve = coverage_curve(y, proba, classes)
    n, right = curve["n"].to_numpy(), (curve["accuracy"] * curve["n"]).round().to_numpy().astype(int)
    low, high = np.array([exact_interval(*pair, 0.95) for pair in zip(right, n, strict=True)]).T
    label = "95 % interval, point by point"
    ax.fill_between(curve["coverage"], low, high, color=_BLUE, alpha=0.15, linewidth=0, label=label)
    ax.plot(curve["coverage"], curve["accuracy"], color=_BLUE, label="accuracy")
    if threshold is not None:
        given = curve[curve["threshold"] >= threshold]
        if given.empty:
            raise InputError(f"No sample reaches the threshold {threshold:g}; the highest is {curve.threshold[0]:.3f}.")
        last = given.iloc[-1]
        ax.plot(last["coverage"], last["accuracy"], "o", color=_VERMILION, clip_on=False, label=(
            f"threshold {threshold:.2f}: {last['coverage']:.0%} answered, {last['accuracy']:.1%} right"))  # fmt: skip
    floor = float(np.floor(10 * curve["accuracy"][len(curve) // 20 :].min()) / 10) - 0.1
    ax.set(xlim=(0, 1.01), ylim=(max(0.0, floor), 1.01))
    ax.set(xlabel="Coverage (share of samples with an answer)", ylabel="Accuracy of the answers")
    ax.legend(loc="lower left", frameon=False, fontsize="small")
    return _tidy(ax)


def plot_stability(
    table: pd.DataFrame, *, class_name: object = None, max_concepts: int = 20, ax: Axes | None = None
) -> Axes:
    """Draw how often each concept is selected over resamples.

    Parameters
    ----------
    table : DataFrame
        From :meth:`HeadBootstrap.stability`.
    class_name : optional
        Class to draw; may be left out where there is one only (two classes).
    max_concepts : int
        The most often selected are drawn.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Blue bars speak for the class in most resamples that select them, orange ones against it;
        hatched concepts have no weight in the head itself.
    """
    known = list(table["class"].unique())
    if class_name is None and len(known) == 1:
        class_name = known[0]
    if class_name not in known:
        raise InputError(f"The table has no class {class_name!r}; give class_name, one of {known}.")
    rows = table[table["class"] == class_name].head(max_concepts)
    ax = _axes(ax, (6.4, 1.2 + 0.3 * len(rows)))
    colours = np.where(rows["sign"] > 0, _BLUE, _VERMILION)
    bars = ax.barh(np.arange(len(rows)), rows["frequency"], color=list(colours), height=0.7)
    for bar, weight in zip(bars, rows["weight"], strict=True):
        if weight == 0:
            bar.set(hatch="////", facecolor="white", edgecolor=bar.get_facecolor())
    ax.set_yticks(np.arange(len(rows)), [str(name) for name in rows["concept"]])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set(xlim=(0, 1), xlabel=f"Share of resamples in which it has a weight for {class_name}")
    ax.tick_params(axis="y", length=0)
    from matplotlib.patches import Patch

    key = [
        Patch(color=_BLUE, label="speaks for"),
        Patch(color=_VERMILION, label="speaks against"),
        Patch(facecolor="white", edgecolor="0.3", hatch="////", label="not in the head itself"),
    ]
    ax.legend(handles=key, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize="small")
    return _tidy(ax, grid="x")


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def _tidy(ax: Axes, *, grid: str = "both") -> Axes:
    ax.grid(axis=grid, alpha=0.3)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
