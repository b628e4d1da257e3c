"""A synthetic lesion as layers of absorbing pigment and blood on skin, and their colour under a dermatoscope.

Colours follow the Beer-Lambert law: a layer of density ``c`` and absorption ``k`` leaves ``exp(-k c)`` of the light.
Melanin near the surface turns skin from tan over brown to black; deep melanin absorbs red most and looks blue-grey.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo.phantom._skin_canvas import Canvas, Field, smoothstep

_SKIN_COLOURS = {
    "I": (240, 208, 202),
    "II": (236, 194, 174),
    "III": (224, 176, 142),
    "IV": (198, 146, 108),
    "V": (168, 122, 94),
    "VI": (132, 94, 74),
}
SKIN_TONES = tuple(_SKIN_COLOURS)
_WARM, _COOL = np.array([0.45, 1.0, 1.9]), np.array([0.82, 1.0, 1.12])  # melanin of orange and of grey-brown lesions
_DEEP, _BLOOD = np.array([0.95, 0.75, 0.50]), np.array([0.16, 1.0, 0.85])
_BLACK = np.array([24, 17, 18], np.float32)  # what the thickest pigment still reflects
_LAYERS = (
    "shape", "asymmetry", "irregular_border", "ground", "colour_variegation", "typical_network", "pigment_network",
    "dots_globules", "streaks", "regression", "blue_white_veil", "vessels", "ulceration", "skin", "nuisance",
)  # fmt: skip


@dataclass(frozen=True)
class Lesion:
    """What is drawn: the findings and the looks that no finding describes.

    Attributes
    ----------
    findings : frozenset of str
    skin_tone : str
        Fitzpatrick-like type, I to VI.
    pigment : float
        Melanin density of the ground; near 0 for a pink lesion.
    warmth : float
        Hue of the melanin, from 0 (grey-brown) to 1 (orange).
    irregular_dots : bool
        Dots and globules of many sizes and shades, unevenly spread.
    blue_globules : bool
        Globules lie deep and look blue-grey.
    arborising : bool
        Vessels branch like a tree; otherwise they are dots and short irregular lines.
    typical_network : float
        Strength of a fine regular network; 0 for none.
    """

    findings: frozenset[str]
    skin_tone: str
    pigment: float
    warmth: float
    irregular_dots: bool
    blue_globules: bool
    arborising: bool
    typical_network: float


@dataclass
class Scene:
    """The layers of one image while it is drawn, each of shape (size, size).

    Every layer has its own random stream, so that leaving out one finding changes no other.

    Attributes
    ----------
    depth : ndarray
        Signed distance from the border in canvas units, about; positive inside the lesion.
    body : ndarray
        How much a pixel belongs to the lesion, in [0, 1].
    melanin, deep, blood : ndarray
        Densities of pigment near the surface, of deep pigment, and of blood.
    hazes : list of (alpha, colour)
        Layers that scatter light and lie over all pigment; ``alpha`` of shape (size, size), ``colour`` RGB.
    """

    canvas: Canvas
    lesion: Lesion
    seeds: dict[str, np.random.SeedSequence]
    depth: Field = field(init=False)
    body: Field = field(init=False)
    melanin: Field = field(init=False)
    deep: Field = field(init=False)
    blood: Field = field(init=False)
    hazes: list[tuple[Field, ArrayLike]] = field(default_factory=list)

    def __post_init__(self) -> None:
        empty = np.zeros((self.canvas.size, self.canvas.size), np.float32)
        self.depth, self.body = empty.copy(), empty.copy()
        self.melanin, self.deep, self.blood = empty.copy(), empty.copy(), empty.copy()

    def rng(self, layer: str) -> np.random.Generator:
        """A fresh generator of the layer's own stream."""
        return np.random.default_rng(self.seeds[layer])

    def has(self, finding: str) -> bool:
        return finding in self.lesion.findings

    def patch(
        self, rng: np.random.Generator, share: float, *, cells: int, inward: float, gather: float, soft: float = 0.4
    ) -> Field:
        """Patch on about ``share`` of the lesion, with a soft edge.

        ``inward`` draws it from the border to the centre, ``gather`` to one random place; ``cells`` sets how ragged
        its outline is, ``soft`` how gently it fades.
        """
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.3)
        height = self.canvas.noise(rng, cells, octaves=3)
        height += inward * np.minimum(self.depth, 0.3)
        height -= gather * np.hypot(self.canvas.x - reach * cos(angle), self.canvas.y - reach * sin(angle))
        inside = self.body > 0.5
        level = float(np.quantile(height[inside], 1 - share)) if inside.any() else 0.0
        return smoothstep(height, level - soft, level + soft) * self.body

    def points(self, rng: np.random.Generator, n: int, weight: Field) -> NDArray[np.float32]:
        """Up to ``n`` random places (x, y), denser where ``weight`` in [0, 1] is higher."""
        places = rng.uniform(-1, 1, (24 * n, 2)).astype(np.float32)
        kept = rng.random(len(places)) < self.at(weight, places)
        return places[kept][:n]

    def at(self, layer: Field, places: ArrayLike) -> Field:
        """Values of a layer at places (..., 2) in canvas coordinates; 0 outside the canvas."""
        index = np.floor((np.asarray(places) + 1) * (self.canvas.size / 2)).astype(int)
        inside = ((index >= 0) & (index < self.canvas.size)).all(axis=-1)
        index = np.clip(index, 0, self.canvas.size - 1)
        return np.where(inside, layer[index[..., 1], index[..., 0]], 0).astype(np.float32)


