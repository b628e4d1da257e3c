"""Tables and progress on the terminal, shared by the commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

# No markup: names of classes, columns and files may hold brackets.
out_console = Console(markup=False, highlight=False)
error_console = Console(stderr=True, markup=False, highlight=False)


def interactive() -> bool:
    """Whether someone watches: then progress bars are shown."""
    return sys.stderr.isatty()


def print_frame(frame: pd.DataFrame, title: str) -> None:
    """Print a table."""
    table = Table(title=Text(title), title_justify="left")
    for name, column in frame.items():
        table.add_column(str(name), justify="right" if column.dtype.kind in "fi" else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    out_console.print(table)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{round(value, 3) + 0.0:.3f}" if isinstance(value, float) else str(value)  # + 0.0: no minus before a zero
