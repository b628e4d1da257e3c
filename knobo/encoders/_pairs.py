"""Image-report pairs as a training run sees them: checked, cropped, with some sentences of each report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from knobo.encoders.base import as_images
from knobo.encoders.decode import open_rgb
from knobo.errors import InputError, InputTypeError
from knobo.images import ImageSource

if TYPE_CHECKING:
    import torch

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Settings:
    start: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    sentences: int | None
    crop: float
    jitter: float
    precision: str
    random_state: int


class Pairs(NamedTuple):
    images: Sequence[ImageSource]
    reports: Sequence[str]


def check_pairs(images: Sequence[ImageSource], reports: Sequence[str], settings: Settings) -> Pairs:
    images = as_images(images)
    if isinstance(reports, str):
        raise InputTypeError("reports must be a list of strings, one an image.")
    texts = list(reports)
    if len(texts) != len(images):
        raise InputError(f"There are {len(images)} images but {len(texts)} reports; pass one text an image.")
    for n, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"reports[{n}] is empty or no text; leave out images without a report.")
    if not 2 <= settings.batch_size <= len(images):
        raise InputError(f"batch_size must be from 2 to the {len(images)} images, got {settings.batch_size}.")
    for name, fits, wanted in (
        ("epochs", settings.epochs >= 1, "at least 1"),
        ("learning_rate", settings.learning_rate > 0, "above 0"),
        ("weight_decay", settings.weight_decay >= 0, "at least 0"),
        ("warmup", 0 <= settings.warmup < 1, "at least 0 and below 1"),
        ("sentences", settings.sentences is None or settings.sentences >= 1, "at least 1, or None"),
        ("crop", 0 < settings.crop <= 1, "above 0 and at most 1"),
        ("jitter", 0 <= settings.jitter < 1, "at least 0 and below 1"),
        ("precision", settings.precision in ("auto", "fp32", "bf16"), "'auto', 'fp32' or 'bf16'"),
        ("random_state", settings.random_state >= 0, "at least 0"),
    ):
        if not fits:
            raise InputError(f"{name} must be {wanted}, got {getattr(settings, name)}.")
    return Pairs(images, texts)


def digest(pairs: Pairs) -> str:
    """A mark of the data, cheap enough for a million images: names of files, or bytes of arrays, and the texts."""
    digest = hashlib.sha256()
    for image, text in zip(*pairs, strict=True):
        digest.update(str(image).encode() if isinstance(image, str | Path) else np.asarray(image).tobytes())
        digest.update(b"\0" + text.encode() + b"\0")
    return digest.hexdigest()


def augment(preprocess: Mapping[str, Any], settings: Settings) -> Any:
    """Random crop, brightness, contrast and saturation, then the model's own normalisation."""
    from torchvision import transforms

    size, jitter = preprocess["size"], settings.jitter
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                size, scale=(settings.crop, 1.0), ratio=(0.9, 1.1), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.ColorJitter(jitter, jitter, jitter),
            transforms.ToTensor(),
            transforms.Normalize(preprocess["mean"], preprocess["std"]),
        ]
    )


class EpochPairs:
    """Pairs as a torch dataset; what is drawn for pair n depends on the seed, the epoch and n alone."""

    def __init__(self, pairs: Pairs, transform: Any, settings: Settings, epoch: int) -> None:
        self.pairs, self.transform, self.settings, self.epoch = pairs, transform, settings, epoch

    def __len__(self) -> int:
        return len(self.pairs.images)

    def __getitem__(self, n: int) -> tuple[torch.Tensor, str]:
        import torch

        rng = np.random.default_rng((self.settings.random_state, self.epoch, n))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            pixels = self.transform(open_rgb(self.pairs.images[n]))
        return pixels, _draw_sentences(self.pairs.reports[n], self.settings.sentences, rng)


def _draw_sentences(report: str, count: int | None, rng: np.random.Generator) -> str:
    parts = _SENTENCE_END.split(report.strip())
    if count is None or count >= len(parts):
        return report
    chosen = np.sort(rng.choice(len(parts), count, replace=False))
    return " ".join(parts[k] for k in chosen)
