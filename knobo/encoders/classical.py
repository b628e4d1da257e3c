"""The encoder that needs no download: colour, texture and shape descriptors of the image itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knobo.encoders import _canvas, _colour, _shape, _texture
from knobo.encoders._canvas import Canvas, make_canvas
from knobo.encoders.pipeline import embed
from knobo.errors import InputError
from knobo.images import ImageSource

if TYPE_CHECKING:
    from PIL import Image


class _Family(NamedTuple):
    describe: Callable[[Canvas], NDArray[np.float32]]
    names: Callable[[], list[str]]


FAMILIES = {
    "colour": _Family(_colour.regions, _colour.region_names),
    "polar": _Family(_colour.polar, _colour.polar_names),
    "patterns": _Family(_texture.patterns, _texture.pattern_names),
    "structures": _Family(_texture.structures, _texture.structure_names),
    "waves": _Family(_texture.waves, _texture.wave_names),
    "cooccurrence": _Family(_texture.cooccurrence, _texture.cooccurrence_names),
    "edges": _Family(_texture.edges, _texture.edge_names),
    "shape": _Family(_shape.shape, _shape.shape_names),
}
"""Descriptor families, in the order of the embedding. ``benchmarks/classical.py`` measures what each one adds.

A saved model knows its encoder by name only: a family whose values change must get another name or another width, so
that an older model stops instead of reading numbers of another meaning.
"""


class ClassicalEncoder:
    """Classical descriptors of one image as a unit vector; no weights, no download, the same on every run.

    The image is brought to about 192 x 192 pixels. The dark structure in the middle (a lesion) is set apart by Otsu's
    threshold, and colours and textures are measured in its core, at its rim, around it and in the rest; edges and
    co-occurrence describe the whole image, which is what a radiograph needs.

    Parameters
    ----------
    families : sequence of str, optional
        Descriptor families to compute, from :data:`FAMILIES`; all of them by default.

    Attributes
    ----------
    spec : str
        ``"classical"``, followed by the families when not all are used.
    feature_names : tuple of str
        What each of the d values measures.

    Notes
    -----
    Each family is brought to the same length, and so the whole to unit length. The values differ in spread:
    standardise them before a linear model.
    """

    def __init__(self, families: Sequence[str] | None = None) -> None:
        chosen = tuple(FAMILIES) if families is None else tuple(families)
        unknown = [name for name in chosen if name not in FAMILIES]
        if unknown or not chosen:
            raise InputError(f"No descriptor family {unknown}; choose among {', '.join(FAMILIES)}.")
        self.families = chosen
        self.batch_size = 64
        self.spec = "classical" if chosen == tuple(FAMILIES) else "classical:" + "+".join(chosen)
        self._weight = np.float32(len(chosen) ** -0.5)
        self.feature_names = tuple(f"{name}_{part}" for name in chosen for part in FAMILIES[name].names())

    def encode_images(self, images: Sequence[ImageSource], *, progress: bool = False) -> NDArray[np.float32]:
        """Describe images.

        Parameters
        ----------
        images : sequence of path, PIL image or array
        progress : bool
            Show a progress bar.

        Returns
        -------
        ndarray of shape (n, d), float32
            Unit rows, in the order of ``images``.

        Raises
        ------
        FileError, InputError
            If an image cannot be read; the message names it.
        """
        return embed(self, images, progress=progress).rows

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        """Describe one RGB image: a unit vector of shape (d,)."""
        return self._describe(np.asarray(image))

    def encode_batch(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Stack results of :meth:`prepare`: each image is described by itself."""
        return np.stack(prepared)

    def fingerprint(self) -> str:
        """Digest of the code that computes the descriptors, and which of them. Files rows of an embedding store."""
        files = [__file__, *(str(module.__file__) for module in (_canvas, _colour, _shape, _texture))]
        code = b"".join(Path(file).read_bytes() for file in files)
        return f"{hashlib.sha256(code).hexdigest()[:32]}-{'+'.join(self.families)}"

    def _describe(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        canvas = make_canvas(rgb)
        return np.concatenate([_unit(FAMILIES[name].describe(canvas)) for name in self.families]) * self._weight


def _unit(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a block to unit length; one without any signal (edges of a blank image) becomes even."""
    length = float(np.linalg.norm(block))
    return block / np.float32(length) if length > 1e-6 else np.full_like(block, block.size**-0.5)
