"""Where a model's files are: in a folder, in the Hugging Face hub's cache, or on the hub; and how to carry them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from knobo.errors import DownloadError, InputError

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
TAG_FILES = (WEIGHT_FILES[0], f"{CONFIG_FILE} (which the command writes)")  # for weights by open_clip's name
TEXT_TOWER = "text_tower"  # folder inside a model's folder for the config of an open_clip model's BERT

_MARKS = (CONFIG_FILE, "config.json")
_SMALL = ("*.json", "*.txt", "*.model", "README*", "LICENSE*", "LICENCE*")  # configs, tokenizers, terms of use
TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def is_offline() -> bool:
    """Whether ``KNOBO_OFFLINE`` or ``HF_HUB_OFFLINE`` switches downloads off."""
    values = (os.environ.get(name, "") for name in ("KNOBO_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in ("1", "true", "yes", "on") for value in values)


def obstacle() -> str:
    """Why the hub cannot be asked, or an empty string. Asked once here, for the hub's client tries for a minute."""
    if is_offline():
        return "downloads are switched off by KNOBO_OFFLINE or HF_HUB_OFFLINE"
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception as error:  # the client may be requests or httpx
        return f"the Hugging Face hub cannot be reached ({reason_of(error)})"
    return ""


def model_folder(
    repository: str, *, name: str | None = None, files: Sequence[str] = (), trust_remote_code: bool = False
) -> Path:
    """Folder with the files of a hub model, from the hub's cache or downloaded into it.

    Parameters
    ----------
    repository : str
        Such as ``"yyupenn/whyxrayclip"``.
    name : str, optional
        What the user called it, for messages.
    files : sequence of str
        Files that loading needs, where they are known, for messages.
    trust_remote_code : bool
        Fetch the repository's Python files, too.

    Raises
    ------
    DownloadError
        If it is neither in the cache nor can be fetched; the message says how to carry it.
    """
    hindrance = obstacle()
    if hindrance:
        folder = cached_folder(repository)
        if folder is None:
            raise DownloadError(how_to_carry(name or f"hf-hub:{repository}", repository, files, hindrance))
        return folder
    try:
        return Path(download(repository, trust_remote_code=trust_remote_code))
    except InputError:
        raise
    except Exception as error:  # the hub raises its own errors, those of its HTTP client, OSError and ValueError
        hindrance = refusal(repository, error)
        raise DownloadError(how_to_carry(name or f"hf-hub:{repository}", repository, files, hindrance)) from error


def cached_folder(repository: str) -> Path | None:
    """Folder of a model in the hub's cache, if its config and some weights are there."""
    config = cached_file(repository, _MARKS)
    if config is None or not (list(config.parent.glob("*.safetensors")) or list(config.parent.glob("*.bin"))):
        return None
    return config.parent


def cached_file(repository: str, files: Sequence[str]) -> Path | None:
    """Path of the first of ``files`` that the hub's cache holds."""
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(repository, file) for file in files if repository)
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def text_tower_folder(folder: Path, name: str) -> Path:
    """Folder with the config of the BERT that ``hf_model_name`` names in an open_clip model's config.

    It is looked for in the model's folder (``text_tower/config.json``), then as a folder there, in the hub's cache, on
    the hub.

    Raises
    ------
    DownloadError
        If it is in none of these.
    """
    for place in (folder / TEXT_TOWER, folder / name):  # an absolute name stays what it is
        if (place / "config.json").is_file():
            return place
    cached = cached_file(name, ["config.json"])
    if cached is not None:
        return cached.parent
    hindrance = obstacle()
    if not hindrance:
        try:
            return Path(download(name, only=("config.json", *TOKENIZER_FILES)))
        except Exception as error:
            hindrance = refusal(name, error)
    raise DownloadError(
        f"{folder} lacks the config of its text tower, {name}: {hindrance}. Put the config.json of "
        f"https://huggingface.co/{name} into {folder / TEXT_TOWER}; `knobo models fetch` does so by itself."
    )


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds the files of a Hugging Face tokenizer."""
    return any((folder / file).is_file() for file in ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model"))


def how_to_carry(name: str, repository: str, files: Sequence[str], reason: str) -> str:
    """Sentence for a model that cannot be had here: the command, the files, the folder way and the cache way."""
    from huggingface_hub import constants

    listed = ", ".join(files) or (
        f"{CONFIG_FILE} with {WEIGHT_FILES[0]} or {WEIGHT_FILES[1]}, or else config.json and preprocessor_config.json "
        "with model.safetensors, and the tokenizer files"
    )
    entry = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    by_hand = (
        f" By hand: put these files of https://huggingface.co/{repository} into FOLDER: {listed}. Or put them into "
        f"{entry / 'snapshots' / 'main'} and write the word main into {entry / 'refs' / 'main'}; then the name works."
    )
    return (
        f"Cannot load {name}: {reason}. Where there is a network, run `knobo models fetch {name} --to FOLDER`, copy "
        f"FOLDER to this machine and load it as 'local-dir:FOLDER'.{by_hand if repository else ''}"
    )


def reason_of(error: BaseException) -> str:
    """First line of an error's text, without a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


def download(repository: str, *, only: Sequence[str] = (), trust_remote_code: bool = False) -> str:
    """Fetch what loading needs of a repository, or ``only`` files like these, into the cache; return the folder."""
    from huggingface_hub import HfApi, snapshot_download

    files = choose_files(HfApi().list_repo_files(repository), only, trust_remote_code=trust_remote_code)
    return str(snapshot_download(repository, allow_patterns=files))


def choose_files(names: Sequence[str], only: Sequence[str] = (), *, trust_remote_code: bool = False) -> list[str]:
    """Of a repository's files those like ``only``, or those that loading needs."""
    if only:
        return [name for name in names if any(fnmatch(name, pattern) for pattern in only)]
    return needed_files(names, trust_remote_code=trust_remote_code)


def needed_files(names: Sequence[str], *, trust_remote_code: bool = False) -> list[str]:
    """Of a repository's files, those that loading needs: one set of weights, safetensors first, and the small files.

    Raises
    ------
    InputError
        If the repository holds no model in a format that knobo reads.
    """
    root = [name for name in names if "/" not in name]
    order = WEIGHT_FILES if CONFIG_FILE in root else _WEIGHTS
    first = next((name for name in order if name in root), None)
    if first is None or not any(mark in root for mark in _MARKS):
        raise InputError(
            f"The repository holds no model that knobo reads ({CONFIG_FILE} or config.json with {', '.join(order)})."
        )
    stem = first.removesuffix(".index.json")
    shards = stem.replace(".", "-*.") if first.endswith(".index.json") else stem
    keep = (*_SMALL, shards, *(("*.py",) if trust_remote_code else ()))
    return [name for name in root if any(fnmatch(name, pattern) for pattern in keep)]


def refusal(repository: str, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return (
            f"the hub asks to accept its conditions first. Do so on https://huggingface.co/{repository}, then set "
            "HF_TOKEN or run `hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no {repository}, or shows it only to those who log in (HF_TOKEN, `hf auth login`)"
    return reason_of(error)
