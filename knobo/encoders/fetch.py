"""A published model into a folder that can be carried to a machine without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from knobo.encoders.hub import (
    TEXT_TOWER,
    TOKENIZER_FILES,
    WEIGHT_FILES,
    choose_files,
    has_tokenizer,
    obstacle,
    refusal,
)
from knobo.encoders.load import parse_open_clip, recognise
from knobo.encoders.registry import find_model
from knobo.errors import DownloadError, InputError

_SHA256 = 64  # letters of the hub's name for a large file, which is its checksum; small files have shorter ones


def fetch_model(name: str, folder: str | Path, *, trust_remote_code: bool = False) -> Path:
    """Download a model into a folder that ``load_encoder("local-dir:FOLDER")`` loads without a network.

    Parameters
    ----------
    name : str
        A published model, ``"hf-hub:ORG/NAME"``, or open_clip's ``"NAME/PRETRAINED"``.
    folder : str or Path
        Where to put it. What a fetch that was cut off left there is kept and completed.
    trust_remote_code : bool
        Fetch the Python files of a model that brings some, too. Nothing is run.

    Returns
    -------
    Path
        The folder: config, weights (safetensors if there are any), tokenizer, README and licence; for an open_clip
        model with a BERT also the config of that, which is not in the model's own repository, in ``text_tower``.

    Raises
    ------
    InputError
        If the name is unknown, knobo cannot load that model, or its weights are not on the hub.
    DownloadError
        If downloads are switched off, or the hub cannot be reached or refuses.
    """
    from knobo.encoders import clip

    folder = Path(folder)
    card = find_model(name)
    spec = name if card is None else card.spec
    if spec is None:
        raise InputError(f"knobo cannot load {name}, so it does not fetch it. {card.how if card else ''}")
    if spec.startswith("hf-hub:"):
        _fetch(spec.removeprefix("hf-hub:"), folder, trust_remote_code=trust_remote_code)
    else:
        architecture, tag = parse_open_clip(spec)
        repository = clip.hub_repository(architecture, tag)
        if not repository:
            raise InputError(f"The weights of {spec} are not on the Hugging Face hub; open_clip fetches them itself.")
        _fetch(repository, folder, only=WEIGHT_FILES[:1])
        clip.write_config(folder, architecture, tag)
    if recognise(folder)[0] == "open_clip":
        tower, tokenizer = clip.text_tower_of(folder)
        if tower:
            _fetch(tower, folder / TEXT_TOWER, only=("config.json",))
        if tokenizer and not has_tokenizer(folder):
            _fetch(tokenizer, folder / TEXT_TOWER, only=TOKENIZER_FILES)
    return folder


def _fetch(repository: str, folder: Path, *, only: tuple[str, ...] = (), trust_remote_code: bool = False) -> None:
    """Put files of a repository into a folder, all of one commit."""
    from huggingface_hub import HfApi

    hindrance = obstacle()
    if hindrance:
        raise DownloadError(f"Cannot fetch {repository}: {hindrance}. Run this where there is a network.")
    try:
        info = HfApi().model_info(repository)
        names = [one.rfilename for one in info.siblings or []]
        for file in choose_files(names, only, trust_remote_code=trust_remote_code):
            _fetch_file(repository, file, str(info.sha), folder)
    except InputError as error:
        raise InputError(f"{repository}: {error}") from error
    except Exception as error:  # the hub raises its own errors, those of its HTTP client, OSError and ValueError
        raise DownloadError(
            f"Cannot fetch {repository}: {refusal(repository, error)}. Run the command again: what has arrived in "
            f"{folder} is kept."
        ) from error


def _fetch_file(repository: str, file: str, revision: str, folder: Path) -> None:
    """Download one file, from where an earlier try stopped; the hub's own client starts anew."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(repository, file, revision=revision)
    about = get_hf_file_metadata(url)
    target = folder / file
    if target.is_file() and target.stat().st_size == about.size:
        return
    headers = build_hf_headers()
    if urlsplit(about.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # the key is for the hub, not for the servers that it sends to
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{file}.{about.etag}.part"
    with part.open("ab") as stream:
        if stream.tell() != about.size:
            http_get(about.location, stream, resume_size=stream.tell(), headers=headers, expected_size=about.size)
    if len(str(about.etag)) == _SHA256 and _sha256(part) != about.etag:
        part.unlink()
        raise OSError(f"{file} arrived damaged")
    part.replace(target)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
