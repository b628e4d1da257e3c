"""What all displays share: scikit-learn's manner, one size of text, and labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from knobo.errors import InputError
from knobo.explain._drawing import fit_into_slot, shorten
from knobo.explain.explanation import Explanation
from knobo.explain.style import COLUMN, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from typing_extensions import Self

TEXT = 7.0  # points: readable in a journal's column
NAME_WIDTH = 24  # letters before a name is wrapped


class Display:
    """A plot that keeps its data. Drawn again with :meth:`plot`; nothing is shown or saved.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    ax_: Axes
    figure_: Figure | SubFigure
    width: ClassVar[float] = COLUMN

    @classmethod
    def from_explanation(cls, explanation: Explanation, *args: Any, ax: Axes | None = None, **options: Any) -> Self:
        """Draw an explanation.

        Parameters
        ----------
        explanation : Explanation
        *args, **options
            As for the class itself.
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure as wide as a journal's column (85 mm).
        """
        return cls(explanation, *args, **options).plot(ax)  # type: ignore[call-arg]

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *args: Any, ax: Axes | None = None, **options: Any) -> Self:
        """Explain the images ``X`` with a fitted classifier, then draw as :meth:`from_explanation` does."""
        return cls.from_explanation(estimator.explain(X), *args, ax=ax, **options)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on ``ax``, or on a new figure, and return the display."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(figsize=(self.width, self._height()), layout="constrained")[1]
        self._draw(ax)
        fit_into_slot(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _height(self) -> float:
        """Height of a new figure in inches."""
        raise NotImplementedError

    def _draw(self, ax: Axes) -> None:
        raise NotImplementedError


def label_rows(ax: Axes, labels: Sequence[str], n_letters: int = NAME_WIDTH) -> None:
    """Name the rows 0, 1, … of an axes from the top down, long names in two lines."""
    wrapped = [shorten(label, n_letters) for label in labels]
    ax.set_yticks(np.arange(len(labels)), wrapped, parse_math=False, fontsize=TEXT)
    ax.set_ylim(len(labels) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)


def tidy(ax: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """One look for all: small text, no frame but the x axis, title at the left."""
    plain: dict[str, Any] = {"fontsize": TEXT, "parse_math": False}
    ax.set_title(shorten(title, 50), loc="left", weight="bold", **plain)
    ax.set_xlabel(xlabel, **plain)
    ax.set_ylabel(ylabel, **plain)
    ax.tick_params(labelsize=TEXT)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(QUIET)


def strongest(values: np.ndarray[Any, np.dtype[np.float64]], most: int) -> list[int]:
    """Positions of the ``most`` largest values (m,), never of a zero."""
    if most < 1:
        raise InputError(f"max_concepts is {most}; draw at least 1 concept.")
    order = np.argsort(-values, kind="stable")
    return [int(j) for j in order[:most] if values[j] > 0]
