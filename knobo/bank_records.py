"""What a concept bank is made of: concepts, the sentences they rest on, and signs of the parameter prior."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class Record(BaseModel):
    """What cannot be changed and takes no field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(Record):
    """The sentence that a concept or a prior sign rests on.

    Attributes
    ----------
    passage_id, source, title : str
        The passage, the document that holds it (citation text), and its title.
    sentence : str
        The sentence, word for word as it stands in the passage.
    url, year :
        Where and when the source was published, if known.
    verified : bool
        True when the sentence was found in the passage.
    licence : str or None
        Address or wording of the licence of the source, if it states one.
    """

    passage_id: str
    source: str
    title: str
    sentence: str
    url: str | None = None
    year: int | None = None
    verified: bool = False
    licence: str | None = None

    @model_serializer(mode="wrap")
    def _without_unstated_licence(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        return {name: value for name, value in fields.items() if name != "licence" or value is not None}


class Concept(Record):
    """One finding that can be seen in an image.

    Attributes
    ----------
    id : str
        Lower-case words joined by hyphens; the column name of its activation.
    name, question : str
        The finding ("pleural effusion") and the question that it answers ("Is there a pleural effusion?").
    synonyms : tuple of str
        Other wordings, used to find the concept in reports.
    prompts : tuple of str
        Texts for a vision-language model; empty means that they are made from the name.
    cui, cui_name : str or None
        UMLS concept unique identifier and the name that the open source gives it.
    semantic_types : tuple of str
        UMLS semantic types, where known.
    evidence : tuple of Evidence
        Sentences that the concept was taken from.
    """

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    name: str = Field(min_length=1)
    question: str = Field(min_length=1)
    synonyms: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    cui: str | None = Field(default=None, pattern=r"^C\d{7}$")
    cui_name: str | None = None
    semantic_types: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class PriorSign(Record):
    """What the literature says about one class and one concept; a pair that is not listed is unknown."""

    class_name: str
    concept_id: str
    sign: Literal[-1, 1]
    confidence: float = Field(ge=0.0, le=1.0)
    evidence: tuple[Evidence, ...] = ()


def slug(text: str) -> str:
    """Lower-case words of ``text`` joined by hyphens, as concept ids are written."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
