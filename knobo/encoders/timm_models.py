"""Image models in timm's folder format: config.json with architecture and pretrained_cfg, and weights."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knobo.encoders.hub import reason_of
from knobo.encoders.staged import PixelStage
from knobo.encoders.torch_encoder import Precision, TorchImageEncoder, check_precision, pick_device, refuse_code, square
from knobo.errors import FormatError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


class TimmEncoder(TorchImageEncoder):
    """Images to unit vectors by a timm model without its classifier: the pooled features."""

    def __init__(self, spec: str, model: Any, **settings: Any) -> None:
        timm: Any = import_module("timm")
        data = timm.data.resolve_model_data_config(model)
        self._pixels = PixelStage(timm.data.create_transform(**data, is_training=False))
        super().__init__(spec, model, image_size=square(data["input_size"][1:]), **settings)

    def prepare(self, image: Image) -> NDArray[Any]:
        """Bring one RGB image to the size of the model: shape (3, h, w)."""
        return self._pixels.prepare(image)

    def _stack(self, prepared: Sequence[NDArray[Any]]) -> dict[str, torch.Tensor]:
        return {"image": self._pixels.to_device(prepared, self.device)}

    def _image_side(self) -> tuple[Any, Any]:
        return self._model, self._pixels.transform

    def _image_features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        features: torch.Tensor = self._model(inputs["image"])
        return features


def load_timm(
    folder: Path, spec: str, *, device: str = "auto", precision: Precision = "fp32", batch_size: int = 32
) -> TimmEncoder:
    """Load a folder that ``timm.models.save_for_hf`` wrote, or the copy of a timm model on the hub.

    Parameters
    ----------
    folder : Path
    spec : str
        Name under which :func:`knobo.load_encoder` finds it again.
    device, precision, batch_size
        As in :func:`knobo.load_encoder`.

    Raises
    ------
    FormatError
        If the config or the weights are broken, or do not fit each other.
    InputError
        If the device or the precision is not there.
    """
    timm: Any = import_module("timm")  # half of its functions have no types
    chosen = pick_device(device)
    check_precision(precision, chosen)
    refuse_code(folder)
    try:
        # with its classifier, and without it only then: timm lets tensors be missing if the classes differ
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
        model.reset_classifier(0)
    except Exception as error:  # timm passes on what torch, safetensors and json raise
        raise FormatError(
            f"{folder} is not a timm model that can be loaded ({reason_of(error)}). Weights must be safetensors or a "
            "torch file of tensors, and fit the architecture in config.json."
        ) from error
    return TimmEncoder(spec, model, device=chosen, precision=precision, batch_size=batch_size)
