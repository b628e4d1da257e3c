"""Bones of the synthetic chest: ribs in three dimensions, spine, clavicles, scapulae and upper arms."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from knobo.phantom._chest_patient import SIDES, Patient
from knobo.phantom._film import Field, Film, Points, curve

_REACH = np.array([0.42, 0.64, 0.77, 0.86, 0.93, 0.98, 1.01, 1.03, 1.03, 1.0, 0.92, 0.75])  # share of the half width
_DROP = np.array([3.6, 5.2, 7.0, 8.4, 9.5, 10.3, 10.8, 11.0, 10.8, 10.0, 8.0, 6.0])  # front end below rear end, cm
_END = np.array([120, 140, 144, 144, 142, 139, 135, 129, 120, 110, 90, 65])  # where bone turns to cartilage, degrees
_DENSE = np.array([0.6, 0.85, 1, 1, 1, 1, 1, 1, 1, 0.95, 0.85, 0.7])


def ribs(film: Film, patient: Patient) -> Field:
    """Thickness of bone in the ribs: flat hoops of dense shell around marrow, brightest where the beam grazes them."""
    clouds = [_rib_shell(patient, side, film.pixel) for side in SIDES.values()]
    shell = film.deposit(*(np.concatenate([cloud[i].ravel() for cloud in clouds]) for i in range(3)))
    marrow = gaussian_filter(shell, 0.33 / film.pixel, truncate=2.5)
    return 0.45 * gaussian_filter(shell, 0.6, truncate=2) + 0.75 * marrow


def _rib_shell(patient: Patient, side: int, pixel: float) -> tuple[Points, Points, Points]:
    """Points (12, n, m) on the surfaces of one side's ribs as the film sees them: x, y, and the volume they stand for.

    Each rib runs from the spine (angle 0) around the side (90 degrees) to its cartilage in front, sinking as it goes.
    """
    p = patient
    n, m = max(50, int(24 / pixel)), max(14, int(2.8 / pixel))
    angle = np.radians(5 + (_END[:, None] - 5) * np.linspace(0, 1, n))
    spacing = (p.sulcus - p.apex) / 11.8
    wide = (p.half_width + 0.25) * _REACH[:, None]
    deep = (p.depth - 1.6) * (0.62 + 0.38 * _REACH[:, None])
    x = 1.6 + (wide - 1.6) * np.sin(angle) ** 0.85
    y = p.apex - 0.6 + spacing * 0.98 * np.arange(12)[:, None]
    y = y + _DROP[:, None] * spacing / 2.1 * ((1 - np.cos(angle)) / 2) ** 1.05
    y = y - 0.5 * np.sin(2 * angle) * (angle < np.pi / 2)  # behind, a rib first rises a little
    centre = np.stack([side * x, y, deep * np.cos(angle)], axis=-1)
    along = np.gradient(centre, axis=1)
    step = np.linalg.norm(along, axis=-1, keepdims=True)
    along /= step
    up = np.array([0.0, 1.0, 0.0]) - along * along[..., 1:2]
    up /= np.linalg.norm(up, axis=-1, keepdims=True)
    flat = np.cross(along, up)
    around = np.arange(m) * 2 * np.pi / m
    height = np.interp(np.linspace(0, 1, n), [0, 0.15, 0.8, 1], [0.42, 0.6, 0.64, 0.72])[:, None] * p.half_width / 13.2
    rise, deepen = height * np.cos(around), 0.32 * np.sin(around)
    x, y, z = (centre[..., i : i + 1] + rise * up[..., i : i + 1] + deepen * flat[..., i : i + 1] for i in range(3))
    along_fade = 1 - np.linspace(0, 0.3, n) - 0.5 * np.clip((np.linspace(0, 1, n) - 0.85) / 0.15, 0, 1)
    cortex = 0.12 + 0.06 * np.clip(np.cos(around), 0, 1)  # the lower edge is the denser one
    volume = step * (_DENSE[:, None] * along_fade)[..., None] * cortex * (np.pi / m)
    return x + z * np.float32(p.turn), y, volume


def spine(film: Film, patient: Patient) -> Field:
    """Thickness of bone in the vertebrae: bodies with end plates, pedicles and spinous processes."""
    p = patient
    level = (film.y - np.float32(p.apex)) / np.float32((p.sulcus - p.apex) / 11.4)
    phase = level - np.floor(level)
    width = np.clip(1.3 + 0.05 * level, 1.2, 1.95) * np.float32(p.half_width / 13.2)
    at = film.x - np.float32(2.0 * p.turn)
    body = np.sqrt(np.clip(1 - (at / (width * (0.9 + 0.4 * (phase - 0.5) ** 2))) ** 6, 0, None))
    edge = np.abs(phase - 0.5)
    bone = body * (
        0.75 + 0.5 * np.exp(-np.square((edge - 0.40) / 0.06)) - 0.45 * np.exp(-np.square((edge - 0.5) / 0.05))
    )
    bone += 0.45 * np.exp(-np.square((np.abs(at) - 0.68 * width) / 0.25)) * np.exp(-np.square((phase - 0.36) / 0.17))
    bone += 0.40 * np.exp(-np.square(at / 0.22)) * np.exp(-np.square((phase - 0.72) / 0.22))
    return (bone * (1.25 - 0.006 * p.age)).astype(np.float32)


def clavicles(film: Film, patient: Patient) -> Field:
    """Thickness of bone in the collar bones; they lie in front, so a turned patient's are shifted."""
    p = patient
    scale, at = p.half_width / 13.2, -6.0 * p.turn
    lift = 0.9 if p.view == "AP" else 0.0
    path = np.array([(1.7, 4.2), (5.0, 3.3), (9.0, 1.6), (12.5, 0.8), (15.3, 1.2)])
    bones = [curve(np.column_stack([at + side * path[:, 0] * scale, p.apex + path[:, 1] - lift])) for side in (-1, 1)]
    radius = np.interp(np.linspace(0, 1, 40), [0, 0.08, 0.3, 0.8, 1], [0.95, 0.8, 0.58, 0.58, 0.75])
    both = np.stack(bones)
    return film.tubes((both, radius), hollow=0.75) + 0.25 * film.tubes((both, radius))


