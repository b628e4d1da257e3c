"""What the embedding pipeline costs on top of the model, or of decoding, and what the store saves.

    python benchmarks/embedding.py [PART ...] [--device cpu] [--model ViT-B-16] [--precision fp32] [--images 24]

Parts (all but ``formats`` by default):

model     end to end from 1024 px JPEG files, full and scaled decoding, beside the bare forward pass on ready tensors, a
          serial loop, and concept scoring on top; FLOP/s beside the measured rate of a matrix product
decode    the same with a model that costs next to nothing, beside decoding alone with as many threads
scaled    how far embeddings move when JPEG files are decoded at a fraction of their size
store     a second run on unchanged images: hashing, and trusting the file system; and the store's own part of it
memory    peak memory against the number of images, each in a process of its own
formats   safetensors shards beside Parquet and Arrow files (needs pyarrow)

Images are synthetic and weights are random: speed does not depend on them. Rows of one table are timed in turn, and the
best of the repeats is given, in wall seconds and in CPU seconds of the process; where other programs share the cores,
trust the latter. ``--device cuda`` runs the same on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from knobo.encoders import EmbeddingStore, embed, embed_blocks, load_encoder
from knobo.encoders._shards import read_rows, write_shard
from knobo.encoders._work import Work
from knobo.encoders.decode import open_rgb
from knobo.grounding import ConceptScorer

TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 32, "patch_size": 112, "head_width": 32},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1},
}
PREPROCESS = {
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def random_encoder(folder: Path, model: str, device: str, precision: str, batch_size: int):
    """Write a model with random weights as open_clip does, and load it as a user would."""
    config = TINY if model == "tiny" else open_clip.get_model_config(model)
    folder.mkdir()
    torch.manual_seed(0)
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}))
    encoder = load_encoder(folder, device=device, batch_size=batch_size)
    if precision != "fp32":
        encoder._model.to({"bf16": torch.bfloat16, "fp16": torch.float16}[precision])
    return encoder


def write_images(folder: Path, n: int, size: int) -> list[Path]:
    """JPEG files with the same pixels and different bytes: what follows the end of an image is not decoded."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (size // 20, size // 20, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)) + rng.normal(0, 5, (size, size, 1))
    first = folder / "00000.jpg"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(first, quality=90)
    data = first.read_bytes()
    paths = [folder / f"{k:05d}.jpg" for k in range(n)]
    for k, path in enumerate(paths):
        path.write_bytes(data + k.to_bytes(4, "little"))
    return paths


def timed(rows: dict, repeats: int) -> dict[str, tuple[float, float]]:
    """Best wall and CPU seconds of functions that take turns."""
    best = {name: (float("inf"), float("inf")) for name in rows}
    for _ in range(repeats):
        for name, function in rows.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = min(best[name][0], spent[0]), min(best[name][1], spent[1])
    return best


def table(title: str, best: dict, n: int, base: str) -> None:
    """Print images a second, CPU milliseconds an image, and both against a base."""
    print(f"\n{title}\n{'':28s} {'images/s':>9s} {'CPU ms':>8s} {'wall ratio':>11s} {'CPU ratio':>10s}")
    for name, (wall, cpu) in best.items():
        print(
            f"{name:28s} {n / wall:9.2f} {1e3 * cpu / n:8.1f} {best[base][0] / wall:11.3f} {best[base][1] / cpu:10.3f}"
        )


def decode_alone(encoder, paths, **options) -> None:
    """Read and prepare with the pipeline's own threads; no model."""
    work = Work(encoder, paths, None, None, None, "raise", options.get("scaled", False))
    work.encode = lambda prepared: np.zeros((len(prepared), 1), np.float32)
    for _ in work.blocks():
        pass


def serial(encoder, paths, batch_size: int) -> None:
    """One image after another, then the batch: what the pipeline replaces."""
    for start in range(0, len(paths), batch_size):
        batch = [encoder.prepare(open_rgb(path)) for path in paths[start : start + batch_size]]
        np.asarray(encoder.encode_batch(batch).cpu())


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = timed({"mm": lambda: (a @ b).sum().item()}, 5)["mm"][0]
    return 2 * size**3 / seconds


