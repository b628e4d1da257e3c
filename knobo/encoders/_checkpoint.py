"""Where a training run stands, on disk: weights, optimizer and losses, as safetensors and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knobo.errors import FormatError
from knobo.storage import atomic_path, read_json, write_json

if TYPE_CHECKING:
    import torch

_FORMAT, _VERSION = "knobo.training", 1


class Checkpoint:
    """A folder that a run can go on from.

    Parameters
    ----------
    folder : Path
    identity : mapping
        What the run depends on: settings and data. A folder with another identity is refused.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, self.identity = folder, dict(identity)

    def restore(self, model: Any, optimizer: torch.optim.Optimizer) -> list[float]:
        """Bring model and optimizer to where the run stands; return the loss of each epoch that is done.

        Raises
        ------
        FormatError
            If the folder belongs to another run, or is broken.
        """
        if not self.folder.exists():
            return []
        state = read_json(self.folder / "state.json", what=_FORMAT, versions=(_VERSION,))
        if state.get("identity") != self.identity:
            raise FormatError(
                f"{self.folder} was left by a training run with other settings or data; go on with the same, or delete "
                "that folder to start anew."
            )
        model.load_state_dict(_read_tensors(self.folder / "model.safetensors"))
        flat = _read_tensors(self.folder / "optimizer.safetensors")
        known = optimizer.state_dict()
        known["state"] = {}
        for name, tensor in flat.items():
            index, _, part = name.partition(".")
            known["state"].setdefault(int(index), {})[part] = tensor
        optimizer.load_state_dict(known)
        return [float(loss) for loss in state["loss"]]

    def save(self, model: Any, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
        """Write where the run stands; an older state is replaced only when the new one is whole."""
        with atomic_path(self.folder) as part:
            part.mkdir()
            write_tensors(part / "model.safetensors", model.state_dict())
            states = optimizer.state_dict()["state"]
            flat = {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}
            write_tensors(part / "optimizer.safetensors", flat)
            state = {"format": _FORMAT, "format_version": _VERSION, "identity": self.identity, "loss": losses}
            write_json(part / "state.json", state)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, each with memory of its own."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, path)


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise FormatError(
            f"{path} cannot be read ({error}); delete {path.parent} to start the training anew."
        ) from error
