"""Which layer of an image model a map is read from, and from its values to a map."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch

from knobo.errors import InputError

_FINE = 4  # pixels of the model that a cell of a fine layer may span
_MOST_PREFIX = 8  # class and register tokens before the patches
Shape = tuple[int, int]


class Layer(NamedTuple):
    """A module whose output has a place for each part of the image: (n, C, *grid), or (n, prefix + cells, C)."""

    name: str
    module: torch.nn.Module
    grid: Shape
    tokens: bool

    def to_map(self, values: torch.Tensor) -> torch.Tensor:
        """Sum values of the shape of the output over channels: (n, *grid)."""
        if not self.tokens:
            return values.sum(dim=1)
        cells = self.grid[0] * self.grid[1]
        return values.sum(dim=2)[:, -cells:].reshape(-1, *self.grid)


def layers_of(model: torch.nn.Module, pixels: torch.Tensor) -> list[Layer]:
    """All layers with places, in the order in which they are called on ``pixels`` (1, 3, h, w)."""
    found: list[Layer] = []
    handles = [
        module.register_forward_hook(partial(_note, found, name.removeprefix("side."), pixels))
        for name, module in model.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            model(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return found


def choose_layer(model: torch.nn.Module, pixels: torch.Tensor, *, last: bool, name: str | None = None) -> Layer:
    """Choose a layer.

    Parameters
    ----------
    model, pixels
        As in :func:`layers_of`.
    last : bool
        The last one, as Grad-CAM wants; else a fine one: of a convolutional network the last one with a cell for every
        4 pixels, of a transformer the output of its first block.
    name : str, optional
        Name of the module, if the caller knows better.

    Raises
    ------
    InputError
        If there is none.
    """
    found = layers_of(model, pixels)
    if name is not None:
        named = [layer for layer in found if layer.name == name]
        if not named:
            choice = ", ".join(layer.name for layer in _outer(found))
            raise InputError(f"The model has no layer {name!r} with a place for each part of the image; try {choice}.")
        return named[-1]
    blocks = _blocks(found)
    if blocks:  # the last block's own patches are often not read any more, only its class token
        return blocks[max(len(blocks) - 2, 0) if last else 0]
    maps = [layer for layer in _outer(found) if last or layer.grid[0] * _FINE >= pixels.shape[2]]
    if not maps:
        raise InputError("No layer of the model has a place for each part of the image; use method='occlusion'.")
    return maps[-1]


def _note(
    found: list[Layer], name: str, pixels: torch.Tensor, module: torch.nn.Module, inputs: Any, output: Any
) -> None:
    if not isinstance(output, torch.Tensor):
        output = output[0] if isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor) else None
    if output is None or not output.is_floating_point():
        return
    height, width = pixels.shape[2:]
    if output.ndim == 4 and output.shape[2] > 1 and output.shape[2] * width == output.shape[3] * height:
        found.append(Layer(name, module, (int(output.shape[2]), int(output.shape[3])), tokens=False))
    maps = [layer for layer in found if not layer.tokens]
    if output.ndim == 3 and maps and len(output) == 1:
        grid = maps[-1].grid
        if 0 <= output.shape[1] - grid[0] * grid[1] <= _MOST_PREFIX:
            found.append(Layer(name, module, grid, tokens=True))


def _outer(layers: list[Layer]) -> list[Layer]:
    """Stages rather than their inner parts, which a shortcut may pass by."""
    depth = min((layer.name.count(".") for layer in layers), default=0)
    return [layer for layer in layers if layer.name.count(".") <= depth + 1]


def _blocks(layers: list[Layer]) -> list[Layer]:
    """The blocks of a transformer: numbered modules over tokens that are no part of one another."""
    numbered = [layer for layer in layers if layer.tokens and layer.name.rpartition(".")[2].isdigit()]
    depth = min((layer.name.count(".") for layer in numbered), default=0)
    return [layer for layer in numbered if layer.name.count(".") == depth]
