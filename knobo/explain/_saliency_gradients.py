"""Maps by gradients, for encoders that are differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from knobo.errors import InputError
from knobo.explain._saliency_layers import Layer, choose_layer
from knobo.explain._saliency_view import View, place_on_image, view_of

_BLUR = 0.1  # of the longer side: what is left of an image that a gradient's path starts from
_SMOOTH = 0.04  # of the longer side: single cells of a fine layer are noisy


class DifferentiableEncoder(Protocol):
    """What an encoder needs for maps by gradients; :class:`knobo.encoders.TorchImageEncoder` has it."""

    def prepare(self, image: Image.Image) -> Any: ...
    def pixels(self, prepared: Sequence[Any]) -> torch.Tensor: ...
    def differentiable(self) -> torch.nn.Module: ...


class GradientMaps:
    """Maps of concepts whose log-odds are ``coef @ embedding``, see :func:`knobo.explain.concept_maps`."""

    def __init__(
        self,
        encoder: DifferentiableEncoder,
        coef: NDArray[np.float64],
        *,
        gradcam: bool,
        layer: str | None,
        steps: int,
        batch_size: int,
    ) -> None:
        self._encoder = encoder
        self._model = encoder.differentiable()
        self._coef = torch.from_numpy(coef.astype(np.float32))
        self._gradcam = gradcam
        self._layer_name = layer
        self._layer: Layer | None = None
        self._steps = steps
        self._batch_size = batch_size
        self._views: dict[tuple[int, int], View] = {}

    def __call__(self, image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Maps (m, *shape) of one image (H, W, 3), over the whole of it."""
        height, width = image.shape[:2]
        if (height, width) not in self._views:
            self._views[height, width] = view_of(self._look, height, width)
        pixels = self._encoder.pixels([self._encoder.prepare(Image.fromarray(image))])
        if self._layer is None:
            self._layer = choose_layer(self._model, pixels, last=self._gradcam, name=self._layer_name)
        grids = self._gradcam_of(pixels) if self._gradcam else self._integrated_of(pixels)
        placed = [place_on_image(grid, self._views[height, width], shape) for grid in grids.float().cpu().numpy()]
        return np.stack([grid if self._gradcam else gaussian_filter(grid, _SMOOTH * max(shape)) for grid in placed])

    def _look(self, image: Image.Image) -> NDArray[np.float32]:
        seen: NDArray[np.float32] = self._encoder.pixels([self._encoder.prepare(image)])[0].float().cpu().numpy()
        return seen

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self._model(pixels)
        return rows @ self._coef.to(rows.device).T

    def _integrated_of(self, pixels: torch.Tensor) -> torch.Tensor:
        layer = self._layer
        assert layer is not None
        integrated = _captum().LayerIntegratedGradients(self._logits, layer.module)
        at_once = max(1, self._batch_size // self._steps)
        smooth = _blurred(pixels)
        maps = []
        for targets in self._targets(at_once):
            found = integrated.attribute(
                pixels.expand(len(targets), -1, -1, -1),
                baselines=smooth.expand(len(targets), -1, -1, -1),
                target=targets.to(pixels.device),
                n_steps=self._steps,
                method="riemann_trapezoid",
                internal_batch_size=max(self._batch_size, len(targets)),
            )
            maps.append(layer.to_map(_first(found).detach()))
        return torch.cat(maps)

    def _targets(self, at_once: int) -> list[torch.Tensor]:
        n = len(self._coef)
        return [torch.arange(start, min(start + at_once, n)) for start in range(0, n, at_once)]

    def _gradcam_of(self, pixels: torch.Tensor) -> torch.Tensor:
        layer = self._layer
        assert layer is not None
        gradcam = _captum().LayerGradCam(self._logits, layer.module)
        activation = _captum().LayerGradientXActivation(self._logits, layer.module)
        maps = []
        for targets in self._targets(self._batch_size):
            inputs = pixels.expand(len(targets), -1, -1, -1).clone().requires_grad_()
            method = activation if layer.tokens else gradcam
            found = _first(method.attribute(inputs, target=targets.to(pixels.device))).detach()
            maps.append(layer.to_map(found).clamp(min=0))
        return torch.cat(maps)


def is_convolutional(encoder: DifferentiableEncoder, image: NDArray[np.uint8]) -> bool:
    """Whether the model keeps places in maps of channels up to its end, and takes pixels alone."""
    try:
        pixels = encoder.pixels([encoder.prepare(Image.fromarray(image))])
        return not choose_layer(encoder.differentiable(), pixels, last=True).tokens
    except InputError:
        return False


def _blurred(pixels: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.functional import gaussian_blur

    sigma = _BLUR * max(pixels.shape[2:])
    kernel = [2 * min(round(2 * sigma), side // 2 - 1) + 1 for side in (pixels.shape[3], pixels.shape[2])]
    blurred: torch.Tensor = gaussian_blur(pixels, kernel, [sigma, sigma])
    return blurred


def _first(found: Any) -> torch.Tensor:
    tensor: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return tensor


def _captum() -> Any:
    return import_module("captum.attr")
