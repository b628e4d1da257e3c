"""From the name of an encoder to the encoder."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from knobo.encoders.base import Encoder
from knobo.encoders.classical import ClassicalEncoder
from knobo.encoders.hub import (
    CONFIG_FILE,
    TAG_FILES,
    WEIGHT_FILES,
    cached_file,
    how_to_carry,
    is_offline,
    model_folder,
    obstacle,
)
from knobo.encoders.registry import ModelCard, close_names, find_model
from knobo.encoders.torch_encoder import Precision
from knobo.errors import DownloadError, FileError, FormatError, InputError, InputTypeError

PHANTOM_CLIP = "phantom-clip"
_PHANTOM_FOLDER = Path(__file__).with_name("phantom_clip")


def load_encoder(
    spec: str | Path = PHANTOM_CLIP,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    batch_size: int = 32,
    trust_remote_code: bool = False,
) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    spec : str or Path
        - ``"classical"``: descriptors of colour, texture and shape; nothing to download.
        - ``"phantom-clip"``, the default: a small image-text model that ships with knobo, for demonstrations and tests
          on phantoms. It was trained on synthetic images only and knows nothing about real patients; loading it warns
          of that. :func:`phantom_card` says how it was made.
        - A published model, such as ``"whyxrayclip"``, ``"biomedclip"`` or ``"medsiglip"``; case does not matter.
          :func:`knobo.encoders.published_models` and ``knobo models list`` give all names.
        - ``"local-dir:FOLDER"``, a Path, or the name of a folder that no published model has: a model in the format of
          open_clip (``open_clip_config.json``), of transformers (``config.json`` of a CLIP, SigLIP or DINOv2 model) or
          of timm (``config.json`` with an architecture; images only).
        - ``"hf-hub:ORG/NAME"``: a model in one of these formats on the Hugging Face hub.
        - ``"open_clip:NAME/PRETRAINED"`` or ``"NAME/PRETRAINED"``: an architecture and its weights by open_clip's
          names, such as ``"ViT-B-32/laion2b_s34b_b79k"``; ``"NAME"`` alone if there is one set of weights. PRETRAINED
          may be a file of weights.
    device : str
        ``"auto"`` (CUDA, else MPS, else the CPU) or a torch device; classical descriptors always run on the CPU.
    precision : {"fp32", "bf16", "fp16"}
        On a CPU ``"bf16"`` converts the weights; on a GPU ``"bf16"`` and ``"fp16"`` are autocast.
    batch_size : int
        Images that go through a model at once.
    trust_remote_code : bool
        Run code that comes with the model you name here. Without it such a model is refused.

    Returns
    -------
    Encoder
        Also a :class:`TextEncoder` if the model has a text side.

    Raises
    ------
    InputError
        If the name is unknown (close matches are given), the model is one that only its authors' code runs (the message
        says how to get it), or the device or precision is not there.
    DownloadError
        If a model is not on this machine and cannot be fetched; the message says which files to carry, and where to put
        them. With the environment variable ``KNOBO_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` only copies on this machine are
        used.
    FileError, FormatError
        If a local folder is incomplete or broken, or would have to run code.
    MissingDependencyError
        If the model needs transformers, which is not installed.
    """
    if not isinstance(spec, str | Path):
        raise InputTypeError(f"An encoder is loaded by name or folder, got {type(spec).__name__}.")
    name = str(spec)
    if name == "classical" or name.startswith("classical:"):
        families = name.removeprefix("classical").removeprefix(":")
        return ClassicalEncoder(families.split("+") if families else None)
    settings: dict[str, Any] = {"device": device, "precision": precision, "batch_size": batch_size}
    if name == PHANTOM_CLIP and not isinstance(spec, Path):
        warnings.warn(
            "phantom-clip was trained on synthetic images only; it knows nothing about real patients.", stacklevel=2
        )
        return _load_folder(_PHANTOM_FOLDER, PHANTOM_CLIP, settings, trust_remote_code)
    card = None if isinstance(spec, Path) else find_model(name)  # a folder may be called like a model
    if card is not None:
        return _load_card(card, settings, trust_remote_code)
    if name.startswith("hf-hub:"):
        folder = model_folder(name.removeprefix("hf-hub:"), trust_remote_code=trust_remote_code)
        return _load_folder(folder, name, settings, trust_remote_code)
    if name.startswith("local-dir:") or Path(name).is_dir():
        folder = Path(name.removeprefix("local-dir:"))
        return _load_folder(folder, f"local-dir:{folder}", settings, trust_remote_code)
    return _load_open_clip(name, settings)


