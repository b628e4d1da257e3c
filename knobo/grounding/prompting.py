"""Words for a vision-language model: what an image with a finding is called, and one without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from knobo.bank import Concept
from knobo.encoders import TextEncoder
from knobo.errors import InputError

Pair = tuple[str, str]


@cache
def default_pairs() -> tuple[Pair, ...]:
    """Templates of a positive and a negative phrasing each, with ``{finding}`` for the concept's name."""
    text = resources.files("knobo.grounding").joinpath("prompts").joinpath("pairs.json").read_text(encoding="utf-8")
    return tuple((positive, negative) for positive, negative in json.loads(text)["pairs"])


def concept_prompts(concept: Concept, pairs: Sequence[Pair] | None = None) -> tuple[list[str], list[str]]:
    """Positive and negative texts of a concept.

    Parameters
    ----------
    concept : Concept
        Its own ``prompts`` are positive texts and come first.
    pairs : sequence of (positive, negative), optional
        Templates with ``{finding}``; default: :func:`default_pairs`.

    Raises
    ------
    InputError
        If there are no pairs, or a template lacks ``{finding}``.
    """
    chosen = default_pairs() if pairs is None else pairs
    if not chosen:
        raise InputError("There are no prompt pairs; pass at least one, such as ('{finding}', 'no {finding}').")
    wrong = [text for pair in chosen for text in pair if "{finding}" not in text]
    if wrong:
        raise InputError(f"The prompt template {wrong[0]!r} lacks '{{finding}}', where the concept's name goes.")
    filled = [[text.replace("{finding}", concept.name) for text in pair] for pair in chosen]
    return [*concept.prompts, *(pair[0] for pair in filled)], [pair[1] for pair in filled]


def text_directions(
    concepts: Sequence[Concept], encoder: TextEncoder, pairs: Sequence[Pair] | None = None
) -> NDArray[np.float64]:
    """Difference of the positive and the negative text embedding of each concept, shape (m, d).

    The embeddings of several prompts are averaged and brought to unit length, as Radford et al., *Learning
    transferable visual models from natural language supervision*, ICML 2021, section 3.1.4, do. The softmax over a
    positive and a negative phrasing is that of Tiu et al. (CheXzero), Nature Biomedical Engineering 6, 2022.
    """
    prompts = [concept_prompts(concept, pairs) for concept in concepts]
    texts = list(dict.fromkeys(text for sides in prompts for side in sides for text in side))
    embedded = dict(zip(texts, np.asarray(encoder.encode_texts(texts), dtype=np.float64), strict=True))
    return np.stack([_ensemble(yes, embedded) - _ensemble(no, embedded) for yes, no in prompts])


def _ensemble(texts: Sequence[str], embedded: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    mean = np.mean([embedded[text] for text in texts], axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
