"""Pools of synthetic images for the shift bench: drawn once, embedded once, kept as arrays; splits are cut from them.

A pool holds hospitals A and B in equal shares and all classes equally often. Its burnt-in marker (chest) or ruler
(skin) is printed by the toss of a coin, so that every confounder can be tied to the label by choosing among the images.
The archive, from which grounding functions learn, has other patients, and nothing is tied there.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from knobo.phantom import make_chest_xrays, make_skin_lesions
from knobo.storage import atomic_path

CLASSES = {
    "chest": ("normal", "pneumonia", "heart_failure", "copd"),
    "skin": ("common_nevus", "atypical_nevus", "melanoma", "basal_cell_carcinoma"),
}
STICKER = {"chest": "marker", "skin": "ruler"}
MAKERS = {"chest": make_chest_xrays, "skin": make_skin_lesions}
CHUNK = 100


@dataclass(frozen=True)
class Pool:
    """Embeddings (n, d) by encoder, and what is known about n images."""

    embeddings: dict[str, np.ndarray]
    labels: np.ndarray
    reports: np.ndarray
    findings: pd.DataFrame
    metadata: pd.DataFrame

    def __len__(self):
        return len(self.labels)


def levels(modality, metadata):
    """Columns that are tied to the label; each has two levels."""
    columns = {"hospital": metadata["hospital"], STICKER[modality]: metadata[STICKER[modality]].map(str)}
    if modality == "skin":  # sex and age leave no trace in these pictures
        return columns | {
            "skin tone": metadata["skin_tone"].map(lambda tone: "I-II" if tone in ("I", "II") else "III-VI")
        }
    age = metadata["age"].map(lambda years: "65 and over" if years >= 65 else "under 65")
    return columns | {"view": metadata["view"], "sex": metadata["sex"], "age": age}


def draw_pool(modality, part, n, encoders, *, cache=None):
    """Draw ``n`` images of a modality, or read the chunks that are in the folder ``cache`` already."""
    chunks = []
    for number in range(-(-n // CHUNK)):
        file = None if cache is None else cache / f"{modality}-{part}-{number:03d}.npz"
        if file is not None and file.exists():
            chunks.append(_read(file))
            continue
        chunk = _draw(modality, part, number, min(CHUNK, n - CHUNK * number), encoders)
        chunks.append(chunk)
        if file is not None:
            _write(chunk, file)
    return _join(chunks, n)


def _draw(modality, part, number, n, encoders):
    hospital = "AB"[number % 2]
    seed = zlib.crc32(f"{modality} {part} {number}".encode())
    rng = np.random.default_rng(seed)
    labels = np.resize(CLASSES[modality], n)
    sticker = {STICKER[modality]: rng.random(n) < 0.5}
    data = MAKERS[modality](n, hospital=hospital, labels=labels, random_state=seed, **sticker)
    embeddings = {name: encoder.encode_images(list(data.images)) for name, encoder in encoders.items()}
    metadata = data.metadata.drop(columns="patient_id")
    return Pool(embeddings, data.labels, np.array(data.reports), data.findings, metadata)


def _join(chunks, n):
    names = chunks[0].embeddings
    return Pool(
        {name: np.concatenate([chunk.embeddings[name] for chunk in chunks])[:n] for name in names},
        np.concatenate([chunk.labels for chunk in chunks])[:n],
        np.concatenate([chunk.reports for chunk in chunks])[:n],
        pd.concat([chunk.findings for chunk in chunks], ignore_index=True)[:n],
        pd.concat([chunk.metadata for chunk in chunks], ignore_index=True)[:n],
    )


def _write(pool, file):
    arrays = {"labels": pool.labels.astype(str), "reports": pool.reports.astype(str)}
    for kind in ("findings", "metadata"):
        for name, column in getattr(pool, kind).items():
            arrays[f"{kind}/{name}"] = np.array(column.tolist())
    arrays |= {f"embeddings/{name}": rows for name, rows in pool.embeddings.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)


def _read(file):
    parts = {field.name: {} for field in fields(Pool)}
    with np.load(file, allow_pickle=False) as arrays:
        for key in arrays.files:
            kind, _, name = key.partition("/")
            parts[kind][name] = arrays[key]
    return Pool(
        parts["embeddings"],
        parts["labels"][""],
        parts["reports"][""],
        pd.DataFrame(parts["findings"]),
        pd.DataFrame(parts["metadata"]),
    )
