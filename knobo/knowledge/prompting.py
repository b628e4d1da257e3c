"""Prompts that ship with knobo, and the questions that are put to a language model in batches."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from pydantic import BaseModel

from knobo.errors import FormatError, ModelError
from knobo.knowledge.corpus import Passage
from knobo.knowledge.llm import LanguageModel, Prompt

LONGEST_PASSAGE = 4000  # characters of a passage that a model is shown
_FIELD = re.compile(r"\{\{(\w+)\}\}")
_FILE = re.compile(r"version: ([^\n]+)\n+# System\n+(.*)\n# User\n+(.*)", re.DOTALL)

Item = TypeVar("Item")
Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Template:
    """A prompt file: its version, what the model is, and what it is asked."""

    version: str
    system: str
    user: str

    def fill(self, fields: dict[str, str]) -> Prompt:
        """Put the fields in, in one pass: a field's own text is never filled again."""
        system, user = (_FIELD.sub(lambda match: fields[match[1]], text) for text in (self.system, self.user))
        return Prompt(system=system, user=user, version=self.version)


@cache
def read_template(name: str) -> Template:
    """Read ``prompts/<name>.md`` of the package.

    Raises
    ------
    FormatError
        If the file does not begin with its version, or a part is missing.
    """
    text = (files("knobo.knowledge") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    match = _FILE.fullmatch(text)
    if match is None:
        raise FormatError(f"Prompt {name}.md needs a line 'version: …', '# System' and '# User'; install knobo again.")
    version, system, user = (part.strip() for part in match.groups())
    return Template(version, system, user)


class Asker:
    """Puts batches to a model and counts the answers; a batch that gets no usable answer is asked in halves.

    Parameters
    ----------
    model : LanguageModel
    modality : str
        Such as ``"chest-xray"``; empty reads "medical" in the prompts.
    """

    def __init__(self, model: LanguageModel, modality: str = "") -> None:
        self.model = model
        self.modality = modality.replace("-", " ") or "medical"
        self.n_answered: Counter[str] = Counter()

    def ask(
        self,
        name: str,
        batches: Sequence[Sequence[Item]],
        fields: Callable[[Sequence[Item]], dict[str, str]],
        schema: type[Reply],
        missing: Callable[[Sequence[Item], Reply], Sequence[Item]] = lambda batch, reply: (),
    ) -> list[tuple[Sequence[Item], Reply]]:
        """Ask one prompt a batch, many at a time.

        Parameters
        ----------
        name : str
            Prompt file.
        batches : sequence of sequence
            What to ask about.
        fields : callable
            A batch to the fields of the prompt.
        schema : type of pydantic model
            Shape of a reply.
        missing : callable, optional
            Items of a batch that the reply says nothing about; they are asked about again.

        Returns
        -------
        list of (batch, reply)
            An item that stays unanswered when it is asked about alone is in none of them only if ``missing`` said so.

        Raises
        ------
        ModelError
            If a single item gets no usable answer, or the model cannot be reached.
        BudgetError
            If the next call would exceed the budget.
        """
        template = read_template(name)

        def prompt(batch: Sequence[Item]) -> Prompt:
            return template.fill({"modality": self.modality, **fields(batch)})

        answered: list[tuple[Sequence[Item], Reply]] = []
        while batches:
            batches = [part for b in batches for part in known_parts(self.model, b, prompt, schema) or [b]]
            later: list[Sequence[Item]] = []
            for batch, answer in zip(batches, self.model.ask([prompt(b) for b in batches], schema), strict=True):
                if answer.value is None:
                    later += _smaller(batch, name, answer.error)
                    continue
                answered.append((batch, answer.value))
                self.n_answered[name] += 1
                rest = missing(batch, answer.value)
                if len(batch) > 1 and rest:
                    later += [rest] if len(rest) < len(batch) else halves(rest)
            batches = later
        return answered


def known_parts(
    model: LanguageModel, batch: Sequence[Item], prompt: Callable[[Sequence[Item]], Prompt], schema: type[BaseModel]
) -> list[Sequence[Item]] | None:
    """The batch, or the halves that an earlier run had to ask instead, if all answers are in the cache."""
    if model.dry_run([prompt(batch)], schema).cached:
        return [batch]
    parts: list[Sequence[Item]] = []
    for half in halves(batch):
        if (known := known_parts(model, half, prompt, schema)) is None:
            return None
        parts += known
    return parts or None


def _smaller(batch: Sequence[Item], name: str, error: str) -> list[Sequence[Item]]:
    if len(batch) == 1:
        raise ModelError(f"The prompt {name!r} got no usable answer on {str(batch[0])[:300]}. {error}")
    return halves(batch)


def halves(batch: Sequence[Item]) -> list[Sequence[Item]]:
    """The two halves of a batch; a single item has none."""
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]] if middle else []


def as_data(rows: Iterable[dict[str, Any]]) -> str:
    """One JSON object a line; no text in it can close the data block, open another or end a line."""
    return "\n".join(encode(row) for row in rows)


def encode(value: object) -> str:
    """JSON on one line, angle brackets escaped."""
    text = json.dumps(value, ensure_ascii=False)
    for character in "<>\u2028\u2029\x85":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def show(passages: Iterable[Passage]) -> str:
    """Passages as a model is shown them."""
    return as_data({"id": p.id, "title": p.title[:200], "text": p.text[:LONGEST_PASSAGE]} for p in passages)


def pack(passages: Iterable[Passage], most: int) -> list[list[Passage]]:
    """Passages in order, in groups of at most ``most`` shown characters; a longer one stands alone."""
    groups: list[list[Passage]] = []
    room = 0
    for passage in passages:
        size = len(passage.text[:LONGEST_PASSAGE]) + len(passage.title[:200]) + len(passage.id)
        if not groups or size > room:
            groups.append([])
            room = most
        groups[-1].append(passage)
        room -= size
    return groups
