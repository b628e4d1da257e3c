"""Corpora by recipe: fetch the files, go on where a run was stopped, and check what came."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tarfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.request import Request

from tqdm.auto import tqdm

from knobo.errors import DownloadError, FileError, InputError
from knobo.knowledge.recipes import Recipe, RecipeFile, load_recipe
from knobo.knowledge.web import AGENT, HEAD, BrokenAnswerError, Clock, Courier, check_base_url, check_start, download
from knobo.storage import atomic_path, read_json, write_json

_FORMAT, _VERSION = "knobo.corpus_download", 1
_MD5 = re.compile(r"\b[0-9a-fA-F]{32}\b")
_ARTICLES = (".nxml", ".xml")
_CHUNK = 1 << 20


def get_corpus(
    recipe: str | Path | Recipe,
    folder: str | Path,
    *,
    only: Iterable[str] | None = None,
    base_url: str | None = None,
    progress: bool = False,
    clock: Clock = time,
    timeout: float = 60.0,
) -> Path:
    """Bring a corpus into a folder that :func:`read_corpus` reads.

    A run that was stopped goes on in the middle of a file. ``corpus.json`` keeps the source, the licence, and size
    and SHA-256 of each file.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Name of a shipped recipe, a YAML file, or a recipe.
    folder : str or Path
        Where to write; made if it is not there.
    only : iterable of str, optional
        Names of the files to get, or ids where the corpus has ids.
    base_url : str, optional
        Address of a mirror.
    progress : bool
        Show a progress bar.
    clock : Clock
        Time and sleep, replaced in tests.
    timeout : float
        Seconds without a byte after which an attempt has failed.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DownloadError
        If a file cannot be had, or is not what it should be: empty, cut off, a git-LFS pointer, a web page, another
        size or checksum. The message names the file.
    FileError
        If the folder cannot be written or is full, or holds another file of that name.
    InputError
        If a name in ``only`` is unknown, or the folder holds another corpus.
    """
    found = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if found.base_url is None:
        raise DownloadError(f"Corpus {found.name}: {found.unknown['base_url']} Get {found.instead!r} instead.")
    files, address = found.choose(only), check_base_url(base_url or found.base_url)
    root, courier = Path(folder), Courier(clock=clock, timeout=timeout)
    manifest = _open_manifest(root, found, address, clock)
    for file in tqdm(files, desc=found.name, disable=not progress or len(files) == 1):
        if _is_done(root, found, file, manifest["files"]):
            continue
        md5 = _md5_beside(courier, address + file.name) if found.checksum == "md5-beside" else file.md5
        facts = _get_file(courier, address, file, root / file.local, md5, progress=progress)
        if found.kind == "jats-tar":
            _unpack(root / file.local, _unpacked(root, file))
        manifest["files"][file.local] = facts
        write_json(root / "corpus.json", manifest)
    return root


def _open_manifest(root: Path, recipe: Recipe, address: str, clock: Clock) -> dict[str, Any]:
    path = root / "corpus.json"
    if path.exists():
        manifest = read_json(path, what=_FORMAT, versions=(_VERSION,))
        if manifest.get("recipe") != recipe.name:
            raise InputError(
                f"{root} holds the corpus {manifest.get('recipe')!r}, not {recipe.name!r}; choose another folder."
            )
        return manifest
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock.time()))
    facts = {name: getattr(recipe, name) for name in ("title", "source", "licence", "citation", "kind", "cut")}
    head = {"format": _FORMAT, "format_version": _VERSION, "recipe": recipe.name, "date": when}
    manifest = {**head, **facts, "base_url": address, "files": {}}
    write_json(path, manifest)
    return manifest


def _is_done(root: Path, recipe: Recipe, file: RecipeFile, done: dict[str, Any]) -> bool:
    target = root / file.local
    if file.local not in done or not target.is_file() or target.stat().st_size != done[file.local]["bytes"]:
        return False
    return recipe.kind != "jats-tar" or _unpacked(root, file).is_dir()


def _unpacked(root: Path, file: RecipeFile) -> Path:
    return root / f"{file.local.split('.')[0]}-articles"


def _md5_beside(courier: Courier, url: str) -> str:
    """MD5 from the file that lies beside another, such as ``MD5(pubmed26n0001.xml.gz)= …``."""

    def take(response: Any) -> str:
        match = _MD5.search(response.read(HEAD).decode("ascii", "replace"))
        if match is None:
            raise BrokenAnswerError("the server sent something without an MD5 checksum")
        return match.group().lower()

    name = f"{PurePosixPath(url).name}.md5"
    return courier.send(lambda: Request(f"{url}.md5", headers={"User-Agent": AGENT}), take, name)


def _get_file(
    courier: Courier, address: str, file: RecipeFile, target: Path, md5: str | None, *, progress: bool
) -> dict[str, Any]:
    """Fetch and check a file; one that is there already, because a run was stopped, is checked only."""
    if target.exists():
        try:
            return _checked(target, file, md5)
        except DownloadError as error:
            raise FileError(f"{target} is there already, but is not what it should be. Delete it. ({error})") from error
    part = target.with_name(f"{target.name}.part")
    tag = target.with_name(f"{target.name}.part.tag")
    download(courier, address + file.name, part, file.local, size=file.size, progress=progress)
    try:
        facts = _checked(part, file, md5)
    except DownloadError:
        part.unlink()
        tag.unlink(missing_ok=True)
        raise
    os.replace(part, target)
    tag.unlink(missing_ok=True)
    return facts


def _checked(path: Path, file: RecipeFile, md5: str | None) -> dict[str, Any]:
    """Size and SHA-256 of a file, after it has passed every check that the source makes possible."""
    size, sums = path.stat().st_size, {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    with path.open("rb") as stream:
        check_start(stream.read(HEAD), file.local)
        stream.seek(0)
        while chunk := stream.read(_CHUNK):
            for known in sums.values():
                known.update(chunk)
    if file.size is not None and size != file.size:
        raise DownloadError(
            f"{file.local} has {size:,} bytes instead of {file.size:,}; it is cut off or was replaced. Run it again, "
            "or look for a newer recipe."
        )
    expected = {name: value for name, value in (("md5", md5), ("sha256", file.sha256)) if value is not None}
    for name, value in expected.items():
        if (got := sums[name].hexdigest()) != value:
            raise DownloadError(
                f"{file.local}: its {name} checksum is {got}, expected {value}; it was damaged or replaced on the "
                "way. Run it again; if that does not help, use another mirror or a newer recipe."
            )
    return {"bytes": size, "sha256": sums["sha256"].hexdigest(), "checked": sorted(expected) or ["size of transfer"]}


def _unpack(archive: Path, folder: Path) -> None:
    """Take the articles out of a .tar.gz archive: plain files only, without their folders."""
    with atomic_path(folder) as part:
        part.mkdir()
        try:
            with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
                for member in members:
                    name = PurePosixPath(member.name).name
                    article = members.extractfile(member) if member.isfile() and name.endswith(_ARTICLES) else None
                    if article is not None:
                        _save(article.read(), part / name, archive)
                while stream.read(_CHUNK):  # to its end: tar takes a cut between two files for the end
                    pass
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DownloadError(f"{archive} is damaged or cut off ({error}). Delete it and run it again.") from error
        if not any(part.iterdir()):
            raise DownloadError(f"{archive} holds no article (.nxml or .xml). Delete it, and look for a newer recipe.")


def _save(text: bytes, path: Path, archive: Path) -> None:
    if path.exists():
        raise DownloadError(f"{archive} holds two articles named {path.name}; unpack it by hand into a folder of each.")
    path.write_bytes(text)
