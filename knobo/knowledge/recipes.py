"""Recipes of large corpora: where one lies, what may be done with it, and how its text is cut.

A recipe is a YAML file in ``corpora/recipes``; :func:`knobo.knowledge.getters.get_corpus` brings what it
describes. A recipe states only what was seen in a source, which ``seen`` names; all else is null, with the reason in
``unknown``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from knobo.errors import FileError, FormatError, InputError
from knobo.storage import shipped_path

_NUMBER = re.compile(r"\{n:0(\d)d\}")
_NULLABLE = ("base_url", "licence", "size", "passages", "checksum")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeFile(_Strict):
    """One file of a corpus, or a numbered row of them.

    Attributes
    ----------
    name : str
        Path below the recipe's ``base_url``. ``{n:04d}`` stands for the numbers from ``first`` to ``last``; ``{id}``
        for ids that the user chooses.
    first, last : int or None
        Range of the numbers, both included.
    size : int or None
        Bytes.
    md5, sha256 : str or None
        Checksums in hexadecimal.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9{][\w./{}:-]*$")
    first: int | None = Field(default=None, ge=0)
    last: int | None = Field(default=None, ge=0)
    size: int | None = Field(default=None, gt=0)
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _check(self) -> RecipeFile:
        if ".." in PurePosixPath(self.name).parts:
            raise ValueError("name leaves the folder")
        if (_NUMBER.search(self.name) is not None) != (self.first is not None and self.last is not None):
            raise ValueError("a name with {n:04d} needs first and last, and only such a name has them")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError("first is larger than last")
        return self

    def expand(self) -> Iterator[RecipeFile]:
        """The files of a row, each with its own name."""
        if self.first is None or self.last is None:
            yield self
            return
        for n in range(self.first, self.last + 1):
            name = _NUMBER.sub(lambda match, n=n: f"{n:0{match[1]}d}", self.name)  # type: ignore[misc]
            yield RecipeFile(name=name)

    @property
    def local(self) -> str:
        """Name of the file in the folder of the corpus."""
        return PurePosixPath(self.name).name


class Recipe(_Strict):
    """How to get a corpus.

    Attributes
    ----------
    name, title : str
    source : str
        Page that describes the corpus.
    base_url : str or None
        Address below which the files lie.
    licence, size : str or None
        As the source words it.
    passages : int or None
        Number that the source states.
    kind : str
        What the files are.
    cut : str
        How the text becomes passages.
    citation : str
    checksum : {"md5-beside", "listed"} or None
        ``"md5-beside"``: each file has a neighbour ``<name>.md5``; ``"listed"``: in ``files``.
    files : tuple of RecipeFile
    id_pattern : str or None
        What an id looks like, for names with ``{id}``.
    instead : str or None
        Recipe to use when this corpus has no files of its own.
    seen, unknown : dict of str to str
        Where each fact was seen; why a field is null.
    """

    format: Literal["knobo.recipe"]
    format_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = Field(min_length=1)
    source: str = Field(pattern=r"^https?://\S+$")
    base_url: str | None = Field(pattern=r"^https?://\S+/$")
    licence: str | None
    size: str | None
    passages: int | None
    kind: Literal["pubmed-xml", "jats-xml", "jats-tar", "medrag-jsonl"]
    cut: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    checksum: Literal["md5-beside", "listed"] | None
    files: tuple[RecipeFile, ...]
    id_pattern: str | None = None
    instead: str | None = None
    seen: dict[str, str] = Field(min_length=1)
    unknown: dict[str, str]

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        empty = {name for name in _NULLABLE if getattr(self, name) is None}
        if missing := empty - self.unknown.keys():
            raise ValueError(f"unknown gives no reason for the null field {min(missing)}")
        if missing := ({*_NULLABLE, "citation", "files"} if self.files else set()) - empty - self.seen.keys():
            raise ValueError(f"seen does not name the source of {min(missing)}")
        if (self.base_url is None) != (not self.files) or (not self.files and not self.instead):
            raise ValueError("files and base_url go together; without them, instead names another recipe")
        if any("{id}" in file.name for file in self.files) and self.id_pattern is None:
            raise ValueError("a name with {id} needs id_pattern")
        return self

    def choose(self, only: Iterable[str] | None = None) -> list[RecipeFile]:
        """Files to get: all, or those named (by file name, or by id where the corpus has ids).

        Raises
        ------
        InputError
            If a name is not in the recipe, or the corpus has ids and none is given.
        """
        if self.id_pattern is not None:
            ids = list(dict.fromkeys(only or ()))
            if not ids:
                raise InputError(f"Corpus {self.name} is got by id; name some ({self.id_pattern}) with only / --only.")
            for item in ids:
                if re.fullmatch(self.id_pattern, item) is None:
                    raise InputError(f"{item!r} is no id of corpus {self.name}; an id looks like {self.id_pattern}.")
            return [RecipeFile(name=file.name.replace("{id}", item)) for item in ids for file in self.files]
        files = {file.local: file for row in self.files for file in row.expand()}
        names = list(files) if only is None else list(dict.fromkeys(only))
        for name in names:
            if name not in files:
                raise InputError(
                    f"Corpus {self.name} has no file {name!r}; its {len(files)} files are {next(iter(files))} to "
                    f"{list(files)[-1]}."
                )
        return [files[name] for name in names]


def list_recipes() -> tuple[Recipe, ...]:
    """All recipes that ship with knobo, by name."""
    return tuple(load_recipe(path) for path in sorted(shipped_path("corpora", "recipes").glob("*.yaml")))


def load_recipe(recipe: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    recipe : str or Path
        Name of a shipped recipe, or a YAML file.

    Raises
    ------
    FileError
        If there is no such recipe or file.
    FormatError
        If a field is broken; the message names it.
    """
    import yaml

    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        folder = shipped_path("corpora", "recipes")
        path = folder / f"{recipe}.yaml"
        if not path.is_file() or path.parent != folder:
            names = ", ".join(sorted(item.stem for item in folder.glob("*.yaml")))
            raise FileError(f"No recipe {str(recipe)!r}; there are {names}. Or give a YAML file of your own.")
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}. Check the path.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the recipe"
        raise FormatError(f"{path}: field {where} is broken: {first['msg']}. Mend it; see corpora/recipes.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not YAML ({' '.join(str(error).split())}). Mend it.") from error
