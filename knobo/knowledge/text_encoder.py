"""A BERT-like sentence encoder from a local folder or the Hugging Face hub, through transformers.

Reads what sentence-transformers and MedCPT publish: the model, its tokenizer, and the pooling named beside it. Code
that a repository may carry is never run.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from knobo.errors import DownloadError, FormatError, InputError, MissingDependencyError

Pooling = Literal["mean", "cls"]

_MODULES = ("Transformer", "Pooling", "Normalize")
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_LONGEST = 512


class TextEncoder:
    """Texts to vectors. Make one with :func:`load_text_encoder`.

    Attributes
    ----------
    name : str
        Hub id or folder name; an index remembers it.
    pooling : {"mean", "cls"}
        Whether a vector is the mean over the tokens or the state of the first one.
    normalize : bool
        Whether vectors have length 1, so that inner products are cosines.
    max_length : int
        Tokens that are read; the rest of a text is cut off.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, recipe: dict[str, Any], batch_size: int) -> None:
        self._model, self._tokenizer, self._batch_size = model, tokenizer, batch_size
        self.name = name
        self.pooling: Pooling = recipe["pooling"]
        self.normalize: bool = recipe["normalize"]
        self.max_length: int = recipe["max_length"]

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode texts, those of like length together.

        Returns
        -------
        numpy.ndarray of shape (n, d), float32
        """
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), int(self._model.config.hidden_size)), dtype=np.float32)
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            batch = self._tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=self.max_length,
                return_tensors="pt",
            ).to(self._model.device)
            with torch.inference_mode():
                states = self._model(**batch).last_hidden_state.float()
            vectors[rows] = pool(states, batch["attention_mask"], self.pooling, normalize=self.normalize).cpu().numpy()
        return vectors


def load_text_encoder(
    spec: str | Path,
    *,
    pooling: Pooling | None = None,
    normalize: bool | None = None,
    device: str | None = None,
    batch_size: int = 32,
) -> TextEncoder:
    """Load a sentence encoder.

    Parameters
    ----------
    spec : str or Path
        Folder of a sentence-transformers or Hugging Face BERT model, or a hub id such as
        ``"sentence-transformers/all-MiniLM-L6-v2"`` or ``"ncbi/MedCPT-Article-Encoder"``, downloaded once.
    pooling : {"mean", "cls"}, optional
        Without it the sentence-transformers files of the model decide; a model without them, such as MedCPT, takes
        the state of the first token.
    normalize : bool, optional
        Whether to scale vectors to length 1; without it the model's files decide.
    device : str, optional
        Such as ``"cuda"``; without it a GPU is taken when there is one.
    batch_size : int
        Texts that go through the model together.

    Returns
    -------
    TextEncoder
        A callable for ``DenseIndex``.

    Raises
    ------
    MissingDependencyError
        If transformers is not installed.
    DownloadError
        If the model is neither a folder nor can be fetched.
    FormatError
        If the folder holds no model that transformers reads without running its code.
    InputError
        If the model asks for steps that knobo does not have, or ``batch_size`` or ``pooling`` is unusable.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is a number of texts, at least 1, got {batch_size}.")
    if pooling not in (None, "mean", "cls"):
        raise InputError(f"pooling is 'mean' or 'cls', or left out, got {pooling!r}.")
    transformers = _transformers()
    folder = Path(spec) if Path(spec).is_dir() else _fetch(str(spec))
    recipe = _recipe(folder, pooling=pooling, normalize=normalize)
    try:
        tokenizer, model = _read_model(transformers, str(folder))
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and others of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FormatError(
            f"{spec} holds no model that can be read without running its own code ({reason}). Choose a BERT-like "
            "sentence encoder with config.json, a tokenizer and model.safetensors."
        ) from error
    reach = int(getattr(model.config, "max_position_embeddings", _LONGEST))
    recipe["max_length"] = min(recipe["max_length"], reach, int(tokenizer.model_max_length))
    name = Path(spec).resolve().name if Path(spec).is_dir() else str(spec)
    return TextEncoder(model.to(_device(device)).eval(), tokenizer, name, recipe, batch_size)


def pool(states: Any, mask: Any, pooling: Pooling, *, normalize: bool) -> Any:
    """Token states to one vector a text.

    Parameters
    ----------
    states : torch.Tensor of shape (n, length, d)
    mask : torch.Tensor of shape (n, length)
        1 for a token, 0 for padding.
    pooling : {"mean", "cls"}
    normalize : bool

    Returns
    -------
    torch.Tensor of shape (n, d)
    """
    if pooling == "cls":
        vectors = states[:, 0]
    else:
        weights = mask.unsqueeze(-1).to(states.dtype)
        vectors = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12) if normalize else vectors


def _transformers() -> Any:
    try:
        return import_module("transformers")
    except ImportError as error:
        raise MissingDependencyError(
            "transformers is not installed. Install knobo[dense], or hand over any function that takes a list of texts "
            "and gives an array of vectors."
        ) from error


def _read_model(transformers: Any, folder: str) -> tuple[Any, Any]:
    """Tokenizer and model, without the progress bar over weights that are here already."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()
    return tokenizer, model


def _device(device: str | None) -> str:
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _fetch(name: str) -> Path:
    """Folder of a hub model in the local cache; PyTorch's weights only where there are no safetensors."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=_FILES, ignore_patterns=["onnx/*", "openvino/*"]))
        if not list(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*_FILES, "pytorch_model.bin"]))
    except Exception as error:  # the hub raises its own errors, those of its HTTP client, OSError and ValueError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"{name!r} is no folder here and could not be fetched from the Hugging Face hub ({reason}). Check the "
            "name, or copy the model's folder to this machine and give its path."
        ) from error
    return folder


def _recipe(folder: Path, *, pooling: Pooling | None, normalize: bool | None) -> dict[str, Any]:
    """Pooling, scaling and length as the sentence-transformers files in a folder say, unless the caller did."""
    modules = _read(folder / "modules.json") or []
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    if unknown := [kind for kind in kinds if kind not in _MODULES]:
        raise InputError(
            f"{folder} asks for the step {unknown[0]!r}; knobo has {', '.join(_MODULES)}. Choose another model, or "
            "hand over a function that runs this one."
        )
    places = [str(module.get("path", "")) for module, kind in zip(modules, kinds, strict=True) if kind == "Pooling"]
    config = _read(folder / places[0] / "config.json") if places else None
    length = (_read(folder / "sentence_bert_config.json") or {}).get("max_seq_length") or _LONGEST
    return {
        "pooling": pooling or (_pooling(folder, config) if config is not None else "cls"),
        "normalize": "Normalize" in kinds if normalize is None else normalize,
        "max_length": int(length),
    }


def _pooling(folder: Path, config: dict[str, Any]) -> Pooling:
    old = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    modes = {old.get(key, key) for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    modes |= {str(config["pooling_mode"])} if "pooling_mode" in config else set()
    if modes == {"mean"}:
        return "mean"
    if modes == {"cls"}:
        return "cls"
    raise InputError(
        f"{folder} asks for the pooling {', '.join(sorted(modes)) or 'none'}; knobo has 'mean' and 'cls'. Choose one "
        "with pooling=…, or another model."
    )


def _read(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is not a JSON file ({error}). Was the download or copy complete?") from error
