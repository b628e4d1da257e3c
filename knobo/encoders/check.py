"""Does an encoder do what it promises: shapes, unit rows, the same numbers twice, and how fast."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from knobo.encoders.base import Encoder, TextEncoder

_TEXTS = ["a radiograph with a pleural effusion", "a photograph of a skin lesion"]
_ATOL = 1e-3  # of unit rows: bf16 on a CPU may round the two runs of a batch differently


@dataclass(frozen=True)
class EncoderCheck:
    """What two images and two texts showed.

    Attributes
    ----------
    spec : str
    image_dim : int
        Size of an image's embedding.
    text_dim : int or None
        Size of a text's embedding; None without a text side.
    images_per_second : float
        Of a second run, two images a batch.
    norm_error, repeat_error : float
        Largest distance of a row's length from 1, and of a value from itself in a second run.
    cosine : float or None
        Smallest cosine between a row and that of the reference encoder; None without one.
    """

    spec: str
    image_dim: int
    text_dim: int | None
    images_per_second: float
    norm_error: float
    repeat_error: float
    cosine: float | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, if anything."""
        found = []
        if self.text_dim not in (None, self.image_dim):
            found.append(f"texts have {self.text_dim} values and images {self.image_dim}")
        if self.norm_error > _ATOL:
            found.append(f"rows are not of length 1 (off by {self.norm_error:.2g})")
        if self.repeat_error > _ATOL:
            found.append(f"a second run differs by {self.repeat_error:.2g}")
        return tuple(found)


def check_encoder(encoder: Encoder, reference: Encoder | None = None) -> EncoderCheck:
    """Encode two synthetic images and, if there is a text side, two texts, twice each.

    Parameters
    ----------
    encoder : Encoder
    reference : Encoder, optional
        The same model in float32, to tell how far reduced precision is from it.

    Returns
    -------
    EncoderCheck
        Look at its ``problems``.
    """
    noise = np.random.default_rng(0).integers(0, 256, (300, 256, 3), dtype=np.uint8)
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8)[:, None], (1, 300))
    images = [noise, np.stack([ramp] * 3, axis=2)]
    first = encoder.encode_images(images)
    start = time.perf_counter()
    second = encoder.encode_images(images)
    speed = len(images) / (time.perf_counter() - start)
    pairs = [(first, second)]
    text_dim = None
    if isinstance(encoder, TextEncoder):
        pairs.append((encoder.encode_texts(_TEXTS), encoder.encode_texts(_TEXTS)))
        text_dim = int(pairs[1][0].shape[1])
    return EncoderCheck(
        encoder.spec,
        int(first.shape[1]),
        text_dim,
        speed,
        max(float(np.abs(np.linalg.norm(one, axis=1) - 1).max()) for one, _ in pairs),
        max(float(np.abs(one - two).max()) for one, two in pairs),
        None if reference is None else float((first * reference.encode_images(images)).sum(axis=1).min()),
    )
