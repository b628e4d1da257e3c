"""Contrastive training of an image-text model on images and their reports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from math import cos, log, pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from knobo.encoders._checkpoint import Checkpoint, write_tensors
from knobo.encoders._pairs import EpochPairs, Settings, augment, check_pairs, digest
from knobo.encoders.clip import CONFIG_FILE, WEIGHT_FILES, ClipEncoder, architectures, pick_device
from knobo.errors import FileError, FormatError, InputError
from knobo.images import ImageSource
from knobo.storage import atomic_path, write_json

if TYPE_CHECKING:
    import torch

RECORD_FILE = "training.json"
_LARGEST_SCALE = log(100)  # CLIP's own limit


def finetune(
    start: str | Path,
    images: Sequence[ImageSource],
    reports: Sequence[str],
    out: str | Path,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 1e-5,
    weight_decay: float = 0.1,
    warmup: float = 0.1,
    sentences: int | None = None,
    crop: float = 0.8,
    jitter: float = 0.2,
    precision: str = "auto",
    device: str = "auto",
    workers: int = 0,
    random_state: int = 0,
    progress: bool = True,
) -> ClipEncoder:
    """Train an open_clip model to tell which report belongs to which image.

    Parameters
    ----------
    start : str or Path
        A folder in open_clip's format: ``open_clip_config.json``, the weights, and the tokenizer if it is not
        open_clip's own. A folder without weights, or the name of an architecture such as ``"ViT-B-32"``, starts from
        random weights.
    images : sequence of path, PIL image or array, length n
    reports : sequence of str, length n
        One text an image.
    out : str or Path
        Folder for the trained model, in open_clip's format, with the record ``training.json``. It appears when training
        is complete. A run that was cut off goes on after its last whole epoch, from the folder ``OUT.training``, to
        the same weights.
    epochs : int
        Passes over the images.
    batch_size : int
        Pairs that are told apart at once; more is better, as memory allows. At least 2; no more than n.
    learning_rate : float
        Largest learning rate of AdamW; it rises over the first ``warmup`` of all steps and falls as a half cosine.
    weight_decay : float
        On matrices only, not on biases, gains and the temperature.
    warmup : float in [0, 1)
    sentences : int, optional
        Number of sentences drawn anew from each report in each epoch, in their order. ConVIRT draws one. The whole
        report if None.
    crop : float in (0, 1]
        Least share of the image's area that a random crop keeps.
    jitter : float
        Strength of random changes of brightness, contrast and saturation. Images are never mirrored: reports name
        sides.
    precision : {"auto", "fp32", "bf16"}
        ``"bf16"`` runs the model under bfloat16 autocast, its weights stay float32; ``"auto"`` does so on CUDA only.
    device : str
        As for :func:`knobo.load_encoder`.
    workers : int
        Processes that read and crop images; 0 for none. The result is the same.
    random_state : int
        Seed of the order, the crops, the sentences, and the weights of a new model.
    progress : bool
        Show a progress bar over the steps, with the loss.

    Returns
    -------
    ClipEncoder
        The trained model, read back from ``out``.

    Raises
    ------
    InputError
        If lengths differ, a report is empty, a number is out of range, or ``start`` is unknown.
    FileError
        If ``out`` exists, an image cannot be read, or a file is missing.
    FormatError
        If ``OUT.training`` was left by a run with other settings or data.

    References
    ----------
    Zhang et al., *Contrastive Learning of Medical Visual Representations from Paired Images and Text*, MLHC 2022,
    arXiv:2010.00747. Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*, ICML
    2021, arXiv:2103.00020, whose symmetric loss is open_clip's ``ClipLoss``.
    """
    settings = Settings(
        str(start),
        epochs,
        batch_size,
        learning_rate,
        weight_decay,
        warmup,
        sentences,
        crop,
        jitter,
        precision,
        random_state,
    )
    pairs = check_pairs(images, reports, settings)
    target = Path(out)
    if target.exists():
        raise FileError(f"{target} exists; choose a new folder, for training overwrites no model.")
    config = _read_config(start)
    model, transform, tokenize = _open(start, settings, pick_device(device))
    optimizer = _make_optimizer(model, settings)
    checkpoint = Checkpoint(target.with_name(target.name + ".training"), {**asdict(settings), "data": digest(pairs)})
    losses = checkpoint.restore(model, optimizer)
    for epoch in range(len(losses), epochs):
        dataset = EpochPairs(pairs, transform, settings, epoch)
        losses.append(_train_epoch(model, optimizer, dataset, tokenize, workers=workers, progress=progress))
        checkpoint.save(model, optimizer, losses)
    record = {"settings": asdict(settings), "n_pairs": len(pairs.reports), "loss": losses}
    with atomic_path(target) as part:
        _write_model(part, model, config, start, record)
    shutil.rmtree(checkpoint.folder, ignore_errors=True)
    return ClipEncoder(f"local-dir:{target}", device=device)


def _read_config(start: str | Path) -> dict[str, Any]:
    """Content of ``open_clip_config.json`` for the model that training starts from."""
    import open_clip

    file = Path(start) / CONFIG_FILE
    if file.is_file():
        try:
            config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise FormatError(f"{file} is no JSON ({error}); copy it anew from where the model comes from.") from error
        return config
    if Path(start).is_dir():
        raise FileError(f"{start} holds no {CONFIG_FILE}; copy it from where the model comes from.")
    if str(start) not in architectures():
        raise InputError(
            f"start is a folder in open_clip's format or an open_clip architecture; {str(start)!r} is neither."
        )
    return {
        "model_cfg": open_clip.get_model_config(str(start)),
        "preprocess_cfg": {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD},
    }


def _open(start: str | Path, settings: Settings, device: torch.device) -> tuple[Any, Any, Any]:
    """Return the model, the augmenting transform of its images, and its tokenizer."""
    import open_clip
    import torch

    folder = Path(start)
    name = f"local-dir:{folder}" if folder.is_dir() else str(start)
    has_weights = folder.is_dir() and any(path.suffix in (".safetensors", ".bin", ".pth") for path in folder.iterdir())
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.random_state)
            model = open_clip.create_model(name, load_weights=has_weights, device=device)
        model = model.to(memory_format=torch.channels_last)  # convolutions run faster, and give the same
        return model, augment(model.visual.preprocess_cfg, settings), open_clip.get_tokenizer(name)
    except Exception as error:  # open_clip passes on what torch, transformers and json raise
        raise FormatError(
            f"{start} is not a model that can be trained ({error}). It takes {CONFIG_FILE} and weights that fit it, as "
            "safetensors or as a torch file of tensors only."
        ) from error


def _make_optimizer(model: Any, settings: Settings) -> torch.optim.Optimizer:
    """AdamW as for CLIP: weight decay on matrices only."""
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-6)


def _train_epoch(
    model: Any, optimizer: torch.optim.Optimizer, dataset: EpochPairs, tokenize: Any, *, workers: int, progress: bool
) -> float:
    """Show every pair to the model once; return the mean loss."""
    import open_clip
    import torch

    settings, device = dataset.settings, next(model.parameters()).device
    loader: Any = torch.utils.data.DataLoader(
        dataset,  # type: ignore[arg-type]  # any object with a length and items will do
        batch_size=settings.batch_size,
        sampler=np.random.default_rng((settings.random_state, dataset.epoch)).permutation(len(dataset)).tolist(),
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    mixed = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    contrast = open_clip.ClipLoss()
    model.train()
    losses = []
    for step, (pixels, texts) in enumerate(tqdm(loader, f"epoch {dataset.epoch + 1}", disable=not progress)):
        done = (dataset.epoch + step / len(loader)) / settings.epochs
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(done, settings.warmup)
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            image, text, scale = model(pixels.to(device, non_blocking=True), tokenize(list(texts)).to(device))[:3]
            loss = contrast(image.float(), text.float(), scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, _LARGEST_SCALE)
        losses.append(loss.item())
    return float(np.mean(losses))


def _schedule(done: float, warmup: float) -> float:
    """Share of the largest learning rate after a share ``done`` of all steps."""
    if done < warmup:
        return done / warmup
    return 0.5 * (1 + cos(pi * (done - warmup) / (1 - warmup)))


def _write_model(folder: Path, model: Any, config: dict[str, Any], start: str | Path, record: dict[str, Any]) -> None:
    """Write a folder that open_clip reads; the tokenizer's files come along from ``start``."""
    folder.mkdir()
    if Path(start).is_dir():
        for file in Path(start).iterdir():
            if file.is_file() and file.suffix not in (".safetensors", ".bin", ".pth") and file.name != CONFIG_FILE:
                shutil.copy2(file, folder / file.name)
    write_json(folder / CONFIG_FILE, config)
    write_json(folder / RECORD_FILE, record)
    write_tensors(folder / WEIGHT_FILES[0], model.state_dict())
