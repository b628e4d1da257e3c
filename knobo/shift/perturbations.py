"""Perturbations of an image, each with a dial from 0 (as it is) to 1 (strong)."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Pixels = NDArray[np.uint8]
Perturbation = Callable[[Pixels, float, np.random.Generator], Pixels]


def noise(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Grey Gaussian noise, at 1 with a standard deviation of 0.15 of the range."""
    grain = rng.normal(scale=0.15 * 255 * strength, size=(*image.shape[:2], 1))
    return _clip(image + grain)


def blur(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Gaussian blur, at 1 with a standard deviation of 2 % of the shorter side."""
    sigma = 0.02 * min(image.shape[:2]) * strength
    return _clip(ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0)))


def gamma(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Darker mid-tones: exponent 2 at strength 1."""
    return _clip(255 * (image / 255) ** (2.0**strength))


def contrast(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Less contrast around the mean, a fifth of it at 1."""
    mean = image.mean()
    return _clip(mean + (image - mean) * (1 - 0.8 * strength))


def crop(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Cut all four edges, 15 % of each side at 1, and enlarge to the old size."""
    height, width = image.shape[:2]
    top, left = round(0.15 * strength * height), round(0.15 * strength * width)
    return _resize(image[top : height - top, left : width - left], width, height)


def rotation(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Rotate counter-clockwise, 20 degrees at 1; the corners repeat the edge."""
    return _clip(ndimage.rotate(image.astype(np.float64), 20 * strength, reshape=False, order=1, mode="nearest"))


def jpeg(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """JPEG compression, quality 95 near 0 and 5 at 1."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=round(95 - 90 * strength))
    return np.asarray(Image.open(buffer))


def marker(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Print a white R in the upper left corner, at 1 with a height of a fifth of the shorter side."""
    picture = Image.fromarray(image)
    side = min(picture.size)
    place = (0.03 * side, 0.03 * side)
    ImageDraw.Draw(picture).text(place, "R", fill="white", font=ImageFont.load_default(max(1.0, 0.2 * side * strength)))
    return np.asarray(picture)


def resolution(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Shrink, to an eighth of each side at 1, and enlarge to the old size."""
    height, width = image.shape[:2]
    share = 1 - 0.875 * strength
    return _resize(_resize(image, max(1, round(width * share)), max(1, round(height * share))), width, height)


PERTURBATIONS: dict[str, Perturbation] = {
    function.__name__: function for function in (noise, blur, gamma, contrast, crop, rotation, jpeg, marker, resolution)
}


def perturb(image: Pixels, name: str, strength: float, rng: np.random.Generator) -> Pixels:
    """Perturb an RGB image of shape (H, W, 3); strength 0 returns it as it is."""
    return PERTURBATIONS[name](image, strength, rng) if strength > 0 else image


def _clip(values: NDArray[np.float64]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _resize(image: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR))
