"""Synthetic dermoscopic lesions with known findings, masks, reports, hospitals and a ruler as confounder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from knobo.phantom._arguments import check_flags, check_given_labels, check_hospital, check_label_weights, check_whole
from knobo.phantom._skin_findings import FINDINGS, paint_lesion
from knobo.phantom._skin_nuisance import DEVICES, spoil
from knobo.phantom._skin_scene import SKIN_TONES, Lesion, new_scene, render
from knobo.phantom.dataset import PhantomDataset
from knobo.phantom.skin_reports import write_skin_report

SKIN_FINDINGS = FINDINGS
SKIN_CLASSES = ("common_nevus", "atypical_nevus", "melanoma", "basal_cell_carcinoma")

# How often each class shows each finding; the columns follow SKIN_CLASSES and overlap on purpose.
_ODDS = {
    "asymmetry": (0.12, 0.50, 0.80, 0.40),
    "irregular_border": (0.08, 0.50, 0.70, 0.30),
    "colour_variegation": (0.06, 0.35, 0.75, 0.25),
    "pigment_network": (0.08, 0.65, 0.60, 0.05),
    "dots_globules": (0.35, 0.45, 0.60, 0.45),
    "streaks": (0.05, 0.15, 0.45, 0.04),
    "blue_white_veil": (0.02, 0.08, 0.50, 0.10),
    "regression": (0.03, 0.12, 0.40, 0.08),
    "ulceration": (0.02, 0.03, 0.15, 0.50),
    "vessels": (0.06, 0.12, 0.30, 0.85),
}


@dataclass(frozen=True)
class _Looks:
    """How a class tends to look beside its findings: ranges, probabilities, and the patients' ages."""

    pink: float
    pigment: tuple[float, float]
    typical_network: float
    irregular_dots: float
    blue_globules: float
    arborising: float
    age: tuple[float, float]


_LOOKS = {
    "common_nevus": _Looks(0.05, (0.4, 1.1), 0.7, 0.15, 0.02, 0.2, (38, 14)),
    "atypical_nevus": _Looks(0.05, (0.45, 1.2), 0.5, 0.6, 0.03, 0.2, (42, 14)),
    "melanoma": _Looks(0.08, (0.6, 1.4), 0.15, 0.85, 0.10, 0.15, (60, 15)),
    "basal_cell_carcinoma": _Looks(0.80, (0.35, 0.8), 0.03, 0.6, 0.75, 0.85, (68, 11)),
}
_SITES = ("face", "neck", "chest", "abdomen", "upper back", "lower back", "arm", "forearm", "thigh", "lower leg")
_SITE_WEIGHTS = {"basal_cell_carcinoma": (8, 3, 2, 1, 2, 1, 1, 1, 0.5, 1)}
_TONE_WEIGHTS = {"A": (3, 4, 3, 1, 0.4, 0.2), "B": (1, 3, 4, 3, 1.5, 1), "C": (0.5, 1.5, 3, 4, 3, 2)}
_SMALLEST = 32
_FINE_ENOUGH = 128  # smaller images are drawn larger and averaged, or thin lines would be lost


@dataclass(frozen=True)
class _Sample:
    image: NDArray[np.uint8]
    label: str
    findings: dict[str, bool]
    masks: dict[str, NDArray[np.bool_]]
    report: str
    metadata: dict[str, Any]


def make_skin_lesions(
    n_samples: int,
    *,
    size: int = 224,
    hospital: str = "A",
    label_weights: Mapping[str, float] | None = None,
    labels: ArrayLike | None = None,
    ruler: ArrayLike | None = None,
    random_state: int = 0,
    progress: bool = False,
) -> PhantomDataset:
    """Draw synthetic dermoscopic images of skin lesions.

    Each class shows each finding with its own probability, and these overlap: no finding decides the class alone.
    Image ``i`` depends on the seed and on the arguments for image ``i``, not on ``n_samples``.
    One seed gives the same classes and findings in every hospital; patients, devices and clutter differ.

    Parameters
    ----------
    n_samples : int
        Number of images, each of one patient.
    size : int
        Side of the square images in pixels, at least 32.
    hospital : {"A", "B", "C"}
        Sets the colour balance, light, blur and noise of the device, and how often hairs, gel bubbles, ink and
        rulers are in the picture.
    label_weights : mapping of str to float, optional
        Relative frequency of each class in ``SKIN_CLASSES``; classes left out are not drawn. Equal if None.
    labels : array-like of str of shape (n_samples,), optional
        The classes to draw, instead of random ones.
    ruler : array-like of bool of shape (n_samples,), optional
        Which images show a ruler, a confounder when it is tied to the label. If None, as often as in the hospital.
    random_state : int
        Seed.
    progress : bool
        Show a progress bar.

    Returns
    -------
    PhantomDataset
        ``images`` uint8 (n_samples, size, size, 3); ``findings`` with one column a finding of ``SKIN_FINDINGS``;
        ``metadata`` with hospital, patient_id, sex, age (years), skin_tone (Fitzpatrick-like, I to VI), site and
        ruler.

    Raises
    ------
    InputError
        If a number is out of range, a hospital or class is unknown, or ``labels`` or ``ruler`` do not fit.
    """
    for name, value, least in (
        ("n_samples", n_samples, 1),
        ("size", size, _SMALLEST),
        ("random_state", random_state, 0),
    ):
        check_whole(value, name, at_least=least)
    check_hospital(hospital, DEVICES)
    weights = check_label_weights(label_weights, SKIN_CLASSES)
    given = check_given_labels(labels, label_weights, SKIN_CLASSES, n_samples)
    rulers = check_flags(ruler, "ruler", n_samples)
    seeds = np.random.SeedSequence(random_state).spawn(n_samples)
    samples = [
        _make_one(
            seed,
            patient_id=f"{hospital}-{random_state}-{i:05d}",
            size=size,
            hospital=hospital,
            weights=weights,
            label=None if given is None else given[i],
            ruler=None if rulers is None else rulers[i],
        )
        for i, seed in enumerate(tqdm(seeds, desc="Drawing skin lesions", disable=not progress))
    ]
    return PhantomDataset(
        images=np.stack([sample.image for sample in samples]),
        labels=np.array([sample.label for sample in samples]),
        findings=pd.DataFrame([sample.findings for sample in samples], columns=list(SKIN_FINDINGS)),
        masks=tuple(sample.masks for sample in samples),
        reports=tuple(sample.report for sample in samples),
        metadata=pd.DataFrame([sample.metadata for sample in samples]),
        modality="skin-lesion",
    )


