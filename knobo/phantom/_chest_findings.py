"""Findings in the synthetic chest: each is painted into the tissues, and returns where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from knobo.phantom._chest_devices import add_device
from knobo.phantom._chest_patient import SIDES, Details, Patient
from knobo.phantom._chest_scene import Scene
from knobo.phantom._chest_soft import diaphragm, lung_depth, lung_edge, union
from knobo.phantom._chest_vessels import hilum
from knobo.phantom._film import Points, ramp

LOCAL_FINDINGS = (
    "cardiomegaly",
    "pleural_effusion_left",
    "pleural_effusion_right",
    "consolidation",
    "pneumothorax",
    "nodule",
    "hyperinflation",
    "mediastinal_widening",
    "atelectasis",
    "interstitial_lines",
    "support_device",
)
_MIDDLE_OF_LOBE = {  # share of the half width, and of the way from apex to diaphragm; half axes likewise
    "right upper lobe": (0.52, 0.33, 0.42, 0.24),
    "right middle lobe": (0.42, 0.74, 0.34, 0.20),
    "right lower lobe": (0.62, 0.84, 0.36, 0.22),
    "left upper lobe": (0.52, 0.36, 0.40, 0.24),
    "left lower lobe": (0.58, 0.82, 0.38, 0.22),
}
Mask = NDArray[np.bool_]


def paint(
    scene: Scene, findings: Mapping[str, bool], details: Details, seed: np.random.SeedSequence
) -> dict[str, Mask]:
    """Paint the findings that are present; each has its own random numbers, so none changes another's look."""
    seeds = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(len(LOCAL_FINDINGS))
    rngs = dict(zip(LOCAL_FINDINGS, map(np.random.default_rng, seeds), strict=True))
    return {name: brush(scene, details, rngs[name]) for name, brush in _BRUSHES.items() if findings[name]}


def _lung(scene: Scene, least: float = 0.5) -> Mask:
    return (scene.lungs[-1] + scene.lungs[1]) > least


