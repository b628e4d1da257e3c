"""Published encoders: what is known of each, where that was read, and how knobo loads it (data in registry.json)."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from knobo.errors import FormatError, InputError
from knobo.storage import read_json

_FILE = Path(__file__).with_name("registry.json")
_NOT_FACTS = {"name", "aliases", "note", "sources"}


def _positive(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if values is not None and not all(value > 0 for value in values):
        raise ValueError("must be positive")
    return values


Triple = Annotated[tuple[float, float, float], AfterValidator(_positive)]
Size = Annotated[int, Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Paper(_Frozen):
    """Where a model is described."""

    title: str
    arxiv: str | None = Field(None, pattern=r"^\d{4}\.\d{4,5}$")
    doi: str | None = Field(None, pattern=r"^10\.\d{4,}/\S+$")

    @property
    def url(self) -> str:
        """Address of the paper, or an empty string."""
        return (
            f"https://doi.org/{self.doi}" if self.doi else f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""
        )


class Source(_Frozen):
    """A page, and the facts that were read there."""

    url: str = Field(pattern=r"^https://")
    facts: tuple[str, ...] = Field(min_length=1)


class ModelCard(_Frozen):
    """What is known of a published encoder. What no source was seen for is None or empty.

    Attributes
    ----------
    name : str
        Name that :func:`knobo.load_encoder` takes, in lower case.
    aliases : tuple of str
        Other names for it; case does not matter.
    hub_id : str or None
        Repository on the Hugging Face hub.
    load_as : str or None
        What :func:`knobo.load_encoder` loads for this name if that is not ``hf-hub:`` and the repository.
    loader : {"open_clip", "transformers", "timm", "own"}
        Library that loads it; ``"own"`` if only its authors' code does, and ``how`` says how to go about it.
    remote_code : bool
        Whether the repository brings code that has to run.
    architecture, text_tower : str or None
    input_size : int or None
        Side of the square that the model sees, in pixels.
    embedding_dim, text_length : int or None
        Size of an embedding; most tokens of a text.
    mean, std : tuple of float or None
        Normalisation of red, green and blue in [0, 1]. knobo uses what the model's own files say.
    modality, licence : str or None
    gated : bool or None
        Whether the hub asks to accept conditions first.
    files : tuple of str
        Files that loading needs, where the repository's listing was seen.
    how : str or None
        How to get it if knobo cannot load it by name.
    paper : Paper or None
    note : str or None
    sources : tuple of Source
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    aliases: tuple[str, ...] = ()
    hub_id: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    load_as: str | None = None
    loader: Literal["open_clip", "transformers", "timm", "own"]
    remote_code: bool = False
    architecture: str | None = None
    input_size: Size | None = None
    embedding_dim: Size | None = None
    text_tower: str | None = None
    text_length: Size | None = None
    mean: Triple | None = None
    std: Triple | None = None
    modality: str | None = None
    licence: str | None = None
    gated: bool | None = None
    files: tuple[str, ...] = ()
    how: str | None = None
    paper: Paper | None = None
    note: str | None = None
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> ModelCard:
        stated = {name for name, value in self if name not in _NOT_FACTS and value not in (None, (), False)}
        sourced = {fact for source in self.sources for fact in source.facts}
        if stated - sourced:
            raise ValueError(f"no source for {sorted(stated - sourced)}")
        if sourced - stated:
            raise ValueError(f"a source for what is not stated: {sorted(sourced - stated)}")
        if self.loader == "own" and not self.how:
            raise ValueError("a model that knobo cannot load must say how to get it")
        if self.loader != "own" and not (self.hub_id or self.load_as):
            raise ValueError("a model that knobo loads needs hub_id or load_as")
        return self

    @property
    def spec(self) -> str | None:
        """What :func:`knobo.load_encoder` makes of the name; None for a model that knobo cannot load."""
        return None if self.loader == "own" else self.load_as or f"hf-hub:{self.hub_id}"

    @property
    def page(self) -> str:
        """Address of the model on the hub, else of its first source."""
        return f"https://huggingface.co/{self.hub_id}" if self.hub_id else self.sources[0].url


@lru_cache(maxsize=1)
def published_models() -> tuple[ModelCard, ...]:
    """Every card of the registry, medical models first, baselines last.

    Raises
    ------
    FormatError
        If the registry that ships with knobo is broken.
    """
    document = read_json(_FILE, what="knobo.encoders", versions=(1,))
    try:
        cards = tuple(ModelCard.model_validate(card) for card in document["models"])
    except (KeyError, ValidationError) as error:
        raise FormatError(f"{_FILE}: {error}") from error
    names = [name for card in cards for name in _names(card)]
    if len(set(names)) != len(names):
        raise FormatError(f"{_FILE} gives two models one name: {sorted({n for n in names if names.count(n) > 1})}.")
    return cards


def find_model(name: str) -> ModelCard | None:
    """Card of a name or an alias, whatever its case; None if there is none."""
    wanted = name.strip().lower()
    return next((card for card in published_models() if wanted in _names(card)), None)


def get_model(name: str) -> ModelCard:
    """Card of a name or an alias.

    Raises
    ------
    InputError
        If there is none; close names are given.
    """
    card = find_model(name)
    if card is None:
        close = close_names(name)
        hint = f"Did you mean {', '.join(close)}? " if close else ""
        raise InputError(f"No published model is called {name!r} here. {hint}`knobo models list` shows all.")
    return card


def close_names(name: str, others: tuple[str, ...] = ()) -> list[str]:
    """Up to four names of the registry, or of ``others``, that look like ``name``; a model counts once."""
    owner = {alias: card.name for card in published_models() for alias in _names(card)}
    owner |= {other.lower(): other for other in others}
    found = get_close_matches(name.lower(), owner, n=8, cutoff=0.6)
    return list(dict.fromkeys(owner[one] for one in found))[:4]


def _names(card: ModelCard) -> set[str]:
    loaded_as = {card.load_as.lower(), card.load_as.lower().removeprefix("open_clip:")} if card.load_as else set()
    return {card.name, *(alias.lower() for alias in card.aliases)} | loaded_as
