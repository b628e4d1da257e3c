"""The options of a language model, shared by the commands that ask one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knobo.cli_output import interactive, out_console
from knobo.errors import InputError

if TYPE_CHECKING:
    from knobo.knowledge.llm import LanguageModel

LlmUrl = Annotated[str | None, typer.Option(help="Its address, such as http://localhost:8000/v1.")]
Cache = Annotated[Path, typer.Option(help="Folder of the model's answers; a rerun pays for none twice.")]
BudgetCalls = Annotated[int | None, typer.Option(help="Most calls to the model.")]
BudgetUsd = Annotated[float | None, typer.Option(help="Most US dollars to spend; needs --price.")]
Rates = Annotated[str | None, typer.Option(help="US dollars for a million tokens: PROMPT,COMPLETION.")]

CACHE = Path("knobo-llm-cache")


def language_model(
    name: str,
    url: str | None,
    cache: Path,
    calls: int | None,
    usd: float | None,
    price: str | None,
    *,
    offline: bool = False,
) -> LanguageModel:
    """The model that the options describe."""
    from knobo.knowledge.ledger import Budget, Price
    from knobo.knowledge.llm import LanguageModel

    rates = None
    if price is not None:
        parts = price.split(",")
        try:
            rates = Price(prompt=float(parts[0]), completion=float(parts[1]))
        except (ValueError, IndexError) as error:
            raise InputError(f"--price must be two numbers such as 0.15,0.60, got {price!r}.") from error
    return LanguageModel(
        name,
        base_url=url,
        cache=cache,
        budget=None if calls is None and usd is None else Budget(calls=calls, usd=usd),
        price=rates,
        offline=offline,
        max_tokens=8192,
        progress=interactive(),
    )


def print_totals(model: LanguageModel) -> None:
    """Say what a model was asked, and what it cost."""
    totals = ", ".join(f"{name} {value:g}" for name, value in model.ledger.totals().items())
    out_console.print(f"Language model: {totals}", soft_wrap=True)
