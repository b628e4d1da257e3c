"""Maps by covering parts of the image, for any encoder."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knobo.explain._saliency_region import background

Score = Callable[[list[NDArray[np.uint8]]], NDArray[np.float64]]
_CELLS = 7  # of the masks of RISE, in each direction
_KEPT = 0.5  # of the image, by each mask of RISE


def occlusion_maps(
    score: Score, image: NDArray[np.uint8], windows: tuple[float, ...], batch_size: int
) -> NDArray[np.float32]:
    """How much each score falls when a window hides a pixel, averaged over windows: (m, H, W).

    Each size of window moves by half of itself. The maps of the sizes are scaled to a largest value of 1 and averaged.

    Parameters
    ----------
    score : callable
        From b images to (b, m).
    image : ndarray of shape (H, W, 3), uint8
    windows : tuple of float
        Sides, in shares of the image's shorter one.
    batch_size : int
    """
    torch: Any = import_module("torch")

    def forward(pixels: Any) -> Any:
        return torch.from_numpy(score([*_to_images(pixels.numpy())]).astype(np.float32))

    occlusion = import_module("captum.attr").Occlusion(forward)
    pixels, cover = (_to_tensor(torch, array) for array in (image, background(image)))
    total: NDArray[np.float32] = np.zeros((), np.float32)
    for share in windows:
        side = max(2, round(share * min(image.shape[:2])))
        found = occlusion.attribute(
            pixels,
            sliding_window_shapes=(3, side, side),
            strides=(3, side // 2, side // 2),
            baselines=cover,
            perturbations_per_eval=batch_size,
        )
        maps = found[:, 0].numpy()
        total = total + maps / np.maximum(np.abs(maps).max(axis=(1, 2), keepdims=True), 1e-12)
    return np.asarray(total / len(windows), dtype=np.float32)


def rise_maps(
    score: Score, image: NDArray[np.uint8], n_masks: int, batch_size: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Mean score of the random masks that show a pixel, less the mean of all: (m, H, W); parameters as above."""
    height, width = image.shape[:2]
    cover = background(image).astype(np.float32)
    total: NDArray[np.float32] | None = None
    shown = np.zeros((height, width), np.float32)
    scores: NDArray[np.float64] = np.zeros(())
    for start in range(0, n_masks, batch_size):
        masks = np.stack([_soft_mask(height, width, rng) for _ in range(min(batch_size, n_masks - start))])
        mixed = cover + masks[..., None] * (image - cover)
        found = score([*np.rint(mixed).astype(np.uint8)])
        part = np.einsum("bm,bhw->mhw", found.astype(np.float32), masks)
        total = part if total is None else total + part
        shown += masks.sum(axis=0)
        scores = scores + found.sum(axis=0)
    assert total is not None
    mean: NDArray[np.float32] = (total / shown - (scores / n_masks)[:, None, None]).astype(np.float32)
    return mean


def _soft_mask(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A coarse random mask, enlarged smoothly and shifted by a random part of a cell."""
    rows, columns = -(-height // _CELLS), -(-width // _CELLS)
    cells = Image.fromarray((rng.random((_CELLS + 1, _CELLS + 1)) < _KEPT).astype(np.float32))
    large = cells.resize(((_CELLS + 1) * columns, (_CELLS + 1) * rows), Image.Resampling.BILINEAR)
    top, left = int(rng.integers(rows)), int(rng.integers(columns))
    return np.asarray(large)[top : top + height, left : left + width]


def _to_tensor(torch: Any, image: NDArray[np.uint8]) -> Any:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))[None]


def _to_images(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(pixels.transpose(0, 2, 3, 1)).astype(np.uint8)
