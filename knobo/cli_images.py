"""The commands ``knobo images …``: look at the images of a manifest, make a manifest of a published dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knobo.cli_output import interactive, out_console, print_frame
from knobo.storage import write_text

if TYPE_CHECKING:
    import pandas as pd

    from knobo.images.check import Source

images_app = typer.Typer(help="Check images, and make manifests of published datasets.", no_args_is_help=True)

_SHOWN = 20
_ON_SHEET = 64

Column = Annotated[str | None, typer.Option(help="Column; by default the usual name, where the manifest has it.")]


@images_app.command("check")
def images_check(
    manifest: Annotated[Path, typer.Argument(help="CSV file with one row an image.")],
    image: Annotated[str, typer.Option(help="Column with the image paths.")] = "image",
    label: Column = None,
    group: Column = None,
    split: Column = None,
    min_per_class: Annotated[int, typer.Option(help="List classes with fewer images.")] = 10,
    near: Annotated[float, typer.Option(help="Near duplicates differ in at most this share of the hash.")] = 0.12,
    size: Annotated[int, typer.Option(help="Side of the thumbnails: the input size of the encoder.")] = 224,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for problems.csv and thumbnails.png.")] = None,
) -> None:
    """List what is wrong with the images of a manifest; exit status 1 if anything is an error.

    Example: `knobo images check images.csv --label diagnosis --group patient --split split --out check`
    """
    from knobo.images import check_images
    from knobo.images.check import opened

    problems = check_images(
        manifest,
        image=image,
        label=label,
        group=group,
        split=split,
        min_per_class=min_per_class,
        near=near,
        progress=interactive(),
    )
    frame, names, sources = opened(manifest, image)
    if problems.empty:
        out_console.print(f"{len(frame)} images, nothing wrong.")
    else:
        counts = problems.groupby(["severity", "problem"], sort=False).size().rename("count").reset_index()
        print_frame(counts, f"What is wrong with {len(frame)} images")
        print_frame(problems.head(_SHOWN), f"The first {min(_SHOWN, len(problems))} of {len(problems)}")
    if out is not None:
        write_text(out / "problems.csv", problems.to_csv(index=False))
        label = label or ("label" if "label" in frame.columns else None)
        labels = frame[label].fillna("").astype(str).tolist() if label else [""] * len(frame)
        _write_sheet(names, sources, labels, problems, size, out)
        out_console.print(f"Written: {out / 'problems.csv'}, {out / 'thumbnails.png'}", soft_wrap=True)
    if (problems["severity"] == "error").any():
        raise typer.Exit(1)


def _write_sheet(
    names: list[str], sources: list[Source], labels: list[str], problems: pd.DataFrame, size: int, out: Path
) -> None:
    """Up to half of the sheet for images with problems, the rest evenly through the manifest."""
    import numpy as np

    from knobo.images import thumbnail_sheet
    from knobo.images.thumbnails import save_sheet

    rows = {
        name: (source, label)
        for name, source, label in zip(names, sources, labels, strict=True)
        if isinstance(source, os.PathLike)
    }
    odd = problems[problems["image"] != ""].drop_duplicates("image").set_index("image")["problem"]
    flagged = [name for name in odd.index if name in rows][: _ON_SHEET // 2]
    others = [name for name in rows if name not in odd.index]
    rest = min(len(others), _ON_SHEET - len(flagged))
    chosen = [others[n] for n in np.linspace(0, len(others) - 1, rest).astype(int)] if rest else []
    shown = [*flagged, *chosen]
    marked = [name in odd.index for name in shown]
    captions = [f"{odd[name] if mark else rows[name][1]} {name}" for name, mark in zip(shown, marked, strict=True)]
    sheet = thumbnail_sheet([rows[name][0] for name in shown], captions, marked=marked, size=size)
    save_sheet(sheet, out / "thumbnails.png")


@images_app.command("datasets")
def images_datasets() -> None:
    """List the published datasets that can become a manifest, where they are had and on which terms."""
    from knobo.images import list_datasets

    print_frame(list_datasets().reset_index().drop(columns=["title"]), "Datasets")


@images_app.command("manifest")
def images_manifest(
    dataset: Annotated[str, typer.Argument(help="A name of `knobo images datasets`.")],
    root: Annotated[Path, typer.Argument(help="Folder that the dataset was unpacked to.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write.")] = Path("manifest.csv"),
    images: Annotated[Path | None, typer.Option(help="Folder of the images, if that is another one.")] = None,
    drop_missing: Annotated[bool, typer.Option(help="Leave out images that are not there.")] = False,
) -> None:
    """Turn a downloaded dataset into a manifest.

    Example: `knobo images manifest nih-chestxray14 /data/nih --out nih.csv --drop-missing`
    """
    from knobo.images import load_dataset, write_manifest

    frame = load_dataset(dataset, root, images=images, missing="drop" if drop_missing else "error")
    write_manifest(frame, out)
    out_console.print(f"{len(frame)} images, columns {', '.join(frame.columns)}: {out}", soft_wrap=True)