def _enlarged_heart(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """The heart itself was drawn large (see ``adapt``)."""
    floor = scene.patient.top_of_diaphragm(1) + 2.2
    return (scene.heart > 0.5) & (scene.film.y < floor)


def _hyperinflated(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """The lungs themselves were drawn large (see ``adapt``)."""
    return _lung(scene, 1.0)


def _effusion(side: int) -> Callable[[Scene, Details, np.random.Generator], Mask]:
    def brush(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
        """Fluid that fills the angle and climbs the chest wall in a meniscus."""
        p, amount = scene.patient, details.effusion[side > 0]
        out = side * scene.film.x
        floor = min(p.sulcus, p.top_of_diaphragm(side) + 3.0)
        level = floor - 2.2 - 8.5 * amount + rng.normal(0, 0.2)
        wall = lung_edge(p, side, scene.film.y)
        climb = (1.5 + 2.0 * amount) * np.exp(-np.clip(wall - out, 0, None) / (1.2 + 1.4 * amount))
        climb += 0.7 * np.exp(-np.clip(out - 0.25 * p.half_width, 0, None) / 1.5)
        share = 0.96 * ramp(scene.film.y - level + climb, -0.25, 1.5) * (scene.lungs[side] > 0)
        scene.fill(share.astype(np.float32))
        return (share > 0.35) & (scene.lungs[side] > 0.15)

    return brush


def _consolidation(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """Patchy filling of a lobe that stops at its fissure, with the bronchi left dark."""
    p, film = scene.patient, scene.film
    side = SIDES[details.lobe.split()[0]]
    cx, cy, rx, ry = np.array(_MIDDLE_OF_LOBE[details.lobe]) + rng.uniform(-0.03, 0.03, 4)
    height = p.top_of_diaphragm(side) - p.apex
    out = side * film.x
    grow = rng.uniform(0.95, 1.3)
    far = np.square((out / p.half_width - cx) / (rx * grow)) + np.square(
        ((film.y - p.apex) / height - cy) / (ry * grow)
    )
    patchy = 1.15 - 0.75 * far + 0.22 * film.noise(rng, 3.0) + 0.10 * film.noise(rng, 1.2)
    share = ramp(patchy, 0.15, 0.95)
    fissure = hilum(p, side)[1] + 0.8 + 0.08 * (out - 0.4 * p.half_width)
    if details.lobe == "right upper lobe":
        share = share * ramp(fissure - film.y, -0.1, 0.25)
    elif details.lobe == "right middle lobe":
        share = share * ramp(film.y - fissure, -0.1, 0.25)
    share = (share * np.float32(rng.uniform(0.72, 0.9)) * (scene.lungs[side] > 0)).astype(np.float32)
    scene.fill(share)
    bronchi = film.tubes(*((curves, 0.62 * radii) for curves, radii in scene.trees[side][:4]))
    scene.gas += 1.6 * bronchi * share
    return (share > 0.3) & (scene.lungs[side] > 1.0)


def _pneumothorax(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """Free air around a lung that has come off the wall, behind the thin line of its pleura."""
    p, film, side = scene.patient, scene.film, SIDES[details.pneumothorax_side]
    height = p.sulcus - p.apex
    apical, lateral = rng.uniform(2.2, 6.0), rng.uniform(1.0, 3.0)
    squeeze, lower = 1 - lateral / p.half_width, 1 - apical / height
    collapsed = lung_depth(p, side, film.x / np.float32(squeeze), p.sulcus - (p.sulcus - film.y) / np.float32(lower))
    free = (
        (1 - ramp(collapsed, 0.3, 1.6))
        * (scene.lungs[side] > 0)
        * ramp(-side * film.x, -p.half_width, -0.12 * p.half_width)
    )
    free = free * ramp(side * film.x, 0.14 * p.half_width, 0.22 * p.half_width)
    scene.emptied = np.maximum(scene.emptied, free.astype(np.float32))
    scene.fill(np.float32(0.06) * (1 - free) * (scene.lungs[side] > 0))
    scene.tissue += 7.0 * film.tubes((_pleural_line(p, side, squeeze, lower), 0.075))
    return (free > 0.5) & (scene.lungs[side] > 0.8)


def _pleural_line(p: Patient, side: int, squeeze: float, lower: float) -> Points:
    """Outline (1, 60, 2) of the collapsed lung, from its tip down the lateral side."""
    down = (p.apex + (p.sulcus - p.apex) * np.linspace(0.0, 0.97, 60) ** 2).astype(np.float32)
    out = lung_edge(p, side, down)
    return np.stack([side * out * squeeze, p.sulcus - (p.sulcus - down) * lower], axis=-1)[None]


def _nodule(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """Round soft shadow with a slightly lobed rim and a few fine strands."""
    p, film, side = scene.patient, scene.film, SIDES[details.nodule_side]
    out, down = rng.uniform(0.40, 0.82, 64) * p.half_width, rng.uniform(0.14, 0.86, 64)
    y = p.apex + down * (diaphragm(p, side, out.astype(np.float32)) - p.apex)
    roomy = lung_depth(p, side, side * out.astype(np.float32), y.astype(np.float32)) > 6
    pick = int(np.argmax(roomy))
    radius = rng.uniform(0.85, 1.75)
    centre = np.array([side * out[pick], y[pick]])
    lobes = [film.ellipsoid(centre, (radius, radius * rng.uniform(0.88, 1.1)), radius * 1.05)]
    for angle in rng.uniform(0, 2 * np.pi, 4):
        offset = 0.5 * radius * np.array([np.cos(angle), np.sin(angle)])
        lobes.append(film.ellipsoid(centre + offset, (0.62 * radius, 0.62 * radius), 0.62 * radius))
    mass = union(lobes)
    turn = rng.uniform(0, 2 * np.pi, 9)
    ray = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    reach = rng.uniform(1.3, 1.9, (9, 1))
    strands = np.stack([centre + 0.8 * radius * ray, centre + radius * reach * ray], axis=1)
    scene.tissue += mass * np.float32(1.15) + 2.0 * film.tubes((strands, 0.05))
    return mass > 0.25 * radius


def _wide_mediastinum(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """Lobed masses beside the trachea that push the lungs aside."""
    p, film = scene.patient, scene.film
    weights = rng.permutation([1.0, rng.uniform(0.55, 1.0)])
    masses = []
    for side, weight in zip(SIDES.values(), weights, strict=True):
        for k in range(3):
            centre = (p.drift + side * rng.uniform(1.9, 2.8), p.apex + 3.2 + 2.3 * k + rng.normal(0, 0.3))
            masses.append(
                film.ellipsoid(centre, weight * np.array([rng.uniform(2.2, 3.1), rng.uniform(2.0, 2.8)]), 4.5)
            )
    mass = union(masses)
    for side in SIDES.values():
        scene.lungs[side] = np.clip(scene.lungs[side] - mass, 0, None)
    return mass > 0.3


def _atelectasis(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """Plates across the lower zone, or a small dense lower lobe behind a straight edge."""
    p, film, side = scene.patient, scene.film, SIDES[details.atelectasis_side]
    floor = p.top_of_diaphragm(side)
    if not details.collapse:
        n = int(rng.integers(2, 4))
        start = np.column_stack(
            [rng.uniform(0.32, 0.5, n) * p.half_width, floor - 1.2 - 1.5 * np.arange(n) - rng.uniform(0, 0.7, n)]
        )
        length, slope = rng.uniform(3.8, 6.5, n), rng.uniform(-0.35, 0.25, n)
        steps = np.linspace(0, 1, 12)
        x = start[:, :1] + length[:, None] * steps
        y = start[:, 1:] + slope[:, None] * length[:, None] * steps + rng.normal(0, 0.5, (n, 1)) * steps * (1 - steps)
        radius = rng.uniform(0.16, 0.3, (n, 1)) * np.sqrt(np.sin(np.pi * (0.08 + 0.84 * steps)))
        plates = film.tubes((np.stack([side * x, y], axis=-1), radius))
        plates *= ramp(scene.lungs[side], 0.3, 3.0)
        scene.tissue += 7.0 * plates
        return np.asarray(binary_dilation(plates > 0.08, iterations=max(1, film.size // 224)))
    top = hilum(p, side)[1] + 0.5
    edge = (0.16 + 0.48 * (film.y - top) / (floor + 1.5 - top)) * p.half_width * rng.uniform(0.85, 1.1)
    out = side * film.x
    share = ramp(edge - out, -0.12, 0.5) * ramp(film.y, top, top + 2.0) * (scene.lungs[side] > 0)
    share = share * np.float32(rng.uniform(0.82, 0.95))
    scene.fill(share.astype(np.float32))
    return (share > 0.35) & (scene.lungs[side] > 0.5)


def _interstitial_lines(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    """A net of fine lines, most in the lower zones, Kerley's B lines at the wall, and haze around the hila."""
    p, film = scene.patient, scene.film
    height = p.dome + 2 - p.apex
    bundles, reach = [], film.zeros()
    for side in SIDES.values():
        n = 170
        out = rng.uniform(0.2, 0.97, n) * p.half_width
        y = p.apex + height * rng.beta(2.6, 1.3, n)
        angle, length = rng.uniform(0, np.pi, n), rng.uniform(0.5, 1.5, n)
        steps = np.linspace(-0.5, 0.5, 5)
        bow = rng.normal(0, 0.25, (n, 1)) * (0.25 - steps**2)
        dx, dy = np.cos(angle)[:, None], np.sin(angle)[:, None]
        x_line = side * out[:, None] + length[:, None] * (steps * dx - bow * dy)
        y_line = y[:, None] + length[:, None] * (steps * dy + bow * dx)
        bundles.append((np.stack([x_line, y_line], axis=-1), 0.07))
        bundles.append((_kerley_b(p, side, rng), 0.075))
        distance = np.hypot(film.x - hilum(p, side)[0], film.y - hilum(p, side)[1])
        reach += np.exp(-np.square(distance / 4.5)) * (scene.lungs[side] > 0)
    lines = film.tubes(*bundles)
    lung = ramp(scene.lungs[-1] + scene.lungs[1], 0.5, 3.0)
    scene.tissue += lines * lung * np.float32(rng.uniform(3.2, 4.6))
    scene.fill((rng.uniform(0.12, 0.24) * np.clip(reach + 0.25 * lung, 0, 1)).astype(np.float32))
    lower = p.apex + 0.38 * height
    return _lung(scene, 1.0) & (film.y > lower)


def _kerley_b(p: Patient, side: int, rng: np.random.Generator) -> Points:
    """Short level lines (n, 2, 2) that reach the pleura just above the angle."""
    n = 9
    y = np.linspace(p.sulcus - 8.0, p.sulcus - 0.6, n) + rng.normal(0, 0.15, n)
    outer = lung_edge(p, side, y.astype(np.float32)) - 0.15
    inner = outer - rng.uniform(1.2, 2.2, n)
    return np.stack(
        [np.column_stack([side * outer, y]), np.column_stack([side * inner, y + rng.normal(0, 0.1, n)])], axis=1
    )


def _support_device(scene: Scene, details: Details, rng: np.random.Generator) -> Mask:
    metal = add_device(scene.film, scene.patient, details.device, rng)
    scene.metal += metal
    return np.asarray(binary_dilation(metal > 0.004, iterations=max(1, scene.film.size // 150)))


_BRUSHES: dict[str, Callable[[Scene, Details, np.random.Generator], Mask]] = {
    "mediastinal_widening": _wide_mediastinum,  # first, for it takes room from the lungs
    "hyperinflation": _hyperinflated,
    "cardiomegaly": _enlarged_heart,
    "consolidation": _consolidation,
    "atelectasis": _atelectasis,
    "interstitial_lines": _interstitial_lines,
    "nodule": _nodule,
    "pneumothorax": _pneumothorax,
    "pleural_effusion_left": _effusion(1),
    "pleural_effusion_right": _effusion(-1),
    "support_device": _support_device,
}
