"""All wordings of a knowledge base with their character 3-grams and words, in flat arrays that a folder can hold.

A million wordings as Python objects would take more memory than the search itself, and their vectors half a minute
to compute. So texts, owners and vectors are arrays; saved once, they are memory-mapped when they are needed again. The
manifest of the folder says to which knowledge base it belongs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from knobo.errors import FormatError, InputError
from knobo.knowledge.kb import KnowledgeBase
from knobo.knowledge.word_match import ARRAYS as WORD_ARRAYS
from knobo.knowledge.word_match import WordMatcher
from knobo.storage import atomic_path, read_json, write_json, write_text

_FORMAT, _VERSION = "knobo.linker", 2
_VECTORS: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": [3, 3]}
_ARRAYS = ("text", "text_starts", "owners", "owner_starts", "idf", "rows", "columns", "values", *WORD_ARRAYS)
_AT_ONCE = 1 << 22  # similarities that are held at once, about 50 MB


class AliasIndex:
    """Exact nearest neighbours by cosine, behind the one method that scispaCy calls.

    Parameters
    ----------
    vectors : sparse matrix of shape (n_aliases, n_features)
        Rows of unit length.
    """

    def __init__(self, vectors: sparse.csr_matrix) -> None:
        self.columns = sparse.csr_matrix(vectors.T)  # by feature, so that a query reads the rows of its features only

    @classmethod
    def of_columns(cls, columns: sparse.csr_matrix) -> AliasIndex:
        """Index over the transposed vectors, shape (n_features, n_aliases), as they stand."""
        index = cls.__new__(cls)
        index.columns = columns
        return index

    def knnQueryBatch(  # noqa: N802 - nmslib's name
        self,
        vectors: sparse.csr_matrix,
        k: int = 10,
        num_threads: int = 1,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Nearest aliases of each row: their numbers and cosine distances (1 − cosine), nearest first.

        Equal distances keep the order of the aliases. Where ``allowed`` is given, only aliases whose value is true are
        looked at. ``num_threads`` is accepted and not used.
        """
        found = []
        step = max(1, _AT_ONCE // max(1, self.columns.shape[1]))
        for start in range(0, vectors.shape[0], step):
            similarities = sparse.csr_matrix(vectors[start : start + step] @ self.columns)
            found += [_nearest(similarities, row, k, allowed) for row in range(similarities.shape[0])]
        return found


class Texts(Sequence[str]):
    """Texts in one array of UTF-8 bytes, read one by one."""

    def __init__(self, text: NDArray[np.uint8], starts: NDArray[np.int64]) -> None:
        self.text, self.starts = text, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: Any) -> Any:
        i = range(len(self))[i]
        return self.text[self.starts[i] : self.starts[i + 1]].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


