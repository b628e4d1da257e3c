"""The what-if controls of a case, for the review page and for notebooks: their data and their script.

A page holds one JSON block with the head and the cases, and an element ``data-case`` for each case with an empty
``<details class="what-if" hidden>`` in it. The script fills that in and keeps the numbers up to date; where no script
may run, the page stays as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from knobo.explain.style import readable

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation

WHAT_IF = (
    '<div class="what-if-box"><details class="what-if" hidden>'
    "<summary>What if a finding were absent, or present?</summary></details></div>"
)
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&'"}


def widget_data(why: Explanation, keys: Sequence[Any] | None = None) -> dict[str, Any]:
    """What the script needs to recompute each case exactly: plain numbers and strings.

    Parameters
    ----------
    why : Explanation of n cases
    keys : sequence of length n, optional
        Name of each case in the page's ``data-case``; by default 0, 1, …

    Returns
    -------
    dict
        ``head`` (``classes`` as shown, ``labels`` as fitted, ``concepts``, ``weights`` of shape (K, m), ``reference``
        of shape (m,)), and ``cases``: by key the ``activations`` of shape (m,) and ``start`` of shape (K,), the
        logits at activations of zero.
    """
    start = why.logits - why.activations @ why.weights.T  # the intercept, and whatever a selection has left out
    names = [str(key) for key in (range(len(why)) if keys is None else keys)]
    return {
        "head": {
            "classes": [readable(label) for label in why.classes],
            "labels": [label.item() if isinstance(label, np.generic) else label for label in why.classes],
            "concepts": [{"id": concept.id, "name": concept.name} for concept in why.bank],
            "weights": why.weights.tolist(),
            "reference": why.reference.tolist(),
        },
        "cases": {
            name: {"activations": why.activations[i].tolist(), "start": start[i].tolist()}
            for i, name in enumerate(names)
        },
    }


def json_block(data: Mapping[str, Any]) -> str:
    """Write a ``<script>`` element that holds data only; no text in it can end the element or begin another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_UNSAFE)
    return f'<script type="application/json" class="knobo-data">{text}</script>'


def widget_script(*more: str, mount: str) -> str:
    """The widget's script, then ``more`` scripts, then the statement ``mount``, in a scope of their own."""
    return "\n".join(["(() => {", '"use strict";', _part("case_widget.js"), *more, mount, "})();"])


def widget_style() -> str:
    """The style sheet of the widget; its colours are those of the page, if the page sets any."""
    return _part("case_widget.css")


def _part(name: str) -> str:
    return files("knobo.explain").joinpath(name).read_text(encoding="utf-8")
