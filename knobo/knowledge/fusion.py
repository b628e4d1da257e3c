"""Reciprocal-rank fusion of rankings, and a retriever that joins others by it.

Cormack, Clarke and Büttcher 2009, doi:10.1145/1571941.1572114: an item's score is the sum over the rankings of
``1 / (k + rank)``. Only ranks count, so that scores without a common unit (BM25, cosine) can be joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite

from knobo.errors import InputError
from knobo.knowledge.corpus import Passage
from knobo.knowledge.passages import Hit, Retriever, check_k


def fuse(
    rankings: Sequence[Sequence[str]], *, k: float = 60, weights: Sequence[float] | None = None
) -> list[tuple[str, float]]:
    """Join rankings into one.

    Parameters
    ----------
    rankings : sequence of sequences of str
        Ids, the best first; a ranking may be empty or lack items of another.
    k : float
        How little the first ranks stand out; 60 in the paper.
    weights : sequence of float, optional
        Above 0, one for each ranking; 1 each without it.

    Returns
    -------
    list of (str, float)
        Ids and scores, the best first. Equal scores are ordered by the better best rank, then by id; the order in which
        the rankings are given has no influence.

    Raises
    ------
    InputError
        If a ranking names an id twice, or k or a weight is unusable.
    """
    weights = _check(len(rankings), k, weights)
    parts: dict[str, list[float]] = {}
    best: dict[str, int] = {}
    for number, (ranking, weight) in enumerate(zip(rankings, weights, strict=True), 1):
        if len(set(ranking)) < len(ranking):
            twice = next(name for i, name in enumerate(ranking) if name in ranking[:i])
            raise InputError(f"Ranking {number} names {twice!r} twice; keep its better rank only.")
        for rank, name in enumerate(ranking, 1):
            parts.setdefault(name, []).append(weight / (k + rank))
            best[name] = min(rank, best.get(name, rank))
    scores = {name: fsum(terms) for name, terms in parts.items()}  # the order of the terms leaves no trace
    return [(name, scores[name]) for name in sorted(scores, key=lambda name: (-scores[name], best[name], name))]


class HybridRetriever:
    """Several retrievers over one corpus, joined by :func:`fuse`.

    Parameters
    ----------
    retrievers : sequence of Retriever
        Such as a ``Bm25Index`` and a ``DenseIndex`` of the same passages.
    weights : sequence of float, optional
        Above 0, one for each retriever; 1 each without it.
    rank_constant : float
        ``k`` of :func:`fuse`.
    depth : int
        Passages asked of each retriever, or as many as are to be returned if that is more.

    Attributes
    ----------
    corpus_hash : str or None
        That of the retrievers, if all state the same.

    Raises
    ------
    InputError
        If there are no retrievers, or a setting is unusable.
    """

    def __init__(
        self,
        retrievers: Sequence[Retriever],
        *,
        weights: Sequence[float] | None = None,
        rank_constant: float = 60,
        depth: int = 100,
    ) -> None:
        if not retrievers:
            raise InputError("HybridRetriever needs at least one retriever, such as a Bm25Index.")
        check_k(depth)
        self._weights = _check(len(retrievers), rank_constant, weights)
        self._retrievers = list(retrievers)
        self._rank_constant = rank_constant
        self._depth = depth
        hashes = {getattr(retriever, "corpus_hash", None) for retriever in retrievers}
        self.corpus_hash: str | None = hashes.pop() if len(hashes) == 1 else None

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """Best passages for a query, with their fused scores.

        Parameters
        ----------
        query : str
        k : int
            Most passages to return.

        Returns
        -------
        list of Hit
            Best first; equal scores are ordered as in :func:`fuse`.

        Raises
        ------
        InputError
            If k is below 1, or two retrievers have different passages of one id.
        """
        check_k(k)
        found: dict[str, Passage] = {}
        rankings = []
        for retriever in self._retrievers:
            hits = retriever.search(query, max(k, self._depth))
            for hit in hits:
                if found.setdefault(hit.passage.id, hit.passage) != hit.passage:
                    raise InputError(
                        f"The retrievers have different passages with the id {hit.passage.id!r}; "
                        "build them from one corpus."
                    )
            rankings.append([hit.passage.id for hit in hits])
        fused = fuse(rankings, k=self._rank_constant, weights=self._weights)
        return [Hit(found[name], score) for name, score in fused[:k]]


def _check(n: int, k: float, weights: Sequence[float] | None) -> list[float]:
    if not (isfinite(k) and k >= 0):
        raise InputError(f"k of the fusion is a finite number of at least 0, got {k}.")
    chosen = [1.0] * n if weights is None else [float(weight) for weight in weights]
    if len(chosen) != n:
        raise InputError(f"There are {n} rankings and {len(chosen)} weights; give one weight for each.")
    for weight in chosen:
        if not (isfinite(weight) and weight > 0):
            raise InputError(f"A weight is a finite number above 0, got {weight}; leave the ranking out instead.")
    return chosen
