"""One painter a finding: it changes the layers of a scene and returns the mask of what it drew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from knobo.phantom._skin_canvas import smoothstep, walk
from knobo.phantom._skin_scene import Scene
from knobo.phantom._skin_shape import Mask, mesh, paint_ground, paint_shape, paint_typical_network

FINDINGS = (
    "asymmetry", "irregular_border", "colour_variegation", "pigment_network", "dots_globules",
    "streaks", "blue_white_veil", "regression", "ulceration", "vessels",
)  # fmt: skip


def paint_lesion(scene: Scene) -> dict[str, Mask]:
    """Draw shape, ground and all findings of the lesion; return a mask for each finding."""
    masks = paint_shape(scene)
    paint_ground(scene)
    if scene.lesion.typical_network > 0:
        paint_typical_network(scene)
    for finding, paint in _PAINTERS.items():
        if scene.has(finding):
            masks[finding] = paint(scene)
    if "ulceration" in masks:
        _hide(masks, under=masks["ulceration"])
    return {finding: masks[finding] for finding in FINDINGS if finding in masks}


def _hide(masks: dict[str, Mask], *, under: Mask) -> None:
    """Take what a crust covers out of the other masks, unless nothing of a finding would be left."""
    for finding, mask in masks.items():
        visible = mask & ~under
        if finding != "ulceration" and visible.any():
            masks[finding] = visible


def _paint_variegation(scene: Scene) -> Mask:
    """Patches of other colours: black-brown, tan, and one of red, blue-grey or white."""
    rng = scene.rng("colour_variegation")
    dark = scene.patch(rng, rng.uniform(0.15, 0.3), cells=5, inward=2, gather=2.5, soft=0.6)
    light = scene.patch(rng, rng.uniform(0.15, 0.25), cells=5, inward=-1, gather=2.5, soft=0.8) * (1 - dark)
    third = scene.patch(rng, rng.uniform(0.1, 0.2), cells=5, inward=1, gather=2.5, soft=0.8) * (1 - dark)
    scene.melanin += dark * rng.uniform(0.8, 1.6) * np.exp(0.15 * scene.canvas.noise(rng, 20, octaves=3))
    scene.melanin *= 1 - 0.6 * light
    scene.melanin *= 1 - 0.45 * third
    kind = rng.choice(["red", "blue", "white"], p=[0.5, 0.3, 0.2])
    if kind == "red":
        scene.blood += 0.55 * third
    elif kind == "blue":
        scene.deep += 0.8 * third
    else:
        scene.melanin *= 1 - 0.5 * third
    return np.maximum(np.maximum(dark, light), third) > 0.5


def _paint_atypical_network(scene: Scene) -> Mask:
    """Thick dark meshes of uneven size in patches that stop abruptly."""
    rng, canvas = scene.rng("pigment_network"), scene.canvas
    width = 0.42 + 0.16 * canvas.noise(rng, 9, octaves=2)
    lines = mesh(canvas, rng, period=rng.uniform(0.072, 0.1), jitter=0.43, width=width)
    where = scene.patch(rng, rng.uniform(0.5, 0.8), cells=6, inward=-1.0, gather=0.8)
    strength = rng.uniform(0.7, 1.1) * np.exp(0.45 * canvas.noise(rng, 9, octaves=3))
    clogged = smoothstep(canvas.noise(rng, 16, octaves=2), 0.6, 1.6)
    lines = np.maximum(lines, 0.8 * clogged)
    scene.melanin *= 1 - 0.4 * where * (1 - lines)
    scene.melanin += max(0.55, scene.lesion.pigment) * strength * where * lines
    return where > 0.35


def _paint_dots(scene: Scene) -> Mask:
    rng, canvas, lesion = scene.rng("dots_globules"), scene.canvas, scene.lesion
    weight = scene.body * (scene.depth > 0.02)
    if lesion.irregular_dots:
        weight = weight * smoothstep(canvas.noise(rng, 4, octaves=2), -0.3, 1.0) + 0.05 * weight
    n = int(rng.integers(12, 30) if lesion.blue_globules else rng.integers(40, 100))
    places = scene.points(rng, n, weight)
    if lesion.irregular_dots:
        radii = np.exp(rng.normal(np.log(0.016), 0.5, len(places)))
    else:
        radii = rng.normal(0.016, 0.002, len(places))
    if lesion.blue_globules:
        radii = np.repeat(1.5 * radii, 3)
        places = np.repeat(places, 3, axis=0)
        places = places + rng.normal(0, 0.8, places.shape) * radii[:, None]
    radii = np.clip(radii, 0.008, 0.07)
    cover = canvas.stamp(places, radii, soft=0.8) * np.clip(0.85 + 0.25 * canvas.noise(rng, 14, octaves=3), 0.3, 1.2)
    if lesion.blue_globules:
        scene.deep += 1.0 * cover
        scene.hazes.append((0.35 * cover, (92, 98, 118)))
    else:
        scene.melanin += cover * (1.2 if lesion.irregular_dots else 0.8)
    return cover > 0.35


def _paint_streaks(scene: Scene) -> Mask:
    """Radial lines over the border, some with a bulb at the end, in a sector or all round."""
    rng, canvas = scene.rng("streaks"), scene.canvas
    n, spread = int(rng.integers(35, 80)), rng.choice([0.7, 1.3, np.pi])
    middle = rng.uniform(0, 2 * np.pi)
    theta = middle + rng.uniform(-spread, spread, n)
    rays = np.linspace(0.1, 1.0, 90)
    heading = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    inside = scene.at(scene.depth, heading[:, None, :] * rays[None, :, None]) > 0
    rim = np.where(inside.any(1), rays[inside.shape[1] - 1 - inside[:, ::-1].argmax(1)], 0.4)
    points, radii, ink = [], [], []
    for k in range(n):
        length, thick = rng.uniform(0.1, 0.3), rng.uniform(0.006, 0.014)
        start = heading[k] * (rim[k] - 0.5 * length)
        line = walk(rng, start, theta[k] + rng.normal(0, 0.06), length, step=0.006, bend=0.15)
        width = thick * np.linspace(1.3, 0.5, len(line))
        fade = np.linspace(1, rng.uniform(0.15, 0.7), len(line))
        if rng.random() < 0.2:
            width[-4:], fade[-4:] = thick * 1.5, 0.9
        points.append(line)
        radii.append(width)
        ink.append(fade)
    cover = canvas.stamp(np.vstack(points), np.concatenate(radii), soft=1.4, opacity=np.concatenate(ink))
    turned = np.angle(np.exp(1j * (np.arctan2(canvas.y, canvas.x) - middle))).astype(np.float32)
    base = smoothstep(-np.abs(turned), -spread - 0.25, -spread + 0.4) * np.exp(-(((scene.depth - 0.09) / 0.08) ** 2))
    base *= np.clip(1 + 0.4 * canvas.noise(rng, 16, octaves=2), 0, 2) * scene.body
    scene.melanin += max(0.7, scene.lesion.pigment) * (0.35 * base + 0.95 * cover)
    return (cover > 0.25) & (scene.depth < 0.2)


def _paint_regression(scene: Scene) -> Mask:
    """White scar-like area, paler than the skin around, with blue-grey peppering."""
    rng, canvas = scene.rng("regression"), scene.canvas
    scar = scene.patch(rng, rng.uniform(0.15, 0.3), cells=5, inward=1.0, gather=2.5, soft=0.9)
    scene.melanin *= 1 - 0.9 * scar
    scene.deep *= 1 - 0.7 * scar
    scene.blood *= 1 - 0.7 * scar
    scene.hazes.append((0.45 * scar * (1 + 0.15 * canvas.noise(rng, 20, octaves=2)), (234, 214, 212)))
    places = scene.points(rng, int(rng.integers(60, 140)), smoothstep(scar, 0.2, 0.8))
    pepper = canvas.stamp(places, rng.uniform(0.004, 0.007), soft=0.8)
    scene.hazes.append((0.7 * pepper, (104, 104, 122)))
    return scar > 0.5


def _paint_veil(scene: Scene) -> Mask:
    """Structureless blue-grey area under a whitish haze."""
    rng, canvas = scene.rng("blue_white_veil"), scene.canvas
    veil = scene.patch(rng, rng.uniform(0.25, 0.45), cells=4, inward=3.0, gather=1.6, soft=1.1)
    scene.melanin = scene.melanin * (1 - 0.5 * veil) + 0.25 * veil
    scene.deep += rng.uniform(0.6, 1.0) * veil * np.exp(0.35 * canvas.noise(rng, 9, octaves=4))
    haze = veil * np.clip(0.32 + 0.18 * canvas.noise(rng, 5, octaves=4), 0.05, 0.65)
    scene.hazes.append((haze.astype(np.float32), rng.normal((150, 152, 168), 5)))
    return veil > 0.5


def _paint_vessels(scene: Scene) -> Mask:
    rng = scene.rng("vessels")
    points, radii = _tree(scene, rng) if scene.lesion.arborising else _irregular_vessels(scene, rng)
    cover = scene.canvas.stamp(points, radii, soft=1.0)
    scene.melanin *= 1 - 0.6 * cover
    scene.blood += 1.1 * cover
    scene.hazes.append((0.3 * cover, (178, 44, 58)))
    return cover > 0.3


def _tree(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Arborising vessels: thick trunks that enter from the rim and branch into ever finer twigs."""
    points, radii = [], []

    def grow(start: NDArray[np.float64], angle: float, length: float, radius: float) -> None:
        line = walk(rng, start, angle, length, step=0.008, bend=0.7)
        points.append(line)
        radii.append(radius * np.linspace(1, 0.7, len(line)))
        if radius < 0.004:
            return
        for _ in range(int(rng.integers(2, 5))):
            k = int(rng.integers(len(line) // 4, len(line)))
            turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
            grow(line[k], angle + turn, length * rng.uniform(0.4, 0.75), radius * rng.uniform(0.5, 0.72))

    for _ in range(int(rng.integers(2, 4))):
        side = rng.uniform(0, 2 * np.pi)
        start = 0.42 * np.array([np.cos(side), np.sin(side)])
        grow(start, side + np.pi + rng.normal(0, 0.4), rng.uniform(0.5, 0.8), rng.uniform(0.010, 0.016))
    return np.vstack(points), np.concatenate(radii)


def _irregular_vessels(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Red dots and short winding lines in one area of the lesion."""
    area = scene.patch(rng, rng.uniform(0.3, 0.5), cells=4, inward=1.0, gather=2.5)
    scene.melanin *= 1 - 0.5 * area
    scene.blood += 0.22 * area
    dots = scene.points(rng, int(rng.integers(25, 60)), area)
    points: list[NDArray[np.float64]] = [dots.astype(float)]
    radii = [rng.uniform(0.006, 0.010, len(dots))]
    for start in scene.points(rng, int(rng.integers(8, 18)), area):
        line = walk(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.22), step=0.006, bend=2.5)
        points.append(line)
        radii.append(np.full(len(line), rng.uniform(0.0035, 0.006)))
    return np.vstack(points), np.concatenate(radii)


def _paint_ulceration(scene: Scene) -> Mask:
    """Raw red area under a reddish-brown crust, with yellow serum at its rim and wet highlights."""
    rng, canvas = scene.rng("ulceration"), scene.canvas
    soft = scene.patch(rng, rng.uniform(0.1, 0.22), cells=6, inward=2.0, gather=6.0)
    sore = smoothstep(soft + 0.14 * canvas.noise(rng, 18, octaves=3), 0.25, 0.75)
    crust = smoothstep(canvas.noise(rng, 10, octaves=4), -0.8, 0.8)
    serum = sore * (1 - smoothstep(soft, 0.6, 0.98)) * smoothstep(canvas.noise(rng, 7, octaves=2), -0.6, 0.8)
    colour = np.array([158, 74, 60], np.float32) + crust[..., None] * np.array([-72, -32, -24], np.float32)
    colour += serum[..., None] * (np.array([192, 150, 104], np.float32) - colour) * 0.5
    rough = 0.16 * canvas.noise(rng, 34, octaves=2) + 0.08 * canvas.noise(rng, 96)
    colour *= np.exp(np.minimum(rough, 0.15))[..., None]
    scene.hazes.append((0.9 * sore, colour))
    glints = scene.points(rng, int(rng.integers(2, 9)), sore)
    scene.hazes.append((0.8 * canvas.stamp(glints, 0.006, soft=0.8) * sore, (255, 244, 236)))
    return sore > 0.5


_PAINTERS: dict[str, Callable[[Scene], Mask]] = {
    "colour_variegation": _paint_variegation,
    "pigment_network": _paint_atypical_network,
    "dots_globules": _paint_dots,
    "streaks": _paint_streaks,
    "regression": _paint_regression,
    "blue_white_veil": _paint_veil,
    "vessels": _paint_vessels,
    "ulceration": _paint_ulceration,
}
