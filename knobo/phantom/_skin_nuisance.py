"""What a hospital leaves in a dermoscopic image besides the lesion: hairs, gel, ruler, ink, light and camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from knobo.phantom._skin_canvas import Canvas, Field, smoothstep, walk

_Points = NDArray[np.float64]


@dataclass(frozen=True)
class Device:
    """Habits and optics of one hospital.

    Attributes
    ----------
    gain : tuple of 3 float
        Colour balance: factors of red, green and blue.
    gain_spread : float
        Standard deviation of these factors from image to image.
    gamma : float
        Exponent of the tone curve; below 1 brightens.
    hairs, bubbles : float
        Mean numbers of hairs (on hairy skin) and gel bubbles.
    ruler, ink : float
        Probabilities of a ruler and of skin-marker ink.
    vignette : float
        Loss of light in the corners, 0 to 1.
    blur : float
        Standard deviation in pixels of an image 224 pixels wide.
    noise : float
        Standard deviation of the sensor noise in grey levels.
    """

    gain: tuple[float, float, float]
    gain_spread: float
    gamma: float
    hairs: float
    bubbles: float
    ruler: float
    ink: float
    vignette: float
    blur: float
    noise: float


DEVICES = {
    "A": Device((1.0, 0.98, 0.93), 0.02, 1.0, 14, 5, 0.25, 0.04, 0.42, 0.35, 1.6),
    "B": Device((1.0, 0.94, 1.02), 0.03, 0.88, 7, 1, 0.45, 0.15, 0.15, 0.5, 2.4),
    "C": Device((0.93, 0.98, 1.0), 0.04, 1.1, 10, 8, 0.10, 0.08, 0.65, 0.75, 3.0),
}


def spoil(image: Field, device: Device, *, ruler: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Put the hospital's nuisance over a clean image (float RGB in [0, 255]) and return what its camera saves."""
    canvas = Canvas(len(image))
    ink, hair, gel, rule, optics, sensor = rng.spawn(6)
    if ink.random() < device.ink:
        _draw_ink(image, canvas, ink)
    _draw_hairs(image, canvas, hair, device.hairs)
    _draw_bubbles(image, canvas, gel, device.bubbles)
    if ruler:
        _draw_ruler(image, canvas, rule)
    return _photograph(image, canvas, device, optics, sensor)


def _lay(image: Field, alpha: Field, colour: ArrayLike) -> None:
    image += alpha[..., None] * (np.asarray(colour, np.float32) - image)


def _draw_ink(image: Field, canvas: Canvas, rng: np.random.Generator) -> None:
    """Strokes of a violet skin marker near the edge of the field."""
    lines = []
    for _ in range(int(rng.integers(1, 4))):
        side = rng.uniform(0, 2 * np.pi)
        start = rng.uniform(0.78, 0.95) * np.array([np.cos(side), np.sin(side)])
        lines.append(walk(rng, start, side + np.pi / 2, rng.uniform(0.5, 1.2), step=0.01, bend=0.5))
    cover = canvas.stamp(np.vstack(lines), rng.uniform(0.025, 0.045), soft=0.4)
    cover *= np.clip(0.55 + 0.25 * canvas.noise(rng, 24, octaves=3), 0.1, 1)
    image *= np.exp(-cover[..., None] * np.array([0.95, 1.1, 0.35], np.float32))


def _draw_hairs(image: Field, canvas: Canvas, rng: np.random.Generator, mean: float) -> None:
    """Long curved hairs that roughly share a direction; about half of the patients have almost none."""
    n = int(rng.poisson(mean * rng.choice([0.05, 0.4, 1.8], p=[0.5, 0.3, 0.2])))
    if not n:
        return
    dark, direction = rng.random() < 0.75, rng.uniform(0, 2 * np.pi)
    lines, radii = [], []
    for _ in range(n):
        line = walk(
            rng, rng.uniform(-1.1, 1.1, 2), direction + rng.normal(0, 0.3), rng.uniform(0.8, 2.6), step=0.008, bend=0.4
        )
        lines.append(line)
        radii.append(rng.uniform(0.0035, 0.007) * np.linspace(1, 0.45, len(line)))
    cover = canvas.stamp(np.vstack(lines), np.concatenate(radii))
    colour = rng.normal((48, 36, 32), 6) if dark else rng.normal((150, 112, 72), 8)
    _lay(image, np.float32(0.85 if dark else 0.6) * cover, colour)


