"""Contrastive image-text models (CLIP and its kin) through open_clip: the only file that imports it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knobo.encoders.pipeline import embed
from knobo.encoders.staged import PixelStage, model_fingerprint, unit_rows
from knobo.errors import DownloadError, FileError, FormatError, InputError, InputTypeError
from knobo.images import ImageSource

if TYPE_CHECKING:
    import torch
    from PIL import Image

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")


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
        source = _locate(name, pretrained)
        self.device = pick_device(device)
        self._model, preprocess, self._tokenize = _load(source, self.device)
        self._pixels = PixelStage(preprocess)
        self._fingerprint = ""
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
        return embed(self, images, progress=progress).rows

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """Bring one RGB image to the size of the model: shape (3, h, w)."""
        return self._pixels.prepare(image)

    def encode_batch(self, prepared: Sequence[NDArray[Any]]) -> torch.Tensor:
        """Encode results of :meth:`prepare` to (b, d), float32, unit rows, on the device."""
        import torch

        with torch.inference_mode():
            pixels = self._pixels.to_device(prepared, self.device, next(self._model.visual.parameters()).dtype)
            return unit_rows(self._model.encode_image(pixels))

    def fingerprint(self) -> str:
        """Digest of the image side: weights, settings, normalisation. A :class:`EmbeddingStore` files rows under it."""
        self._fingerprint = self._fingerprint or model_fingerprint(self._model.visual, self._pixels.transform)
        return self._fingerprint

    def compile(self) -> ClipEncoder:
        """Compile the image side with ``torch.compile``: the first batches take a minute, the later ones less time."""
        self._model.visual.compile()
        return self

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
                rows.append(unit_rows(self._model.encode_text(tokens.to(self.device))).cpu().numpy())
        return np.concatenate(rows)

    def __sklearn_clone__(self) -> ClipEncoder:
        return self  # it never changes: copies of an estimator share the weights

    def _batches(self, n: int) -> list[range]:
        return [range(start, min(start + self.batch_size, n)) for start in range(0, n, self.batch_size)]


def pick_device(device: str) -> torch.device:
    """Resolve ``"auto"`` to CUDA, else MPS, else the CPU; check any other name.

    Raises
    ------
    InputError
        If torch does not know the device, or this machine lacks it.
    """
    import torch

    have: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
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


class _Source(NamedTuple):
    """What open_clip is asked for: a name with its scheme, weights by tag or file, and settings of the weights."""

    name: str
    weights: str | None
    settings: dict[str, Any]


def _load(source: _Source, device: torch.device) -> tuple[Any, Any, Any]:
    """Return the model, the transform of its images, and its tokenizer."""
    import open_clip

    try:
        model, preprocess = open_clip.create_model_from_pretrained(
            source.name, pretrained=source.weights, device=device, **source.settings
        )
        return model.eval(), preprocess, open_clip.get_tokenizer(source.name)
    except Exception as error:  # open_clip passes on what the hub client, torch, transformers and json raise
        if source.name.startswith("local-dir:"):
            raise FormatError(
                f"{source.name} is not a model that can be loaded ({_reason(error)}). Weights must be safetensors that "
                f"fit {CONFIG_FILE}, or a torch file of tensors only: a file that must run code to load is refused."
            ) from error
        raise DownloadError(_how_to_carry(source.name, source.weights, _reason(error))) from error


def _locate(name: str, pretrained: str | None) -> _Source:
    """Find a model on this machine, or make sure that the hub can be asked for it."""
    if name.startswith("local-dir:"):
        _check_folder(Path(name.removeprefix("local-dir:")))
        return _Source(name, None, {})
    settings = _tag_settings(name, pretrained) if pretrained else {}
    obstacle = _obstacle()
    if not obstacle:
        return _Source(name, pretrained, settings)
    repository = hub_repository(name, pretrained)
    weights = _cached(repository, WEIGHT_FILES)
    if weights is not None and pretrained:
        return _Source(name, str(weights), settings)
    if weights is not None and _cached(repository, [CONFIG_FILE]) is not None:
        _check_folder(weights.parent)
        return _Source(f"local-dir:{weights.parent}", None, {})
    raise DownloadError(_how_to_carry(name, pretrained, obstacle))


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


def _obstacle() -> str:
    """Why the hub cannot be asked, or an empty string. Asked once here, for the hub's client tries for a minute."""
    if is_offline():
        return "downloads are switched off by KNOBO_OFFLINE or HF_HUB_OFFLINE"
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception as error:  # the client may be requests or httpx
        return f"the Hugging Face hub cannot be reached ({_reason(error)})"
    return ""


def _cached(repository: str, files: Sequence[str]) -> Path | None:
    """Path of the first of ``files`` that the hub's cache holds."""
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(repository, file) for file in files if repository)
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _tag_settings(name: str, pretrained: str) -> dict[str, Any]:
    """Activation and image normalisation that a tag's weights were trained with."""
    import open_clip

    tag = open_clip.get_pretrained_cfg(name, pretrained)
    settings = {f"image_{key}": tag.get(key) for key in ("mean", "std", "interpolation", "resize_mode")}
    return {"force_quick_gelu": bool(tag.get("quick_gelu")), **settings}


def hub_repository(name: str, pretrained: str | None) -> str:
    """Hub repository of a model, or an empty string if its weights come from elsewhere."""
    if not pretrained:
        return name.removeprefix("hf-hub:")
    import open_clip

    place = str(open_clip.get_pretrained_cfg(name, pretrained).get("hf_hub", ""))
    return "/".join(place.split("/")[:2])  # a third part names a file


def _how_to_carry(name: str, pretrained: str | None, reason: str) -> str:
    what = name if pretrained is None else f"{name}/{pretrained}"
    return (
        f"Cannot fetch {what}: {reason}. Where there is access, download {CONFIG_FILE}, {WEIGHT_FILES[0]} (or "
        f"{WEIGHT_FILES[1]}) and the tokenizer files, if there are any, from "
        f"{hub_repository(name, pretrained) or 'the page of the model'} on the Hugging Face hub into one folder; copy "
        "the folder to this machine; load it as 'local-dir:FOLDER'."
    )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