def _make_one(
    seed: np.random.SeedSequence,
    *,
    patient_id: str,
    size: int,
    hospital: str,
    weights: NDArray[np.float64],
    label: str | None,
    ruler: bool | None,
) -> _Sample:
    case_seed, look_seed, picture_seed, nuisance_seed, report_seed = seed.spawn(5)
    rng = np.random.default_rng(case_seed)
    random_label, chance = str(rng.choice(SKIN_CLASSES, p=weights)), rng.random()
    label = random_label if label is None else label
    ruler = bool(chance < DEVICES[hospital].ruler) if ruler is None else ruler
    findings = _sample_findings(label, rng)
    metadata = {"hospital": hospital, "patient_id": patient_id, **_sample_patient(label, hospital, rng)}
    lesion = _sample_lesion(label, findings, metadata["skin_tone"], np.random.default_rng(look_seed))
    image, masks = draw_lesion(
        lesion, size=size, hospital=hospital, ruler=ruler, seed=picture_seed, nuisance=nuisance_seed
    )
    report = write_skin_report(
        findings,
        site=metadata["site"],
        rng=np.random.default_rng(report_seed),
        typical_network=lesion.typical_network > 0,
        arborising=lesion.arborising,
        blue_globules=lesion.blue_globules,
    )
    return _Sample(image, label, findings, masks, report, {**metadata, "ruler": ruler})


def draw_lesion(
    lesion: Lesion,
    *,
    size: int,
    hospital: str,
    ruler: bool,
    seed: np.random.SeedSequence,
    nuisance: np.random.SeedSequence,
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]:
    """Draw one lesion as a hospital would photograph it; equal seeds keep all but the changed finding the same."""
    zoom = -(-_FINE_ENOUGH // size)
    scene = new_scene(size * zoom, lesion, np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key))
    masks = paint_lesion(scene)
    image = spoil(render(scene), DEVICES[hospital], ruler=ruler, rng=np.random.default_rng(nuisance))
    if zoom == 1:
        return image, masks
    shrunk = image.reshape(size, zoom, size, zoom, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    return shrunk, {name: _shrink(mask, zoom) for name, mask in masks.items()}


def _shrink(mask: NDArray[np.bool_], zoom: int) -> NDArray[np.bool_]:
    """True where any pixel of a block of ``zoom x zoom`` is."""
    size = len(mask) // zoom
    return np.asarray(mask.reshape(size, zoom, size, zoom).any(axis=(1, 3)))


def _sample_findings(label: str, rng: np.random.Generator) -> dict[str, bool]:
    column = SKIN_CLASSES.index(label)
    return {finding: bool(rng.random() < _ODDS[finding][column]) for finding in SKIN_FINDINGS}


def _sample_patient(label: str, hospital: str, rng: np.random.Generator) -> dict[str, Any]:
    site = np.asarray(_SITE_WEIGHTS.get(label, np.ones(len(_SITES))), float)
    tone = np.asarray(_TONE_WEIGHTS[hospital], float)
    return {
        "sex": str(rng.choice(["F", "M"])),
        "age": int(np.clip(np.round(rng.normal(*_LOOKS[label].age)), 16, 95)),
        "skin_tone": str(rng.choice(SKIN_TONES, p=tone / tone.sum())),
        "site": str(rng.choice(_SITES, p=site / site.sum())),
    }


def _sample_lesion(label: str, findings: Mapping[str, bool], skin_tone: str, rng: np.random.Generator) -> Lesion:
    looks = _LOOKS[label]
    pink = rng.random() < looks.pink
    pigment = rng.uniform(0.03, 0.16) if pink else rng.uniform(*looks.pigment)
    typical = rng.random() < looks.typical_network and not (pink or findings["pigment_network"])
    strength = rng.uniform(0.6, 1.1)
    return Lesion(
        findings=frozenset(finding for finding, present in findings.items() if present),
        skin_tone=skin_tone,
        pigment=pigment,
        warmth=rng.uniform(0, 1),
        irregular_dots=rng.random() < looks.irregular_dots,
        blue_globules=rng.random() < looks.blue_globules,
        arborising=rng.random() < looks.arborising,
        typical_network=strength if typical else 0.0,
    )
