"""What a language model is asked, and the form that its server takes it in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from knobo.errors import InputError
from knobo.knowledge.ledger import Price

_TOO_LONG = re.compile(r"context.{0,3}length|context window|maximum context|too long|too many tokens", re.I)
_REFUSED = re.compile(r"content.?filter|content.?(management )?policy|safety|moderation", re.I)
_SCHEMA = re.compile(r"response.?format|json.?schema|structured|guided|grammar", re.I)

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Prompt:
    """What a model is told and asked; ``version`` names the wording and is part of the cache key."""

    system: str
    user: str
    version: str = ""


@dataclass(frozen=True)
class Answer(Generic[Reply]):
    """The answer to one prompt.

    Parameters
    ----------
    value : pydantic model, optional
        What the model answered; None if there is no usable answer.
    error : str
        Why there is none; empty otherwise.
    cached : bool
        Whether it was read from the cache.
    """

    value: Reply | None
    error: str = ""
    cached: bool = False


@dataclass(frozen=True)
class Job:
    """One prompt, the shape of its answer, and the key of both."""

    prompt: Prompt
    schema: type[BaseModel]
    key: str


@dataclass(frozen=True)
class Settings:
    """What a :class:`knobo.knowledge.llm.LanguageModel` was made with."""

    model: str
    address: str
    concurrency: int
    timeout: float
    max_retries: int
    max_tokens: int
    temperature: float
    seed: int | None
    price: Price | None
    progress: bool

    def __post_init__(self) -> None:
        least = min(self.concurrency - 1, self.max_tokens - 1, self.max_retries)
        if not (self.model and least >= 0 and self.timeout > 0 and self.temperature >= 0):
            raise InputError(
                "A language model needs a name, concurrency and max_tokens of at least 1, timeout above 0, and "
                "max_retries and temperature of at least 0."
            )


@dataclass(frozen=True)
class Form:
    """Which fields of a request the server is known to take."""

    schema: bool = True
    limit: str = "max_tokens"
    temperature: bool = True
    seed: bool = True

    def simpler(self, complaint: str) -> Form | None:
        """The form to try after a complaint; None if the complaint is not about the form."""
        if is_about_prompt(complaint):
            return None
        if self.schema and _SCHEMA.search(complaint):
            return replace(self, schema=False)
        if self.limit == "max_tokens" and "max_completion_tokens" in complaint:
            return replace(self, limit="max_completion_tokens")
        if self.temperature and "temperature" in complaint:
            return replace(self, temperature=False)
        if self.seed and re.search(r"\bseed\b", complaint):
            return replace(self, seed=False)
        return replace(self, schema=False) if self.schema else None


def is_about_prompt(complaint: str) -> bool:
    """Whether a server complains about the prompt itself: too long, or its content."""
    return bool(_TOO_LONG.search(complaint) or _REFUSED.search(complaint))


def estimate_tokens(text: str) -> int:
    """About 4 characters a token in plain English, one a token beyond ASCII."""
    n_ascii = len(text.encode("ascii", "ignore"))
    return math.ceil(n_ascii / 4) + len(text) - n_ascii


def order_json(schema: type[BaseModel]) -> str:
    """What tells a model the shape of its answer."""
    shape = json.dumps(schema.model_json_schema(), ensure_ascii=False)
    return f"Answer with one JSON object that fits this JSON schema, and with nothing else:\n{shape}"


def write_messages(job: Job, form: Form, dialogue: Sequence[dict[str, str]] = ()) -> list[dict[str, str]]:
    """The messages of a request; without ``response_format`` the schema is told in the text."""
    system = job.prompt.system
    if not form.schema:
        system = f"{system}\n\n{order_json(job.schema)}".lstrip()
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": job.prompt.user}, *dialogue]
    return [{**item, "content": item["content"].encode("utf-8", "replace").decode()} for item in messages]


def write_body(job: Job, settings: Settings, form: Form, dialogue: Sequence[dict[str, str]]) -> dict[str, Any]:
    """The fields of a request that the server takes."""
    body: dict[str, Any] = {"model": settings.model, "messages": write_messages(job, form, dialogue)}
    body[form.limit] = settings.max_tokens
    if form.temperature:
        body["temperature"] = settings.temperature
    if form.seed and settings.seed is not None:
        body["seed"] = settings.seed
    if form.schema:
        schema = job.schema.model_json_schema()
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in job.schema.__name__)[:64]
        shape = {"name": name, "schema": schema, "strict": _is_strict(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    return body


def guess_tokens(body: dict[str, Any]) -> int:
    """Estimated prompt tokens of a request, its schema included."""
    shape = json.dumps(body["response_format"]) if "response_format" in body else ""
    return sum(estimate_tokens(item["content"]) + 4 for item in body["messages"]) + estimate_tokens(shape)


def _is_strict(schema: object) -> bool:
    """Whether every object allows no other fields and requires all of its own, as OpenAI's strict mode wants."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(schema.get("properties", ())):
            return False
    return all(map(_is_strict, schema.values()))
