"""Colour descriptors: what colours each region holds, and how they run from the centre outwards."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from knobo.encoders._canvas import REGIONS, Canvas, Floats, Mask

_CHANNELS = ("lightness", "a", "b")
_LEVELS = (5, 25, 50, 75, 95)
_RINGS, _BANDS, _WAVES, _ANGLES = 8, 4, 2, 32


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
    names = []
    for image in (*_CHANNELS, "darkness"):
        names += [f"{image}_ring{r}" for r in range(_RINGS)]
        names += [f"{image}_band{b}_wave{k}" for b in range(_BANDS) for k in range(1, _WAVES + 1)]
    return names


def polar(canvas: Canvas) -> Floats:
    """Colour and darkness on rings about the foreground's centre: means, and how uneven a ring is.

    Rings reach to 1.8 times the foreground's radius; two neighbours make a band. Unevenness is the magnitude of the
    first Fourier waves over the angle (one side against the other, ends against flanks), which does not change when the
    image is turned.
    """
    centre = ndimage.center_of_mass(canvas.foreground)
    radii = (np.arange(_RINGS) + 0.5) / _RINGS * 1.8 * canvas.radius
    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    at = [centre[0] + radii[:, None] * np.sin(angles), centre[1] + radii[:, None] * np.cos(angles)]
    profiles = []
    for image in (*np.moveaxis(canvas.lab, -1, 0), 50 * canvas.darkness):
        values = ndimage.map_coordinates(ndimage.gaussian_filter(image, 1.5), at, order=1, mode="nearest")
        waves = np.abs(np.fft.rfft(values, axis=1))[:, 1 : _WAVES + 1] / _ANGLES
        profiles += [values.mean(axis=1) / 50, waves.reshape(_BANDS, -1, _WAVES).mean(axis=1).ravel() / 10]
    return np.concatenate(profiles).astype(np.float32)
