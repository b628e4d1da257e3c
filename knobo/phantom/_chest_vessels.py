"""Branching trees: the pulmonary vessels, and the bronchi that run beside them."""

from __future__ import annotations

import numpy as np

from knobo.phantom._chest_patient import Patient
from knobo.phantom._film import Points

_GENERATIONS = 6
_FAN = {-1: (-78, -50, -22, 4, 28, 50, 70), 1: (-76, -48, -20, 6, 30, 52, 70)}  # degrees from sideways, downwards > 0


def hilum(patient: Patient, side: int) -> tuple[float, float]:
    """Where the vessels leave the mediastinum; the left hilum stands higher."""
    height = 0.52 if side < 0 else 0.47
    y = patient.apex + height * (patient.top_of_diaphragm(side) - patient.apex)
    return patient.drift + side * 2.9 - 1.5 * patient.turn, y


def vessel_tree(patient: Patient, side: int, rng: np.random.Generator) -> list[tuple[Points, Points]]:
    """Curves (n, 8, 2) and radii (n, 8) in cm of one lung's vessels, one pair a generation of branches."""
    fan = np.radians(_FAN[side]) + rng.normal(0, 0.08, 7)
    start = np.tile(hilum(patient, side), (7, 1)) + rng.normal(0, 0.3, (7, 2))
    room = (patient.top_of_diaphragm(side) - patient.apex) / 20.5
    length = np.array([2.6, 2.8, 2.6, 2.4, 2.8, 3.2, 3.2]) * room
    radius = np.array([0.42, 0.46, 0.44, 0.42, 0.52, 0.60, 0.54]) * rng.uniform(0.9, 1.15, 7)
    heading, generations = fan, []
    for _ in range(_GENERATIONS):
        curves, heading, tip = _grow(start, heading, length, side, rng)
        generations.append((curves, radius[:, None] * np.linspace(1, 0.82, 8)))
        start, heading, length, radius = _fork(tip, heading, length, radius, rng)
    return generations


def _grow(
    start: Points, heading: Points, length: Points, side: int, rng: np.random.Generator
) -> tuple[Points, Points, Points]:
    """Bent segments from ``start``; vessels turn a little downwards and outwards as they run."""
    turn = rng.normal(0, 0.22, len(start)) + 0.05 * np.sign(heading)
    bend = heading[:, None] + turn[:, None] * np.linspace(0, 1, 7)
    step = np.stack([side * np.cos(bend), np.sin(bend)], axis=2) * (length / 7)[:, None, None]
    curves = np.concatenate([start[:, None], start[:, None] + np.cumsum(step, axis=1)], axis=1)
    return curves, heading + turn, curves[:, -1]


def _fork(
    tip: Points, heading: Points, length: Points, radius: Points, rng: np.random.Generator
) -> tuple[Points, Points, Points, Points]:
    """Two children a branch: a thick one that goes nearly straight on, a thin one that turns off."""
    n = len(tip)
    way = rng.choice([-1.0, 1.0], n)
    split = np.concatenate([-way * rng.uniform(0.1, 0.3, n), way * rng.uniform(0.45, 0.8, n)])
    longer = np.concatenate([rng.uniform(0.75, 0.95, n), rng.uniform(0.6, 0.85, n)])
    thick = np.concatenate([rng.uniform(0.74, 0.84, n), rng.uniform(0.52, 0.66, n)])
    return np.tile(tip, (2, 1)), np.tile(heading, 2) + split, np.tile(length, 2) * longer, np.tile(radius, 2) * thick
