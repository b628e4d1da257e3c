"""Maps laid over images."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo.errors import InputError
from knobo.explain.saliency import ConceptMaps
from knobo.images import ImageSource, read_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "inferno"
_FAINT, _DENSE = 0.15, 0.65  # share of its maximum from which a map is seen, and how much of the image it then hides


def plot_concept_map(
    image: ImageSource, found: ArrayLike, *, title: str = "", contour: bool = True, ax: Axes | None = None
) -> Axes:
    """Lay the positive part of a map over its image.

    Parameters
    ----------
    image : path, PIL image or array
    found : array-like of shape (h, w)
        Over the whole image, of any size, such as one of :class:`ConceptMaps`. Scaled to its own maximum.
    title : str
    contour : bool
        Draw a line at half of the maximum, which print and colour-blind readers keep.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If ``found`` is no map.
    FileError
        If the image cannot be read.
    """
    import matplotlib as mpl

    values = np.asarray(found, dtype=float)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError(f"A map must be finite numbers of shape (h, w), got shape {values.shape}.")
    pixels = read_image(image)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(3.4, 3.6), layout="constrained")
    height, width = pixels.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(pixels)
    heat = np.clip(values / max(float(values.max()), 1e-12), 0, 1)
    layer = mpl.colormaps[_COLOURS](0.35 + 0.65 * heat)
    layer[..., 3] = _DENSE * np.clip((heat - _FAINT) / (1 - _FAINT), 0, 1) ** 0.5
    ax.imshow(layer, extent=extent, interpolation="bilinear")
    if contour and values.max() > 0 and min(values.shape) > 1:
        x = (np.arange(values.shape[1]) + 0.5) / values.shape[1] * width - 0.5
        y = (np.arange(values.shape[0]) + 0.5) / values.shape[0] * height - 0.5
        ax.contour(x, y, heat, levels=[0.5], colors=["white"], linewidths=0.9)
    ax.set_axis_off()
    if title:
        ax.set_title(fill(title, 26), fontsize=9, parse_math=False)
    return ax


def plot_concept_maps(
    images: Sequence[ImageSource], maps: ConceptMaps, *, figure: Figure | None = None
) -> NDArray[np.object_]:
    """Draw a grid: one row an image, first without, then with the map of each concept.

    Parameters
    ----------
    images : sequence of n images
        Those that the maps are of.
    maps : ConceptMaps
        Of n images and m concepts.
    figure : matplotlib Figure, optional
        An empty one to draw on; by default a new one.

    Returns
    -------
    ndarray of shape (n, m + 1) of matplotlib Axes

    Raises
    ------
    InputError
        If there are not as many images as maps.
    """
    if len(images) != len(maps):
        raise InputError(f"There are {len(images)} images but maps of {len(maps)}; pass those that the maps are of.")
    n, m = len(images), len(maps.concepts)
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(1.8 * (m + 1), 1.8 * n + 0.4), layout="constrained")
    axes: Any = figure.subplots(n, m + 1, squeeze=False)
    for i, image in enumerate(images):
        axes[i, 0].imshow(read_image(image))
        axes[i, 0].set_axis_off()
        for j, concept in enumerate(maps.concepts):
            plot_concept_map(image, maps.maps[i][j], title=concept if i == 0 else "", ax=axes[i, j + 1])
    return np.asarray(axes)