class AliasTable:
    """Wordings, the entries that own them, and their vectors.

    Attributes
    ----------
    aliases : sequence of str
        Each wording once, in the order of the knowledge base.
    vectorizer : TfidfVectorizer
    index : AliasIndex
    matcher : WordMatcher
    """

    def __init__(
        self, arrays: dict[str, NDArray[Any]], vectorizer: TfidfVectorizer, vocabulary: list[str], words: Sequence[str]
    ) -> None:
        self._arrays, self._vocabulary = arrays, vocabulary
        self.matcher = WordMatcher(words, arrays)
        self.aliases = Texts(arrays["text"], arrays["text_starts"])
        self.vectorizer = vectorizer
        parts = arrays["values"], arrays["columns"], arrays["rows"]
        columns = sparse.csr_matrix(parts, shape=(len(vocabulary), len(self.aliases)), copy=False)
        self.index = AliasIndex.of_columns(columns)

    def owners(self, alias: int) -> NDArray[np.int32]:
        """Numbers of the entries that have this wording, in order."""
        starts = self._arrays["owner_starts"]
        return self._arrays["owners"][starts[alias] : starts[alias + 1]]

    def owned_by(self, entries: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each alias, whether one of its entries is among those that are true in ``entries``."""
        return np.logical_or.reduceat(entries[self._arrays["owners"]], self._arrays["owner_starts"][:-1])

    @classmethod
    def make(cls, kb: KnowledgeBase) -> AliasTable:
        """Compute the table of a knowledge base in memory."""
        numbers: dict[str, int] = {}
        pairs = [(numbers.setdefault(a, len(numbers)), e) for e, entry in enumerate(kb) for a in entry.wordings]
        owned = np.array(pairs, dtype=np.int32).reshape(-1, 2)
        del pairs
        owned = owned[np.argsort(owned[:, 0], kind="stable")]
        vectorizer = _vectorizer()
        try:
            columns = AliasIndex(vectorizer.fit_transform(numbers)).columns
        except ValueError as error:
            raise InputError(f"No name of the knowledge base holds a word to search for ({error}).") from error
        vocabulary = vectorizer.get_feature_names_out().tolist()
        texts = [alias.encode("utf-8", "surrogatepass") for alias in numbers]
        arrays = {
            "text": np.frombuffer(b"".join(texts), dtype=np.uint8),
            "text_starts": np.cumsum([0, *map(len, texts)], dtype=np.int64),
            "owners": owned[:, 1].copy(),
            "owner_starts": np.searchsorted(owned[:, 0], np.arange(len(numbers) + 1)).astype(np.int64),
            "idf": vectorizer.idf_,
            "rows": columns.indptr,
            "columns": columns.indices,
            "values": columns.data,
        }
        matcher = WordMatcher.learn(numbers, arrays["owners"], arrays["owner_starts"])
        return cls({**arrays, **matcher.arrays}, vectorizer, vocabulary, matcher.words)

    @classmethod
    def kept(cls, kb: KnowledgeBase, folder: str | Path) -> AliasTable:
        """Open the table in a folder, or make it and write it there.

        Raises
        ------
        InputError
            If the folder is there and holds something else.
        FormatError
            As :meth:`open`.
        """
        place = Path(folder)
        if not place.exists():
            cls.make(kb).save(place, kb.hash)
        elif not (place / "manifest.json").is_file():
            raise InputError(
                f"{place} holds no index of a linker; name a folder that does, or one that is not there yet."
            )
        return cls.open(place, kb.hash)

    def save(self, folder: str | Path, kb_hash: str) -> None:
        """Write the table to a folder, all of it or nothing."""
        with atomic_path(folder) as part:
            part.mkdir()
            for name in _ARRAYS:
                np.save(part / f"{name}.npy", self._arrays[name])
            write_text(part / "vocabulary.json", json.dumps(self._vocabulary))
            write_text(part / "words.json", json.dumps(self.matcher.words))
            manifest = {"kb_hash": kb_hash, "n_aliases": len(self.aliases), "vectors": _VECTORS}
            write_json(part / "manifest.json", {"format": _FORMAT, "format_version": _VERSION, **manifest})

    @classmethod
    def open(cls, folder: str | Path, kb_hash: str) -> AliasTable:
        """Map a table that :meth:`save` wrote.

        Raises
        ------
        FileError
            If there is no table in the folder.
        FormatError
            If it belongs to another knowledge base, was made with other settings, or is damaged.
        """
        place = Path(folder)
        manifest = read_json(place / "manifest.json", what=_FORMAT, versions=(_VERSION,))
        if manifest.get("kb_hash") != kb_hash:
            raise FormatError(
                f"The index in {place} belongs to another knowledge base; name another folder, or delete it."
            )
        if manifest.get("vectors") != _VECTORS:
            raise FormatError(f"The index in {place} was made with other settings; delete it and build it anew.")
        try:
            arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
            vocabulary = json.loads((place / "vocabulary.json").read_text(encoding="utf-8"))
            words = json.loads((place / "words.json").read_text(encoding="utf-8"))
            _check_shapes(arrays, len(vocabulary), len(words), manifest["n_aliases"])
            vectorizer = _vectorizer(vocabulary={gram: i for i, gram in enumerate(vocabulary)})
            vectorizer.idf_ = np.array(arrays["idf"])
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise FormatError(f"The index in {place} is damaged ({error}); delete it and build it anew.") from error
        return cls(arrays, vectorizer, vocabulary, words)


def _vectorizer(**settings: Any) -> TfidfVectorizer:
    low, high = _VECTORS["ngram_range"]
    return TfidfVectorizer(analyzer=_VECTORS["analyzer"], ngram_range=(low, high), dtype=np.float32, **settings)


def _check_shapes(arrays: dict[str, NDArray[Any]], n_grams: int, n_words: int, n_aliases: int) -> None:
    """A file that was cut short or swapped must not answer; the ends of the pointers tell."""
    ends = {"text_starts": "text", "owner_starts": "owners", "rows": "columns"}
    whole = all(arrays[starts][-1] == len(arrays[values]) for starts, values in ends.items())
    lengths = [len(arrays[name]) - 1 for name in ("text_starts", "owner_starts", "rows", "word_counts")]
    twins = [("values", "columns"), ("pair_same", "pairs"), ("pair_apart", "pairs")]
    whole = whole and all(len(arrays[one]) == len(arrays[other]) for one, other in twins)
    if not whole or lengths != [n_aliases, n_aliases, n_grams, n_words]:
        raise ValueError("its files do not fit together")


def _nearest(
    similarities: sparse.csr_matrix, row: int, k: int, allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    start, end = similarities.indptr[row], similarities.indptr[row + 1]
    numbers, near = similarities.indices[start:end], similarities.data[start:end]
    if allowed is not None:
        kept = allowed[numbers]
        numbers, near = numbers[kept], near[kept]
    # Six decimals: the order of a sum must not decide between two aliases that are equally near.
    distances = np.round(1.0 - near, 6).astype(np.float32)
    if len(distances) > k:
        kept = distances <= np.partition(distances, k - 1)[k - 1]
        numbers, distances = numbers[kept], distances[kept]
    order = np.lexsort((numbers, distances))[:k]
    return numbers[order].astype(np.int64), distances[order]
