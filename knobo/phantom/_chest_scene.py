"""A patient on the film: thickness of every tissue along the beam, and the attenuation that they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from knobo.phantom import _chest_bones as bones
from knobo.phantom import _chest_soft as soft
from knobo.phantom._chest_patient import SIDES, Patient
from knobo.phantom._chest_vessels import vessel_tree
from knobo.phantom._film import Field, Film, Points, ramp

MU_SOFT, MU_LUNG, MU_BONE, MU_METAL = 0.165, 0.045, 0.42, 4.0  # per cm, about those of a 110 kV beam


@dataclass
class Scene:
    """Thicknesses in cm, each of shape (size, size), that findings may change.

    Attributes
    ----------
    lungs : dict of side (-1 right, 1 left) to Field
        Depth of lung along the beam, beside and behind the heart.
    filled : Field
        Share of the lung's depth in which fluid or cells have replaced the air.
    emptied : Field
        Share of the lung's depth that is free air, without vessels.
    tissue, bone, gas, metal : Field
        Soft tissue without lungs; bone; air outside the lungs; devices.
    vessels : Field
        Vessels inside aerated lung.
    trees : dict of side to list of (curves, radii)
        The vessels' paths.
    """

    film: Film
    patient: Patient
    lungs: dict[int, Field]
    tissue: Field
    bone: Field
    gas: Field
    heart: Field
    upper: Field
    vessels: Field
    trees: dict[int, list[tuple[Points, Points]]]
    filled: Field = field(init=False)
    emptied: Field = field(init=False)
    metal: Field = field(init=False)

    def __post_init__(self) -> None:
        self.filled, self.emptied, self.metal = (self.film.zeros() for _ in range(3))

    def fill(self, share: Field) -> None:
        """Replace a share of the air that is left."""
        self.filled = 1 - (1 - self.filled) * (1 - share)

    def attenuation(self) -> Field:
        """Exponent of the beam's weakening in each pixel (Beer-Lambert)."""
        air = self.lungs[-1] + self.lungs[1]
        aerated = (1 - self.filled) * (1 - self.emptied)
        lung = air * (MU_SOFT * self.filled + MU_LUNG * self.patient.lucency * aerated)
        inside = aerated * ramp(air, 0.3, 4.0)
        soft_tissue = self.tissue - air - self.gas + self.vessels * inside
        return (
            np.float32(MU_SOFT) * np.clip(soft_tissue, 0, None)
            + lung
            + np.float32(MU_BONE) * self.bone
            + np.float32(MU_METAL) * self.metal
        )


def new_scene(film: Film, patient: Patient, seed: np.random.SeedSequence) -> Scene:
    """Put a patient without local findings on the film."""
    right, left, stomach, texture = (np.random.default_rng(child) for child in seed.spawn(4))
    trees = {-1: vessel_tree(patient, -1, right), 1: vessel_tree(patient, 1, left)}
    heart, upper = soft.heart(film, patient), soft.great_vessels(film, patient)
    body = soft.trunk(film, patient)
    middle = soft.union([heart, upper])
    lungs = {side: np.clip(soft.lung_depth(patient, side, film.x, film.y) - middle, 0, None) for side in SIDES.values()}
    vessels = film.tubes(*(generation for tree in trees.values() for generation in tree))
    vessels += 0.10 * film.noise(texture, 0.45) + 0.10 * film.noise(texture, 0.9)
    return Scene(
        film=film,
        patient=patient,
        lungs=lungs,
        tissue=body + soft.breasts(film, patient),
        bone=bones.ribs(film, patient)
        + bones.spine(film, patient)
        + bones.clavicles(film, patient)
        + bones.shoulders(film, patient),
        gas=soft.airways(film, patient) + soft.stomach_gas(film, patient, stomach),
        heart=heart,
        upper=upper,
        vessels=vessels,
        trees=trees,
    )
