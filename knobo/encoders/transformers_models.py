"""CLIP, SigLIP and DINOv2 models in the format of transformers: config.json, a processor, safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knobo.encoders.hub import reason_of
from knobo.encoders.torch_encoder import (
    Precision,
    TorchEncoder,
    TorchImageEncoder,
    check_precision,
    pick_device,
    refuse_code,
    square,
)
from knobo.errors import FileError, FormatError, MissingDependencyError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

TWO_TOWERS = ("clip", "siglip", "siglip2")
IMAGES_ONLY = ("dinov2",)

_LONGEST = 512  # tokens, where neither config nor tokenizer sets a limit


class TransformersImageEncoder(TorchImageEncoder):
    """Images to unit vectors by an image model of transformers: its pooled output (for DINOv2 the class token)."""

    _pixels_name = "pixel_values"

    def __init__(self, spec: str, model: Any, processor: Any, **settings: Any) -> None:
        self._processor = processor
        super().__init__(spec, model, image_size=_image_size(model, processor), **settings)

    def prepare(self, image: Image) -> dict[str, torch.Tensor]:
        """Bring one RGB image to the inputs of the model, each of shape (1, …)."""
        return dict(self._processor(images=image, return_tensors="pt"))

    def _stack(self, prepared: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        torch: Any = import_module("torch")
        return {name: torch.cat([one[name] for one in prepared]) for name in prepared[0]}

    def _image_side(self) -> tuple[Any, Any]:
        return self._model, self._processor

    def _image_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return _vectors(self._model(**inputs))


class TransformersEncoder(TorchEncoder, TransformersImageEncoder):
    """Images and texts to unit vectors in one space, by a CLIP or SigLIP model of transformers."""

    def __init__(self, spec: str, model: Any, processor: Any, tokenizer: Any, **settings: Any) -> None:
        self._tokenizer = tokenizer
        # SigLIP saw texts padded to full length, and looks at the last token
        self._padding = "max_length" if str(model.config.model_type).startswith("siglip") else True
        text = getattr(model.config, "text_config", None)
        self._length = int(getattr(text, "max_position_embeddings", None) or min(tokenizer.model_max_length, _LONGEST))
        super().__init__(spec, model, processor, **settings)

    def _image_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return _vectors(self._model.get_image_features(**inputs))

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        settings = {"padding": self._padding, "truncation": True, "max_length": self._length}
        tokens = self._tokenizer(texts, **settings, return_tensors="pt")
        return {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}

    def _text_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return _vectors(self._model.get_text_features(**inputs))


def load_transformers(
    folder: Path,
    config: dict[str, Any],
    spec: str,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    batch_size: int = 32,
    trust_remote_code: bool = False,
) -> TransformersImageEncoder:
    """Load a folder that ``save_pretrained`` of transformers wrote.

    Parameters
    ----------
    folder : Path
    config : dict
        Its config.json.
    spec : str
        Name under which :func:`knobo.load_encoder` finds it again.
    device, precision, batch_size
        As in :func:`knobo.load_encoder`.
    trust_remote_code : bool
        Run the Python files of the folder if its config asks for it.

    Raises
    ------
    MissingDependencyError
        If transformers is not installed.
    FileError, FormatError
        If a file is missing or broken, the kind of model is unknown, or it would have to run code.
    InputError
        If the device or the precision is not there.
    """
    kind = str(config.get("model_type"))
    remote = "auto_map" in config
    if remote and not trust_remote_code:
        raise FormatError(
            f"{folder / 'config.json'} asks to run code that comes with the model (auto_map: "
            f"{', '.join(map(str, config['auto_map'].values()))}). knobo runs none unless you pass "
            "trust_remote_code=True."
        )
    if not remote and kind not in TWO_TOWERS + IMAGES_ONLY:
        raise FormatError(
            f"{folder / 'config.json'} is of a {kind!r} model; knobo loads {', '.join(TWO_TOWERS + IMAGES_ONLY)}. Wrap "
            "another in a class with spec and encode_images."
        )
    if not any((folder / file).is_file() for file in ("preprocessor_config.json", "processor_config.json")):
        raise FileError(f"{folder} holds no preprocessor_config.json; copy it from where the model comes from.")
    chosen = pick_device(device)
    check_precision(precision, chosen)
    model, processor, tokenizer = _read(folder, images_only=kind in IMAGES_ONLY, trust=remote)
    settings = {"device": chosen, "precision": precision, "batch_size": batch_size}
    if tokenizer is None:
        return TransformersImageEncoder(spec, model, processor, **settings)
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise FormatError(f"{folder}: {type(model).__name__} has no get_image_features and get_text_features.")
    return TransformersEncoder(spec, model, processor, tokenizer, **settings)


def _read(folder: Path, *, images_only: bool, trust: bool) -> tuple[Any, Any, Any]:
    """Return model, image processor and tokenizer of a folder, without the network."""
    transformers = _transformers()
    refuse_code(folder)
    how = {"local_files_only": True, "trust_remote_code": trust}
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        model, report = transformers.AutoModel.from_pretrained(str(folder), output_loading_info=True, **how)
        processor = transformers.AutoImageProcessor.from_pretrained(str(folder), **how)
        tokenizer = None if images_only else transformers.AutoTokenizer.from_pretrained(str(folder), **how)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and others of its own
        raise FormatError(
            f"{folder} is not a model that can be loaded ({reason_of(error)}). It must hold config.json, "
            "preprocessor_config.json, the tokenizer of a model with texts, and model.safetensors or a torch file of "
            "tensors."
        ) from error
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()
    missing = sorted(report["missing_keys"])
    if missing:
        raise FormatError(f"The weights in {folder} lack {len(missing)} of the model's tensors, such as {missing[0]}.")
    return model, processor, tokenizer


def _transformers() -> Any:
    try:
        return import_module("transformers")
    except ImportError as error:
        raise MissingDependencyError(
            "This model needs transformers, which is not installed: pip install 'knobo[transformers]'."
        ) from error


def _vectors(output: Any) -> torch.Tensor:
    """Embeddings: transformers 4 returns them, transformers 5 an object that holds them."""
    vectors: torch.Tensor = getattr(output, "pooler_output", output)
    return vectors


def _image_size(model: Any, processor: Any) -> tuple[int, int] | None:
    """Height and width that the model sees; None for one that keeps the shape of an image, such as SigLIP 2 NaFlex."""
    size = getattr(processor, "crop_size", None) or getattr(processor, "size", None) or {}
    if "height" in size:
        return square((size["height"], size["width"]))
    vision = getattr(model.config, "vision_config", model.config)
    side = size.get("shortest_edge") or getattr(vision, "image_size", None)
    return side and square(side)
