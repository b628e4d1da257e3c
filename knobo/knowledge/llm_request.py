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
from knobo.knowledge.llm_choices import Choice
from knobo.knowledge.llm_image import SentImage

_TOO_LONG = re.compile(r"context.{0,3}length|context window|maximum context|too long|too many tokens", re.I)
_REFUSED = re.compile(r"content.?filter|content.?(management )?policy|safety|moderation", re.I)
_SCHEMA = re.compile(r"response.?format|json.?schema|structured|guided|grammar", re.I)
_ALTERNATIVES = 5  # tokens that might have stood in a place; some servers give no more

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Prompt:
    """What a model is told and asked.

    Parameters
    ----------
    system, user : str
        What the model is, and the question.
    version : str
        Names the wording and is part of the cache key.
    images : tuple of SentImage
        Shown before the question.
    choices : tuple of str
        Words between which the answer chooses; their probabilities are asked for where the server gives them.
    """

    system: str
    user: str
    version: str = ""
    images: tuple[SentImage, ...] = ()
    choices: tuple[str, ...] = ()


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
    refused : bool
        Whether the model or its provider will not answer, so that asking for less does not help.
    choices : tuple of dict of str to float
        For each place of the answer that holds one of ``Prompt.choices``, in order, the probability of each of them.
        Empty where the server gave no log-probabilities that could be matched with the answer.
    """

    value: Reply | None
    error: str = ""
    cached: bool = False
    refused: bool = False
    choices: tuple[Choice, ...] = ()


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
    logprobs: bool = True

    def simpler(self, complaint: str) -> Form | None:
        """The form to try after a complaint; None if the complaint is not about the form."""
        if is_about_prompt(complaint):
            return None
        if self.logprobs and "logprobs" in complaint:
            return replace(self, logprobs=False)
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


def write_messages(job: Job, form: Form, dialogue: Sequence[dict[str, str]] = ()) -> list[dict[str, Any]]:
    """The messages of a request; without ``response_format`` the schema is told in the text.

    Images come before the question, so that servers which keep the start of a prompt read each image once.
    """
    system = job.prompt.system
    if not form.schema:
        system = f"{system}\n\n{order_json(job.schema)}".lstrip()
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": job.prompt.user}, *dialogue]
    sent: list[dict[str, Any]] = [
        {**item, "content": item["content"].encode("utf-8", "replace").decode()} for item in messages
    ]
    if job.prompt.images:
        question = sent[len(sent) - len(dialogue) - 1]
        shown = [{"type": "image_url", "image_url": {"url": image.url}} for image in job.prompt.images]
        question["content"] = [*shown, {"type": "text", "text": question["content"]}]
    return sent


def write_body(job: Job, settings: Settings, form: Form, dialogue: Sequence[dict[str, str]]) -> dict[str, Any]:
    """The fields of a request that the server takes."""
    body: dict[str, Any] = {"model": settings.model, "messages": write_messages(job, form, dialogue)}
    body[form.limit] = settings.max_tokens
    if form.temperature:
        body["temperature"] = settings.temperature
    if form.seed and settings.seed is not None:
        body["seed"] = settings.seed
    if form.logprobs and job.prompt.choices:
        body |= {"logprobs": True, "top_logprobs": _ALTERNATIVES}
    if form.schema:
        schema = job.schema.model_json_schema()
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in job.schema.__name__)[:64]
        shape = {"name": name, "schema": schema, "strict": _is_strict(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    return body


def guess_tokens(job: Job, body: dict[str, Any]) -> int:
    """Estimated prompt tokens of a request, its images and its schema included."""
    shape = json.dumps(body["response_format"]) if "response_format" in body else ""
    contents = (item["content"] for item in body["messages"])
    texts = [content if isinstance(content, str) else content[-1]["text"] for content in contents]
    n_shown = sum(image.n_tokens for image in job.prompt.images)
    return n_shown + sum(estimate_tokens(text) + 4 for text in texts) + estimate_tokens(shape)


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
