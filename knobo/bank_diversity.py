"""How far the questions of a bank lie apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import InputError


def diversity_of(questions: Sequence[str], encoder: Any = None) -> float:
    """Mean of 1 − cosine over all pairs of questions; :meth:`knobo.ConceptBank.diversity` says what it means.

    Parameters
    ----------
    questions : sequence of str
    encoder : optional
        An object with ``encode_texts``, or a callable, to vectors of shape (n, d); without it, TF-IDF weights of words.

    Raises
    ------
    InputError
        If there is one question only, or the encoder does not give one finite vector other than zero for each.
    """
    n = len(questions)
    if n < 2:
        raise InputError("Diversity compares questions with each other; a bank of one concept has none.")
    vectors = _tfidf(questions) if encoder is None else getattr(encoder, "encode_texts", encoder)(questions)
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1) if vectors.ndim == 2 and len(vectors) == n else np.zeros(n)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError(
            f"The encoder gave shape {vectors.shape} or a vector without a direction; diversity needs shape "
            f"({n}, d), finite, no row zero. Use another encoder."
        )
    total = (vectors / lengths[:, None]).sum(axis=0)
    return float(min(max(0.0, 1 - (total @ total - n) / (n * (n - 1))), 2.0))


def _tfidf(questions: Sequence[str]) -> NDArray[Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(analyzer=lambda text: re.findall(r"\w+", text.lower()) or [text])
    return np.asarray(words.fit_transform(questions).toarray())
