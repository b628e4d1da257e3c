"""Who stands before the detector: size and pose of a synthetic patient, and how some findings change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

SIDES = {"right": -1, "left": 1}
LOBES = ("right upper lobe", "right middle lobe", "right lower lobe", "left upper lobe", "left lower lobe")
DEVICES = {"pacemaker": 0.4, "central line": 0.25, "endotracheal tube": 0.15, "monitor leads": 0.2}  # how often


@dataclass(frozen=True)
class Patient:
    """Measures of one patient in cm, in the coordinates of :class:`~knobo.phantom._film.Film`.

    Attributes
    ----------
    sex, age, view : "F" or "M", years, "PA" or "AP"
    stout : float
        Soft tissue of the chest wall, from 0 (slim) to 1.
    half_width : float
        Largest inner half width of the thorax.
    depth : float
        Half of the trunk's thickness along the beam.
    apex, dome, sulcus : float
        Heights (y, downwards) of the lung tips, the right diaphragm's top, and the costophrenic angles.
    lift : tuple of 2 float
        How much higher than usual the right and the left diaphragm stand.
    turn, lean : float
        Rotation about the long axis (radians), and lean of the trunk (cm sideways for each cm down).
    offset, film_width : tuple of 2 float, float
        What is in the middle of the film, and its width.
    heart : float
        Size of the heart relative to a usual one.
    narrow : float
        Sideways squeeze of the heart, 1 for none.
    drift : float
        Sideways shift of the mediastinum.
    breast : float
        Radius of the breast shadows, 0 for none.
    lucency : float
        Share of the usual tissue in a cm of lung.
    """

    sex: str
    age: int
    view: str
    stout: float
    half_width: float
    depth: float
    apex: float
    dome: float
    sulcus: float
    lift: tuple[float, float]
    turn: float
    lean: float
    offset: tuple[float, float]
    film_width: float
    heart: float
    narrow: float
    drift: float
    breast: float
    lucency: float

    def top_of_diaphragm(self, side: int) -> float:
        """Height of the dome; the left one usually stands a finger's breadth lower."""
        return self.dome - self.lift[side > 0] + (1.0 if side > 0 else 0.0)


def sample_patient(rng: np.random.Generator, *, sex: str, age: int, view: str) -> Patient:
    """Draw a patient without any finding."""
    stout = float(rng.beta(2, 3))
    man, supine = sex == "M", view == "AP"
    scale = rng.normal(1.0, 0.035) * (1.0 if man else 0.92)
    breath = rng.normal(0.0, 0.8) - (1.6 if supine else 0.0)
    dome = 7.4 * scale + breath
    return Patient(
        sex=sex,
        age=age,
        view=view,
        stout=stout,
        half_width=float(13.2 * scale + rng.normal(0, 0.3)),
        depth=float(9.6 + 2.6 * stout + rng.normal(0, 0.3)),
        apex=float(-13.2 * scale + rng.normal(0, 0.3)),
        dome=float(dome),
        sulcus=float(dome + rng.uniform(3.6, 4.8)),
        lift=(float(rng.normal(0, 0.25)), float(rng.normal(0, 0.25))),
        turn=float(rng.normal(0, 0.05 if supine else 0.025)),
        lean=float(rng.normal(0, 0.045 if supine else 0.02)),
        offset=(float(rng.normal(0, 0.7)), float(rng.normal(-0.3, 0.8))),
        film_width=float(rng.uniform(35, 40) * (0.5 + 0.5 * scale) + 2.0 * stout),
        heart=float(np.clip(rng.normal(0.97, 0.05), 0.86, 1.06) * scale * (1.1 if supine else 1.0)),
        narrow=1.0,
        drift=0.0,
        breast=0.0 if man else float(rng.uniform(5.0, 6.4) + 1.8 * stout),
        lucency=float(rng.normal(1.0, 0.08)),
    )


@dataclass(frozen=True)
class Details:
    """Where and how the findings show, drawn whether or not they are present.

    Attributes
    ----------
    effusion : tuple of 2 float
        Amount of fluid on the right and on the left, 0 to 1.
    lobe : str
        Lobe of the consolidation.
    pneumothorax_side, nodule_side, atelectasis_side : "right" or "left"
    collapse : bool
        Whether the atelectasis is of a lobe, rather than plate-like.
    device : str
        One of ``DEVICES``.
    """

    effusion: tuple[float, float]
    lobe: str
    pneumothorax_side: str
    nodule_side: str
    atelectasis_side: str
    collapse: bool
    device: str


def sample_details(rng: np.random.Generator) -> Details:
    """Draw the details of all findings."""
    sides = rng.choice(["right", "left"], 3)
    return Details(
        effusion=(float(rng.beta(1.6, 2)), float(rng.beta(1.6, 2))),
        lobe=str(rng.choice(LOBES, p=[0.22, 0.16, 0.26, 0.14, 0.22])),
        pneumothorax_side=str(sides[0]),
        nodule_side=str(sides[1]),
        atelectasis_side=str(sides[2]),
        collapse=bool(rng.random() < 0.35),
        device=str(rng.choice(list(DEVICES), p=list(DEVICES.values()))),
    )


def adapt(patient: Patient, findings: Mapping[str, bool], details: Details, rng: np.random.Generator) -> Patient:
    """Change the patient's build as far as the findings do; every draw is made whether or not it is used."""
    enlarged, air, squeeze = rng.uniform(1.28, 1.5), rng.uniform(1.6, 2.8), rng.uniform(0.68, 0.8)
    thin, flat, loss = rng.uniform(0.62, 0.75), rng.uniform(1.0, 1.7), rng.uniform(0.9, 1.7)
    if findings["cardiomegaly"]:
        patient = replace(patient, heart=patient.heart * enlarged)
    if findings["hyperinflation"]:
        dome = patient.dome + air
        patient = replace(
            patient,
            dome=dome,
            sulcus=dome + flat,
            lift=(patient.lift[0], patient.lift[1] + 0.5),
            half_width=patient.half_width * 1.03,
            narrow=0.9 if findings["cardiomegaly"] else squeeze,
            lucency=patient.lucency * thin,
        )
    if findings["atelectasis"]:
        side = SIDES[details.atelectasis_side]
        right, left = patient.lift
        lift = (right, left + loss) if side > 0 else (right + loss, left)
        patient = replace(patient, lift=lift, drift=patient.drift + side * (1.0 if details.collapse else 0.3))
    for name, side in SIDES.items():
        amount = details.effusion[side > 0]
        if findings[f"pleural_effusion_{name}"] and amount > 0.5:
            patient = replace(patient, drift=patient.drift - side * 1.6 * (amount - 0.5))
    return patient
