"""How far the perceptual hash of ``knobo images check`` tells changed copies from other images.

    python benchmarks/near_duplicates.py FOLDER [FOLDER ...] [--copies 100]

Each folder of images is hashed. Printed: the share of the 255 bits in which the closest pairs of different files
differ, and in which an image differs from a changed copy of itself (median and 95 % quantile): JPEG of
quality 50, half the size, brighter, gamma 0.8, and 1 % or 3 % cut off every side. Then the time that a look takes
and that the comparison of 20,000 random hashes takes.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from knobo.images import read_image
from knobo.images.check import _near_duplicates
from knobo.images.look import Look, look, perceptual_hash

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif"}


def changed(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Copies as they come about when images are passed on."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    yield "JPEG quality 50", Image.open(buffer).convert("L")
    yield "half size", image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    yield "brighter", image.point(lambda value: min(255, int(value * 1.15 + 8)))
    yield "gamma 0.8", image.point(lambda value: int(255 * (value / 255) ** 0.8))
    for share in (0.01, 0.03):
        x, y = round(image.width * share), round(image.height * share)
        yield f"{share:.0%} cut off", image.crop((x, y, image.width - x, image.height - y))


def row(folder: Path, copies: int) -> dict[str, object]:
    """Figures of one folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    start = time.perf_counter()
    looks = [look(path) for path in paths]
    seconds = time.perf_counter() - start
    _, first = np.unique([seen.digest for seen in looks], return_index=True)
    signs = np.array([looks[n].bits for n in first]).astype(np.float32) * 2 - 1
    shares = (1 - signs @ signs.T / signs.shape[1]) / 2
    between = np.sort(shares[np.triu_indices(len(first), 1)])
    within = defaultdict(list)
    for path, seen in list(zip(paths, looks, strict=True))[:copies]:
        for name, copy in changed(Image.fromarray(read_image(path)).convert("L")):
            within[name].append((perceptual_hash(copy) != seen.bits).mean())
    figures = {name: f"{np.median(values):.3f} / {np.quantile(values, 0.95):.3f}" for name, values in within.items()}
    closest = ", ".join(f"{share:.3f}" for share in between[:3])
    return {
        "folder": folder.name,
        "images": len(paths),
        "closest pairs": closest,
        **figures,
        "looks/s": len(paths) / seconds,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--copies", type=int, default=100)
    arguments = parser.parse_args()
    print(pd.DataFrame([row(folder, arguments.copies) for folder in arguments.folders]).T.to_string(header=False))
    rng = np.random.default_rng(0)
    many = [Look(digest=str(n), spread=1.0, bits=rng.random(255) > 0.5) for n in range(20_000)]
    start = time.perf_counter()
    list(_near_duplicates(many, [""] * len(many), {}, 0.12))
    print(f"20,000 hashes compared in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
