"""The detector of the synthetic radiographs: a square grid in patient centimetres, and ways to add thickness to it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
Points = NDArray[np.float64]


class Film:
    """Square detector; x grows to the patient's left (the viewer's right), y downwards, both in cm from its centre.

    Parameters
    ----------
    size : int
        Side in pixels.
    width : float
        Side in cm.
    centre : tuple of 2 float
        Patient coordinates of the middle of the film.
    lean : float
        How far the patient leans: shift of x for each cm of y.

    Attributes
    ----------
    x, y : ndarray of shape (size, size) and (size, 1), float32
        Patient coordinates of the pixel centres.
    """

    def __init__(self, size: int, width: float, centre: tuple[float, float] = (0.0, 0.0), lean: float = 0.0) -> None:
        self.size = size
        self.pixel = width / size
        self._centre, self._lean = centre, lean
        axis = ((np.arange(size) + 0.5) * self.pixel - width / 2).astype(np.float32)
        self.y = axis[:, None] + np.float32(centre[1])
        self.x = axis + np.float32(centre[0]) - np.float32(lean) * self.y

    def to_pixels(self, x: ArrayLike, y: ArrayLike) -> tuple[Points, Points]:
        """Patient coordinates in cm to pixel column and row."""
        half, across, down = (self.size - 1) / 2, np.asarray(x), np.asarray(y)
        column = (across + self._lean * down - self._centre[0]) / self.pixel + half
        return column, (down - self._centre[1]) / self.pixel + half

    def zeros(self) -> Field:
        return np.zeros((self.size, self.size), np.float32)

    def deposit(self, x: Points, y: Points, volume: Points) -> Field:
        """Thickness in cm of points of matter at ``(x, y)``, each shared by the four pixels around it.

        Parameters
        ----------
        x, y, volume : ndarray of shape (n,)
            Patient coordinates in cm, and cm³ of matter.
        """
        column, row = self.to_pixels(x, y)
        inside = (column > 0) & (row > 0) & (column < self.size - 1.001) & (row < self.size - 1.001)
        column, row, mass = column[inside], row[inside], volume[inside] / self.pixel**2
        at = (left := column.astype(np.intp)) + self.size * (top := row.astype(np.intp))
        dx, dy = column - left, row - top
        lower = mass * dy
        upper = mass - lower
        total = np.zeros(self.size**2)
        for shift, share in ((0, upper), (self.size, lower)):
            total += np.bincount(at + shift, share * (1 - dx), self.size**2)
            total += np.bincount(at + shift + 1, share * dx, self.size**2)
        return total.reshape(self.size, self.size).astype(np.float32)

    def tubes(self, *bundles: tuple[Points, ArrayLike], hollow: float = 0.0) -> Field:
        """Thickness in cm along the beam of thin round tubes.

        Parameters
        ----------
        *bundles : tuple of curves (n, k, 2) and radii (n, k) or float
            Points along each of n tubes, and radii in cm; resampled here as densely as the pixels need.
        hollow : float
            Inner radius as a share of the outer one.
        """
        clouds = [self._tube_points(curves, radii, hollow) for curves, radii in bundles]
        x, y, volume = (np.concatenate([cloud[i].ravel() for cloud in clouds]) for i in range(3))
        return self.deposit(x, y, volume)

    def _tube_points(self, curves: Points, radii: ArrayLike, hollow: float) -> tuple[Points, Points, Points]:
        radius = np.broadcast_to(np.asarray(radii, float), curves.shape[:2])
        lengths = np.linalg.norm(np.diff(curves, axis=1), axis=2).sum(axis=1)
        k = int(np.clip(1.6 * lengths.max() / self.pixel, 4, 4 * self.size))
        middle, radius = _resample(curves, k), _resample(radius[..., None], k)
        along = np.gradient(middle, axis=1)
        step = np.linalg.norm(along, axis=2, keepdims=True) + 1e-9
        m = max(2, int(np.ceil(3.2 * radius.max() / self.pixel)))
        across = (np.arange(m) + 0.5) * 2 / m - 1
        chord = np.sqrt(1 - across**2) - hollow * np.sqrt(np.clip(1 - (across / max(hollow, 1e-6)) ** 2, 0, None))
        offset = radius * across / step
        x = middle[..., :1] - along[..., 1:] * offset
        y = middle[..., 1:] + along[..., :1] * offset
        return x, y, step * radius**2 * chord * (4 / m)

    def limb(self, heights: ArrayLike, centres: ArrayLike, radii: ArrayLike, *, hollow: float = 0.0) -> Field:
        """Thickness of a tube of any width that runs down the film: its middle and radius at some heights (cm)."""
        middle, radius = profile(heights, centres, self.y), profile(heights, radii, self.y)
        within = (self.y > np.min(heights)) & (self.y < np.max(heights)) & (radius > 0)
        off = np.square((self.x - middle) / np.where(radius > 0, radius, 1))
        wall = np.sqrt(np.clip(1 - off, 0, None))
        if hollow:
            wall = wall - np.sqrt(np.clip(np.float32(hollow**2) - off, 0, None))
        return np.where(within, 2 * radius, 0) * wall

    def ellipsoid(
        self, centre: ArrayLike, radii: ArrayLike, depth: float, *, angle: float = 0.0, flat: float = 1.0
    ) -> Field:
        """Thickness of an ellipsoid with half axes ``radii`` in the image and ``depth`` along the beam.

        ``angle`` turns it clockwise (radians); ``flat`` below 1 makes the middle flatter and the rim steeper.
        """
        (cx, cy), (rx, ry) = np.asarray(centre, float), np.asarray(radii, float)
        dx, dy = self.x - np.float32(cx), self.y - np.float32(cy)
        if angle:
            c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            dx, dy = c * dx + s * dy, c * dy - s * dx
        inside = np.clip(1 - (dx / np.float32(rx)) ** 2 - (dy / np.float32(ry)) ** 2, 0, None)
        return np.float32(2 * depth) * inside ** np.float32(0.5 * flat)

    def noise(self, rng: np.random.Generator, scale: float) -> Field:
        """Smooth noise of mean 0 and standard deviation about 1 whose bumps measure about ``scale`` cm."""
        cells = max(2, round(self.size * self.pixel / scale))
        knots = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
        weights = _spline_weights(self.size, cells)
        return weights @ knots @ weights.T * np.float32(2.1)


def ramp(value: Field, low: float | Field, high: float | Field) -> Field:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - np.float32(low)) / (np.float32(high) - np.float32(low)), 0, 1)
    return t * t * (3 - 2 * t)


def profile(knots: ArrayLike, values: ArrayLike, at: Field) -> Field:
    """Smooth curve through ``(knots, values)`` that never overshoots, constant beyond its ends.

    Cubic Hermite with the slopes of Fritsch and Butland (1984): the harmonic mean of the neighbouring ones, or 0.
    """
    x, v = np.asarray(knots, float), np.asarray(values, float)
    rise = np.diff(v) / np.diff(x)
    before, after = rise[:-1], rise[1:]
    same_way = before * after > 0
    inner = np.where(same_way, 2 * before * after / np.where(same_way, before + after, 1), 0)
    slope = np.concatenate([rise[:1], inner, rise[-1:]])
    grid = np.linspace(x[0], x[-1], 160)
    k = np.clip(np.searchsorted(x, grid, side="right") - 1, 0, len(x) - 2)
    h = x[k + 1] - x[k]
    t = (grid - x[k]) / h
    smooth = t * t * (3 - 2 * t)
    table = v[k] * (1 - smooth) + v[k + 1] * smooth + h * t * (1 - t) * (slope[k] * (1 - t) - slope[k + 1] * t)
    return np.interp(at, grid, table).astype(np.float32)


def curve(points: ArrayLike, k: int = 40) -> Points:
    """Smooth curve of ``k`` points through a few given ones (Catmull-Rom), (n, 2) -> (k, 2)."""
    given = np.asarray(points, float)
    padded = np.concatenate([2 * given[:1] - given[1:2], given, 2 * given[-1:] - given[-2:-1]])
    at = np.linspace(0, len(given) - 1, k)
    low = np.minimum(at.astype(int), len(given) - 2)
    t = (at - low)[:, None]
    p0, p1, p2, p3 = (padded[low + i] for i in range(4))
    return 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3)


def _resample(values: Points, k: int) -> Points:
    """Linear interpolation of (n, k0, d) along its middle axis to (n, k, d)."""
    at = np.linspace(0, values.shape[1] - 1, k)
    low = np.minimum(at.astype(int), values.shape[1] - 2)
    t = (at - low)[:, None]
    return values[:, low] * (1 - t) + values[:, low + 1] * t


@lru_cache(maxsize=64)
def _spline_weights(size: int, cells: int) -> Field:
    """Uniform cubic B-spline weights (size, cells + 3)."""
    position = (np.arange(size) + 0.5) / size * cells
    knot = np.minimum(position.astype(int), cells - 1)
    t = position - knot
    cubic = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    weights = np.zeros((size, cells + 3), np.float32)
    np.put_along_axis(weights, knot[:, None] + np.arange(4), cubic.astype(np.float32), axis=1)
    return weights