def phantom_card() -> str:
    """Return the card of phantom-clip, Markdown: data, settings, and how well it reads phantoms of a new hospital."""
    return (_PHANTOM_FOLDER / "card.md").read_text(encoding="utf-8")


def recognise(folder: Path) -> tuple[str, dict[str, Any]]:
    """Say which library a model's folder is for, and return its config.json (empty for open_clip).

    Raises
    ------
    FileError
        If there is no such folder, or no config in it.
    FormatError
        If its config.json is not one of transformers or timm.
    """
    if not folder.is_dir():
        raise FileError(f"No folder {folder}; local-dir: takes the folder that holds a model's config and weights.")
    if (folder / CONFIG_FILE).is_file():
        return "open_clip", {}
    path = folder / "config.json"
    if not path.is_file():
        raise FileError(f"{folder} holds no {CONFIG_FILE} and no config.json; copy it from where the model comes from.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} is not a JSON file ({error}). Was the download or copy complete?") from error
    if isinstance(config, dict) and ("model_type" in config or "auto_map" in config):
        return "transformers", config
    if isinstance(config, dict) and "architecture" in config:
        return "timm", config
    raise FormatError(f"{path} has neither the model_type of transformers nor the architecture of timm.")


def _load_card(card: ModelCard, settings: dict[str, Any], trust_remote_code: bool) -> Encoder:
    if card.spec is None:
        raise InputError(
            f"knobo cannot load {card.name} by name. {card.how} `knobo models show {card.name}` says more."
        )
    if card.load_as is not None:
        _require_cached(card)  # before open_clip is imported, which takes seconds
        return _load_open_clip(card.load_as, settings)
    folder = model_folder(
        str(card.hub_id), name=card.name, files=card.files, trust_remote_code=trust_remote_code and card.remote_code
    )
    return _load_folder(folder, card.name, settings, trust_remote_code)


def _require_cached(card: ModelCard) -> None:
    """Raise :class:`DownloadError` if downloads are switched off and the hub's cache lacks a model's weights."""
    if is_offline() and cached_file(str(card.hub_id), WEIGHT_FILES) is None:
        raise DownloadError(how_to_carry(card.name, str(card.hub_id), TAG_FILES, obstacle()))


def _load_folder(folder: Path, spec: str, settings: dict[str, Any], trust_remote_code: bool) -> Encoder:
    library, config = recognise(folder)
    if library == "timm":
        from knobo.encoders.timm_models import load_timm

        return load_timm(folder, spec, **settings)
    if library == "transformers":
        from knobo.encoders.transformers_models import load_transformers

        return load_transformers(folder, config, spec, **settings, trust_remote_code=trust_remote_code)
    from knobo.encoders.clip import ClipEncoder

    encoder = ClipEncoder(f"local-dir:{folder}", **settings, trust_remote_code=trust_remote_code)
    encoder.spec = spec
    return encoder


def _load_open_clip(name: str, settings: dict[str, Any]) -> Encoder:
    from knobo.encoders.clip import ClipEncoder

    architecture, tag = parse_open_clip(name)
    return ClipEncoder(architecture, tag, **settings)


def parse_open_clip(name: str) -> tuple[str, str]:
    from knobo.encoders.clip import architectures, pretrained_tags

    architecture, _, tag = name.removeprefix("open_clip:").partition("/")
    known = architectures()
    if architecture not in known:
        close = close_names(architecture, ("classical", PHANTOM_CLIP, *known))
        hint = f"Did you mean {', '.join(close)}? " if close else ""
        raise InputError(
            f"Unknown encoder {name!r}. {hint}Use 'classical', 'phantom-clip', a published model (`knobo models "
            "list`), a folder, 'hf-hub:ORG/NAME', or open_clip's NAME/PRETRAINED."
        )
    tags = pretrained_tags(architecture)
    if not tag and len(tags) == 1:
        return architecture, tags[0]
    if tag not in tags and not Path(tag).is_file():
        what = f"no weights {tag!r} for" if tag else "several sets of weights, or none, for"
        choices = ", ".join(f"{architecture}/{one}" for one in tags) or "none"
        raise InputError(f"open_clip knows {what} {architecture!r}; choose one of: {choices}.")
    return architecture, tag
