"""Plots of explanations and weights. Each takes ``ax`` and returns it; none resizes a figure that it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo.errors import InputError
from knobo.explain._checks import check_classes, check_weights
from knobo.explain._drawing import Paragraph, fit_into_slot, fit_label, number_room, shorten, text_size, write_below
from knobo.explain._weights_plot import draw_bars, draw_heat_map
from knobo.explain.contributions import rank
from knobo.explain.explanation import Explanation
from knobo.explain.style import AGAINST, FOR, LEFT_OUT, QUIET, chance, plain, readable, signed
from knobo.explain.tables import concept_auroc
from knobo.images import ImageSource, read_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_CITED = 3  # concepts whose sentence is written under a waterfall


def plot_contributions(
    explanation: Explanation,
    case: int = 0,
    class_name: Any = None,
    ax: Axes | None = None,
    max_concepts: int = 8,
    evidence: bool = True,
) -> Axes:
    """Draw how the concepts lead from the average image to this image's score for one class.

    Parameters
    ----------
    explanation : Explanation
    case : int
        Position of the case.
    class_name : class, optional
        The class whose score is explained; by default the predicted one.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    max_concepts : int
        Bars of their own; the other concepts with a weight share one.
    evidence : bool
        Write the cited sentences of the first concepts below the axes, as many as there is room for.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If there is no such case or class, or ``max_concepts`` is below 1.
    """
    one, k = _choose(explanation, case, class_name, max_concepts)
    ranked = rank(one.contributions[0, k], one.weights[k], max_concepts)
    paragraphs = _paragraphs(one, k, ranked.top) if evidence else []
    if ax is None:
        import matplotlib.pyplot as plt

        n_rows = 2 + len(ranked.top) + bool(ranked.n_rest) + bool(one.rest[0, k])
        height = 1.5 + 0.36 * n_rows + 0.55 * len(paragraphs)
        _, ax = plt.subplots(figsize=(8, height), layout="constrained")
    clash = one.agreement[k] < 0
    steps = [
        _Step(f"{shorten(one.bank.concepts[j].name)}{' †' if clash[j] else ''}  {one.activations[0, j]:.2f}", value)
        for j, value in zip(ranked.top.tolist(), one.contributions[0, k, ranked.top].tolist(), strict=True)
    ]
    if ranked.n_rest:
        steps.append(_Step(f"{ranked.n_rest} other finding{'s' * (ranked.n_rest > 1)}", ranked.rest))
    if one.rest[0, k]:
        steps.append(_Step(LEFT_OUT, float(one.rest[0, k])))
    size = text_size(ax, len(steps) + 2)
    _draw_waterfall(ax, float(one.base[k]), steps, size)
    _label_waterfall(ax, one, k, size)
    if evidence:
        footnote = ["† The classifier weighs this finding against the sign that the literature gives it."]
        write_below(ax, paragraphs, footnote if clash[ranked.top].any() else (), len(steps) + 2)
    fit_into_slot(ax)
    return ax


def plot_case(
    explanation: Explanation,
    image: ImageSource | None = None,
    *,
    case: int = 0,
    class_name: Any = None,
    figure: Figure | SubFigure | None = None,
    max_concepts: int = 8,
    evidence: bool = True,
) -> tuple[Axes, Axes, Axes]:
    """Draw an image, its class probabilities under it, and its contributions beside it.

    Parameters
    ----------
    explanation : Explanation
    image : path, PIL image or array, optional
        By default the explanation's own.
    case, class_name, max_concepts, evidence
        As in :func:`plot_contributions`.
    figure : matplotlib Figure or SubFigure, optional
        An empty one to draw on; by default a new one of 11 by 5.5 inches.

    Returns
    -------
    tuple of three matplotlib Axes
        Of the image, the probabilities and the contributions.

    Raises
    ------
    InputError
        As :func:`plot_contributions`, or if there is no image.
    FileError
        If the image cannot be read.
    """
    one, k = _choose(explanation, case, class_name, max_concepts)
    if image is None and one.images is None:
        raise InputError("There is no image to draw: pass image=, or make the explanation with images.")
    pixels = read_image(one.images[0] if image is None and one.images is not None else image)  # type: ignore[arg-type]
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(11, 5.5), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(2, 3))  # each with a layout of its own
    left, right = halves
    heights = (8, 0.6 + 0.45 * len(one.classes))
    image_ax, proba_ax = left.subplots(2, 1, gridspec_kw={"height_ratios": heights})
    image_ax.imshow(pixels)
    image_ax.set_axis_off()
    image_ax.set_anchor("N")
    _draw_probabilities(proba_ax, one, k)
    ax = right.subplots()
    plot_contributions(one, class_name=one.classes[k], ax=ax, max_concepts=max_concepts, evidence=evidence)
    return image_ax, proba_ax, ax


def plot_weights(
    weights: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    concept_names: Sequence[str],
    prior_signs: ArrayLike | None = None,
    ax: Axes | None = None,
    max_concepts: int = 20,
) -> Axes:
    """Draw what each class rests on: the weights, each beside the sign that the literature gives.

    More than two classes make a heat map; of two, whose weights mirror each other, those of ``classes[1]`` are drawn
    as bars. A frame marks a weight whose sign is the opposite of the literature's.

    Parameters
    ----------
    weights : array-like of shape (K, m)
    classes : sequence of length K
    concept_names : sequence of str of length m
    prior_signs : array-like of shape (K, m) in {-1, 0, 1}, optional
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    max_concepts : int
        Concepts to draw, those with the largest absolute weight in any class first; never one without a weight.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If shapes do not fit together, or ``max_concepts`` is below 1.
    """
    names = check_classes(classes)
    W, P = check_weights(weights, prior_signs, len(names), len(concept_names))
    _check_max(max_concepts)
    strength = np.abs(W).max(axis=0)
    order = np.argsort(-strength, kind="stable")
    used = order[strength[order] > 0]
    shown = used[:max_concepts]
    if ax is None:
        import matplotlib.pyplot as plt

        width = 7.5 if len(names) == 2 else 3.5 + 1.1 * len(names)
        _, ax = plt.subplots(figsize=(width, 1.6 + 0.34 * max(len(shown), 2)), layout="constrained")
    labels = [concept_names[j] for j in shown]
    size = text_size(ax, len(shown) + 2)
    if len(names) == 2:
        draw_bars(ax, W[1, shown], P[1, shown], names.tolist(), labels, size)
    else:
        draw_heat_map(ax, W[:, shown], P[:, shown], names.tolist(), labels, size)
    notes = _weight_notes(len(shown), len(used), bool(P.any()), bool((W * P < 0)[:, shown].any()))
    write_below(ax, [], notes, len(shown) + 2)
    fit_into_slot(ax)
    return ax


def _weight_notes(n_shown: int, n_used: int, has_prior: bool, has_conflict: bool) -> list[str]:
    notes = []
    if n_used == 0:
        notes.append("No finding has a weight: the classifier says the same of every image.")
    if n_used > n_shown:
        notes.append(f"Not shown, with smaller weights: {n_used - n_shown} of {n_used} findings.")
    if has_prior:
        notes.append("+ and − beside a weight: the literature says that the finding speaks for, or against, the class.")
    if has_conflict:
        notes.append("Framed: the weight has the opposite sign.")
    return [" ".join(notes)] if notes else []


def _check_max(max_concepts: int) -> None:
    if max_concepts < 1:
        raise InputError(f"max_concepts is {max_concepts}; draw at least 1 concept.")


def _choose(explanation: Explanation, case: int, class_name: Any, max_concepts: int) -> tuple[Explanation, int]:
    _check_max(max_concepts)
    one = explanation[case]
    if len(one) != 1:
        raise InputError(f"case must be one position, got {case!r}; draw the cases one by one.")
    return one, int((one if class_name is None else one.for_class(class_name)).explained[0])


class _Step(NamedTuple):
    """One bar of a waterfall: its label and how far it moves the score."""

    label: str
    value: float


def _draw_waterfall(ax: Axes, base: float, steps: Sequence[_Step], size: float) -> None:
    """Draw a mark at the base, one bar a step from where the last one ended, and a mark where they end."""
    values = np.array([step.value for step in steps])
    ends = base + np.concatenate([[0.0], np.cumsum(values)])
    n = len(steps)
    rows = np.arange(1, n + 1)
    colours = [FOR if value >= 0 else AGAINST for value in values]
    ax.axvline(base, color="0.85", linewidth=1, zorder=0)
    ax.barh(rows, values, left=ends[:-1], height=0.64, color=colours)
    ax.vlines(ends, np.arange(n + 1), np.arange(1, n + 2), color="0.55", linewidth=0.8, zorder=0)
    ax.plot([base, ends[-1]], [0, n + 1], linestyle="none", marker="D", markersize=0.7 * size, color="0.2")
    texts = [plain(base), *(signed(value) for value in values), plain(ends[-1])]
    anchors = np.concatenate([[base], ends[1:], [ends[-1]]])
    for row, (text, x) in enumerate(zip(texts, anchors, strict=True)):
        leftward = 0 < row <= n and values[row - 1] < 0
        ax.annotate(
            text,
            (x, row),
            xytext=(-4 if leftward else 4 + 4 * (row in (0, n + 1)), 0),
            textcoords="offset points",
            ha="right" if leftward else "left",
            va="center",
            fontsize=size,
            weight="bold" if row == n + 1 else "normal",
        )
    room = number_room(ax, size) * max(float(np.ptp(ends)), 0.5)
    ax.set_xlim(ends.min() - room, ends.max() + room)
    labels = ["average image", *(step.label for step in steps), "this image"]
    ax.set_yticks(np.arange(n + 2), labels, parse_math=False, fontsize=size)
    ax.set_ylim(n + 1.6, -0.6)
    ax.get_yticklabels()[-1].set_fontweight("bold")


def _label_waterfall(ax: Axes, one: Explanation, k: int, size: float) -> None:
    name, probability = readable(one.classes[k]), chance(one.probabilities[0, k])
    title: dict[str, Any] = {"weight": "bold", "fontsize": 1.2 * size, "pad": 2.2 * size, "parse_math": False}
    ax.set_title(f"{name}: probability {probability}", loc="left", **title)
    two = len(one.classes) == 2
    score = f"log-odds of {name} against {readable(one.classes[1 - k])}" if two else f"score for {name} (logit)"
    ax.set_xlabel(fit_label(ax, score, size), parse_math=False, fontsize=size)
    for x, shift, side, text, colour in (
        (0, 0, "left", "◀ speaks against", AGAINST),
        (1, 0, "right", "speaks for ▶", FOR),
        (0, -6, "right", "finding, activation", QUIET),
    ):
        style: dict[str, Any] = {"ha": side, "va": "bottom", "color": colour, "fontsize": 0.9 * size}
        weight = "normal" if colour == QUIET else "bold"
        ax.annotate(text, (x, 1), (shift, 5), "axes fraction", "offset points", weight=weight, **style)
    ax.tick_params(axis="x", labelsize=size)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=6)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _paragraphs(one: Explanation, k: int, top: NDArray[np.intp]) -> list[Paragraph]:
    """The cited sentence of each of the first concepts that has one."""
    words = {1: "sign as in the literature", -1: "sign against the literature"}
    auroc = concept_auroc(one)
    found = []
    for j in top.tolist():
        concept = one.bank.concepts[j]
        cited = one.citation(one.classes[k], concept.id)
        if cited is None:
            continue
        facts = [concept.name]
        facts += [concept.cui] if concept.cui else []
        facts += [words[int(one.agreement[k, j])]] if one.agreement[k, j] else []
        facts += [] if np.isnan(auroc[j]) else [f"held-out AUROC {auroc[j]:.2f}"]
        found.append(Paragraph(" · ".join(facts), f"“{cited.sentence}” {cited.source}"))
    return found[:_CITED]


def _draw_probabilities(ax: Axes, one: Explanation, k: int) -> None:
    rows = np.arange(len(one.classes))
    colours = [FOR if row == k else "0.7" for row in rows]
    ax.barh(rows, one.probabilities[0], height=0.6, color=colours)
    for row, probability in zip(rows, one.probabilities[0], strict=True):
        ax.annotate(chance(probability), (probability, row), (4, 0), textcoords="offset points", va="center")
    ax.set_yticks(rows, [shorten(readable(label), 24) for label in one.classes], parse_math=False)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, 1.12)
    ax.set_xticks([0, 0.5, 1])
    ax.set_xlabel("probability")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    fit_into_slot(ax)
