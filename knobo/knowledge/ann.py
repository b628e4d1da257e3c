"""Indexes of faiss that name candidates for a dense search: a graph, or one bit a number behind inverted lists.

faiss is imported where it is needed: beside torch it can end the process on macOS, and a small corpus does without.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo.errors import FormatError, MissingDependencyError
from knobo.knowledge.vectors import Shards

FILE = "candidates.faiss"
_HNSW = {"vectors": "float16", "links": 32, "ef_construction": 80, "ef_search": 200, "codes": "8 bit"}
_RABITQ = {"vectors": "float16", "lists": "2 sqrt(n)", "codes": "1 bit, rotated", "query": "8 bit"}
SETTINGS = {"flat": _HNSW, "hnsw": _HNSW, "rabitq": _RABITQ}  # that an index must have been made with
_LEAST = {"hnsw": 200, "rabitq": 1000}  # candidates; those of one-bit codes are less sure
_SCANNED = 200_000  # vectors whose one-bit codes are compared at least (some ms)
_TRAIN_UP_TO = 50_000  # vectors that train a scalar quantizer; a list is trained on _TRAIN_EACH
_TRAIN_EACH = 64


def need_faiss(kind: str) -> Any:
    """The module faiss, new enough for the kind of index.

    Raises
    ------
    MissingDependencyError
        If it is not installed or too old.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # SWIG's, on Python 3.12 and later
            faiss = import_module("faiss")
    except ImportError as error:
        raise MissingDependencyError(
            "faiss is not installed. Install knobo[dense], or build the index with kind='flat'."
        ) from error
    if kind == "rabitq" and not hasattr(faiss, "IndexIVFRaBitQ"):
        raise MissingDependencyError(
            f"faiss {faiss.__version__} has no RaBitQ. Install faiss-cpu 1.11 or newer, or take kind='hnsw'."
        )
    return faiss


class Candidates:
    """Names rows whose vectors may have the highest inner product with a query. Read from a folder."""

    def __init__(self, folder: Path, kind: str, n: int) -> None:
        self._index, self._n = need_faiss(kind).read_index(str(folder / FILE)), n
        self._least = _LEAST[kind]
        if self._index.ntotal != n:
            raise FormatError(f"its {FILE} holds {self._index.ntotal} of {n} passages")
        if kind == "hnsw":
            self._index.hnsw.efSearch = _HNSW["ef_search"]
        else:
            lists = need_faiss(kind).extract_index_ivf(self._index)
            lists.nprobe = max(lists.nlist // 16, min(lists.nlist, -(-lists.nlist * _SCANNED // n)))

    def search(self, queries: NDArray[np.float32], k: int) -> list[NDArray[np.intp]]:
        """Rows in ascending order for each query, at least four times k where there are so many."""
        found = self._index.search(queries, min(self._n, max(self._least, 4 * k)))[1]
        return [np.sort(rows[rows >= 0]) for rows in found]


def write(folder: Path, kind: str, vectors: Shards, n: int, dimension: int) -> None:
    """Make the index of ``kind`` over n vectors and write it into the folder.

    ``"hnsw"``: Malkov and Yashunin 2020, doi:10.1109/TPAMI.2018.2889473, over 8-bit codes. ``"rabitq"``: Gao and Long
    2024, doi:10.1145/3654970, over the differences to the centre of an inverted list.
    """
    faiss = need_faiss(kind)
    if kind == "hnsw":
        codes, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        index, n_train = faiss.IndexHNSWSQ(dimension, codes, _HNSW["links"], metric), _TRAIN_UP_TO
        index.hnsw.efConstruction = _HNSW["ef_construction"]
    else:
        lists = max(1, min(round(2 * sqrt(n)), n // 39))  # 39 vectors a centre are what faiss asks for
        index = faiss.index_factory(dimension, f"RR{dimension},IVF{lists},RaBitQ", faiss.METRIC_INNER_PRODUCT)
        faiss.downcast_index(index.index).qb = 8
        n_train = _TRAIN_EACH * lists
    rows = np.linspace(0, n - 1, min(n, n_train)).astype(np.intp)
    index.train(vectors.take(rows).astype(np.float32))
    for block in vectors.blocks():
        index.add(block)
    faiss.write_index(index, str(folder / FILE))
