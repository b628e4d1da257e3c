"""Shape descriptors of the foreground: size, outline, symmetry of form and colour, sharpness of the border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knobo.encoders._canvas import Canvas, Floats

_WAVES, _SECTORS = 8, 32
_SIZE = ("area", "elongation", "compactness", "ellipse_fit", "touches_frame", "parts")
_PLACE = ("centre_y", "centre_x", "off_centre_y", "off_centre_x")
_OUTLINE = ("radius_std", "radius_q95", "radius_q5")
_FLIPS = ("form", "darkness", "lightness", "a", "b")
_EDGE = ("edge_mean", "edge_std", "edge_q10")


def shape_names() -> list[str]:
    """Names of :func:`shape`."""
    outline = [*_OUTLINE, *(f"outline_wave{k}" for k in range(1, _WAVES + 1))]
    flips = [f"asymmetry_{end}_{what}" for end in ("least", "most") for what in _FLIPS]
    return [*_SIZE, *_PLACE, *outline, *flips, *_EDGE]


def shape(canvas: Canvas) -> Floats:
    """Form of the foreground; lengths in units of the radius of the disc of equal area."""
    mask = canvas.foreground
    y, x = np.nonzero(mask)
    centre = np.array([y.mean(), x.mean()])
    spread, axes = np.linalg.eigh(np.cov(np.stack([x, y]) - centre[::-1, None]))
    border = mask ^ ndimage.binary_erosion(mask)
    frame = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    spread = np.maximum(spread, 1e-3)
    size: list[float] = [
        mask.mean(),
        np.sqrt(spread[0] / spread[1]),
        4 * np.pi * len(y) / max(border.sum(), 1) ** 2,
        len(y) / (4 * np.pi * np.sqrt(spread[0] * spread[1])),
        frame.mean(),
        min(ndimage.label(mask)[1], 5) / 5,
    ]
    place = centre / mask.shape - 0.5
    slope = ndimage.gaussian_gradient_magnitude(canvas.lightness, 1.5)[border]
    edge = 20 * np.array([slope.mean(), slope.std(), np.percentile(slope, 10)])
    outline = _outline(border, centre, canvas.radius)
    asymmetry = _asymmetry(canvas, centre, axes)
    return np.concatenate([np.array(size), place, np.abs(place), outline, asymmetry, edge]).astype(np.float32)


def _outline(border: NDArray[np.bool_], centre: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Spread of the border's distance from the centre, and the Fourier magnitudes of that distance over the angle."""
    y, x = np.nonzero(border)
    distance = np.hypot(y - centre[0], x - centre[1]) / radius
    sector = ((np.arctan2(y - centre[0], x - centre[1]) + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
    counts = np.bincount(sector, minlength=_SECTORS)
    mean = np.where(counts, np.bincount(sector, distance, minlength=_SECTORS) / np.maximum(counts, 1), 1.0)
    waves = np.abs(np.fft.rfft(mean))[1 : _WAVES + 1] * 4 / _SECTORS
    return np.array([distance.std(), *np.percentile(distance, (95, 5)), *waves])


def _asymmetry(canvas: Canvas, centre: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """What changes when the foreground is folded over its principal axes: the smaller and the larger of both folds.

    The ABCD rule of dermatoscopy (Nachbar et al., J. Am. Acad. Dermatol. 30, 1994) judges asymmetry of form, colour
    and structure over two axes in this way.
    """
    steps = np.linspace(-2.2, 2.2, 33) * canvas.radius
    u, v = np.meshgrid(steps, steps)
    (major_x, major_y), (minor_x, minor_y) = axes[:, 1], axes[:, 0]
    at = [centre[0] + u * major_y + v * minor_y, centre[1] + u * major_x + v * minor_x]
    form = ndimage.map_coordinates(canvas.foreground.astype(np.float32), at, order=1, mode="constant")
    darkness = ndimage.map_coordinates(canvas.darkness, at, order=1, mode="nearest")
    colours = []
    for channel in range(3):
        smooth = ndimage.gaussian_filter(canvas.lab[..., channel] - canvas.background[channel], 1.5)
        colours.append(ndimage.map_coordinates(smooth, at, order=1, mode="nearest") * form)
    folds = []
    for axis in (0, 1):
        change = [np.abs(form - np.flip(form, axis)).sum() / (2 * form.sum() + 1e-6)]
        change.append(np.abs(darkness - np.flip(darkness, axis)).mean())
        change += [np.abs(c - np.flip(c, axis)).mean() / (np.abs(c).mean() + 3) for c in colours]
        folds.append(change)
    return np.concatenate([np.min(folds, axis=0), np.max(folds, axis=0)])
