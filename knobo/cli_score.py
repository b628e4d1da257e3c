"""The command ``knobo score``: ask a chat model that takes images which findings it sees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from knobo.cli_llm import CACHE, BudgetCalls, BudgetUsd, Cache, LlmUrl, Rates, language_model, print_totals
from knobo.cli_output import out_console, print_frame


def score(
    manifest: Annotated[Path, typer.Argument(help="CSV file with one row an image.")],
    bank: Annotated[str, typer.Option(help="A shipped bank (chest-xray, skin-lesion) or a bank file.")],
    llm: Annotated[str, typer.Option(help="Name of a model that takes images, on an OpenAI-compatible server.")],
    llm_url: LlmUrl = None,
    image: Annotated[str, typer.Option(help="Column with the image paths.")] = "image",
    out: Annotated[Path, typer.Option("--out", help="CSV file to write.")] = Path("concepts.csv"),
    answers: Annotated[
        bool, typer.Option("--answers", help="Write 1, 0 and blank, as `knobo fit --concepts` takes them.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Findings a call.")] = 16,
    max_side: Annotated[int, typer.Option(help="Longest side of the images that are sent, in pixels.")] = 1024,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and ask nothing.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Answer from the cache alone.")] = False,
    cache: Cache = CACHE,
    budget_calls: BudgetCalls = None,
    budget_usd: BudgetUsd = None,
    price: Rates = None,
) -> None:
    """Ask a chat model about every finding of a bank in every image, and add a column a finding to the manifest.

    A column of the manifest that is called like a finding stays as it is, and the model is not told of it; what the
    model says then stands in a column called `FINDING (model)`.

    The pixels of the images are sent to the server of the model; their metadata and file names are not.

    Example: `knobo score images.csv --bank chest-xray --llm MODEL --llm-url http://localhost:8000/v1 --dry-run`
    """
    import pandas as pd

    from knobo.images import read_manifest
    from knobo.knowledge import ChatScorer
    from knobo.storage import write_text

    data = read_manifest(manifest, image=image)
    model = language_model(llm, llm_url, cache, budget_calls, budget_usd, price, offline=offline)
    chat = ChatScorer(bank, model, batch=batch, max_side=max_side)
    if dry_run:
        out_console.print(f"{len(data)} images, {len(chat.bank)} findings. {chat.dry_run(data.paths)}", soft_wrap=True)
        return
    scores = chat.ask(data.paths)
    columns = scores.round().astype("Int64") if answers else scores.round(4)
    taken = {name: f"{name} (model)" for name in chat.bank.ids if name in data.frame.columns}
    columns = columns.rename(columns=taken)
    kept = data.frame.reset_index(drop=True).drop(columns=list(taken.values()), errors="ignore")
    frame = pd.concat([kept, columns], axis=1)
    frame[image] = [os.path.relpath(path, out.parent) for path in data.paths]
    write_text(out, frame.to_csv(index=False))
    counts = pd.DataFrame({"yes": (scores > 0.5).sum(), "no": (scores <= 0.5).sum(), "unknown": scores.isna().sum()})
    print_frame(counts.reset_index(names="concept"), "What the model says")
    if taken:
        names = ", ".join(map(repr, taken.values()))
        out_console.print(f"Columns called like a finding stay; the model's are called {names}.", soft_wrap=True)
    print_totals(model)
    out_console.print(f"{len(data)} images, {len(chat.bank)} findings: {out}", soft_wrap=True)