def shoulders(film: Film, patient: Patient) -> Field:
    """Thickness of bone in scapulae and upper arms; on a bedside film the shoulder blades overlap the lungs."""
    p = patient
    scale, top = p.half_width / 13.2, p.apex
    inward = 3.0 if p.view == "AP" else 0.0
    rim = np.array(
        [
            (14.6, 2.2),
            (12.4 - 0.5 * inward, 3.2),
            (11.8 - inward, 8.0),
            (13.4 - inward, 14.0),
            (15.0 - 0.5 * inward, 8.5),
            (15.6, 4.5),
        ]
    )
    ridge = np.array([(12.1 - 0.6 * inward, 4.8), (14, 2.9), (16.3, 1.3)])
    total, lines = film.zeros(), []
    for side in SIDES.values():
        for path in (rim, ridge):
            lines.append((curve(np.column_stack([side * path[:, 0] * scale, top + path[:, 1]]))[None], 0.3))
        blade = film.ellipsoid((side * (13.4 - 0.6 * inward) * scale, top + 7.4), (1.9, 5.8), 0.22, angle=-0.12 * side)
        down = top + np.array([1.9, 2.3, 3.6, 5.0, 6.5, 14.0, 30.0])
        middle = side * scale * np.array([16.2, 16.3, 16.6, 17.0, 17.4, 19.0, 21.0])
        arm = film.limb(down, middle, np.array([0, 1.3, 2.0, 1.9, 1.3, 1.1, 1.1]), hollow=0.8)
        total += blade + arm
    return total + 0.8 * film.tubes(*lines, hollow=0.4)