def part_model(options, folder: Path) -> None:
    """End to end against the bare forward pass."""
    encoder = random_encoder(folder / "model", options.model, options.device, options.precision, options.batch_size)
    if options.compile:
        encoder.compile()
    paths = write_images(folder / "images", options.images, 1024)
    ready = [encoder.prepare(open_rgb(path)) for path in paths[: options.batch_size]]

    def forward() -> None:
        for start in range(0, len(paths), options.batch_size):
            np.asarray(encoder.encode_batch(ready[: len(paths) - start]).cpu())

    forward()
    rows = {
        "forward pass": forward,
        "end to end": lambda: embed(encoder, paths),
        "end to end, scaled": lambda: embed(encoder, paths, scaled=True),
        "serial loop": lambda: serial(encoder, paths, options.batch_size),
        "decoding alone": lambda: decode_alone(encoder, paths),
    }
    best = timed(rows, options.repeats)
    title = f"{options.model}, {options.precision}, {encoder.device}, batch {options.batch_size}, {len(paths)} images"
    table(title, best, len(paths), "forward pass")
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not see into it
    with FlopCounterMode(display=False) as counter:
        encoder.encode_batch(ready[:1])
    dtype = next(encoder._model.visual.parameters()).dtype
    rate, limit = counter.get_total_flops() * len(paths) / best["end to end"][0], matmul_rate(encoder.device, dtype)
    print(f"{counter.get_total_flops() / 1e9:.1f} GFLOP an image: {rate / 1e12:.3f} TFLOP/s end to end,", end=" ")
    print(f"{rate / limit:.2f} of {limit / 1e12:.3f} TFLOP/s that a matrix product reaches")

    embeddings = embed(encoder, paths).rows
    rng = np.random.default_rng(0)
    scorer = ConceptScorer().fit(
        rng.normal(size=(200, embeddings.shape[1])).astype(np.float32), rng.integers(0, 2, (200, 150)).astype(float)
    )
    scoring = timed({"score": lambda: scorer.transform(embeddings)}, 10)["score"]
    print(f"150 concepts on top: {100 * scoring[0] / best['end to end'][0]:.3f} % of the time end to end")