def new_scene(size: int, lesion: Lesion, seed: np.random.SeedSequence) -> Scene:
    """An empty scene with one random stream a layer."""
    return Scene(Canvas(size), lesion, dict(zip(_LAYERS, seed.spawn(len(_LAYERS)), strict=True)))


def render(scene: Scene) -> Field:
    """Colours of the scene, float RGB in [0, 255] of shape (size, size, 3)."""
    skin = _skin(scene)
    melanin = _COOL + scene.lesion.warmth * (_WARM - _COOL)
    density = np.stack([scene.melanin, scene.deep, scene.blood], axis=-1)
    absorbed = density @ np.array([melanin, _DEEP, _BLOOD], np.float32)
    image = _BLACK + np.maximum(skin - _BLACK, 0) * np.exp(-absorbed)
    for alpha, colour in scene.hazes:
        image += alpha[..., None] * (np.asarray(colour, np.float32) - image)
    return image


def _skin(scene: Scene) -> Field:
    """Skin without the lesion: flushed and pigmented unevenly, with fine furrows and pores."""
    rng, canvas = scene.rng("skin"), scene.canvas
    colour = np.array(_SKIN_COLOURS[scene.lesion.skin_tone]) * rng.normal(1, (0.02, 0.03, 0.04))
    flush = 0.03 * canvas.noise(rng, 4, octaves=2) + 0.012 * canvas.noise(rng, 22, octaves=2)
    tan = 0.025 * canvas.noise(rng, 5, octaves=4)
    along, across = canvas.noise(rng, (20, 60)), canvas.noise(rng, (60, 20))
    furrows = np.exp(-((along / 0.25) ** 2)) + np.exp(-((across / 0.25) ** 2))
    furrows *= 0.04 * smoothstep(canvas.noise(rng, 3), -1, 1.5)
    grain = 0.02 * canvas.noise(rng, 90)
    pores = canvas.stamp(rng.uniform(-1, 1, (int(rng.integers(10, 60)), 2)), rng.uniform(0.006, 0.014), soft=1.5)
    shade = tan + furrows + grain - 0.05 * pores
    absorbed = np.stack([shade, flush], axis=-1) @ np.array([(0.6, 1.0, 1.4), _BLOOD], np.float32)
    return np.asarray(colour, np.float32) * np.exp(-absorbed)
