"""Texture descriptors: binary patterns, second derivatives, log-Gabor energy, co-occurrence, edge directions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from knobo.encoders._canvas import REGIONS, Canvas, Floats, Mask, box_resize

_OCTAVES = 3
_PATTERNS = 10
_SMOOTHING = 0.8
_PLACES = (*REGIONS[:3], "whole")
_SCALES = ((0, 1.0), (0, 1.8), (1, 1.6), (2, 1.4))  # octave of the pyramid, standard deviation of the smoothing there
_STRUCTURES = ("spread", "bright_blob", "dark_blob", "pit", "valley", "peak", "crest", "edge")
_GABOR_SIDE, _GABOR_PAD, _GABOR_SCALES, _GABOR_ANGLES = 96, 12, 5, 6
_CELLS, _BINS = 4, 8
_FAINT = 4e-4  # brings the 1e-5 that hog adds to a length to 2.5 % of the range of grey
_LEVELS, _REACHES, _HARALICK = 16, (1, 2, 4, 8), ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation")


def pattern_names() -> list[str]:
    """Names of :func:`patterns`."""
    return [f"lbp_octave{o}_{place}_{p}" for o in range(_OCTAVES) for place in _PLACES for p in range(_PATTERNS)]


def patterns(canvas: Canvas) -> Floats:
    """Histograms of rotation-invariant uniform local binary patterns (Ojala et al., IEEE TPAMI 24, 2002).

    Eight neighbours, three octaves; core, rim, halo and the whole image. Each octave is smoothed first: bare pixels
    tell how a file was compressed rather than what it shows. Square roots of the frequencies (Hellinger's map: a
    linear model on them compares distributions).
    """
    parts = []
    for octave, grey in enumerate(_pyramid(canvas)):
        codes = _local_binary_patterns(ndimage.gaussian_filter(grey, _SMOOTHING))
        parts += [_histogram(codes[region]) for region in _at_octave(canvas.regions[:3], octave, codes.shape)]
        parts.append(_histogram(codes))
    return np.concatenate(parts).astype(np.float32)


def _local_binary_patterns(grey: Floats) -> NDArray[np.uint8]:
    """Code of each pixel: number of brighter neighbours 0 … 8 where they lie side by side, else 9."""
    padded = np.pad(grey, 1, mode="edge")
    h, w = grey.shape
    ring = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    bits = np.zeros(grey.shape, np.uint8)
    for place, (r, c) in enumerate(ring):
        bits |= (padded[r : r + h, c : c + w] >= grey).view(np.uint8) << np.uint8(place)
    return _uniform_codes()[bits]


@cache
def _uniform_codes() -> NDArray[np.uint8]:
    bits = np.array([[byte >> place & 1 for place in range(8)] for byte in range(256)])
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), _PATTERNS - 1).astype(np.uint8)


def _histogram(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.sqrt(np.bincount(codes.ravel(), minlength=_PATTERNS) / codes.size)


def structure_names() -> list[str]:
    """Names of :func:`structures`."""
    return [f"{kind}_scale{s}_{region}" for s in range(len(_SCALES)) for region in REGIONS[:2] for kind in _STRUCTURES]


def structures(canvas: Canvas) -> Floats:
    """How much blob, line and edge core and rim hold at four scales, from the eigenvalues of the Hessian of L*.

    Dots are pits (both eigenvalues positive), a pigment network or a streak is a valley (one large positive),
    a rib border or a vessel wall a crest. Scale-normalised derivatives (Lindeberg, IJCV 30, 1998), on a log scale.
    """
    pyramid = list(_pyramid(canvas))
    parts = []
    for octave, sigma in _SCALES:
        image = pyramid[octave] / np.float32(255)
        values = _second_order(ndimage.gaussian_filter(image, sigma), sigma)
        for region in _at_octave(canvas.regions[:2], octave, image.shape):
            parts.append(_structure(*(value[region] for value in values)))
    return np.concatenate(parts).astype(np.float32)


def _second_order(smooth: Floats, sigma: float) -> tuple[Floats, Floats, Floats]:
    """Larger and smaller eigenvalue of the Hessian, and the length of the gradient."""
    dy, dx = np.gradient(smooth)
    dyy, dxx, dxy = np.gradient(dy, axis=0), np.gradient(dx, axis=1), np.gradient(dx, axis=0)
    mean, spread = (dyy + dxx) / 2, np.sqrt(((dxx - dyy) / 2) ** 2 + dxy**2)
    return (mean + spread) * sigma**2, (mean - spread) * sigma**2, np.sqrt(dx**2 + dy**2) * sigma


def _structure(larger: Floats, smaller: Floats, slope: Floats) -> Floats:
    laplacian = larger + smaller
    ends = int(0.02 * laplacian.size), int(0.98 * (laplacian.size - 1))
    low, high = np.partition(laplacian, ends)[list(ends)]
    amounts = [
        np.maximum(smaller, 0).mean(),
        np.maximum(larger - np.abs(smaller), 0).mean(),
        np.maximum(-larger, 0).mean(),
        np.maximum(-smaller - np.abs(larger), 0).mean(),
    ]
    blobs = [np.sign(end) * np.abs(end) ** 0.5 for end in (low, high)]
    logs = [np.log(laplacian.std() + 1e-3), *np.log(np.array(amounts) + 1e-4), np.log(slope.mean() + 1e-3)]
    return np.array([logs[0], *blobs, *logs[1:]])


def wave_names() -> list[str]:
    """Names of :func:`waves`."""
    kinds = ("energy", "spread", "direction")
    return [f"gabor_{kind}_scale{s}_{region}" for region in REGIONS for kind in kinds for s in range(_GABOR_SCALES)]


def waves(canvas: Canvas) -> Floats:
    """Log-Gabor energy of each region at five scales, its spread, and how directed it is.

    Energies are taken on lightness at 96 x 96 pixels, centred and scaled to unit variance, so they tell texture from
    contrast. Filters: Field, J. Opt. Soc. Am. A 4, 1987.
    """
    side = _GABOR_SIDE
    light = box_resize(_grey(canvas), side, side).astype(np.float32)
    light = (light - light.mean()) / (light.std() + np.float32(0.1))
    spectrum = fft.fft2(np.pad(light, _GABOR_PAD, mode="reflect"))
    inner = slice(_GABOR_PAD, -_GABOR_PAD)
    energy = np.abs(fft.ifft2(spectrum * _log_gabor(), axes=(2, 3)))[:, :, inner, inner]
    mean = energy.mean(axis=1).reshape(_GABOR_SCALES, -1)
    direction = energy.max(axis=1).reshape(_GABOR_SCALES, -1) / (mean + 1e-3) - 2
    weight = np.stack([_share(box_resize(region.view(np.uint8), side, side)) for region in canvas.regions], axis=1)
    level = mean @ weight
    spread = np.sqrt(np.maximum((mean**2) @ weight - level**2, 0))
    return np.stack([np.log(level + 1e-2), np.log(spread + 1e-2), direction @ weight]).transpose(2, 0, 1).ravel()


def _share(inside: NDArray[np.uint8]) -> Floats:
    """Weights of the pixels of a region, summing to one; of all pixels if next to none is in the region."""
    flat = inside.ravel().astype(np.float32)
    flat = flat if flat.sum() >= 10 else np.ones_like(flat)
    return flat / flat.sum()


@cache
def _log_gabor() -> Floats:
    """Transfer functions of shape (scales, angles, side, side)."""
    n = _GABOR_SIDE + 2 * _GABOR_PAD
    fy, fx = fft.fftfreq(n)[:, None], fft.fftfreq(n)[None]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = 1.0
    angle = np.arctan2(-fy, fx)
    filters = np.empty((_GABOR_SCALES, _GABOR_ANGLES, n, n), np.float32)
    for s in range(_GABOR_SCALES):
        radial = np.exp(-(np.log(frequency / (0.36 / 2**s)) ** 2) / (2 * np.log(0.6) ** 2))
        radial[0, 0] = 0.0
        for a in range(_GABOR_ANGLES):
            turn = np.angle(np.exp(1j * (angle - a * np.pi / _GABOR_ANGLES)))
            filters[s, a] = radial * np.exp(-(turn**2) / (2 * (0.7 * np.pi / _GABOR_ANGLES) ** 2))
    return filters


def cooccurrence_names() -> list[str]:
    """Names of :func:`cooccurrence`."""
    kinds = [f"{kind}_{what}" for kind in _HARALICK for what in ("mean", "range")] + ["entropy_mean"]
    return [f"{kind}_reach{reach}" for kind in kinds for reach in _REACHES]


def cooccurrence(canvas: Canvas) -> Floats:
    """Grey-level co-occurrence of the whole image (Haralick et al., IEEE Trans. SMC 3, 1973) at four distances.

    On lightness at 128 x 128 pixels and 16 levels, stretched between its own ends; mean and range over four directions.
    """
    from skimage.feature import graycomatrix, graycoprops

    grey = (_stretched(canvas, 128) * (_LEVELS - 0.01)).astype(np.uint8)
    directions = np.arange(4) * np.pi / 4
    pairs = graycomatrix(grey, _REACHES, directions, _LEVELS, symmetric=True, normed=True)  # type: ignore[no-untyped-call]
    parts = []
    for kind, unit in zip(_HARALICK, (10, 2, 1, 0.3, 1), strict=True):
        values = graycoprops(pairs, kind) / unit  # type: ignore[no-untyped-call]
        parts += [values.mean(axis=1), np.ptp(values, axis=1)]
    entropy = -(pairs * np.log(pairs + 1e-9)).sum(axis=(0, 1))
    return np.concatenate([*parts, entropy.mean(axis=1) / 5]).astype(np.float32)


def edge_names() -> list[str]:
    """Names of :func:`edges`."""
    return [f"hog_{r}_{c}_{b}" for r in range(_CELLS) for c in range(_CELLS) for b in range(_BINS)]


def edges(canvas: Canvas) -> Floats:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) of stretched lightness on 4 x 4 cells.

    Each cell is brought to unit length by itself: a bright cell (a marker, a ribbon of text) does not dim the others.
    A cell without edges stays short.
    """
    from skimage.feature import hog

    cell = 64 // _CELLS
    grey = _stretched(canvas, 64) * np.float32(_FAINT)
    values = hog(grey, _BINS, (cell, cell), (1, 1), block_norm="L2")  # v / sqrt(|v|² + 1e-10)
    return np.sqrt(values).astype(np.float32)


def _stretched(canvas: Canvas, side: int) -> Floats:
    """Lightness at side x side pixels, 0 at its 2nd percentile and 1 at its 98th; noise of a flat image stays small."""
    grey = box_resize(_grey(canvas), side, side).astype(np.float32)
    low, high = np.percentile(grey, (2, 98)).astype(np.float32)
    return np.clip((grey - low) / (high - low + 8), 0, 1)


def _grey(canvas: Canvas) -> NDArray[np.uint8]:
    return np.rint(canvas.lightness * 255).astype(np.uint8)


def _pyramid(canvas: Canvas) -> Iterator[Floats]:
    """L* in 0 … 255 at full, half and quarter size."""
    grey = canvas.lightness * np.float32(255)
    for _ in range(_OCTAVES):
        yield grey
        grey = (grey[::2, ::2] + grey[1::2, ::2] + grey[::2, 1::2] + grey[1::2, 1::2]) / 4


def _at_octave(regions: tuple[Mask, ...], octave: int, shape: tuple[int, ...]) -> Iterator[Mask]:
    for region in regions:
        small = region[:: 2**octave, :: 2**octave]
        yield small if small.any() else np.ones(shape, bool)
