"""Which reports to annotate for a concept when each annotation costs something."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from knobo.bank import Concept
from knobo.errors import InputError
from knobo.wordings import words


def select_reports(
    reports: Sequence[str | None], concept: Concept, n: int, *, random_state: int | None = None
) -> NDArray[np.intp]:
    """Choose reports: half by relevance to the concept, half at random from the rest.

    As in KnoBo (Yang et al. 2024, arXiv:2405.14839): a rare finding is hardly ever met at random, and relevant reports
    alone never show what it is to be absent. Relevance is the best cosine similarity of TF-IDF vectors between the
    report and a wording of the concept.

    Parameters
    ----------
    reports : sequence of str of length n_reports
        ``None`` and blank texts are never chosen.
    concept : Concept
    n : int
        How many; all that have a text are returned if there are no more.
    random_state : int, optional

    Returns
    -------
    ndarray of shape (at most n,), int
        Positions, the relevant ones first, best first.

    Raises
    ------
    InputError
        If ``n`` is not positive or no report has a text.
    """
    if n < 1:
        raise InputError(f"n must be at least 1, got {n}.")
    filled = np.array([i for i, text in enumerate(reports) if isinstance(text, str) and words(text)], dtype=np.intp)
    if not len(filled):
        raise InputError("No report has a text; there is nothing to choose from.")
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True)
    matrix = vectorizer.fit_transform(str(reports[i]) for i in filled)
    queries = vectorizer.transform([concept.name, *concept.synonyms])
    scores = np.asarray((matrix @ queries.T).max(axis=1).todense()).ravel()
    order = np.argsort(-scores, kind="stable")
    relevant = order[: -(-n // 2)]
    relevant = relevant[scores[relevant] > 0]
    rest = np.setdiff1d(np.arange(len(filled)), relevant)
    rng = np.random.default_rng(random_state)
    chosen = rng.permutation(rest)[: n - len(relevant)]
    return filled[np.concatenate([relevant, chosen])]
