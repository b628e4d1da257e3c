"""State to disk and back: JSON and safetensors, with a format number and atomic writes. Knows no class."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import FileError, FormatError, KnoboError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` only when the block ends without an error.

    Works for a file or a folder that the block creates; an old file or folder of that name is replaced.

    Raises
    ------
    FileError
        If the place cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise FileError(f"Cannot write {target}: {error.strerror or error}. Choose another place.") from error
    try:
        part = scratch / target.name
        yield part
        _replace(part, target, set_aside=scratch / "replaced")
    except KnoboError:
        raise
    except OSError as error:
        raise FileError(f"Cannot write {target}: {error.strerror or error}. What was there is unchanged.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(part: Path, target: Path, *, set_aside: Path) -> None:
    """Put ``part`` in the place of ``target``; a folder cannot be renamed over another, so the old one steps aside."""
    if not target.is_dir():
        os.replace(part, target)
        return
    target.rename(set_aside)
    try:
        part.rename(target)
    except OSError:
        set_aside.rename(target)
        raise


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text atomically and return the path."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, document: Mapping[str, Any]) -> Path:
    """Write a JSON document atomically (keys in the order given, no NaN) and return the path."""
    return write_text(path, json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path, *, what: str, versions: tuple[int, ...]) -> dict[str, Any]:
    """Read a JSON document that names its kind and its format number.

    Parameters
    ----------
    path : str or Path
        File to read.
    what : str
        Expected value of the field ``format``, such as ``"knobo.bank"``.
    versions : tuple of int
        Values of the field ``format_version`` that this release reads.

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If it is not JSON, is of another kind, or has another version.
    """
    source = Path(path)
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"Cannot read {source}: {error.strerror or error}. Check the path.") from error
    except ValueError as error:
        raise FormatError(f"{source} is not a JSON file ({error}). Was the download or copy complete?") from error
    if not isinstance(document, dict) or document.get("format") != what:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{source} is not a {what} document: its field 'format' is {found!r}.")
    version = document.get("format_version")
    if version not in versions:
        raise FormatError(
            f"{source} has format_version {version!r}; this release of knobo reads {list(versions)}. "
            "Update knobo, or write the file again with this release."
        )
    return document


def write_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write named arrays to one safetensors file atomically and return the path."""
    from safetensors.numpy import save_file

    with atomic_path(path) as part:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, part)
    return Path(path)


def read_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the named arrays of one safetensors file.

    Raises
    ------
    FileError
        If the file cannot be read.
    FormatError
        If it is not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source = Path(path)
    if not source.is_file():
        raise FileError(f"Cannot read {source}: no such file. Check the path.")
    try:
        return load_file(source)
    except SafetensorError as error:
        raise FormatError(f"{source} is not a safetensors file ({error}). Was the copy complete?") from error


def shipped_path(*parts: str) -> Path:
    """Path of a file or folder that comes with knobo, such as ``shipped_path("concepts", "chest-xray")``.

    A wheel carries ``concepts/`` and ``corpora/`` inside the package; an editable install reads the checkout.

    Raises
    ------
    FileError
        If there is no such item.
    """
    package = Path(__file__).parent
    for root in (package / "_shipped", package.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileError(f"knobo ships no {'/'.join(parts)}. Reinstall knobo if this is a name that it should know.")
