"""From the name of an encoder to the encoder."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from knobo.encoders.base import Encoder
from knobo.encoders.classical import ClassicalEncoder
from knobo.errors import InputError, InputTypeError


def load_encoder(spec: str | Path, *, device: str = "auto", batch_size: int = 32) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    spec : str or Path
        - ``"classical"``: descriptors of colour, texture and shape; nothing to download.
        - ``"local-dir:FOLDER"``, or the path of a folder with ``open_clip_config.json`` and weights.
        - ``"hf-hub:ORG/NAME"``: an open_clip model on the Hugging Face hub.
        - ``"open_clip:NAME/PRETRAINED"`` or ``"NAME/PRETRAINED"``: an architecture and its weights by open_clip's
          names, such as ``"ViT-B-32/laion2b_s34b_b79k"``; ``"NAME"`` alone if there is one set of weights.
    device : str
        ``"auto"`` (CUDA, else MPS, else the CPU) or a torch device; classical descriptors always run on the CPU.
    batch_size : int
        Images that go through a model at once.

    Returns
    -------
    Encoder
        A :class:`ClassicalEncoder` or a :class:`ClipEncoder`.

    Raises
    ------
    InputError
        If the name is unknown (close matches are given), or the device is not there.
    DownloadError
        If a model is not on this machine and cannot be fetched; the message says which files to carry. With the
        environment variable ``KNOBO_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` only copies on this machine are used.
    FileError, FormatError
        If a local folder is incomplete or broken.
    """
    if not isinstance(spec, str | Path):
        raise InputTypeError(f"An encoder is loaded by name or folder, got {type(spec).__name__}.")
    name = str(spec)
    if name == "classical" or name.startswith("classical:"):
        families = name.removeprefix("classical").removeprefix(":")
        return ClassicalEncoder(families.split("+") if families else None)
    from knobo.encoders.clip import ClipEncoder

    if name.startswith(("hf-hub:", "local-dir:")):
        return ClipEncoder(name, device=device, batch_size=batch_size)
    if Path(name).is_dir():
        return ClipEncoder(f"local-dir:{name}", device=device, batch_size=batch_size)
    architecture, tag = _parse_open_clip(name)
    return ClipEncoder(architecture, tag, device=device, batch_size=batch_size)


def _parse_open_clip(name: str) -> tuple[str, str]:
    from knobo.encoders.clip import architectures, pretrained_tags

    architecture, _, tag = name.removeprefix("open_clip:").partition("/")
    known = architectures()
    if architecture not in known:
        close = get_close_matches(architecture, ["classical", *known], n=4, cutoff=0.5)
        hint = f"Did you mean {', '.join(close)}? " if close else ""
        raise InputError(
            f"Unknown encoder {name!r}. {hint}Use 'classical', a folder, 'hf-hub:ORG/NAME', or open_clip's "
            "NAME/PRETRAINED."
        )
    tags = pretrained_tags(architecture)
    if not tag and len(tags) == 1:
        return architecture, tags[0]
    if tag not in tags:
        what = f"no weights {tag!r} for" if tag else "several sets of weights, or none, for"
        choices = ", ".join(f"{architecture}/{one}" for one in tags) or "none"
        raise InputError(f"open_clip knows {what} {architecture!r}; choose one of: {choices}.")
    return architecture, tag
