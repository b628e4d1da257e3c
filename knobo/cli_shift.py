"""The command ``knobo shift``: how a model holds on images from elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knobo.cli_output import out_console, print_frame
from knobo.errors import InputError
from knobo.storage import write_text

if TYPE_CHECKING:
    import pandas as pd

    from knobo.shift import ShiftReport


def shift(
    model: Annotated[Path, typer.Argument(help="Folder of a model that `knobo fit` or `clf.save` wrote.")],
    label: Annotated[str, typer.Option("--label", help="Manifest column with the class labels.")],
    source: Annotated[Path | None, typer.Option(help="Manifest of labelled images from the hospital at home.")] = None,
    target: Annotated[Path | None, typer.Option(help="Manifest of labelled images from elsewhere.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="One manifest of all images, with --domain and --home.")] = None,
    domain: Annotated[str, typer.Option(help="Column of --manifest that names the hospital.")] = "domain",
    home: Annotated[str | None, typer.Option(help="The hospital at home, as --domain names it.")] = None,
    image: Annotated[str, typer.Option("--image", help="Manifest column with the image paths.")] = "image",
    group: Annotated[str | None, typer.Option(help="Patient column, in every manifest.")] = None,
    metadata: Annotated[str, typer.Option(help="Columns, such as sex,age, to compare subgroups by.")] = "",
    positive: Annotated[str | None, typer.Option(help="Class that subgroups are counted by, if not two.")] = None,
    specificity: Annotated[float, typer.Option(help="What the sensitivity at fixed specificity keeps.")] = 0.9,
    out: Annotated[Path | None, typer.Option("--out", help="CSV file to write.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
) -> None:
    """Measure how a model holds on images from elsewhere.

    The images from home must be others than those that the model was fitted on.

    Example: `knobo shift out/model --source home.csv --target elsewhere.csv --label diagnosis`

    Example: `knobo shift out/model --manifest all.csv --domain hospital --home A --label diagnosis --metadata sex,age`
    """
    from knobo.classifier import load
    from knobo.images import read_manifest
    from knobo.shift import check_shift

    read = partial(read_manifest, image=image, label=label, group=group)
    if manifest is not None and source is None and target is None:
        sets = _by_domain(read(manifest), domain, home)
    elif manifest is None and source is not None and target is not None:
        pair = read(source), read(target)
        sets = {name: _Set(one, slice(None)) for name, one in zip(("source", "target"), pair, strict=True)}
    else:
        raise InputError("Give --source and --target, or --manifest with a column of hospitals (--domain) and --home.")
    at_home, *away = sets.values()
    names = [name for name in sets if name != "source"]
    columns = [name.strip() for name in metadata.split(",") if name.strip()]
    report = check_shift(
        load(model),
        (at_home.paths, at_home.labels),
        {name: (one.paths, one.labels) for name, one in zip(names, away, strict=True)},
        groups=None if group is None else (at_home.groups, dict(zip(names, (one.groups for one in away), strict=True))),
        metadata=(at_home.table(columns), dict(zip(names, (one.table(columns) for one in away), strict=True)))
        if columns
        else None,
        positive=positive,
        specificity=specificity,
        random_state=seed,
    )
    _print_shift(report.to_frame(), "In domain (id) and out of domain (ood), 95 % intervals below")
    if len(names) > 1:
        worst = report.worst().reset_index()[["metric", "domain", "ood", "gap"]]
        print_frame(worst, "Hospital that does worst")
    if columns:
        print_frame(report.worst_groups().reset_index(), "Subgroup that does worst")
    if out is not None:
        _write(report, out)


class _Set:
    """Rows of one manifest."""

    def __init__(self, manifest: Any, rows: Any) -> None:
        import numpy as np

        at = np.arange(len(manifest))[rows]
        self.paths = [manifest.paths[i] for i in at]
        self.labels = manifest.labels[at]
        self.groups = None if manifest.groups is None else manifest.groups[at]
        self.frame: pd.DataFrame = manifest.frame.iloc[at]

    def table(self, columns: list[str]) -> pd.DataFrame:
        for name in columns:
            if name not in self.frame:
                raise InputError(
                    f"--metadata names {name!r}, which a manifest lacks; it has {', '.join(map(str, self.frame))}."
                )
        return self.frame[columns]


def _by_domain(manifest: Any, domain: str, home: str | None) -> dict[str, _Set]:
    """The hospital at home under ``source``, and every other one under its name."""
    if domain not in manifest.frame:
        raise InputError(f"The manifest has no column {domain!r}; name the column of hospitals with --domain.")
    column = manifest.frame[domain]
    if column.isna().any() or (column.astype(str) == "").any():
        raise InputError(f"Column {domain!r} has blank cells; fill them in, or drop these rows.")
    places = column.astype(str).to_numpy()
    names = sorted(set(places.tolist()))
    if home not in names or len(names) < 2:
        raise InputError(f"--home is {home!r}; name one of the two or more in column {domain!r}: {', '.join(names)}.")
    elsewhere = [name for name in names if name != home]
    return {"source": _Set(manifest, places == home)} | {name: _Set(manifest, places == name) for name in elsewhere}


def _write(report: ShiftReport, out: Path) -> None:
    out_console.print(f"Table: {write_text(out, report.to_frame().to_csv())}", soft_wrap=True)
    if report.subgroups:
        import pandas as pd

        table = pd.concat({name: found.table for name, found in report.subgroups.items()}, names=["set"])
        path = write_text(out.with_name(f"{out.stem}-subgroups{out.suffix}"), table.to_csv())
        out_console.print(f"Subgroups: {path}", soft_wrap=True)


def _print_shift(table: pd.DataFrame, title: str) -> None:
    """One row a metric; each interval stands below its value, so that the table fits a terminal."""
    shown = table[[]].copy()
    for name in ("id", "ood", "average", "gap"):
        sign = "+" if name == "gap" else ""
        values = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False, name=None)
        shown[name] = [f"{value:{sign}.3f}\n{low:{sign}.3f}–{high:{sign}.3f}" for value, low, high in values]
    print_frame(shown.reset_index(), title)
