"""Contrastive image-text models (CLIP and its kin) through open_clip: the only file that imports it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knobo.encoders.base import as_images, progress_bar, read_nth
from knobo.errors import DownloadError, FileError, FormatError, InputError, InputTypeError
from knobo.images import ImageSource

if TYPE_CHECKING:
    import torch

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class ClipEncoder:
    """Images and texts to unit vectors in one space.

    Most users call :func:`knobo.load_encoder`, which ends here.

    Parameters
    ----------
    name : str
        Source of the model: ``"hf-hub:ORG/NAME"``, ``"local-dir:FOLDER"``, or an architecture that open_clip knows.
    pretrained : str, optional
        Tag of the weights; only with an architecture.
    device : str
        ``"auto"`` (CUDA, else Apple's MPS, else the CPU) or a torch device.
    batch_size : int
        Images or texts that go through the model at once. Changes speed and memory, not the result.

    Attributes
    ----------
    spec : str
        Name from which :func:`knobo.load_encoder` makes the same encoder again.
    device : torch.device
    image_size : tuple of int
        Height and width of what the model sees.

    Raises
    ------
    DownloadError
        If weights are not on this machine and cannot be fetched, or fetching is switched off.
    FileError, FormatError
        If a local folder lacks a file, or a file of it is broken or would have to run code.
    InputError
        If the device is not there.

    Notes
    -----
    The model runs in evaluation mode, in float32. Weights are read as safetensors; other formats are read only by
    torch's ``weights_only`` loader, which refuses everything but tensors.
    """

    def __init__(self, name: str, pretrained: str | None = None, *, device: str = "auto", batch_size: int = 32) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}.")
        self.spec = name if pretrained is None else f"open_clip:{name}/{pretrained}"
        self.batch_size = batch_size
        self.device = pick_device(device)
        self._model, self._preprocess, self._tokenize = _load(name, pretrained, self.device)
        size = self._model.visual.image_size
        self.image_size: tuple[int, int] = (size, size) if isinstance(size, int) else (size[0], size[1])

    def encode_images(self, images: Sequence[ImageSource], *, progress: bool = False) -> NDArray[np.float32]:
        """Encode images.

        Parameters
        ----------
        images : sequence of path, PIL image or array
        progress : bool
            Show a progress bar over batches.

        Returns
        -------
        ndarray of shape (n, d), float32
            Unit rows, in the order of ``images``.

        Raises
        ------
        FileError, InputError
            If an image cannot be read; the message names it.
        """
        import torch

        images = as_images(images)
        rows = []
        for batch in progress_bar(self._batches(len(images)), "encoding images", progress):
            pixels = torch.stack([self._pixels(read_nth(images, n)) for n in batch])
            with torch.inference_mode():
                rows.append(_unit_rows(self._model.encode_image(pixels.to(self.device))))
        return np.concatenate(rows)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into an array of shape (n, d), float32, unit rows, in the order of ``texts``.

        Raises
        ------
        InputTypeError
            If ``texts`` is one string, not a list of strings.
        InputError
            If there are none.
        """
        import torch

        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputTypeError("texts must be a list of strings; put a single text in a list: [text].")
        if len(texts) == 0:
            raise InputError("There are no texts; pass at least one.")
        rows = []
        for batch in self._batches(len(texts)):
            tokens = self._tokenize([texts[n] for n in batch])
            with torch.inference_mode():
                rows.append(_unit_rows(self._model.encode_text(tokens.to(self.device))))
        return np.concatenate(rows)

    def _batches(self, n: int) -> list[range]:
        return [range(start, min(start + self.batch_size, n)) for start in range(0, n, self.batch_size)]

    def _pixels(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        from PIL import Image

        pixels: torch.Tensor = self._preprocess(Image.fromarray(rgb))
        return pixels


def pick_device(device: str) -> torch.device:
    """Resolve ``"auto"`` to CUDA, else MPS, else the CPU; check any other name.

    Raises
    ------
    InputError
        If torch does not know the device, or this machine lacks it.
    """
    import torch

    have = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if device == "auto":
        return torch.device(next(kind for kind, is_there in have.items() if is_there()))
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"Unknown device {device!r}; use 'auto', 'cuda', 'mps' or 'cpu'.") from error
    if not have.get(chosen.type, lambda: True)():
        raise InputError(f"This machine has no {chosen.type} device; use device='auto' or 'cpu'.")
    return chosen


def architectures() -> list[str]:
    """Names of the architectures that open_clip knows."""
    import open_clip

    return list(open_clip.list_models())


def pretrained_tags(architecture: str) -> list[str]:
    """Tags of the weights that open_clip knows for an architecture."""
    import open_clip

    return list(open_clip.list_pretrained_tags_by_model(architecture))


def is_offline() -> bool:
    """Whether ``KNOBO_OFFLINE`` or ``HF_HUB_OFFLINE`` switches downloads off."""
    values = (os.environ.get(name, "") for name in ("KNOBO_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in ("1", "true", "yes", "on") for value in values)


def _load(name: str, pretrained: str | None, device: torch.device) -> tuple[Any, Any, Any]:
    """Return the model, the transform of its images, and its tokenizer."""
    source = name
    if name.startswith("local-dir:"):
        _check_folder(Path(name.removeprefix("local-dir:")))
    elif is_offline():
        source, pretrained = _from_cache(name, pretrained)
    import open_clip

    tag = open_clip.get_pretrained_cfg(name, pretrained) if pretrained else {}
    try:
        model, preprocess = open_clip.create_model_from_pretrained(
            source, pretrained=pretrained, device=device, force_quick_gelu=bool(tag.get("quick_gelu"))
        )
        return model.eval(), preprocess, open_clip.get_tokenizer(source)
    except Exception as error:  # open_clip passes on what the hub client, torch, transformers and json raise
        if name.startswith("local-dir:"):
            raise FormatError(
                f"{name} is not a model that can be loaded ({_reason(error)}). Weights must be safetensors that fit "
                f"{CONFIG_FILE}, or a torch file that holds tensors only: a file that must run code to load is refused."
            ) from error
        raise DownloadError(_how_to_carry(name, pretrained, _reason(error))) from error


def _check_folder(folder: Path) -> None:
    config = folder / CONFIG_FILE
    if not folder.is_dir():
        raise FileError(f"No folder {folder}; local-dir: takes the folder that holds {CONFIG_FILE} and the weights.")
    if not config.is_file():
        raise FileError(f"{folder} holds no {CONFIG_FILE}; copy it from where the model comes from.")
    if not any(path.suffix in (".safetensors", ".bin", ".pth") for path in folder.iterdir()):
        raise FileError(f"{folder} holds no weights; put {WEIGHT_FILES[0]} beside {CONFIG_FILE}.")
    if "trust_remote_code" in config.read_text(encoding="utf-8", errors="replace"):
        raise FormatError(f"{config} asks for trust_remote_code; knobo runs no code that comes with a model.")


def _from_cache(name: str, pretrained: str | None) -> tuple[str, str | None]:
    """What to load without a network: the cached copy of a model, as a folder or as a tag that open_clip has cached."""
    from huggingface_hub import try_to_load_from_cache

    def cached(repository: str, files: Sequence[str]) -> Iterator[Path]:
        found = (try_to_load_from_cache(repository, file) for file in files)
        return (Path(path) for path in found if isinstance(path, str))

    repository = name.removeprefix("hf-hub:")
    if name.startswith("hf-hub:"):
        config = next(cached(repository, [CONFIG_FILE]), None)
        if config is not None and any(cached(repository, WEIGHT_FILES)):
            _check_folder(config.parent)
            return f"local-dir:{config.parent}", None
    elif pretrained and (repository := hub_repository(name, pretrained)) and any(cached(repository, WEIGHT_FILES)):
        return name, pretrained
    raise DownloadError(
        _how_to_carry(name, pretrained, "downloads are switched off by KNOBO_OFFLINE or HF_HUB_OFFLINE")
    )


def hub_repository(name: str, pretrained: str) -> str:
    """Hub repository of a tag's weights, or an empty string if they come from elsewhere."""
    import open_clip

    return str(open_clip.get_pretrained_cfg(name, pretrained).get("hf_hub", "")).rstrip("/")


def _how_to_carry(name: str, pretrained: str | None, reason: str) -> str:
    place = name.removeprefix("hf-hub:") if pretrained is None else hub_repository(name, pretrained)
    what = name if pretrained is None else f"{name}/{pretrained}"
    return (
        f"Cannot fetch {what}: {reason}. Where there is access, download {CONFIG_FILE}, {WEIGHT_FILES[0]} (or "
        f"{WEIGHT_FILES[1]}) and the tokenizer files, if there are any, from {place or 'the page of the model'} on the "
        "Hugging Face hub into one folder; copy the folder to this machine; load it as 'local-dir:FOLDER'."
    )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


def _unit_rows(output: torch.Tensor) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = output.float().cpu().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
