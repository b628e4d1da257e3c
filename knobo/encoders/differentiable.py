"""The image side of a torch encoder as a module that gradients flow through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from knobo.encoders.staged import unit_rows


class Differentiable(torch.nn.Module):
    """Pixels of shape (n, 3, h, w), as ``TorchImageEncoder.pixels`` gives them, to unit rows (n, d), float32.

    The layers of the model are submodules, so that they can be found and hooked.
    """

    def __init__(self, side: torch.nn.Module, features: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.side = side
        self._features = features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return unit_rows(self._features(pixels))
