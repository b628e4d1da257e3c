"""Soft tissue of the synthetic chest: trunk, lungs, heart and great vessels, airways, breasts, gas in the stomach."""

from __future__ import annotations

import numpy as np

from knobo.phantom._chest_patient import SIDES, Patient
from knobo.phantom._film import Field, Film, curve, profile, ramp


def trunk(film: Film, patient: Patient) -> Field:
    """Thickness of neck, shoulders, arms and trunk."""
    p, fat = patient, 1.0 + 2.2 * patient.stout
    scale, top = p.half_width / 13.2, p.apex
    wall = p.half_width + fat
    heights = top + np.array([-10, -4.5, -2.5, -0.8, 1.2, 3.5, 8, 14, 21, 27, 36])
    widths = np.array([5.6, 6.2, 8.2, 12.0, 15.0, wall, wall, wall + 0.2, wall + 0.4, wall + 0.3, wall + 1.0])
    widths[:5] *= scale
    depths = p.depth * np.array([0.6, 0.62, 0.66, 0.74, 0.8, 0.86, 0.93, 1, 1.04, 1.08, 1.12])
    across = film.x / profile(heights, widths, film.y)
    body = 2 * profile(heights, depths, film.y) * np.clip(1 - np.abs(across) ** 3, 0, None) ** np.float32(0.5)
    parts = [body]
    for side in SIDES.values():
        spread = (2.0 if p.view == "PA" else 0.0) + 0.4 * fat
        down = top + np.array([-0.2, 0.3, 1.2, 3.0, 6.0, 10.0, 15.0, 26.0, 40.0])
        middle = np.array(
            [14.2, 14.5, 14.9, 15.4, 16.0, 17.0 + 0.5 * spread, 18.0 + spread, 19 + 1.5 * spread, 20 + 2 * spread]
        )
        radius = np.array([0, 1.8, 2.9, 4.2, 4.6, 4.4, 4.1, 3.8, 3.4]) + 0.5 * p.stout
        parts.append(film.limb(down, side * (middle * scale + 0.5 * fat), radius))
    return union(parts)


def union(parts: list[Field]) -> Field:
    """Thickness of bodies that run into each other: never less than the thickest, smooth where they meet."""
    return np.sqrt(np.sqrt(sum((np.square(np.square(part)) for part in parts), np.zeros_like(parts[0]))))


_RISE = np.sqrt([0, 0.02, 0.05, 0.1, 0.18, 0.3, 0.5, 0.7, 0.85, 1.0, 1.6])  # root of the way from apex to angle
_OUTER = np.array([0.30, 0.45, 0.55, 0.65, 0.76, 0.86, 0.95, 1.0, 1.01, 1.0, 0.98])  # share of the half width
_INNER = np.array([0.30, 0.19, 0.15, 0.12, 0.11, 0.11, 0.11, 0.1, 0.1, 0.12, 0.2])
_DEEP = np.array([0, 0.32, 0.46, 0.58, 0.7, 0.84, 0.95, 1, 1, 1, 1])


def lung_edge(patient: Patient, side: int, y: Field) -> Field:
    """Distance of the lateral chest wall from the midline at heights ``y``."""
    return profile(_RISE, _OUTER, _rise(patient, y)) * np.float32(patient.half_width)


def _rise(p: Patient, y: Field) -> Field:
    return np.sqrt(np.clip((y - p.apex) / (p.sulcus - p.apex), 0, None))


def lung_depth(patient: Patient, side: int, x: Field, y: Field) -> Field:
    """Air along the beam in one lung as if there were no heart, in cm, at patient coordinates."""
    p, rise = patient, _rise(patient, y)
    out = side * x
    across = np.clip(out / lung_edge(p, side, y), 0, 1)
    chord = np.sqrt(1 - np.square(across) * across) * np.float32((p.depth - 1.6 - 0.7 * p.stout) * 2)
    inner = profile(_RISE, _INNER, rise) * np.float32(p.half_width)
    medial = ramp(out, inner, inner + 1.6)
    return (chord * profile(_RISE, _DEEP, rise) * medial * above_diaphragm(p, side, out, y)).astype(np.float32)


def diaphragm(patient: Patient, side: int, out: Field) -> Field:
    """Height of the diaphragm's silhouette at a distance ``out`` from the midline."""
    p, top = patient, patient.top_of_diaphragm(side)
    peak = (0.50 if side < 0 else 0.55) * p.half_width
    lateral = (p.sulcus - top) * np.clip((out - peak) / (p.half_width - peak), 0, 1.3) ** np.float32(2.4)
    medial = 0.45 * (p.sulcus - top) * np.clip((peak - out) / peak, 0, 1.5) ** np.float32(2)
    return (top + lateral + medial).astype(np.float32)


def above_diaphragm(patient: Patient, side: int, out: Field, y: Field) -> Field:
    """Share of the lung that is left: all above the dome, the thin rear recess below it."""
    deep = y - diaphragm(patient, side, out)
    recess = 0.16 * np.exp(-np.clip(deep, 0, None) / 1.8) * ramp(-y, -patient.sulcus - 0.6, -patient.sulcus + 0.6)
    return recess + (1 - recess) * ramp(-deep, -0.12, 0.12)


