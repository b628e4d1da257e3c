"""Colours, numbers and labels as a reader wants them, the same in plots, notebooks and reports."""

from __future__ import annotations

from typing import Any

FOR = "#0072b2"  # blue and vermilion of the Okabe-Ito palette, which colour-blind readers can tell apart
AGAINST = "#d55e00"
QUIET = "#595959"  # for what matters less; contrast on white is 7:1
CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe-Ito as well
COLUMN = 85 / 25.4  # inches: the width of a journal's column

LEFT_OUT = "findings left out"  # by a selection: what they contribute together


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign and a real minus; zero has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def plain(value: float, digits: int = 2) -> str:
    """Write a number with a real minus where it needs one."""
    return signed(value, digits).removeprefix("+")


def chance(probability: float) -> str:
    """Write a probability with two digits, and never as certain or impossible."""
    if probability < 0.01:
        return "< 0.01"
    return "> 0.99" if probability > 0.99 else f"{probability:.2f}"


def readable(label: Any) -> str:
    """A class label as a reader wants it: ``heart failure`` for ``heart_failure``."""
    return str(label).replace("_", " ")
