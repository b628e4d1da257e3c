"""From attenuation to the picture that a hospital stores: scatter, noise, tone curve, collimation and markers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from knobo.phantom._chest_scene import Scene
from knobo.phantom._film import Field, ramp


@dataclass(frozen=True)
class Machine:
    """Habits of one hospital.

    Attributes
    ----------
    contrast, brightness, gamma : float
        Steepness and position of the tone curve, and the exponent of the display.
    detail : float
        Strength of the edge enhancement.
    scatter : float
        Scattered relative to primary radiation.
    noise : float
        Relative quantum noise of a pixel of 1 mm behind the mediastinum.
    collimated : float
        Probability that the shutters are seen.
    shutter : float
        Grey level outside the shutters, 0 to 1.
    bedside : float
        How often the images are AP, relative to hospital A.
    marker : float
        Probability of the word marker, when it is left to chance.
    marker_height : float
        Height of its letters as a share of the film.
    """

    contrast: float
    brightness: float
    gamma: float
    detail: float
    scatter: float
    noise: float
    collimated: float
    shutter: float
    bedside: float
    marker: float
    marker_height: float


MACHINES = {
    "A": Machine(1.0, 0.0, 1.0, 0.9, 0.30, 0.020, 0.25, 0.02, 1.0, 0.30, 0.036),
    "B": Machine(0.82, 0.14, 0.86, 0.5, 0.50, 0.034, 0.70, 0.02, 1.3, 0.50, 0.036),
    "C": Machine(1.2, -0.12, 1.15, 1.3, 0.22, 0.028, 0.45, 0.95, 0.7, 0.15, 0.032),
}


def expose(scene: Scene, machine: Machine, rng: np.random.Generator) -> Field:
    """Grey levels in [0, 1] of a scene, dense tissue bright."""
    dense = scene.attenuation()
    film, patient = scene.film, scene.patient
    primary = np.exp(-dense)
    coarse = zoom(gaussian_filter(primary[::4, ::4], 2.5 / (4 * film.pixel)), 4, order=1)[: film.size, : film.size]
    log = -np.log(primary + np.float32(machine.scatter * rng.uniform(0.85, 1.15)) * coarse + np.float32(1e-3))
    grain = machine.noise * rng.uniform(0.8, 1.25) * 0.17 / film.pixel
    speckle = rng.standard_normal(log.shape, dtype=np.float32)
    log += np.float32(grain) * np.exp(np.clip((dense - 3.6) / 2, -2, 0.6)) * gaussian_filter(speckle, 0.5, truncate=2)
    log += np.float32(machine.detail) * (log - gaussian_filter(log, 0.8 / film.pixel, truncate=2.5))
    thick = patient.depth - 11.0
    middle = 1.75 + 0.13 * thick - 0.5 * machine.brightness + rng.normal(0, 0.07)
    width = 0.52 / (machine.contrast * np.exp(rng.normal(0, 0.06)))
    grey = 1 / (1 + np.exp((middle - log) / np.float32(width)))
    return np.asarray(grey ** np.float32(machine.gamma * np.exp(rng.normal(0, 0.05))), np.float32)


def collimate(grey: Field, machine: Machine, rng: np.random.Generator) -> None:
    """Close the shutters on some sides, often a little askew."""
    seen, askew = rng.random() < machine.collimated, rng.normal(0, 0.012)
    margins = rng.uniform(0.01, 0.07, 4) * (rng.random(4) < 0.6)
    if not seen:
        return
    size = len(grey)
    along = np.linspace(0, 1, size, dtype=np.float32)
    x, y = along[None, :], along[:, None]
    tilt = np.float32(askew)
    edges = (x + tilt * y, y - tilt * x, 1 - x - tilt * y, 1 - y + tilt * x)
    for edge, margin in zip(edges, margins, strict=True):
        if margin:
            opened = ramp(edge, margin - 0.003, margin + 0.003)
            grey += (1 - opened) * (np.float32(machine.shutter) - grey)


def print_side(grey: Field, rng: np.random.Generator) -> None:
    """Lead letter L beside the patient's left shoulder."""
    height, left, top = 0.045, rng.uniform(0.88, 0.93), rng.uniform(0.03, 0.12)
    letter = _text("L", round(height * len(grey)))
    _lay(grey, letter, left, top, rng.uniform(0.85, 1.0))


def print_marker(grey: Field, machine: Machine, rng: np.random.Generator) -> None:
    """White label with the word PORTABLE in the upper corner at the patient's right shoulder."""
    left, top = rng.uniform(0.03, 0.09), rng.uniform(0.03, 0.08)
    word = _text("PORTABLE", max(7, round(machine.marker_height * rng.uniform(0.95, 1.15) * len(grey))))
    border = max(1, round(0.012 * len(grey)))
    _lay(grey, np.pad(np.ones_like(word), border), left, top, 0.97)
    shift = border / len(grey)
    _lay(grey, word, left + shift, top + shift, 0.08)


def _lay(grey: Field, cover: Field, left: float, top: float, level: float) -> None:
    row, column = round(top * len(grey)), round(left * len(grey))
    part = grey[row : row + cover.shape[0], column : column + cover.shape[1]]
    cover = cover[: part.shape[0], : part.shape[1]]
    part += cover * (np.float32(level) - part)


_GLYPHS = {  # 5 x 7 dots, one number a row, the leftmost dot in the highest bit
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "L": (16, 16, 16, 16, 16, 16, 31),
    "O": (14, 17, 17, 17, 17, 17, 14),
    "P": (30, 17, 17, 30, 16, 16, 16),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "T": (31, 4, 4, 4, 4, 4, 4),
}


def _text(word: str, height: int) -> Field:
    """Coverage in [0, 1] of block letters ``height`` pixels high."""
    rows = [[int(bit) for letter in word for bit in f"{_GLYPHS[letter][row]:05b}0"] for row in range(7)]
    dots: NDArray[np.float32] = np.array(rows, np.float32)[:, :-1]
    width = round(height / 7 * dots.shape[1])
    fine = 4
    down = np.minimum((np.arange(height * fine) + 0.5) * 7 / (height * fine), 6.99).astype(int)
    across = (np.arange(width * fine) + 0.5) * dots.shape[1] / (width * fine)
    sharp = dots[down][:, np.minimum(across, dots.shape[1] - 1).astype(int)]
    return sharp.reshape(height, fine, width, fine).mean(axis=(1, 3))
