"""Index folders: which folders are one, and the retriever in it, whatever its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from knobo.errors import FormatError, InputError
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.dense import DenseIndex
from knobo.knowledge.fusion import HybridRetriever
from knobo.knowledge.passages import Retriever
from knobo.knowledge.text_encoder import load_text_encoder
from knobo.knowledge.vectors import Encode


def open_index(folder: str | Path, encoder: str | Path | Encode | None = None) -> Retriever:
    """Open an index folder, or a folder that holds several indexes of one corpus.

    Parameters
    ----------
    folder : str or Path
        What ``Bm25Index.build`` or ``DenseIndex.build`` wrote; or a folder with such folders in it, whose answers are
        then joined by reciprocal-rank fusion.
    encoder : str, Path or callable, optional
        Encoder of the texts of a dense index: a callable, or what :func:`load_text_encoder` takes. Without it the
        one is loaded that the index names.

    Returns
    -------
    Retriever
        ``Bm25Index``, ``DenseIndex`` or ``HybridRetriever``.

    Raises
    ------
    InputError
        If the folder holds no index.
    FormatError
        If an index is damaged, has another version or encoder, or the indexes are of different corpora.
    DownloadError, MissingDependencyError
        If the encoder cannot be had.
    """
    found = index_folders(Path(folder))
    if not found:
        raise InputError(f"{folder} holds no index; make one with knobo corpus add, or check the path.")
    hashes = {str(manifest.get("corpus_hash")) for manifest in found.values()}
    if len(hashes) > 1:
        names = ", ".join(path.name for path in found)
        raise FormatError(f"The indexes in {folder} are of different corpora ({names}); name the folder of one.")
    opened = [_open(path, manifest, encoder) for path, manifest in found.items()]
    return opened[0] if len(opened) == 1 else HybridRetriever(opened)


def index_folders(folder: Path) -> dict[Path, dict[str, Any]]:
    """The folder itself if it is an index, else those in it that are, in the order of their names; with manifests."""
    places = (folder, *sorted(path for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()
    found = {path: manifest for path in places if (manifest := _manifest(path))}
    return {folder: found[folder]} if folder in found else found


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # some other program's file
        return {}
    return document if isinstance(document, dict) and document.get("format") in _KINDS else {}


def _open(folder: Path, manifest: dict[str, Any], encoder: str | Path | Encode | None) -> Retriever:
    if manifest["format"] == "knobo.bm25":
        return Bm25Index.load(folder)
    encode = str(manifest.get("encoder")) if encoder is None else encoder
    return DenseIndex.load(folder, encode if callable(encode) else load_text_encoder(encode))


_KINDS = ("knobo.bm25", "knobo.dense")
