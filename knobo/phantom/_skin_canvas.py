"""Brushes for synthetic skin: noise fields, honeycombs and strokes on a square canvas in unit coordinates."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]


class Canvas:
    """A square pixel grid whose coordinates run from -1 to 1, so that a drawing looks the same at any size.

    Attributes
    ----------
    size : int
        Side in pixels.
    x, y : ndarray of shape (size, size), float32
        Coordinates of the pixel centres; y points down.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
        self.x, self.y = np.broadcast_to(axis, (size, size)), np.broadcast_to(axis[:, None], (size, size))

    def noise(self, rng: np.random.Generator, cells: int | tuple[int, int], *, octaves: int = 1) -> Field:
        """Smooth noise of mean 0 and standard deviation 1, with ``cells`` (rows, columns) bumps across the canvas."""
        rows, columns = cells if isinstance(cells, tuple) else (cells, cells)
        total, power = np.zeros((self.size, self.size), np.float32), 0.0
        for octave in range(octaves):
            scale = 2**octave
            knots = rng.standard_normal((rows * scale + 3, columns * scale + 3)).astype(np.float32)
            total += _spline(self.size, rows * scale) @ knots @ _spline(self.size, columns * scale).T / scale
            power += 1 / scale**2
        return total * np.float32(1 / (_SPLINE_RMS**2 * np.sqrt(power)))

    def honeycomb(self, u: Field, v: Field, rng: np.random.Generator, *, jitter: float) -> Field:
        """Distance to the nearest wall of a honeycomb with unit cells (Worley's F2 - F1), for coordinates ``u, v``.

        ``jitter`` moves the cell centres: 0 gives regular hexagons, 0.5 cells of many sizes and shapes.
        """
        v = v * np.float32(1.1547)  # rows of hexagons lie closer together than columns
        row = np.floor(v)
        shifts = (rng.random((2, 32, 32), dtype=np.float32) - 0.5) * np.float32(2 * jitter)
        first, second = np.full(u.shape, 9, np.float32), np.full(u.shape, 9, np.float32)
        for d_row in (-1, 0, 1):
            line = row + d_row
            odd = np.mod(line, 2) * np.float32(0.5)
            column = np.floor(u - odd)
            line_id = line.astype(np.int32) & 31
            for d_column in (-1, 0, 1):
                cell = column + d_column
                code = (line_id << 5) | (cell.astype(np.int32) & 31)
                du = cell + odd + np.float32(0.5) + shifts[0].ravel()[code] - u
                dv = (line + np.float32(0.5) + shifts[1].ravel()[code] - v) * np.float32(0.866)
                distance = du * du + dv * dv
                second = np.minimum(second, np.maximum(first, distance))
                first = np.minimum(first, distance)
        return np.sqrt(second) - np.sqrt(first)

    def stamp(self, points: ArrayLike, radii: ArrayLike, *, soft: float = 0.0, opacity: ArrayLike = 1.0) -> Field:
        """Coverage in [0, 1] of discs with soft rims: single dots, or lines when the discs overlap.

        Parameters
        ----------
        points : array-like of shape (n, 2)
            Centres (x, y) in canvas coordinates.
        radii : array-like of shape (n,) or float
            Radii in canvas units (half of the image's side is 1).
        soft : float
            Width of the rim as a share of the radius, beside the half pixel that smooths every edge.
        opacity : array-like of shape (n,) or float
            Coverage at the centre of each disc.
        """
        image = np.zeros((self.size, self.size), np.float32)
        points = np.asarray(points, np.float32).reshape(-1, 2)
        if not len(points):
            return image
        to_pixels = self.size / 2
        centre = (points + 1) * to_pixels - 0.5
        radius = np.broadcast_to(np.asarray(radii, np.float32) * to_pixels, len(points))
        faint = np.asarray(opacity, np.float32) * np.minimum(
            1, (radius / 0.5) ** 2
        )  # discs below a pixel fade instead of growing
        radius = np.maximum(radius, 0.5)
        for reach in np.unique(np.ceil(radius * (1 + soft) + 0.5)).astype(int):
            chosen = np.ceil(radius * (1 + soft) + 0.5) == reach
            self._stamp_equal(image, centre[chosen], radius[chosen], faint[chosen], soft, int(reach))
        return image

    def _stamp_equal(self, image: Field, centre: Field, radius: Field, faint: Field, soft: float, reach: int) -> None:
        """Stamp discs that all fit into a window of ``2 reach + 1`` pixels."""
        window = np.arange(-reach, reach + 1)
        column = np.round(centre[:, 0]).astype(int)[:, None] + window
        row = np.round(centre[:, 1]).astype(int)[:, None] + window
        dx = column - centre[:, 0, None]
        dy = row - centre[:, 1, None]
        distance = np.sqrt(dx[:, None, :] ** 2 + dy[:, :, None] ** 2)
        rim = 1 + soft * radius[:, None, None]
        cover = np.clip((radius[:, None, None] - distance) / rim + 0.5, 0, 1) * faint[:, None, None]
        rows, columns = np.broadcast_arrays(row[:, :, None], column[:, None, :])
        inside = (rows >= 0) & (rows < self.size) & (columns >= 0) & (columns < self.size) & (cover > 0)
        np.maximum.at(image.ravel(), rows[inside] * self.size + columns[inside], cover[inside].astype(np.float32))


def smoothstep(value: Field, low: float | Field, high: float | Field) -> Field:
    """0 below ``low``, 1 above ``high``, a smooth ramp between."""
    t = np.clip((value - low) / (np.asarray(high) - low), 0, 1).astype(np.float32)
    return t * t * (3 - 2 * t)


def walk(
    rng: np.random.Generator, start: ArrayLike, angle: float, length: float, *, step: float, bend: float
) -> NDArray[np.float64]:
    """Points of a winding line: its direction drifts by a smooth random curvature of scale ``bend`` (radians)."""
    n_steps = max(2, int(np.ceil(length / step)))
    drift = np.cumsum(rng.standard_normal(n_steps)) * bend / np.sqrt(n_steps) + np.linspace(0, bend, n_steps) * (
        rng.standard_normal()
    )
    heading = angle + drift
    moves = np.column_stack([np.cos(heading), np.sin(heading)]) * (length / n_steps)
    return np.asarray(start, float) + np.vstack([np.zeros(2), np.cumsum(moves, axis=0)])


@lru_cache(maxsize=256)
def _spline(size: int, cells: int) -> Field:
    """Uniform cubic B-spline weights (size, cells + 3) of the pixel centres on ``cells + 3`` knots."""
    position = (np.arange(size) + 0.5) / size * cells
    knot = np.minimum(position.astype(int), cells - 1)
    t = position - knot
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    matrix = np.zeros((size, cells + 3), np.float32)
    np.put_along_axis(matrix, knot[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
    return matrix


_SPLINE_RMS = np.float32(np.sqrt(151 / 315))  # root mean square over t of the norm of the four weights
