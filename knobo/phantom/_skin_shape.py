"""Shape, ground colour and pigment network of a synthetic lesion, the canvas for its other findings."""

from __future__ import annotations

from math import cos, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from knobo.phantom._skin_canvas import Canvas, Field, smoothstep
from knobo.phantom._skin_scene import Scene

Mask = NDArray[np.bool_]
Point = NDArray[np.float64]


def paint_shape(scene: Scene) -> dict[str, Mask]:
    """Set ``depth`` and ``body``; masks of asymmetry (what the second lobe adds) and of the irregular border."""
    masks = {}
    rng = scene.rng("shape")
    centre, radius, angle = rng.normal(0, 0.05, 2), rng.uniform(0.42, 0.62), rng.uniform(0, np.pi)
    depth = _ellipse(scene.canvas, rng, centre, radius, angle, stretch=rng.uniform(1.0, 1.3), waves=0.03)
    depth += 0.010 * scene.canvas.noise(rng, 5, octaves=2)
    if scene.has("irregular_border"):
        depth += _notches(scene, centre, radius)
    if scene.has("asymmetry"):
        before = depth
        depth = np.maximum(depth, _second_lobe(scene, centre, radius))
        masks["asymmetry"] = (depth > 0) & (before <= 0)
    soft, crumbs = np.float32(rng.uniform(0.16, 0.34)), 0.07
    if scene.has("irregular_border"):
        crumbs = 0.15
        soft = 0.05 + 0.17 * smoothstep(scene.canvas.noise(scene.rng("irregular_border"), 3), -0.3, 1.2)
        masks["irregular_border"] = np.abs(depth) < 0.06
    ragged = crumbs * soft * scene.canvas.noise(rng, 40, octaves=2)
    scene.depth, scene.body = depth, smoothstep(depth + ragged, -0.5 * soft, 0.5 * soft)
    return masks


def _ellipse(
    canvas: Canvas,
    rng: np.random.Generator,
    centre: Point,
    radius: float,
    angle: float,
    *,
    stretch: float,
    waves: float,
) -> Field:
    """Depth below the border of an ellipse whose radius has a few low waves."""
    dx, dy = canvas.x - np.float32(centre[0]), canvas.y - np.float32(centre[1])
    along = (dx * cos(angle) + dy * sin(angle)) / sqrt(stretch)
    across = (dy * cos(angle) - dx * sin(angle)) * sqrt(stretch)
    rim = _wavy(np.arctan2(across, along), rng, range(2, 5), waves)
    return ((1 + rim - np.hypot(along, across) / radius) * radius).astype(np.float32)


def _wavy(theta: Field, rng: np.random.Generator, orders: range, size: float) -> Field:
    """Fourier series of an outline, its terms falling slowly with their order."""
    turns = np.linspace(-np.pi, np.pi, 721)
    wave = np.zeros_like(turns)
    for order in orders:
        wave += rng.normal(0, size) / np.sqrt(order / orders[0]) * np.cos(order * turns + rng.uniform(0, 2 * np.pi))
    return np.interp(theta, turns, wave).astype(np.float32)


def _notches(scene: Scene, centre: Point, radius: float) -> Field:
    rng, canvas = scene.rng("irregular_border"), scene.canvas
    theta = np.arctan2(canvas.y - np.float32(centre[1]), canvas.x - np.float32(centre[0]))
    waves = _wavy(theta, rng, range(4, 16), 0.035) * radius
    return waves + 0.05 * canvas.noise(rng, 9, octaves=4)


def _second_lobe(scene: Scene, centre: Point, radius: float) -> Field:
    rng = scene.rng("asymmetry")
    side = rng.uniform(0, 2 * np.pi)
    reach = radius * rng.uniform(0.92, 1.12)
    place = centre + reach * np.array([np.cos(side), np.sin(side)])
    place = np.clip(place, -0.56, 0.56)
    lobe = _ellipse(
        scene.canvas, rng, place, radius * rng.uniform(0.54, 0.7), rng.uniform(0, np.pi), stretch=1.3, waves=0.08
    )
    return lobe + 0.02 * scene.canvas.noise(rng, 9, octaves=2)


def paint_ground(scene: Scene) -> None:
    """Brown (or pink) ground: denser towards the centre or the rim, mottled."""
    rng, canvas, pigment = scene.rng("ground"), scene.canvas, scene.lesion.pigment
    centre_weight = rng.uniform(-0.1, 0.45)
    profile = 1 - centre_weight + centre_weight * smoothstep(scene.depth, 0.0, 0.4) * 1.7
    coarse, fine = canvas.noise(rng, 6, octaves=2), canvas.noise(rng, 26, octaves=3) + 0.6 * canvas.noise(rng, 96)
    mottle = np.exp(rng.uniform(0.1, 0.22) * coarse + 0.19 * fine)
    scene.melanin += pigment * scene.body * profile * mottle
    scene.deep += 0.15 * pigment * scene.body * smoothstep(canvas.noise(rng, 5, octaves=2), -0.5, 2.0)
    pink = max(0.0, 1 - pigment / 0.35)
    halo = smoothstep(scene.depth, -0.25, 0.1) * rng.uniform(0.02, 0.12)
    scene.blood += halo + pink * 0.42 * scene.body * np.exp(0.3 * canvas.noise(rng, 6, octaves=4))
    if pink > 0:
        pearl = 0.4 * pink * scene.body * smoothstep(canvas.noise(rng, 6, octaves=3), -0.6, 1.4)
        scene.hazes.append((pearl, (240, 222, 222)))


def paint_typical_network(scene: Scene) -> None:
    """Fine even meshes that fade towards the rim."""
    rng, canvas = scene.rng("typical_network"), scene.canvas
    lines = mesh(canvas, rng, period=rng.uniform(0.044, 0.060), jitter=0.35, width=0.48)
    where = smoothstep(scene.depth, -0.02, 0.12) * smoothstep(canvas.noise(rng, 5, octaves=2), -1.4, 0.8)
    where *= np.clip(1 + 0.35 * canvas.noise(rng, 16, octaves=2), 0.1, 1.8)
    scene.melanin *= 1 + scene.lesion.typical_network * where * (lines - 0.5)


def mesh(canvas: Canvas, rng: np.random.Generator, *, period: float, jitter: float, width: Field | float) -> Field:
    """Lines of a honeycomb whose meshes measure about ``period``, gently bent."""
    bend = 0.35
    u = canvas.x / np.float32(period) + bend * canvas.noise(rng, 9)
    v = canvas.y / np.float32(period) + bend * canvas.noise(rng, 9)
    turn = rng.uniform(0, np.pi)
    wall = canvas.honeycomb(u * cos(turn) - v * sin(turn), u * sin(turn) + v * cos(turn), rng, jitter=jitter)
    return 1 - smoothstep(wall, 0.0, np.maximum(np.float32(0.12), width) * 1.6)
