"""The commands ``knobo models …``: which encoders are published, what is known of one, try it, carry it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knobo.cli_output import out_console
from knobo.errors import FormatError

if TYPE_CHECKING:
    from knobo.encoders import ModelCard

models_app = typer.Typer(help="Find, check and fetch published encoders.", no_args_is_help=True)

Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Accept code that comes with this model.")]


@models_app.command("list")
def models_list(
    modality: Annotated[str, typer.Option(help="Only those whose modality holds this word, such as chest.")] = "",
    loader: Annotated[str, typer.Option(help="Only those of open_clip, transformers, timm or own.")] = "",
) -> None:
    """List published encoders; "own" marks those that only their authors' code loads.

    Example: `knobo models list --modality chest`
    """
    from rich.table import Table

    from knobo.encoders import published_models

    cards = [
        card
        for card in published_models()
        if modality.lower() in (card.modality or "").lower() and loader.lower() in ("", card.loader)
    ]
    table = Table(title=f"{len(cards)} published encoders", title_justify="left")
    for column in ("name", "loader", "modality", "licence"):
        table.add_column(column, no_wrap=column in ("name", "loader"), overflow="fold")
    for card in cards:
        table.add_row(card.name, card.loader, card.modality, card.licence)
    out_console.print(table)
    out_console.print("`knobo models show NAME` says more. An empty cell: no source was seen.")
    out_console.print("Beside these, `classical` and `phantom-clip` (for synthetic images only) come with knobo.")


@models_app.command("show")
def models_show(name: Annotated[str, typer.Argument(help="Name or alias, such as biomedclip.")]) -> None:
    """Show what is known of a published encoder, and where it was read.

    Example: `knobo models show whyxrayclip`
    """
    from knobo.encoders.load import PHANTOM_CLIP, phantom_card
    from knobo.encoders.registry import get_model

    if name.lower() == PHANTOM_CLIP:
        from rich.markdown import Markdown

        out_console.print(Markdown(phantom_card()))
        return
    card = get_model(name)
    for label, value in _facts(card):
        out_console.print(f"{label:<15}{value or 'not known'}", soft_wrap=True)
    out_console.print("Sources")
    for source in card.sources:
        out_console.print(f"  {source.url}: {', '.join(source.facts)}", soft_wrap=True)


@models_app.command("check")
def models_check(
    name: Annotated[str, typer.Argument(help="Anything that load_encoder takes: a name, or a folder.")],
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    trust_remote_code: Trust = False,
) -> None:
    """Load an encoder and encode two images and two texts with it.

    Example: `knobo models check ./biomedclip`
    """
    from knobo.encoders import load_encoder
    from knobo.encoders.check import check_encoder

    encoder = load_encoder(name, device=device, precision=precision, trust_remote_code=trust_remote_code)  # type: ignore[arg-type]
    exact = None if precision == "fp32" else load_encoder(name, device=device, trust_remote_code=trust_remote_code)
    result = check_encoder(encoder, exact)
    text = "no text side" if result.text_dim is None else f"texts have {result.text_dim} values"
    size = getattr(encoder, "image_size", None)
    seen = f", each seen at {size[0]} × {size[1]} pixels" if size else ""
    out_console.print(f"{result.spec}: images have {result.image_dim} values{seen}; {text}.", soft_wrap=True)
    out_console.print(f"{result.images_per_second:.1f} images/s on {getattr(encoder, 'device', 'cpu')}, {precision}.")
    if result.cosine is not None:
        out_console.print(f"Cosine with fp32: at least {result.cosine:.5f}.")
    if result.problems:
        raise FormatError(f"{name} is not fit for use: {'; '.join(result.problems)}.")
    out_console.print("Rows have length 1, and a second run gives the same numbers.")


@models_app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="A published encoder, hf-hub:ORG/NAME, or open_clip's NAME/PRETRAINED.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to put it in; an interrupted fetch goes on there.")],
    trust_remote_code: Trust = False,
) -> None:
    """Download an encoder into a folder that you can carry to a machine without a network.

    Example: `knobo models fetch biomedclip --to biomedclip`
    """
    from knobo.encoders import find_model
    from knobo.encoders.fetch import fetch_model

    card = find_model(name)
    if card is not None:
        terms = f"Licence: {card.licence or 'not known, see ' + card.page}."
        gate = f" Accept the conditions on {card.page} first." if card.gated else ""
        out_console.print(terms + gate, soft_wrap=True)
    folder = fetch_model(name, to, trust_remote_code=trust_remote_code)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    out_console.print(f"{size / 1e6:.1f} MB in {folder}. Load it as local-dir:{folder}", soft_wrap=True)


def _facts(card: ModelCard) -> list[tuple[str, object]]:
    """What to say of a model, in order; a value that is None or empty is not known."""
    tower = ", ".join(filter(None, [card.text_tower, f"{card.text_length} tokens" if card.text_length else None]))
    always = [
        ("Name", ", ".join([card.name, *card.aliases])),
        ("Load as", card.spec or "not by name"),
        ("Hub", card.page if card.hub_id else None),
        ("Loader", card.loader),
        ("Brings code", "yes, which runs only with trust_remote_code=True" if card.remote_code else "no"),
        ("Modality", card.modality),
        ("Architecture", card.architecture),
        ("Pixels", card.input_size),
        ("Embedding", card.embedding_dim),
        ("Text tower", tower),
        ("Mean", card.mean and ", ".join(f"{value:.4g}" for value in card.mean)),
        ("Std", card.std and ", ".join(f"{value:.4g}" for value in card.std)),
        ("Licence", card.licence),
        ("Gated", {None: None, True: "yes", False: "no"}[card.gated]),
        ("Paper", card.paper and f"{card.paper.title} {card.paper.url}"),
    ]
    sometimes = [("How to get it", card.how), ("Files", ", ".join(card.files)), ("Note", card.note)]
    return [*always, *((label, value) for label, value in sometimes if value)]
