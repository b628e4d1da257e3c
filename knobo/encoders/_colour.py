"""Colour descriptors: what colours each region holds, how they run from the centre outwards, how they are laid out."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from knobo.encoders._canvas import REGIONS, Canvas, Floats, Mask, box_resize, to_lab

_CHANNELS = ("lightness", "a", "b")
_LEVELS = (5, 25, 50, 75, 95)
_RINGS, _WAVES, _ANGLES = 8, 7, 32
_TILES = 8


def region_names() -> list[str]:
    """Names of :func:`regions`."""
    names = [f"{region}_{channel}_q{level}" for region in REGIONS for level in _LEVELS for channel in _CHANNELS]
    names += [f"background_{channel}" for channel in _CHANNELS]
    names += [f"contrast_{channel}_q{level}" for level in _LEVELS for channel in _CHANNELS]
    names += [f"foreground_{channel}_std" for channel in _CHANNELS]
    return names + [f"foreground_cov_{_CHANNELS[i]}_{_CHANNELS[j]}" for i, j in zip(*np.triu_indices(3), strict=True)]


def regions(canvas: Canvas) -> Floats:
    """Quantiles of L*, a*, b* in each region, the background, and the foreground against it, in units of 50."""
    lab = canvas.lab[::2, ::2]  # a quarter of the pixels is enough for a quantile
    inside = canvas.lab[canvas.foreground]
    levels = _quantiles(inside)
    covariance = np.cov(inside.T)
    parts = [_quantiles(_part(lab, region[::2, ::2])).ravel() / 50 for region in canvas.regions]
    parts += [canvas.background / 50, (levels - canvas.background).ravel() / 50]
    parts += [inside.std(axis=0) / 20, covariance[np.triu_indices(3)] / 200]
    return np.concatenate(parts).astype(np.float32)


def _part(lab: Floats, region: Mask) -> Floats:
    return lab[region] if region.any() else lab.reshape(-1, 3)


def _quantiles(values: Floats) -> Floats:
    """Quantiles of shape (levels, 3) of values of shape (n, 3)."""
    ordered = np.sort(values.T, axis=1)
    return ordered[:, (np.array(_LEVELS) * (ordered.shape[1] - 1)) // 100].T


def polar_names() -> list[str]:
    """Names of :func:`polar`."""
    images = (*_CHANNELS, "darkness")
    return [f"polar_{image}_ring{r}_wave{k}" for image in images for r in range(_RINGS) for k in range(_WAVES)]


def polar(canvas: Canvas) -> Floats:
    """Angular Fourier magnitudes of colour and darkness on rings about the foreground's centre.

    Rings reach to 1.8 times the foreground's radius. Wave 0 is the mean of a ring, so waves 0 are the radial profile;
    the others tell how uneven it is. Magnitudes do not change when the image is turned.
    """
    centre = ndimage.center_of_mass(canvas.foreground)
    radii = (np.arange(_RINGS) + 0.5) / _RINGS * 1.8 * canvas.radius
    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    at = [centre[0] + radii[:, None] * np.sin(angles), centre[1] + radii[:, None] * np.cos(angles)]
    units = np.array([50.0] + [10.0] * (_WAVES - 1))
    rings = []
    for image in (*np.moveaxis(canvas.lab, -1, 0), 50 * canvas.darkness):
        values = ndimage.map_coordinates(ndimage.gaussian_filter(image, 1.5), at, order=1, mode="nearest")
        rings.append(np.abs(np.fft.rfft(values, axis=1))[:, :_WAVES] / _ANGLES / units)
    return np.concatenate(rings, axis=None).astype(np.float32)


def layout_names() -> list[str]:
    """Names of :func:`layout`."""
    return [f"tile_{r}_{c}_{channel}" for r in range(_TILES) for c in range(_TILES) for channel in _CHANNELS]


def layout(canvas: Canvas) -> Floats:
    """Mean colour of 8 x 8 tiles in CIELAB, in units of 100."""
    return to_lab(box_resize(canvas.rgb, _TILES, _TILES)).ravel() / np.float32(100)
