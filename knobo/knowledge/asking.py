"""A language model as a plain function, for parts of knobo that know nothing of clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from knobo.knowledge.llm import LanguageModel, Prompt

Reply = TypeVar("Reply", bound=BaseModel)


def ask_with(
    model: LanguageModel, version: str = ""
) -> Callable[[Sequence[tuple[str, str]], type[Reply]], list[Reply | None]]:
    """Make a function of (system, user) texts and a reply's shape that asks a model.

    Parameters
    ----------
    model : LanguageModel
        Its cache, budget and ledger hold.
    version : str
        Of the wording, part of the cache's key.

    Returns
    -------
    callable
        Gives one reply a text, None where the model gave no usable one. It raises what ``model.ask`` raises.
    """

    def ask(texts: Sequence[tuple[str, str]], schema: type[Reply]) -> list[Reply | None]:
        prompts = [Prompt(system=system, user=user, version=version) for system, user in texts]
        return [answer.value for answer in model.ask(prompts, schema)]

    return ask
