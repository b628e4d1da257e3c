"""Many concepts' rows, as the solver sees them on a GPU: one padded batch. The only file of grounding that needs torch.

On a CPU a padded batch was measured to be slower than one concept after another, because it does not fit the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from knobo.errors import InputError
from knobo.grounding.rows import Basis

if TYPE_CHECKING:
    import torch

_CPU_BYTES = 2**28


def resolve_device(device: str) -> torch.device:
    """Check the name of a torch device.

    Raises
    ------
    InputError
        If torch does not know it, or this machine does not have it.
    """
    import torch

    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"Unknown device {device!r}; use 'cpu', 'cuda' or 'cuda:0'.") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"This machine has no device {device!r} (torch sees no CUDA); use device='cpu'.")
    return found


def make_batches(sizes: Sequence[int], row_bytes: int, device: torch.device) -> Iterator[list[int]]:
    """Group tasks of similar size so that a padded batch takes at most a quarter of the free memory."""
    import torch

    free = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else _CPU_BYTES
    waiting = sorted(range(len(sizes)), key=lambda j: -sizes[j])
    while waiting:
        most = max(1, free // (row_bytes * sizes[waiting[0]]))
        yield waiting[:most]
        waiting = waiting[most:]


class ConceptBatch:
    """A :class:`knobo.grounding.newton.Problem` of p concepts with at most n rows each.

    Parameters
    ----------
    X : tensor of shape (p, n, d)
        Missing rows are zero.
    y : tensor of shape (p, n, 1)
    S : tensor of shape (p, n, c)
        Zero where a row is missing.
    ridge : tensor of shape (d, c), or with one element
    basis : Basis
    """

    def __init__(self, X: torch.Tensor, y: torch.Tensor, S: torch.Tensor, *, ridge: torch.Tensor, basis: Basis) -> None:
        import torch

        self.X, self.y, self.S, self.ridge = X, y, S, ridge
        self.mean, self.axes, self.variance = (
            torch.from_numpy(np.ascontiguousarray(part)).to(X) for part in (basis.mean, basis.axes, basis.variance)
        )
        self.rest = basis.rest

    @property
    def xp(self) -> Any:
        import torch

        return torch

    def logits(self, W: Any, b: Any) -> Any:
        return self.X @ W + (b - self.at_mean(W))

    def at_mean(self, W: Any) -> Any:
        """Logit of the mean embedding, (p, 1, c)."""
        return (self.mean @ W)[:, None]

    def curvature(self, logits: Any) -> Any:
        p = self.xp.sigmoid(logits)
        return p * (1 - p) * self.S

    def slope(self, logits: Any, W: Any) -> tuple[Any, Any]:
        return self._backward(self._residual(logits), self.ridge * W)

    def curve(self, h: Any, V: tuple[Any, Any]) -> tuple[tuple[Any, Any], Any]:
        change = self.logits(*V)
        return self._backward(h * change, self.ridge * V[0]), change

    def along(self, logits: Any, change: Any, W: Any, step: Any) -> Any:
        data = (self._residual(logits + change) * change).sum(-2, keepdim=True)
        return data + (self.ridge * (W + step) * step).sum(-2, keepdim=True)

    def value(self, logits: Any, W: Any) -> Any:
        losses = self.S * (self.xp.nn.functional.softplus(logits) - self.y * logits)
        return losses.double().sum(-2, keepdim=True) + 0.5 * (self.ridge * W * W).double().sum(-2, keepdim=True)

    def preconditioner(self, total: Any) -> Callable[[Any], Any]:
        ridge = self.ridge.mean()
        elsewhere = 1 / (total * self.rest + ridge)
        inside = 1 / (total * self.variance + ridge) - elsewhere
        return lambda R: elsewhere * R + self.axes @ (inside * (self.axes.mT @ R))

    def _residual(self, logits: Any) -> Any:
        return (self.xp.sigmoid(logits) - self.y) * self.S

    def _backward(self, weighted: Any, penalty: Any) -> tuple[Any, Any]:
        total = weighted.sum(-2, keepdim=True)
        return self.X.mT @ weighted - self.mean[:, None] * total + penalty, total