def part_decode(options, folder: Path) -> None:
    """End to end against decoding alone."""
    encoder = random_encoder(folder / "model", "tiny", options.device, "fp32", 32)
    paths = write_images(folder / "images", 4 * options.images, 1024)
    ready = [encoder.prepare(open_rgb(paths[0]))] * 32
    embed(encoder, paths[:32])
    for scaled in (False, True):
        rows = {
            "decoding alone": lambda scaled=scaled: decode_alone(encoder, paths, scaled=scaled),
            "end to end": lambda scaled=scaled: embed(encoder, paths, scaled=scaled),
            "forward pass alone": lambda: [encoder.encode_batch(ready) for _ in range(len(paths) // 32)],
        }
        title = f"A tiny model, 1024 px JPEG, {'scaled' if scaled else 'full'} decoding, {len(paths)} images"
        table(title, timed(rows, options.repeats + 2), len(paths), "decoding alone")


def part_scaled(options, folder: Path) -> None:
    """Cosines between embeddings of full and of scaled decoding; phantoms, which have edges as radiographs have."""
    from knobo.phantom import make_chest_xrays

    encoder = random_encoder(folder / "model", options.model, options.device, "fp32", 4)
    folder = folder / "images"
    folder.mkdir()
    paths = []
    for k, image in enumerate(make_chest_xrays(4, size=1024, random_state=0).images):
        paths.append(folder / f"{k}.jpg")
        Image.fromarray(image).convert("RGB").save(paths[-1], quality=92)
    full, scaled = (embed(encoder, paths, scaled=flag).rows for flag in (False, True))
    size = encoder.image_size
    pixels = [
        (
            np.asarray(encoder.prepare(open_rgb(path)), float),
            np.asarray(encoder.prepare(open_rgb(path, at_least=size)), float),
        )
        for path in paths
    ]
    apart = np.array([(np.abs(a - b).mean(), np.abs(a - b).max()) for a, b in pixels])
    print(f"\nScaled decoding, {options.model} with random weights, {len(paths)} synthetic radiographs of 1024 px:")
    print(f"pixels (0 to 255) differ by {apart[:, 0].mean():.2f} on average, {apart[:, 1].max():.0f} at most;", end=" ")
    print(f"least cosine of embeddings {(full * scaled).sum(axis=1).min():.6f}")


def part_store(options, folder: Path) -> None:
    """A second run on unchanged images."""
    encoder = random_encoder(folder / "model", "tiny", options.device, "fp32", 32)
    paths = write_images(folder / "images", 16 * options.images, 1024)
    size = sum(path.stat().st_size for path in paths)
    time.sleep(2.5)  # files must have settled to be trusted
    start = time.perf_counter()
    first = embed(encoder, paths, store=EmbeddingStore(folder / "store", trust_stat=True))
    seconds = time.perf_counter() - start
    store = EmbeddingStore(folder / "store")
    rows = {
        "hashing alone, one thread": lambda: [store.key(path) for path in paths],
        "second run, hashing": lambda: embed(encoder, paths, store=folder / "store"),
        "second run, trust_stat": lambda: embed(
            encoder, paths, store=EmbeddingStore(folder / "store", trust_stat=True)
        ),
    }
    assert np.array_equal(embed(encoder, paths, store=folder / "store").rows, first.rows)
    print(f"\n{len(paths)} JPEG files of {size / len(paths) / 1e3:.0f} kB; first run, tiny model: {seconds:.2f} s")
    for name, (wall, cpu) in timed(rows, options.repeats).items():
        per_second = f"{len(paths) / wall:8.0f} files/s, {size / wall / 1e6:8.0f} MB/s"
        print(f"{name:28s} {per_second}; by CPU time {len(paths) / cpu:8.0f} files/s, {size / cpu / 1e6:8.0f} MB/s")


def part_memory(options, folder: Path) -> None:
    """Peak memory of processes that embed more and more images."""
    random_encoder(folder / "model", "tiny", "cpu", "fp32", 32)
    write_images(folder / "images", 1, 256)
    print("\nPeak memory (MB) against the number of images, tiny model, 64 values a row")
    print(f"{'images':>8s} {'embed_blocks':>13s} {'embed':>9s} {'embed, store':>13s}")
    for n in (100, 1000, 4000):
        peaks = [
            subprocess.check_output([sys.executable, __file__, "--peak", str(n), how, str(folder)], text=True)
            for how in ("blocks", "rows", "store")
        ]
        print(f"{n:8d} {float(peaks[0]):13.0f} {float(peaks[1]):9.0f} {float(peaks[2]):13.0f}")


def peak(n: int, how: str, folder: Path) -> None:
    """Print the peak memory of this process in MB."""
    encoder = load_encoder(folder / "model", device="cpu", batch_size=32)
    data = (folder / "images" / "00000.jpg").read_bytes()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        paths = [Path(place) / f"{k}.jpg" for k in range(n)]
        for k, path in enumerate(paths):
            path.write_bytes(data + k.to_bytes(4, "little"))
        if how == "blocks":
            for _ in embed_blocks(encoder, paths):
                pass
        else:
            store = EmbeddingStore(Path(place) / "store", flush_rows=512)
            embed(encoder, paths, store=store if how == "store" else None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def part_formats(options, folder: Path) -> None:
    """Shards of 4,096 x 768 in three formats: write, read whole, read 64 rows here and there."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import load_file

    rng = np.random.default_rng(0)
    keys, values = rng.integers(0, 256, (4096, 32), dtype=np.uint8), rng.normal(size=(4096, 768)).astype(np.float32)
    some = np.sort(rng.permutation(4096)[:64])
    columns = {
        "keys": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), 4096, [None, pa.py_buffer(keys)]),
        "rows": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 768),
    }
    frame = pa.table(columns)

    def rows_of(found):
        return found["rows"].combine_chunks().flatten().to_numpy().reshape(-1, 768)

    def write_arrow() -> None:
        with pa.OSFile(str(folder / "a.arrow"), "wb") as file, pa.ipc.new_file(file, frame.schema) as writer:
            writer.write_table(frame)

    def read_arrow(numbers=None):
        with pa.memory_map(str(folder / "a.arrow")) as file:
            found = pa.ipc.open_file(file).read_all()
            return rows_of(found if numbers is None else found.take(numbers)).copy()

    def read_parquet(numbers=None):
        found = pq.read_table(folder / "a.parquet")
        return rows_of(found if numbers is None else found.take(numbers)).copy()

    shard = write_shard(folder, keys, values)
    plain = {"compression": "none", "use_dictionary": False}
    steps = {
        "safetensors": (lambda: write_shard(folder, keys, values), lambda: load_file(shard)["rows"], read_rows),
        "Arrow": (write_arrow, read_arrow, lambda _, numbers: read_arrow(numbers)),
        "Parquet": (
            lambda: pq.write_table(frame, folder / "a.parquet", **plain),
            read_parquet,
            lambda _, numbers: read_parquet(numbers),
        ),
    }
    print(f"\n{'4,096 x 768, CPU ms':20s} {'write':>8s} {'read':>8s} {'64 rows':>8s} {'MB':>8s}")
    for name, (write, read, pick) in steps.items():
        write()
        assert np.array_equal(read(), values)
        assert np.array_equal(pick(shard, some), values[some])
        times = timed({"w": write, "r": read, "p": lambda pick=pick: pick(shard, some)}, 10)
        file = shard if name == "safetensors" else folder / f"a.{name.lower()}"
        print(f"{name:20s} " + " ".join(f"{1e3 * cpu:8.2f}" for _, cpu in times.values()), end=" ")
        print(f"{file.stat().st_size / 1e6:8.2f}")


PARTS = {
    "model": part_model,
    "decode": part_decode,
    "scaled": part_scaled,
    "store": part_store,
    "memory": part_memory,
    "formats": part_formats,
}


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["--peak"]:
        peak(int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[name for name in PARTS if name != "formats"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="Threads of the model on a CPU.")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    for name in options.parts:
        folder = Path(tempfile.mkdtemp(prefix="knobo-embedding-"))
        try:
            PARTS[name](options, folder)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
