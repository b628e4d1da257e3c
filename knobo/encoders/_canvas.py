"""The working copy of an image on which the classical descriptors are measured: one size, CIELAB, four regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

WORKING_SIZE = 192
"""Square root of the number of pixels of a canvas."""

REGIONS = ("core", "rim", "halo", "surround")
"""Inside the foreground and away from its border; inside along the border; just outside; the rest."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Canvas:
    """An image at working size.

    Attributes
    ----------
    rgb : ndarray of shape (h, w, 3), uint8
        h and w are multiples of 8 and keep the aspect ratio, up to 1:4.
    lab : ndarray of shape (h, w, 3), float32
        CIELAB under D65: L* in [0, 100], a*, b*.
    foreground : ndarray of shape (h, w), bool
        The darker structure in the middle: the lesion of a dermoscopic image. Never empty.
    darkness : ndarray of shape (h, w), float32
        The same as a degree in [0, 1].
    regions : tuple of four ndarrays of shape (h, w), bool
        In the order of :data:`REGIONS`, none empty.
    background : ndarray of shape (3,), float32
        CIELAB colour around the foreground: the skin of a dermoscopic image.
    """

    rgb: NDArray[np.uint8]
    lab: Floats
    foreground: Mask
    darkness: Floats
    regions: tuple[Mask, ...]
    background: Floats

    @property
    def lightness(self) -> Floats:
        """L* in [0, 1], shape (h, w)."""
        return self.lab[..., 0] / np.float32(100)

    @property
    def radius(self) -> float:
        """Radius, in pixels, of the disc that has the foreground's area."""
        return float(np.sqrt(self.foreground.sum() / np.pi))


def make_canvas(rgb: NDArray[np.uint8]) -> Canvas:
    """Bring an RGB image of shape (H, W, 3) to working size and part it into regions."""
    pixels = _resize(rgb)
    foreground, darkness = _segment(pixels)
    lab = to_lab(pixels)
    return Canvas(
        rgb=pixels,
        lab=lab,
        foreground=foreground,
        darkness=darkness,
        regions=_regions(foreground),
        background=_background(lab, foreground),
    )


def to_lab(rgb: NDArray[np.uint8]) -> Floats:
    """Convert 8-bit sRGB of shape (..., 3) to CIELAB under D65 (CIE 15; IEC 61966-2-1 for sRGB)."""
    steps = np.arange(256) / 255.0
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4).astype(np.float32)
    xyz = linear[rgb] @ _RGB_TO_XYZ.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), xyz * np.float32(7.787) + np.float32(16 / 116))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


_WHITE = np.array([0.95047, 1.0, 1.08883])
_RGB_TO_XYZ = (
    np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    / _WHITE[:, None]
).astype(np.float32)


def box_resize(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize by averaging the pixels that fall into each new one."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def unit_grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Coordinates y and x of shape (height, width) that run from -1 to 1."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return y, x


def _resize(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    aspect = float(np.clip(rgb.shape[1] / rgb.shape[0], 0.25, 4.0))
    width = 8 * round(WORKING_SIZE * aspect**0.5 / 8)
    height = 8 * round(WORKING_SIZE / aspect**0.5 / 8)
    image = Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(image)


def _segment(rgb: NDArray[np.uint8]) -> tuple[Mask, Floats]:
    """Find the dark structure in the middle: Otsu's threshold, then the components that weigh most at the centre.

    Melanin absorbs most at short wavelengths, so blue and green are weighed and red is left out. The corners, where
    a dermoscope or a collimator leaves a dark rim, have no say in the threshold.
    """
    tone = ndimage.gaussian_filter(rgb[..., 2] * np.float32(0.6 / 255) + rgb[..., 1] * np.float32(0.4 / 255), 2)
    y, x = unit_grid(*tone.shape)
    r2 = x**2 + y**2
    view = tone[r2 < 1.3]
    threshold = _otsu(view)
    darkness = 1 / (1 + np.exp(np.clip((tone - threshold) * (4 / (view.std() + 1e-6)), -30, 30)))
    labels, n = ndimage.label((tone < threshold) & (r2 < 1.5))
    if n:
        weight = ndimage.sum_labels(np.exp(-2 * r2), labels, np.arange(1, n + 1))
        keep = np.flatnonzero(weight >= 0.25 * weight.max()) + 1
        mask = ndimage.binary_fill_holes(np.isin(labels, keep))
        if mask.sum() >= 50:
            return mask, darkness.astype(np.float32)
    return r2 < 0.25, darkness.astype(np.float32)


def _otsu(values: Floats, bins: int = 128) -> float:
    """Threshold of largest between-class variance (Otsu, IEEE Trans. SMC 9, 1979)."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    total = np.cumsum(counts * centres)
    gap = total[:-1] / np.maximum(below, 1) - (total[-1] - total[:-1]) / np.maximum(above, 1)
    return float(centres[np.argmax(below * above * gap**2)])


def _regions(foreground: Mask) -> tuple[Mask, ...]:
    depth = ndimage.distance_transform_edt(foreground) - ndimage.distance_transform_edt(~foreground)
    band = 0.3 * np.sqrt(foreground.sum() / np.pi)
    inside, outside = depth > 0, depth <= 0
    parts = (depth > band, inside & (depth <= band), outside & (depth > -band), depth <= -band)
    whole = (foreground, foreground, ~foreground, ~foreground)
    filled = [part if part.sum() > 20 else spare for part, spare in zip(parts, whole, strict=True)]
    return tuple(part if part.sum() > 20 else np.ones_like(part) for part in filled)


def _background(lab: Floats, foreground: Mask) -> Floats:
    y, x = unit_grid(*foreground.shape)
    around = ~foreground & (x**2 + y**2 < 1.1)
    if around.sum() < 50:
        return np.percentile(lab.reshape(-1, 3), 80, axis=0).astype(np.float32)
    return np.median(lab[around], axis=0).astype(np.float32)
