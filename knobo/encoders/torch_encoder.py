"""What every encoder that runs on torch shares: device, precision, batches, rows of unit length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from knobo.encoders.pipeline import embed
from knobo.encoders.staged import model_fingerprint, send, unit_rows
from knobo.errors import FormatError, InputError, InputTypeError
from knobo.images import ImageSource

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Precision = Literal["fp32", "bf16", "fp16"]
REMEDY = "Are the weights complete? In reduced precision, try float32."
Self = TypeVar("Self", bound="TorchImageEncoder")


class TorchImageEncoder:
    """Images to unit vectors by a torch model; a subclass says how an image is prepared and what the model makes of it.

    Parameters
    ----------
    spec : str
        Name from which :func:`knobo.load_encoder` makes the same encoder again.
    model : torch.nn.Module
    image_size : tuple of int or None
        Height and width of what the model sees; None if it keeps the shape of an image.
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
        On a CPU ``"bf16"`` converts the weights, for autocast is slower than float32 there. On a GPU both autocast.
    batch_size : int
    """

    _pixels_name = "image"  # of the input that holds the pixels

    def __init__(
        self,
        spec: str,
        model: torch.nn.Module,
        *,
        image_size: tuple[int, int] | None,
        device: torch.device,
        precision: Precision = "fp32",
        batch_size: int = 32,
    ) -> None:
        check_precision(precision, device)
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}.")
        self.spec = spec
        self.batch_size = batch_size
        self.device = device
        self.precision: Precision = precision
        self.image_size = image_size
        self._model: Any = _place(model, device, precision)
        self._fingerprint = ""

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

    def prepare(self, image: Image) -> Any:
        """Bring one RGB image to what :meth:`encode_batch` takes."""
        raise NotImplementedError

    def encode_batch(self, prepared: Sequence[Any]) -> torch.Tensor:
        """Encode results of :meth:`prepare` to (b, d), float32, unit rows, on the device."""
        return self._run(self._image_features, self._stack(prepared))

    def pixels(self, prepared: Sequence[Any]) -> torch.Tensor:
        """Stack results of :meth:`prepare` to what :meth:`differentiable` takes: (n, 3, h, w), on the device.

        Raises
        ------
        InputError
            If the model takes more than pixels, such as the shape of each image.
        """
        inputs = self._stack(prepared)
        if len(inputs) != 1:
            raise InputError(f"{self.spec} takes {', '.join(inputs)}, not pixels alone.")
        weights = next(self._model.parameters()).dtype
        return next(iter(inputs.values())).to(self.device, weights)

    def differentiable(self) -> torch.nn.Module:
        """The image side as a module from :meth:`pixels` to unit rows (n, d), float32, that gradients flow through."""
        from knobo.encoders.differentiable import Differentiable

        return Differentiable(self._image_side()[0], lambda pixels: self._image_features({self._pixels_name: pixels}))

    def fingerprint(self) -> str:
        """Digest of weights, settings, precision and preparation. A store files rows under it."""
        if not self._fingerprint:
            model, preparation = self._image_side()
            self._fingerprint = f"{model_fingerprint(model, preparation)}-{self.precision}"
        return self._fingerprint

    def __sklearn_clone__(self: Self) -> Self:
        return self  # it never changes: copies of an estimator share the weights

    def _image_side(self) -> tuple[Any, Any]:
        """The module that sees images, and the object that prepares them."""
        raise NotImplementedError

    def _stack(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Inputs of the model on its device, each of shape (n, …)."""
        raise NotImplementedError

    def _image_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings of shape (n, d), of any length."""
        raise NotImplementedError

    def _batches(self, n: int) -> list[range]:
        return [range(start, min(start + self.batch_size, n)) for start in range(0, n, self.batch_size)]

    def _run(
        self, features: Callable[[dict[str, torch.Tensor]], torch.Tensor], inputs: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        import torch

        lowered = self.precision != "fp32" and self.device.type != "cpu"
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        context = torch.autocast(self.device.type, dtype=dtype) if lowered else nullcontext()
        weights = next(self._model.parameters()).dtype
        placed = {
            name: send(value, self.device).to(weights if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }
        with torch.inference_mode(), context:
            return unit_rows(features(placed))


class TorchEncoder(TorchImageEncoder):
    """A :class:`TorchImageEncoder` with a text side."""

    @property
    def logit_scale(self) -> float:
        """Inverse temperature of the model: what it multiplies a cosine with to make a logit."""
        return float(self._model.logit_scale.detach().float().exp())

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into an array of shape (n, d), float32, unit rows, in the order of ``texts``.

        Raises
        ------
        InputTypeError
            If ``texts`` is one string, not a list of strings.
        InputError
            If there are none.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputTypeError("texts must be a list of strings; put a single text in a list: [text].")
        if len(texts) == 0:
            raise InputError("There are no texts; pass at least one.")
        rows = []
        for batch in self._batches(len(texts)):
            rows.append(self._run(self._text_features, self._tokens([texts[n] for n in batch])).cpu().numpy())
        if not all(np.isfinite(part).all() for part in rows):
            raise InputError(f"{self.spec} gave an embedding that is zero or not finite. {REMEDY}")
        return np.concatenate(rows)

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """Inputs of the model for texts, each of shape (n, …)."""
        raise NotImplementedError

    def _text_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings of shape (n, d), of any length."""
        raise NotImplementedError


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


def check_precision(precision: str, device: torch.device) -> None:
    """Raise :class:`InputError` if there is no such precision, or not on this device."""
    if precision not in ("fp32", "bf16", "fp16"):
        raise InputError(f"Unknown precision {precision!r}; use 'fp32', 'bf16' or 'fp16'.")
    if precision == "fp16" and device.type == "cpu":
        raise InputError("precision='fp16' needs a GPU; on a CPU use 'bf16' or 'fp32'.")


def refuse_code(place: Path) -> None:
    """Read the pickles of a folder that has no safetensors, or one file, as tensors only.

    open_clip and timm do so by themselves in some releases, and for some errors, only.

    Raises
    ------
    FormatError
        If one is broken, or would have to run code.
    """
    from pickle import UnpicklingError

    import torch

    files = list(place.iterdir()) if place.is_dir() else [place]
    if any(file.suffix == ".safetensors" for file in files):
        return
    for file in files:
        if file.suffix in (".bin", ".pth", ".pt"):
            try:
                torch.load(file, map_location="cpu", weights_only=True, mmap=is_zipfile(file))
            except (UnpicklingError, RuntimeError, EOFError) as error:
                raise FormatError(
                    f"{file} is broken, or would have to run code to load, which knobo refuses: it must hold tensors "
                    "only, better as safetensors."
                ) from error


def square(size: Any) -> tuple[int, int]:
    """Height and width from a number or a pair."""
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _place(model: torch.nn.Module, device: torch.device, precision: Precision) -> torch.nn.Module:
    import torch

    dtype = torch.bfloat16 if precision == "bf16" and device.type == "cpu" else torch.float32
    return model.to(device, dtype=dtype).eval()
