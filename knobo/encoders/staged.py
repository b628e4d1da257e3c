"""Encoders that the pipeline can take apart, and what those that run in torch share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from knobo.encoders.base import Encoder

if TYPE_CHECKING:
    import torch
    from PIL import Image


@runtime_checkable
class StagedEncoder(Encoder, Protocol):
    """An encoder in two steps, so that images are prepared in threads while the model runs.

    Attributes
    ----------
    batch_size : int
        Images that go through the model at once unless the caller says otherwise.
    """

    batch_size: int

    def prepare(self, image: Image.Image) -> Any:
        """Bring one RGB image to what the model takes. Called from several threads."""
        ...

    def encode_batch(self, prepared: Sequence[Any]) -> Any:
        """Encode results of :meth:`prepare` to (b, d), float32, unit rows: an array, or a tensor still under way."""
        ...


class PixelStage:
    """A torchvision transform in two parts: geometry on 8 bits in threads, arithmetic on the device.

    A batch is four times smaller on its way to the device than in float32. Values are those of the whole transform,
    bit for bit. A transform that does not end in ``ToTensor`` and ``Normalize`` stays whole and runs in threads.

    Parameters
    ----------
    transform : callable
        From a PIL image to a float tensor of shape (3, h, w).
    """

    def __init__(self, transform: Any) -> None:
        from torchvision.transforms import Normalize, ToTensor

        self.transform = transform
        steps = list(getattr(transform, "transforms", ()))
        self._normalize = steps[-1] if len(steps) > 1 and isinstance(steps[-1], Normalize) else None
        if self._normalize is not None and not isinstance(steps[-2], ToTensor):
            self._normalize = None
        self._geometry = steps[:-2]

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """Bring one image to size: (3, h, w), uint8 if the transform could be parted, else float32."""
        if self._normalize is None:
            whole: NDArray[Any] = self.transform(image).numpy()
            return whole
        for step in self._geometry:
            image = step(image)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    def to_device(self, prepared: Sequence[NDArray[Any]], device: torch.device) -> torch.Tensor:
        """Stack a batch and finish it on the device."""
        import torch
        from torchvision.transforms.functional import normalize

        pixels = send(torch.from_numpy(np.stack(prepared)), device)
        if self._normalize is not None:
            pixels = pixels.to(torch.float32).div_(255)
            pixels = normalize(pixels, self._normalize.mean, self._normalize.std, inplace=True)
        return pixels


def send(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a batch to the device; to CUDA from pinned memory, without waiting."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


def unit_rows(output: torch.Tensor) -> torch.Tensor:
    """Divide rows by their length, in float32, on the device where they are."""
    rows = output.float()
    return rows / rows.norm(dim=1, keepdim=True)


def model_fingerprint(model: torch.nn.Module, transform: Any) -> str:
    """Digest of all that decides the numbers of a model: layers, their settings, weights with dtype, and transform.

    Where it runs and how it is compiled are left out: they change the last digits only.
    """
    import torch

    digest = hashlib.sha256()
    for name, module in model.named_modules():
        settings = {key: value for key, value in vars(module).items() if _is_setting(key, value)}
        digest.update(f"{name} {type(module).__qualname__} {module.extra_repr()} {sorted(settings.items())}\n".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(memoryview(data))
    preparation = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(transform)).encode())
    return f"{digest.hexdigest()[:32]}-{preparation.hexdigest()[:16]}"


def _is_setting(key: str, value: Any) -> bool:
    return not key.startswith("_") and key != "training" and isinstance(value, bool | int | float | str | tuple | None)
