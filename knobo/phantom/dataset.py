"""What the phantom generators return, and how it is written to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from knobo.errors import FileError, InputError
from knobo.storage import atomic_path

_NOTICE = """SYNTHETIC DATA - NOT A PATIENT

{n} synthetic images ({modality}), drawn by the phantom generators of knobo. No patient, hospital or report behind
them is real. For tests and demonstrations only: a model that works on them has shown nothing about patients.

manifest.csv   one row an image: image (path), label, report, metadata, and one column a finding (1 present, 0 absent)
images/        the images
masks/         where each present finding is: <image>_<finding>.png, white on black
"""
_NOTICE_START = _NOTICE.splitlines()[0]


@dataclass(frozen=True)
class PhantomDataset:
    """Synthetic images with everything that is known about them.

    Attributes
    ----------
    images : ndarray of shape (n, H, W) or (n, H, W, 3), uint8
        Grey or RGB images.
    labels : ndarray of shape (n,), str
        Class of each image.
    findings : DataFrame of shape (n, n_findings), bool
        Which findings are present.
    masks : tuple of n dict
        Finding to its region, bool of shape (H, W); only the findings that are present and have a place.
    reports : tuple of n str
        Free text.
    metadata : DataFrame of n rows
        Hospital, patient and acquisition.
    modality : str
        ``"chest-xray"`` or ``"skin-lesion"``.

    Raises
    ------
    InputError
        If the parts differ in length.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.str_]
    findings: pd.DataFrame
    masks: tuple[dict[str, NDArray[np.bool_]], ...]
    reports: tuple[str, ...]
    metadata: pd.DataFrame
    modality: str

    def __post_init__(self) -> None:
        n = len(self.images)
        for name in ("labels", "findings", "masks", "reports", "metadata"):
            if len(getattr(self, name)) != n:
                raise InputError(f"There are {n} images but {len(getattr(self, name))} {name}; they must match.")

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: ArrayLike) -> PhantomDataset:
        """Return the images at ``indices``, whole numbers or a mask of n booleans, in that order.

        Raises
        ------
        InputError
            If an index is out of range, or ``indices`` is neither.
        """
        rows = self._rows(indices)
        return PhantomDataset(
            images=self.images[rows],
            labels=self.labels[rows],
            findings=self.findings.iloc[rows].reset_index(drop=True),
            masks=tuple(self.masks[i] for i in rows),
            reports=tuple(self.reports[i] for i in rows),
            metadata=self.metadata.iloc[rows].reset_index(drop=True),
            modality=self.modality,
        )

    def concat(self, *others: PhantomDataset) -> PhantomDataset:
        """Return the images of this dataset followed by those of others of the same modality and size.

        Raises
        ------
        InputError
            If the modalities or the shapes of the images differ.
        """
        parts = (self, *others)
        for other in others:
            if (other.modality, other.images.shape[1:]) != (self.modality, self.images.shape[1:]):
                raise InputError(
                    f"Cannot join {other.modality} images of shape {other.images.shape[1:]} to {self.modality} images "
                    f"of shape {self.images.shape[1:]}; draw them with the same generator and size."
                )
        return PhantomDataset(
            images=np.concatenate([part.images for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            findings=pd.concat([part.findings for part in parts], ignore_index=True),
            masks=tuple(masks for part in parts for masks in part.masks),
            reports=tuple(report for part in parts for report in part.reports),
            metadata=pd.concat([part.metadata for part in parts], ignore_index=True),
            modality=self.modality,
        )

    def _rows(self, indices: ArrayLike) -> NDArray[np.intp]:
        chosen = np.asarray(indices)
        if chosen.ndim == 1 and chosen.size == 0:
            return np.empty(0, np.intp)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iub":
            raise InputError("indices must be a 1-D sequence of whole numbers, or one boolean an image.")
        if chosen.dtype == bool:
            if len(chosen) != len(self):
                raise InputError(f"The mask has {len(chosen)} booleans for {len(self)} images; pass one an image.")
            return np.flatnonzero(chosen)
        if chosen.min() < -len(self) or chosen.max() >= len(self):
            raise InputError(f"indices reach from {chosen.min()} to {chosen.max()}; there are {len(self)} images.")
        return chosen.astype(np.intp)


def write_phantom(dataset: PhantomDataset, folder: str | Path) -> Path:
    """Write a synthetic dataset as PNG files with a manifest, masks and a notice that it is synthetic.

    Parameters
    ----------
    dataset : PhantomDataset
    folder : str or Path
        Appears complete or not at all; an older phantom folder of that name is replaced.

    Returns
    -------
    Path
        The folder. Its ``manifest.csv`` has the columns image, label, report, the metadata, and the findings (0 or 1).

    Raises
    ------
    FileError
        If the folder cannot be written, or holds files that are not a phantom's.
    """
    target = Path(folder)
    _check_replaceable(target)
    names = [f"{i:05d}" for i in range(len(dataset))]
    with atomic_path(target) as part:
        for kind in ("images", "masks"):
            (part / kind).mkdir(parents=True)
        for name, image, masks in zip(names, dataset.images, dataset.masks, strict=True):
            Image.fromarray(image).save(part / "images" / f"{name}.png")
            for finding, mask in masks.items():
                Image.fromarray(mask.astype(np.uint8) * 255).save(part / "masks" / f"{name}_{finding}.png")
        _manifest(dataset, names).to_csv(part / "manifest.csv", index=False, encoding="utf-8")
        notice = _NOTICE.format(n=len(dataset), modality=dataset.modality)
        (part / "README.txt").write_text(notice, encoding="utf-8")
    return target


def _manifest(dataset: PhantomDataset, names: Sequence[str]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "image": [f"images/{name}.png" for name in names],
        "label": dataset.labels,
        "report": dataset.reports,
    }
    parts = [pd.DataFrame(columns), dataset.metadata, dataset.findings.astype(int)]
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def _check_replaceable(folder: Path) -> None:
    """Nobody's own files may vanish because a phantom was written over them."""
    if not folder.exists():
        return
    notice = folder / "README.txt"
    ours = notice.is_file() and notice.read_text(encoding="utf-8", errors="replace").startswith(_NOTICE_START)
    if folder.is_dir() and (ours or not any(folder.iterdir())):
        return
    raise FileError(f"{folder} exists and is not a phantom folder; choose a new or empty folder.")
