"""The JSON object in what a language model writes: bare, fenced, or amid chat."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_BEGINS = re.compile(r"""\{\s*(?:["'/]|\w+\s*:)""")  # what looks like an object, unlike {this} or {{
_MOST_TRIES = 200
_DECODER = json.JSONDecoder(parse_constant=lambda name: _refuse(name))


class UnusableReplyError(Exception):
    """A reply holds no object that fits the schema; the text says what is wrong, in words that a model can follow."""


def find_object(text: str, schema: type[BaseModel]) -> str:
    """Find the one JSON object in a reply that fits a schema, and return it as JSON text in its plainest form.

    Fenced blocks come first, then the text after any thinking. An object that is broken ends the search: what stands
    inside it is no answer. Two different objects that both fit are no answer either.

    Raises
    ------
    UnusableReplyError
        If there is none, or more than one.
    """
    answer = text.rpartition("</think>")[2]
    problem = "there was no JSON object in it"
    for part in (*("\n".join(_FENCE.findall(answer)),), answer):
        found: dict[str, None] = {}
        for value in _objects(part):
            if isinstance(value, str):
                problem = value
                continue
            plain = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
            try:
                schema.model_validate_json(plain)
            except ValidationError as error:
                problem = _describe(error)
            else:
                found[plain] = None
        if len(found) == 1:
            return next(iter(found))
        if found:
            raise UnusableReplyError(f"it holds {len(found)} different objects that fit the schema")
    raise UnusableReplyError(problem)


def _objects(text: str) -> Iterator[dict[str, Any] | str]:
    """Objects of a text in order; what is wrong with a broken one is given in its place, and ends the search."""
    at = text.find("{")
    for _ in range(_MOST_TRIES):
        if at < 0:
            return
        try:
            value, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            end = at + 1
            if _BEGINS.match(text, at):
                yield f"the JSON is broken: {error.msg} at character {error.pos - at}"
                return
        except (ValueError, RecursionError) as error:
            yield f"the JSON is broken: {error}"
            return
        else:
            yield value
        at = text.find("{", end)


def _describe(error: ValidationError) -> str:
    """First faults, by place; a value may be long, so none is quoted."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, fault['loc'])) or 'the object'}: {fault['msg']}" for fault in faults[:3]]
    return "; ".join(told) + (f" and {len(faults) - 3} more faults" if len(faults) > 3 else "")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
