"""One synthetic chest radiograph: what it is to show, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knobo.phantom._chest_exposure import MACHINES, collimate, expose, print_marker, print_side
from knobo.phantom._chest_findings import LOCAL_FINDINGS, paint
from knobo.phantom._chest_patient import Details, adapt, sample_details, sample_patient
from knobo.phantom._chest_scene import new_scene
from knobo.phantom._film import Film

CHEST_CLASSES = ("normal", "pneumonia", "heart_failure", "copd", "lung_cancer")

# How often each class shows each finding; the columns follow CHEST_CLASSES and overlap on purpose.
_ODDS = {
    "cardiomegaly": (0.05, 0.12, 0.85, 0.10, 0.10),
    "pleural_effusion_left": (0.02, 0.22, 0.50, 0.05, 0.20),
    "pleural_effusion_right": (0.02, 0.26, 0.62, 0.05, 0.22),
    "consolidation": (0.02, 0.90, 0.12, 0.08, 0.12),
    "pneumothorax": (0.01, 0.02, 0.02, 0.12, 0.04),
    "nodule": (0.04, 0.04, 0.03, 0.08, 0.85),
    "hyperinflation": (0.04, 0.05, 0.03, 0.90, 0.20),
    "mediastinal_widening": (0.02, 0.04, 0.08, 0.05, 0.40),
    "atelectasis": (0.04, 0.25, 0.25, 0.12, 0.30),
    "interstitial_lines": (0.03, 0.15, 0.75, 0.20, 0.10),
    "support_device": (0.01, 0.22, 0.40, 0.15, 0.20),
}
_BEDSIDE = (0.15, 0.35, 0.45, 0.20, 0.20)  # share of AP views in hospital A
_AGE = ((48, 16), (58, 17), (71, 11), (66, 9), (67, 10))  # mean and standard deviation in years
_MALE = (0.50, 0.52, 0.52, 0.60, 0.58)
_FINE_ENOUGH = 160  # smaller images are drawn larger and averaged, or thin lines would be lost


@dataclass(frozen=True)
class Case:
    """What one image is to show. Change ``findings`` only, and only they change in the picture.

    Attributes
    ----------
    label, hospital, sex, view : str
    age : int
    marker : bool
        Whether the word marker is printed.
    findings : mapping of str to bool
        All of ``LOCAL_FINDINGS``.
    details : Details
    seed : SeedSequence
        Of everything else that is random in the picture.
    """

    label: str
    hospital: str
    sex: str
    age: int
    view: str
    marker: bool
    findings: Mapping[str, bool]
    details: Details
    seed: np.random.SeedSequence


def sample_case(
    seed: np.random.SeedSequence,
    *,
    hospital: str,
    weights: NDArray[np.float64],
    label: str | None = None,
    marker: bool | None = None,
) -> Case:
    """Draw what an image shows: its class (by ``weights``, unless given), then all that depends on it."""
    rng = np.random.default_rng(seed)
    machine = MACHINES[hospital]
    random_label = CHEST_CLASSES[int(rng.choice(len(CHEST_CLASSES), p=weights))]
    label = random_label if label is None else label
    column = CHEST_CLASSES.index(label)
    bedside = rng.random() < min(0.95, _BEDSIDE[column] * machine.bedside)
    chance = rng.random() < machine.marker
    return Case(
        label=label,
        hospital=hospital,
        sex="M" if rng.random() < _MALE[column] else "F",
        age=int(np.clip(np.round(rng.normal(*_AGE[column])), 18, 95)),
        view="AP" if bedside else "PA",
        marker=bool(chance) if marker is None else marker,
        findings={finding: bool(rng.random() < _ODDS[finding][column]) for finding in LOCAL_FINDINGS},
        details=sample_details(rng),
        seed=seed,
    )


def draw_case(case: Case, size: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]:
    """Image (size, size) and the mask of each finding that is present."""
    zoom = -(-_FINE_ENOUGH // size)
    grey, masks = _draw(case, size * zoom)
    if zoom > 1:
        grey = grey.reshape(size, zoom, size, zoom).mean(axis=(1, 3))
        masks = {name: mask.reshape(size, zoom, size, zoom).mean(axis=(1, 3)) > 0.3 for name, mask in masks.items()}
    return np.round(255 * np.clip(grey, 0, 1)).astype(np.uint8), masks


def _draw(case: Case, size: int) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
    body, fit, anatomy, findings, exposure, printing = _children(case.seed, 6)
    machine = MACHINES[case.hospital]
    patient = sample_patient(np.random.default_rng(body), sex=case.sex, age=case.age, view=case.view)
    patient = adapt(patient, case.findings, case.details, np.random.default_rng(fit))
    film = Film(size, patient.film_width, patient.offset, patient.lean)
    scene = new_scene(film, patient, anatomy)
    masks = paint(scene, case.findings, case.details, findings)
    grey = expose(scene, machine, np.random.default_rng(exposure))
    rng = np.random.default_rng(printing)
    collimate(grey, machine, rng)
    print_side(grey, rng)
    if case.marker:
        print_marker(grey, machine, rng)
    return grey, masks


def _children(seed: np.random.SeedSequence, n: int) -> list[np.random.SeedSequence]:
    """Seeds below ``seed``, the same on every call (``SeedSequence.spawn`` alone counts on)."""
    return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(n)