def heart(film: Film, patient: Patient) -> Field:
    """Thickness of the heart, with the atrium at the right border and the apex to the left."""
    p = patient
    size, base = p.heart, p.top_of_diaphragm(1) + 0.4
    wide = size * p.narrow
    at = p.drift - 4.0 * p.turn
    bulge = max(0.0, size - 1.05)
    atrium = film.ellipsoid((at - 1.2 * wide, base - 4.7 * size), (3.1 * wide, 4.6 * size), 4.4, flat=0.9)
    ventricle = film.ellipsoid(
        (at + (2.5 + 1.4 * bulge) * wide, base - 3.3 * size),
        (6.3 * wide, 4.1 * size * (1 + 0.3 * bulge)),
        5.0,
        angle=0.62 + 0.25 * (1 - p.narrow) * 2,
        flat=0.9,
    )
    auricle = film.ellipsoid((at + 2.0 * wide, base - 7.2 * size), (2.7 * wide, 3.0 * size), 3.6)
    return union([atrium, ventricle, auricle])


def great_vessels(film: Film, patient: Patient) -> Field:
    """Thickness of the mediastinum above the heart: cava, aorta with its knob, pulmonary trunk."""
    p = patient
    scale = (1.12 if p.view == "AP" else 1.0) * (p.half_width / 13.2)
    at, size = p.drift - 2.5 * p.turn, p.heart
    base = p.top_of_diaphragm(1) + 0.4
    knob = (1.55 + 0.012 * max(0, p.age - 40)) * scale
    arch = p.apex + 6.4
    return union(
        [
            film.ellipsoid((at, p.apex + 1.5), (2.7 * scale, 8.0), 4.5),
            film.ellipsoid((at - 0.9 * scale, base - 9.5 * size), (2.2 * scale, 6.0 * size), 3.8),
            film.ellipsoid((at + 1.9 * scale, arch), (knob, knob * 1.05), 3.4),
            film.ellipsoid((at + 1.7 * scale, base - 9.3 * size), (2.3 * scale, 2.9 * size), 3.6),
            film.limb(
                [arch, arch + 4, arch + 10, p.sulcus + 8],
                at + np.array([1.9, 1.9 + 0.4 * knob, 1.7, 0.8]) * scale,
                np.full(4, 1.2 * scale),
            ),
        ]
    )


def airways(film: Film, patient: Patient) -> Field:
    """Air in the trachea and the main bronchi."""
    p, at = patient, 0.8 * patient.drift - 1.0 * patient.turn
    carina = p.apex + 8.6
    size = 0.92 if p.sex == "M" else 0.8
    trachea = film.limb(
        [p.apex - 10, p.apex, carina - 2.2, carina, carina + 0.6],
        at + np.array([0, -0.1, -0.45, -0.2, -0.2]),
        size * np.array([1, 1, 1, 1.1, 0]),
    )
    right = curve([(at - 0.2, carina - 0.3), (at - 1.5, carina + 1.3), (at - 3.0, carina + 3.8)])
    left = curve([(at - 0.2, carina - 0.3), (at + 1.7, carina + 1.2), (at + 4.0, carina + 2.6)])
    return trachea + film.tubes((np.stack([right, left]), np.linspace(0.65, 0.42, 40)))


def breasts(film: Film, patient: Patient) -> Field:
    """Thickness of the breast shadows: sharp below, fading upwards."""
    p = patient
    total = film.zeros()
    if not p.breast:
        return total
    sag = 0.5 if p.view == "PA" else -1.0
    for side in SIDES.values():
        centre = (side * (0.54 * p.half_width + 0.5 * p.stout), p.dome - 0.4 + sag)
        shape = film.ellipsoid(centre, (p.breast * 1.05, p.breast * 0.92), 1.7 + 1.5 * p.stout)
        total += shape * ramp(film.y, centre[1] - p.breast, centre[1] + 0.4 * p.breast)
    return total


def stomach_gas(film: Film, patient: Patient, rng: np.random.Generator) -> Field:
    """Gas under the left diaphragm, with a fluid level if the patient stands."""
    p = patient
    width, height = rng.uniform(1.6, 3.2), rng.uniform(0.8, 1.8)
    centre = (rng.uniform(4.5, 7.5), p.top_of_diaphragm(1) + 1.0 + height)
    gas = film.ellipsoid(centre, (width, height), 1.6) * np.float32(rng.uniform(0.5, 1.0))
    if p.view == "PA":
        gas *= ramp(-film.y, -(centre[1] + 0.4 * height) - 0.1, -(centre[1] + 0.4 * height) + 0.1)
    for _ in range(int(rng.integers(1, 4))):
        place = (rng.uniform(3, 11), centre[1] + rng.uniform(1.5, 5))
        gas += film.ellipsoid(place, rng.uniform(0.5, 1.5, 2), rng.uniform(0.4, 0.9), angle=rng.uniform(0, 3))
    return gas
