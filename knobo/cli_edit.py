"""``knobo edit``: a reader's edits of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knobo.cli_output import interactive, out_console, print_frame

edit_app = typer.Typer(
    help="Change a saved model as a reader asks, and write down what was changed.", no_args_is_help=True
)


@edit_app.command()
def apply(
    model: Annotated[Path, typer.Argument(help="Folder of a model that `knobo fit` or `clf.save` wrote.")],
    edits: Annotated[Path, typer.Argument(help="JSON file of edits (format knobo.edits).")],
    manifest: Annotated[Path, typer.Argument(help="CSV file with the images that the head is refitted to.")],
    label: Annotated[str, typer.Option("--label", help="Manifest column with the class labels.")],
    image: Annotated[str, typer.Option("--image", help="Manifest column with the image paths.")] = "image",
    group: Annotated[str | None, typer.Option(help="Column that keeps images of one patient together.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where to write the edited model.")] = Path("edited-model"),
) -> None:
    """Refit the head around the edits and save the edited model; the one given stays as it is.

    Example: `knobo edit apply out/model edits.json images.csv --label diagnosis --out edited`
    """
    import numpy as np

    from knobo.classifier import load
    from knobo.encoders import embed, load_encoder
    from knobo.heads import change_table, read_edits
    from knobo.images import read_manifest

    wanted = read_edits(edits)
    data = read_manifest(manifest, image=image, label=label, group=group)
    clf = load(model)
    encoder = load_encoder(clf.encoder) if isinstance(clf.encoder, str | Path) else clf.encoder
    embeddings = embed(encoder, data.paths, progress=interactive()).rows
    edited = clf.edit(wanted, embeddings, np.asarray(data.labels), groups=data.groups)
    if wanted:
        table = change_table(edited.change_log_[-1])
        shown = table[["before", "after", "change", "change_low", "change_high"]].reset_index()
        count = "1 edit" if len(wanted) == 1 else f"{len(wanted)} edits"
        print_frame(shown, f"{count}, {len(embeddings)} images of the refit, 95 % intervals of the change")
    out_console.print(f"Model: {edited.save(out)}", soft_wrap=True)


@edit_app.command()
def log(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
) -> None:
    """Show what was changed in a model after its fit, as JSON.

    Example: `knobo edit log edited`
    """
    import json

    from knobo.classifier import load

    out_console.print_json(json.dumps(load(model).change_log_))
