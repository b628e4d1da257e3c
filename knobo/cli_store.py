"""The commands ``knobo store …``: what an embedding store holds, whether it is sound, and tidying it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knobo.cli_output import out_console, print_frame
from knobo.errors import FormatError

store_app = typer.Typer(help="Look after a store of embeddings.", no_args_is_help=True)

Store = Annotated[Path, typer.Argument(help="Folder of the store.")]


@store_app.command("stats")
def store_stats(store: Store) -> None:
    """Show what a store holds: one row an encoder and way of reading.

    Example: `knobo store stats embeddings`
    """
    from knobo.encoders.upkeep import store_stats as stats

    frame = stats(store)
    print_frame(frame, f"{frame['images'].sum()} embeddings, {frame['megabytes'].sum():.1f} MB")


@store_app.command("verify")
def store_verify(store: Store) -> None:
    """Compare every byte with the digests; exit status 1 if something is damaged.

    Example: `knobo store verify embeddings`
    """
    from knobo.encoders.upkeep import verify_store

    n, problems = verify_store(store)
    for problem in problems:
        out_console.print(problem, soft_wrap=True)
    if problems:
        raise FormatError(
            f"{len(problems)} damaged files, {n} embeddings are sound. Run `knobo store gc {store}`: what was in the "
            "damaged ones is computed again when it is next asked for."
        )
    out_console.print(f"All {n} embeddings are as they were written.")


@store_app.command("gc")
def store_gc(
    store: Store,
    drop: Annotated[str | None, typer.Option(help="Also remove this shelf (a name from `knobo store stats`).")] = None,
) -> None:
    """Join small shards; remove duplicates, damaged shards and what killed processes left.

    Example: `knobo store gc embeddings`
    """
    from knobo.encoders.upkeep import tidy_store

    done = tidy_store(store, drop=drop)
    out_console.print(
        f"{done.joined} shards joined, {done.damaged} damaged ones and {done.unfinished} unfinished ones removed, "
        f"{done.duplicates} duplicate embeddings removed, {done.bytes_freed / 1e6:.1f} MB freed."
    )
