"""An explanation in a notebook: one small table a case, self-contained, every text escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from knobo.explain.contributions import rank
from knobo.explain.style import AGAINST, FOR, LEFT_OUT, chance, plain, readable, signed

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation

_MOST_CASES = 3
_MOST_CONCEPTS = 8
_CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"
_NUMBER = "padding:2px 10px 2px 0;text-align:right;vertical-align:top;font-variant-numeric:tabular-nums"


def explanation_html(why: Explanation) -> str:
    """Write the first cases as HTML tables of the strongest contributions to the predicted class."""
    parts = [_case_html(one) for one in why[:_MOST_CASES]]
    if len(why) > _MOST_CASES:
        more = len(why) - _MOST_CASES
        parts.append(f"<p>{more} more case{'s' * (more > 1)}; select one, such as <code>why[{_MOST_CASES}]</code>.</p>")
    return f'<div class="knobo-explanation">{"".join(parts) or "<p>No cases.</p>"}</div>'


def _case_html(one: Explanation) -> str:
    k = int(one.explained[0])
    values = one.contributions[0, k]
    ranked = rank(values, one.weights[k], _MOST_CONCEPTS)
    longest = max(float(np.abs(values[ranked.top]).max(initial=0.0)), abs(ranked.rest), abs(one.rest[0, k]), 1e-12)
    rows = [_row("average image", "", plain(one.base[k]), "", "")]
    for j in ranked.top.tolist():
        concept = one.bank.concepts[j]
        cited = one.citation(one.classes[k], concept.id)
        evidence = f"“{cited.sentence}” {cited.source}" if cited else ""
        bar = _bar(float(values[j]), longest)
        rows.append(_row(concept.name, f"{one.activations[0, j]:.2f}", signed(values[j]), bar, evidence))
    if ranked.n_rest:
        plural = "s" if ranked.n_rest > 1 else ""
        rows.append(
            _row(f"{ranked.n_rest} other finding{plural}", "", signed(ranked.rest), _bar(ranked.rest, longest), "")
        )
    if one.rest[0, k]:
        left_out = float(one.rest[0, k])
        rows.append(_row(LEFT_OUT, "", signed(left_out), _bar(left_out, longest), ""))
    rows.append(_row("this image", "", plain(one.logits[0, k]), "", ""))
    label = f"Case {one.cases[0]}: {readable(one.classes[k])} {chance(one.probabilities[0, k])}"
    heads = ("finding", _CELL), ("activation", _NUMBER), ("contribution", _NUMBER), ("", _CELL), ("evidence", _CELL)
    head = "".join(f'<th scope="col" style="{style}">{title}</th>' for title, style in heads)
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left;font-weight:bold">{escape(label)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(name: str, activation: str, contribution: str, bar: str, evidence: str) -> str:
    """One table row; ``bar`` is HTML, everything else is text and escaped."""
    return (
        f'<tr><th scope="row" style="{_CELL};font-weight:normal">{escape(name)}</th>'
        f'<td style="{_NUMBER}">{escape(activation)}</td><td style="{_NUMBER}">{escape(contribution)}</td>'
        f'<td style="{_CELL}">{bar}</td><td style="{_CELL};font-size:85%;max-width:40em">{escape(evidence)}</td></tr>'
    )


def _bar(value: float, longest: float) -> str:
    """A bar of at most 60 pixels to the right (for) or left (against) of the middle of a 120 pixel box."""
    width = 60 * abs(value) / longest
    left = 60.0 if value >= 0 else 60 - width
    colour = FOR if value >= 0 else AGAINST
    style = f"display:inline-block;height:0.8em;margin-left:{left:.1f}px;width:{width:.1f}px;background:{colour}"
    return f'<span aria-hidden="true" style="display:inline-block;width:120px"><span style="{style}"></span></span>'
