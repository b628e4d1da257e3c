"""Contrastive image-text models (CLIP and its kin) through open_clip: the only file that loads models with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from knobo.encoders.hub import (
    CONFIG_FILE,
    TAG_FILES,
    WEIGHT_FILES,
    cached_file,
    has_tokenizer,
    how_to_carry,
    model_folder,
    obstacle,
    reason_of,
    text_tower_folder,
)
from knobo.encoders.staged import PixelStage
from knobo.encoders.torch_encoder import Precision, TorchEncoder, check_precision, pick_device, refuse_code, square
from knobo.errors import DownloadError, FileError, FormatError, InputError, KnoboError, MissingDependencyError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["CONFIG_FILE", "WEIGHT_FILES", "ClipEncoder", "architectures", "pick_device", "pretrained_tags"]


class ClipEncoder(TorchEncoder):
    """Images and texts to unit vectors in one space, by an open_clip model.

    Most users call :func:`knobo.load_encoder`, which ends here.

    Parameters
    ----------
    name : str
        Source of the model: ``"hf-hub:ORG/NAME"``, ``"local-dir:FOLDER"``, or an architecture that open_clip knows.
    pretrained : str, optional
        Tag of the weights, or a file of weights; only with an architecture.
    device : str
        ``"auto"`` (CUDA, else Apple's MPS, else the CPU) or a torch device.
    precision : {"fp32", "bf16", "fp16"}
        ``"bf16"`` converts the weights on a CPU and is autocast on a GPU; ``"fp16"`` is autocast and needs a GPU.
    batch_size : int
        Images or texts that go through the model at once. Changes speed and memory, not the result.
    trust_remote_code : bool
        Accept a config that asks to run code which comes with the tokenizer.

    Attributes
    ----------
    spec : str
        Name from which :func:`knobo.load_encoder` makes the same encoder again.
    device : torch.device
    precision : str
    image_size : tuple of int
        Height and width of what the model sees.

    Raises
    ------
    DownloadError
        If weights are not on this machine and cannot be fetched, or fetching is switched off.
    FileError, FormatError
        If a local folder lacks a file, or a file of it is broken or would have to run code.
    InputError
        If the device or the precision is not there.

    Notes
    -----
    The model runs in evaluation mode. Weights are read as safetensors; other formats are read only by torch's
    ``weights_only`` loader, which refuses everything but tensors.
    """

    def __init__(
        self,
        name: str,
        pretrained: str | None = None,
        *,
        device: str = "auto",
        precision: Precision = "fp32",
        batch_size: int = 32,
        trust_remote_code: bool = False,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}.")
        source = _locate(name, pretrained, trust_remote_code)
        chosen = pick_device(device)
        check_precision(precision, chosen)
        model, preprocess, self._tokenize = _load(source)
        self._pixels = PixelStage(preprocess)
        super().__init__(
            name if pretrained is None else f"open_clip:{name}/{pretrained}",
            model,
            image_size=square(model.visual.image_size),
            device=chosen,
            precision=precision,
            batch_size=batch_size,
        )

    def prepare(self, image: Image) -> NDArray[Any]:
        """Bring one RGB image to the size of the model: shape (3, h, w)."""
        return self._pixels.prepare(image)

    def compile(self) -> ClipEncoder:
        """Compile the image side with ``torch.compile``: the first batches take a minute, the later ones less time."""
        self._model.visual.compile()
        return self

    def _stack(self, prepared: Sequence[NDArray[Any]]) -> dict[str, torch.Tensor]:
        return {"image": self._pixels.to_device(prepared, self.device)}

    def _image_side(self) -> tuple[Any, Any]:
        return self._model.visual, self._pixels.transform

    def _image_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        features: torch.Tensor = self._model.encode_image(inputs["image"])
        return features

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        return {"text": self._tokenize(texts)}

    def _text_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        features: torch.Tensor = self._model.encode_text(inputs["text"])
        return features


def architectures() -> list[str]:
    """Names of the architectures that open_clip knows."""
    import open_clip

    return list(open_clip.list_models())


def pretrained_tags(architecture: str) -> list[str]:
    """Tags of the weights that open_clip knows for an architecture."""
    import open_clip

    return list(open_clip.list_pretrained_tags_by_model(architecture))


def text_tower_of(folder: Path) -> tuple[str, str]:
    """Hub names of the BERT and of the tokenizer that an open_clip model's config asks for, each maybe empty."""
    text = _read_config(folder)["model_cfg"].get("text_cfg", {})
    return str(text.get("hf_model_name") or ""), str(text.get("hf_tokenizer_name") or "")


def write_config(folder: Path, architecture: str, tag: str) -> None:
    """Write what a folder of weights needs to be loaded without their tag: architecture and image normalisation."""
    import open_clip

    from knobo.storage import write_json

    settings = _tag_settings(architecture, tag)
    model_cfg = open_clip.get_model_config(architecture)
    if settings.pop("force_quick_gelu"):
        model_cfg["quick_gelu"] = True
    preprocess_cfg = {key.removeprefix("image_"): value for key, value in settings.items() if value is not None}
    write_json(folder / CONFIG_FILE, {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg})


def hub_repository(architecture: str, tag: str) -> str:
    """Hub repository of the weights of a tag, or an empty string if they come from elsewhere."""
    import open_clip

    place = str(open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", ""))
    return "/".join(place.split("/")[:2])  # a third part names a file


class _Source(NamedTuple):
    """What open_clip is asked for: a name with its scheme, weights by tag or file, settings, and the folder if any."""

    name: str
    weights: str | None
    settings: dict[str, Any]
    folder: Path | None = None


def _load(source: _Source) -> tuple[Any, Any, Any]:
    """Return the model, the transform of its images, and its tokenizer."""
    import open_clip

    try:
        if source.folder is not None or source.weights:
            refuse_code(source.folder or Path(str(source.weights)))
        model, preprocess = open_clip.create_model_from_pretrained(
            source.name, pretrained=source.weights, device="cpu", **source.settings
        )
        tokenizer = open_clip.get_tokenizer(source.name) if source.folder is None else _tokenizer(source.folder)
        return model, preprocess, tokenizer
    except KnoboError:
        raise
    except Exception as error:  # open_clip passes on what the hub client, torch, transformers and json raise
        if "transformers" in str(error) and _lacks_transformers():
            raise MissingDependencyError(
                f"{source.name} has a text tower of transformers, which is missing: pip install 'knobo[transformers]'."
            ) from error
        if source.folder is not None or (source.weights and Path(source.weights).is_file()):
            raise FormatError(
                f"{source.name} is not a model that can be loaded ({reason_of(error)}). Weights must be safetensors "
                f"or a torch file of tensors, and fit {CONFIG_FILE}."
            ) from error
        tag = source.weights or ""
        repository = hub_repository(source.name, tag)
        raise DownloadError(how_to_carry(f"{source.name}/{tag}", repository, (), reason_of(error))) from error


def _locate(name: str, pretrained: str | None, trust_remote_code: bool) -> _Source:
    """Find a model on this machine, or make sure that the hub can be asked for it."""
    if name.startswith("local-dir:"):
        return _folder_source(Path(name.removeprefix("local-dir:")), trust_remote_code)
    if name.startswith("hf-hub:"):
        folder = model_folder(name.removeprefix("hf-hub:"), trust_remote_code=trust_remote_code)
        return _folder_source(folder, trust_remote_code)
    if pretrained is None:
        raise InputError(f"{name!r} needs a tag or a file of weights: open_clip:{name}/PRETRAINED.")
    settings = _tag_settings(name, pretrained)
    if Path(pretrained).is_file():
        return _Source(name, pretrained, settings)
    hindrance = obstacle()
    if not hindrance:
        return _Source(name, pretrained, settings)
    repository = hub_repository(name, pretrained)
    weights = cached_file(repository, WEIGHT_FILES)
    if weights is not None:
        return _Source(name, str(weights), settings)
    raise DownloadError(how_to_carry(f"{name}/{pretrained}", repository, TAG_FILES, hindrance))


def _folder_source(folder: Path, trust_remote_code: bool) -> _Source:
    config = folder / CONFIG_FILE
    if not folder.is_dir():
        raise FileError(f"No folder {folder}; local-dir: takes the folder that holds {CONFIG_FILE} and the weights.")
    if not config.is_file():
        raise FileError(f"{folder} holds no {CONFIG_FILE}; copy it from where the model comes from.")
    if not any(path.suffix in (".safetensors", ".bin", ".pth") for path in folder.iterdir()):
        other = next((path.name for path in folder.iterdir() if path.suffix in (".pt", ".ckpt")), None)
        hint = f"rename {other} to {WEIGHT_FILES[1]}" if other else f"put {WEIGHT_FILES[0]} beside {CONFIG_FILE}"
        raise FileError(f"{folder} holds no weights; {hint}.")
    if not trust_remote_code and "trust_remote_code" in config.read_text(encoding="utf-8", errors="replace"):
        raise FormatError(
            f"{config} asks for trust_remote_code; knobo runs no code that comes with a model unless you pass "
            "trust_remote_code=True."
        )
    text = _read_config(folder)["model_cfg"].get("text_cfg", {})
    settings: dict[str, Any] = {}
    if text.get("hf_model_name"):
        # the weights of the text tower are in the model's own file, but its config is read from elsewhere
        tower = text_tower_folder(folder, str(text["hf_model_name"]))
        if not trust_remote_code and "auto_map" in (tower / "config.json").read_text(encoding="utf-8"):
            raise FormatError(f"{tower / 'config.json'} asks to run code that comes with the model (auto_map).")
        settings["text_cfg"] = {**text, "hf_model_name": str(tower), "hf_model_pretrained": False}
    return _Source(f"local-dir:{folder}", None, settings, folder)


def _tokenizer(folder: Path) -> Any:
    """Tokenizer of a folder; a Hugging Face one is in the folder or beside the config of the text tower."""
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    text = _read_config(folder)["model_cfg"].get("text_cfg", {})
    name = text.get("hf_tokenizer_name")
    if not name:
        return open_clip.get_tokenizer(f"local-dir:{folder}")
    place = folder if has_tokenizer(folder) else text_tower_folder(folder, str(name))
    length = text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
    mode = text.get("tokenizer_mode")
    return HFTokenizer(str(place), context_length=length, tokenizer_mode=mode, **text.get("tokenizer_kwargs", {}))


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        config["model_cfg"]["embed_dim"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{folder / CONFIG_FILE} is no config of open_clip ({reason_of(error)}).") from error
    return config


def _tag_settings(name: str, pretrained: str) -> dict[str, Any]:
    """Activation and image normalisation that a tag's weights were trained with; open_clip's own for a file."""
    import open_clip

    tag = open_clip.get_pretrained_cfg(name, pretrained)
    settings = {f"image_{key}": tag.get(key) for key in ("mean", "std", "interpolation", "resize_mode")}
    return {"force_quick_gelu": bool(tag.get("quick_gelu")), **settings}


def _lacks_transformers() -> bool:
    from importlib.util import find_spec

    return find_spec("transformers") is None
