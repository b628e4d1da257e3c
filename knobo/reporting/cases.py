"""The cases of the report: which ones, and for each the image, the probabilities and the contributions."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from knobo.explain import Explanation
from knobo.explain.contributions import rank
from knobo.explain.style import chance, plain, readable, signed
from knobo.explain.tables import concept_auroc
from knobo.images import ImageSource, read_image
from knobo.reporting.overlays import CaseMaps, case_maps, overlay_uri
from knobo.reporting.sections import citation, number

_MOST_FINDINGS = 6
_SIDE = 448  # pixels of the longer side: enough to recognise a case, not to diagnose it


def choose_cases(why: Explanation, truth: NDArray[Any], most: int) -> list[int]:
    """Choose cases: up to half wrong ones, the most confident first; then the first right ones of each class in turn.

    Parameters
    ----------
    why : Explanation of n cases
    truth : ndarray of shape (n,), str
    most : int

    Returns
    -------
    list of int
        At most ``most`` positions.
    """
    right = why.predicted.astype(str) == truth
    confidence = why.probabilities.max(axis=1)
    wrong = np.flatnonzero(~right)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")].tolist()
    by_class = [np.flatnonzero(right & (truth == str(label))).tolist() for label in why.classes]
    depth = max(map(len, by_class))
    in_turn = [queue[i] for i in range(depth) for queue in by_class if i < len(queue)]
    n_wrong = min(len(wrong), max(most - len(in_turn), (most + 1) // 2))
    return wrong[:n_wrong] + in_turn[: most - n_wrong]


def case_views(
    why: Explanation,
    truth: NDArray[Any],
    chosen: Sequence[int],
    images: Sequence[ImageSource] | None,
    metadata: pd.DataFrame | None,
    maps: Sequence[CaseMaps] | None = None,
    names: Sequence[str] | None = None,
    *,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Prepare the chosen cases for the page."""
    from tqdm.auto import tqdm

    views = []
    for i in tqdm(chosen, desc="cases", disable=not progress):
        one = why[i]
        k = int(one.logits[0].argmax())
        views.append(
            {
                "number": i + 1,
                "name": None if names is None else str(names[i]),
                "image": None if images is None else data_uri(images[i]),
                "maps": _maps(one, k, None if maps is None or images is None else maps[i], i),
                "truth": readable(truth[i]),
                "predicted": readable(one.classes[k]),
                "probability": chance(one.probabilities[0, k]),
                "sentence": one.sentences()[0],
                "right": str(one.classes[k]) == truth[i],
                "probabilities": _probabilities(one),
                "facts": [] if metadata is None else [(str(c), str(metadata[c].iloc[i])) for c in metadata.columns],
                **_contributions(one, k),
            }
        )
    return views


def _maps(one: Explanation, k: int, given: CaseMaps, case: int) -> list[dict[str, str]]:
    """The maps of one case, the strongest contributions to class ``k`` first; of a whole stack only those shown."""
    checked = case_maps(given, one.bank, case)
    order = rank(one.contributions[0, k], one.weights[k], len(one.bank)).top.tolist()
    ranked = [one.bank.ids[j] for j in order if one.bank.ids[j] in checked]
    if isinstance(given, Mapping):
        ranked += [name for name in checked if name not in ranked]
    else:
        ranked = ranked[:_MOST_FINDINGS]
    return [{"id": name, "name": one.bank[name].name, "uri": overlay_uri(checked[name])} for name in ranked]


def _probabilities(one: Explanation) -> list[dict[str, Any]]:
    values = one.probabilities[0].tolist()
    return [
        {"name": readable(name), "value": value, "text": chance(value)}
        for name, value in zip(one.classes, values, strict=True)
    ]


def _contributions(one: Explanation, k: int) -> dict[str, Any]:
    """Rows of the contribution table for class ``k``; base, rows and rest add up to the score."""
    values = one.contributions[0, k]
    ranked = rank(values, one.weights[k], _MOST_FINDINGS)
    longest = max(float(np.abs(values[ranked.top]).max(initial=0.0)), abs(ranked.rest), 1e-12)
    auroc = concept_auroc(one)
    rows = []
    for j in ranked.top.tolist():
        concept = one.bank.concepts[j]
        rows.append(
            {
                "position": j,
                "name": concept.name,
                "cui": concept.cui,
                "activation": f"{one.activations[0, j]:.2f}",
                "average": f"{one.reference[j]:.2f}",
                "contribution": signed(float(values[j])),
                "length": float(values[j]) / longest,
                "agrees": {1: True, -1: False, 0: None}[int(one.agreement[k, j])],
                "auroc": number(auroc[j]),
                "citation": citation(one.citation(one.classes[k], concept.id)),
            }
        )
    return {
        "rows": rows,
        "base": plain(float(one.base[k])),
        "score": plain(float(one.logits[0, k])),
        "rest": signed(ranked.rest),
        "rest_length": ranked.rest / longest,
        "n_rest": ranked.n_rest,
        "scale": "log-odds" if len(one.classes) == 2 else "logit",
    }


def data_uri(source: ImageSource) -> str:
    """Write an image as a JPEG inside a ``data:`` address, reduced to 448 pixels and without the file's metadata."""
    image = Image.fromarray(read_image(source))
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
