"""Speed and deviation of bfloat16 against float32, for an open_clip architecture with random weights.

    python benchmarks/encoder_precision.py [--arch ViT-B-16] [--n 16] [--batch 8] [--rounds 3] [--device cpu]

Writes the model to a temporary folder in open_clip's format, as a published one comes. The precisions take turns, so
that a busy moment touches both; speeds are the best of the rounds. Needs no network.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file

from knobo.encoders import load_encoder

TEXTS = ["a radiograph with a pleural effusion", "no nodule", "a pigmented lesion with an irregular border"]


def main() -> None:
    """Print images per second of both precisions, and the smallest cosine between their rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="ViT-B-16")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    coarse = np.random.default_rng(0).integers(0, 256, (options.n, 14, 14, 3), dtype=np.uint8)
    images = list(coarse.repeat(32, axis=1).repeat(32, axis=2))
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        model = open_clip.create_model(options.arch)
        save_file(model.state_dict(), Path(folder) / "open_clip_model.safetensors")
        config = {"model_cfg": open_clip.get_model_config(options.arch), "preprocess_cfg": {}}
        (Path(folder) / "open_clip_config.json").write_text(json.dumps(config))
        encoders = {
            precision: load_encoder(folder, device=options.device, precision=precision, batch_size=options.batch)
            for precision in ("fp32", "bf16")
        }
    speeds: dict[str, list[float]] = {precision: [] for precision in encoders}
    for _ in range(options.rounds + 1):  # the first round warms up
        rows = {}
        for precision, encoder in encoders.items():
            start = time.perf_counter()
            rows[precision] = encoder.encode_images(images)
            speeds[precision].append(options.n / (time.perf_counter() - start))
    for precision, values in speeds.items():
        print(f"{options.arch} {precision}: {max(values[1:]):.2f} images/s ({torch.get_num_threads()} threads)")
    texts = [encoder.encode_texts(TEXTS) for encoder in encoders.values()]
    print(f"smallest cosine: images {(rows['fp32'] * rows['bf16']).sum(axis=1).min():.5f}, ", end="")
    print(f"texts {(texts[0] * texts[1]).sum(axis=1).min():.5f}")


if __name__ == "__main__":
    main()
