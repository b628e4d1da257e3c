"""The command ``knobo annotate``: reports to a table of findings."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knobo.cli_output import interactive, out_console, print_frame
from knobo.errors import FileError, InputError

if TYPE_CHECKING:
    from knobo.bank import ConceptBank


class Uncertain(str, Enum):
    """What a doubted finding becomes."""

    blank = "blank"
    positive = "positive"
    negative = "negative"


def annotate(
    reports: Annotated[Path, typer.Argument(help="JSON Lines or CSV file with an id and a text each.")],
    out: Annotated[Path, typer.Option("--out", help="CSV file to write.")],
    bank: Annotated[str | None, typer.Option(help="A shipped bank (chest-xray, skin-lesion) or a bank file.")] = None,
    findings: Annotated[
        str | None, typer.Option(help="Instead of a bank: a text file with one name a line, or NAME,NAME,…")
    ] = None,
    uncertain: Annotated[
        Uncertain, typer.Option(help="What a finding becomes that is possible, or one of several explanations.")
    ] = Uncertain.positive,
    id_field: Annotated[str, typer.Option("--id", help="Field or column of the identifier.")] = "id",
    text_field: Annotated[str, typer.Option("--text", help="Field or column of the text.")] = "text",
) -> None:
    """Read findings off free-text reports: one row a report, one column a concept.

    A cell is 1 where the report states the finding, 0 where it denies it, and blank where it says nothing of it or
    merely cannot exclude it.

    Example: `knobo annotate reports.jsonl --bank chest-xray --out labels.csv`
    """
    import pandas as pd

    from knobo.grounding import annotate_reports
    from knobo.grounding.report_files import read_reports
    from knobo.storage import write_text

    the_bank = _bank(bank, findings)
    table = read_reports(reports, id_field=id_field, text_field=text_field)
    labels = annotate_reports(list(table["text"]), the_bank, uncertain=uncertain.value, progress=interactive())
    cells = labels.astype("Int64")
    cells.insert(0, "id", table["id"].to_numpy(), allow_duplicates=True)
    write_text(out, cells.to_csv(index=False))
    counts = pd.DataFrame({"stated": (labels == 1).sum(), "denied": (labels == 0).sum(), "blank": labels.isna().sum()})
    print_frame(counts[counts["blank"] < len(labels)].reset_index(names="concept"), "Reports for each concept")
    out_console.print(f"{len(labels)} reports, {len(the_bank)} concepts: {out}", soft_wrap=True)


def _bank(bank: str | None, findings: str | None) -> ConceptBank:
    from knobo.bank import ConceptBank, load_bank

    if (bank is None) == (findings is None):
        raise InputError("Say what to look for: either --bank chest-xray (or a bank file), or --findings names.txt.")
    if bank is not None:
        return load_bank(bank)
    assert findings is not None
    names = _lines(Path(findings)) if Path(findings).is_file() else findings.split(",")
    return ConceptBank.from_names([name.strip() for name in names if name.strip()])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"Cannot read {path}: {error}. Write one name of a finding a line, as UTF-8 text.") from error
