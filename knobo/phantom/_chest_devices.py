"""Things that are no anatomy: pacemaker, central line, breathing tube, electrodes."""

from __future__ import annotations

import numpy as np

from knobo.phantom._chest_patient import Patient
from knobo.phantom._film import Field, Film, curve, ramp

_WIRE, _CATHETER, _TUBE = 0.5, 0.06, 0.035  # how radiopaque, relative to metal


def add_device(film: Film, patient: Patient, kind: str, rng: np.random.Generator) -> Field:
    """Equivalent thickness of metal in cm of one kind of device."""
    draw = {
        "pacemaker": _pacemaker,
        "central line": _central_line,
        "endotracheal tube": _endotracheal_tube,
        "monitor leads": _monitor_leads,
    }[kind]
    return draw(film, patient, rng)


def _pacemaker(film: Film, p: Patient, rng: np.random.Generator) -> Field:
    """Generator below a clavicle, usually the left, and one or two leads through the upper vena cava."""
    side = 1 if rng.random() < 0.85 else -1
    box = np.array([side * 0.66 * p.half_width, p.apex + 6.0]) + rng.normal(0, 0.4, 2)
    tilt = rng.normal(0.2, 0.25) * side
    dx, dy = film.x - np.float32(box[0]), film.y - np.float32(box[1])
    u = (dx * np.cos(tilt) + dy * np.sin(tilt)) / 2.3
    v = (dy * np.cos(tilt) - dx * np.sin(tilt)) / 1.9
    round_box = np.abs(u) ** 3 + np.abs(v) ** 3
    can = 0.6 * ramp(-round_box, -1.06, -0.94)
    can -= 0.22 * ramp(-np.abs(u - 0.1), -0.62, -0.5) * ramp(-np.abs(v - 0.15), -0.5, -0.4)
    header = box + np.array([-0.4 * side, -1.5])
    vein = [(side * 7.0, p.apex + 4.6), (side * 3.6, p.apex + 5.0), (-1.6, p.apex + 7.2), (-2.0, p.apex + 11.5)]
    base = p.top_of_diaphragm(1)
    ends = [
        [(-1.9, base - 5.0), (0.8, base - 1.4), (p.heart * 5.0, base - 1.9)],
        [(-2.3, base - 5.5), (-2.9, base - 4.2), (-2.2, base - 6.4)],
    ][: int(rng.integers(1, 3))]
    coil = [(header[0] + side * 0.6, header[1] - 1.0)]
    leads = [(curve([tuple(header), *coil, *vein, *end], 80)[None], 0.085) for end in ends]
    tips = [(curve(end[-2:], 12)[None][:, -3:], 0.16) for end in ends]
    return np.clip(can, 0, None).astype(np.float32) + _WIRE * film.tubes(*leads) + film.tubes(*tips)


def _central_line(film: Film, p: Patient, rng: np.random.Generator) -> Field:
    """Catheter from the neck or a subclavian vein to the upper vena cava."""
    tip = (-2.1 + rng.normal(0, 0.2), p.apex + 10.5 + rng.normal(0, 0.8))
    if rng.random() < 0.6:
        path = [(-7.0, p.apex - 9), (-4.4, p.apex - 4.5), (-3.3, p.apex - 0.5), (-2.3, p.apex + 4.5), tip]
    else:
        path = [
            (15.0, p.apex + 9),
            (10.5, p.apex + 3.6),
            (5.5, p.apex + 3.4),
            (0.5, p.apex + 4.8),
            (-1.9, p.apex + 7.0),
            tip,
        ]
    return _CATHETER * 4 * film.tubes((curve(path, 80)[None], 0.15), hollow=0.35)


def _endotracheal_tube(film: Film, p: Patient, rng: np.random.Generator) -> Field:
    """Breathing tube with its dense line, and a stomach tube."""
    tip = p.apex + 8.6 - rng.uniform(2.5, 4.5)
    middle = 0.1 - p.turn
    tube = curve([(middle + 0.5, p.apex - 12), (middle, p.apex - 3), (middle - 0.1, tip)], 60)
    stripe = tube + np.array([0.36, 0.0])
    down = [
        (middle - 0.6, p.apex - 12),
        (middle + 0.5, p.apex),
        (middle + 0.8, p.apex + 10),
        (1.2, p.sulcus - 3),
        (4.5, p.sulcus + 1.5),
        (6.5, p.sulcus + 3),
    ]
    walls = film.tubes((tube[None], 0.5), hollow=0.82)
    return (
        _TUBE * 2.2 * walls
        + _WIRE * 0.7 * film.tubes((stripe[None], 0.07))
        + _WIRE * film.tubes((curve(down, 80)[None], 0.09), hollow=0.4)
    )


def _monitor_leads(film: Film, p: Patient, rng: np.random.Generator) -> Field:
    """Electrodes on the skin and their wires, which run off the film."""
    spots = np.array([(-0.72, 0.16), (0.74, 0.14), (0.78, 0.86), (-0.6, 0.92)])[: int(rng.integers(3, 5))]
    spots = spots * [p.half_width, p.sulcus - p.apex] + [0, p.apex] + rng.normal(0, 0.5, spots.shape)
    exit_at = np.array([rng.choice([-1, 1]) * rng.uniform(6, 14), p.sulcus + 14])
    total, wires = film.zeros(), []
    for spot in spots:
        total += 0.16 * film.ellipsoid(spot, (0.55, 0.55), 0.5) + 0.5 * film.ellipsoid(spot, (0.22, 0.22), 0.5)
        sway = rng.normal(0, 2.2, (2, 2))
        wires.append(
            (
                curve(
                    [spot, spot + (exit_at - spot) * 0.3 + sway[0], spot + (exit_at - spot) * 0.65 + sway[1], exit_at],
                    60,
                )[None],
                0.075,
            )
        )
    return total + 0.8 * _WIRE * film.tubes(*wires)