def _draw_bubbles(image: Field, canvas: Canvas, rng: np.random.Generator, mean: float) -> None:
    """Bubbles in the gel: a dark ring with a bright inner rim; and small wet glints."""
    n = int(rng.poisson(mean))
    turn = np.linspace(0, 2 * np.pi, 80)
    dark, bright = [np.empty((0, 2))], [np.empty((0, 2))]
    for _ in range(n):
        place, radius = rng.uniform(-0.95, 0.95, 2), np.exp(rng.normal(np.log(0.03), 0.4))
        ring = radius * np.column_stack([np.cos(turn), rng.uniform(0.75, 1) * np.sin(turn)])
        dark.append(place + ring)
        lit = rng.integers(0, 80)
        bright.append(place + 0.72 * np.roll(ring, lit, axis=0)[:50])
    _lay(image, 0.4 * canvas.stamp(np.vstack(dark), 0.005, soft=0.5), (70, 50, 45))
    _lay(image, 0.6 * canvas.stamp(np.vstack(bright), 0.005, soft=0.5), (255, 248, 240))
    glints = [np.empty((0, 2))]
    for _ in range(int(rng.poisson(4 * mean))):
        glints.append(
            walk(rng, rng.uniform(-1, 1, 2), rng.uniform(0, 6.3), rng.uniform(0.005, 0.04), step=0.005, bend=1)
        )
    _lay(image, 0.55 * canvas.stamp(np.vstack(glints), 0.0045, soft=0.8), (255, 250, 245))


def _draw_ruler(image: Field, canvas: Canvas, rng: np.random.Generator) -> None:
    """Millimetre scale on a pale film along one edge of the field, every fifth tick longer."""
    gap, edge = rng.uniform(0.075, 0.1), rng.uniform(0.84, 0.92)
    ticks = []
    for k, along in enumerate(np.arange(-0.94, 0.94, gap)):
        length = 0.17 if k % 10 == 0 else 0.13 if k % 5 == 0 else 0.075
        across = np.arange(edge - length, edge, 0.007)
        ticks.append(np.column_stack([np.full(len(across), along), across]))
    base = np.arange(-0.94, 0.94, 0.007)
    ticks.append(np.column_stack([base, np.full(len(base), edge)]))
    points = np.vstack(ticks)
    if rng.random() < 0.5:
        points = points[:, ::-1]
    if rng.random() < 0.5:
        points = -points
    _lay(image, np.float32(0.55) * canvas.stamp(points, 0.02, soft=0.4), (236, 232, 226))  # legible on any skin
    _lay(image, np.float32(0.9) * canvas.stamp(points, 0.0065), (22, 22, 26))


def _photograph(
    image: Field, canvas: Canvas, device: Device, optics: np.random.Generator, sensor: np.random.Generator
) -> NDArray[np.uint8]:
    """Light, lens and sensor."""
    lamp = optics.normal(0, 0.12, 2)
    distance = np.hypot(canvas.x - np.float32(lamp[0]), canvas.y - np.float32(lamp[1]))
    light = 1.03 - 0.07 * distance**2
    fall = device.vignette * optics.uniform(0.6, 1.2)
    light *= 1 - np.float32(min(fall, 0.95)) * smoothstep(distance, 1.0, optics.uniform(1.3, 1.5))
    gain = np.array(device.gain) * optics.normal(1, device.gain_spread, 3) * optics.normal(1, 0.04)
    gamma = device.gamma * np.exp(optics.normal(0, 0.05))
    image = 255 * np.clip(image * (light[..., None] * gain.astype(np.float32) / 255), 0, 1.2) ** np.float32(gamma)
    sigma = device.blur * optics.uniform(0.7, 1.4) * canvas.size / 224
    image = gaussian_filter(image, (sigma, sigma, 0), truncate=3)
    image += np.float32(device.noise) * sensor.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
