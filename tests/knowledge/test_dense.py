import json
import re
import subprocess
import sys
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from knobo.errors import FileError, FormatError, InputError, MissingDependencyError
from knobo.knowledge import ann, dense
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.corpus import Passage
from knobo.knowledge.dense import DenseIndex

TEXTS = [
    "Pleural effusion blunts the costophrenic angle.",
    "Cardiomegaly is an enlarged heart.",
    "Pleural thickening is not an effusion.",
    "The heart is enlarged in heart failure with oedema.",
    "Same words here.",
    "Same words here.",
    "Atelectasis is a collapse of lung tissue.",
]
PASSAGES = [Passage(f"p:{i}", "S", "T", text, year=2000 + i) for i, text in enumerate(TEXTS)]
needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is not installed (knobo[dense])")


def rabitq_is_there():
    try:
        return bool(ann.need_faiss("rabitq"))
    except MissingDependencyError:
        return False


needs_rabitq = pytest.mark.skipif(not rabitq_is_there(), reason="faiss is older than 1.11")


class HashEncoder:
    """Words to signed hashed counts of length 1; remembers what it encoded."""

    name = "hash"

    def __init__(self, d=64, *, salt="", fail_after=None, wait_after=None):
        self.d, self.salt, self.fail_after, self.wait_after, self.texts, self.calls = (
            d,
            salt,
            fail_after,
            wait_after,
            [],
            0,
        )

    def __call__(self, texts):
        self.calls += 1
        if self.fail_after is not None and self.calls > self.fail_after:
            raise RuntimeError("power cut")
        if self.wait_after is not None and self.calls > self.wait_after:
            time.sleep(60)
        self.texts += texts
        vectors = np.zeros((len(texts), self.d))
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                number = crc32((self.salt + word).encode())
                row[number % self.d] += 1 if number & (1 << 20) else -1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def table_encoder(vectors):
    """Encoder whose texts are the rows of a table."""
    return lambda texts: vectors[[int(text) for text in texts]]


def numbered(n):
    return [Passage(f"p:{i}", "S", "T", str(i)) for i in range(n)]


@pytest.fixture
def index(tmp_path):
    return DenseIndex.build(iter(PASSAGES), HashEncoder(), tmp_path / "index", shard_size=3)


def test_the_best_passages_come_first(index):
    hits = index.search("cardiomegaly heart", k=2)
    assert [hit.passage for hit in hits] == [PASSAGES[1], PASSAGES[3]]
    assert hits[0].score > hits[1].score > 0
    assert (len(index), index.kind, index.dimension) == (len(PASSAGES), "flat", 64)
    assert list(index) == PASSAGES
    assert index.corpus_hash == Bm25Index.build(PASSAGES).corpus_hash


def test_the_hash_leaves_out_fields_that_a_corpus_does_not_use(index):
    lines = [
        json.dumps({"id": p.id, "source": "S", "title": "T", "text": p.text, "url": None, "year": p.year}) + "\n"
        for p in PASSAGES
    ]
    assert index.corpus_hash == sha256("".join(lines).encode()).hexdigest()


def test_ties_keep_the_order_of_the_corpus(index):
    assert [hit.passage.id for hit in index.search("same words here", k=2)] == ["p:4", "p:5"]
    assert [hit.passage.id for hit in index.search("same words here", k=1)] == ["p:4"]


def test_blank_and_unknown_queries_find_nothing(index):
    assert index.search_batch(["", "  ", "?!"]) == [[], [], []]
    assert index.search_batch([]) == []


def test_a_batch_answers_as_single_queries_do(index):
    queries = ["effusion", "", "collapse of the lung", "heart failure"]
    assert index.search_batch(queries, 3) == [index.search(query, 3) for query in queries]
    with pytest.raises(InputError, match="a list of texts"):
        index.search_batch("effusion")


def test_k_must_be_positive(index):
    with pytest.raises(InputError, match="at least 1, got 0"):
        index.search("heart", k=0)
    assert len(index.search("heart", k=99)) == len(PASSAGES)


def test_queries_may_have_an_encoder_of_their_own(tmp_path):
    vectors = np.eye(4)
    built = DenseIndex.build(
        numbered(4), table_encoder(vectors), tmp_path / "index", encode_query=table_encoder(vectors[::-1])
    )
    assert built.search("0", 1)[0].passage.id == "p:3"


@given(
    arrays(np.float32, st.tuples(st.integers(1, 40), st.just(5)), elements=st.integers(-3, 3)),
    st.integers(1, 45),
    st.integers(1, 20),
)
@settings(max_examples=25, deadline=None)
def test_flat_search_is_brute_force(tmp_path_factory, vectors, k, shard_size):
    rng = np.random.default_rng(len(vectors))
    vectors = vectors + rng.normal(scale=1e-3, size=(1, 5)).astype(np.float32)
    folder = tmp_path_factory.mktemp("flat") / "index"
    encode = table_encoder(vectors)
    built = DenseIndex.build(numbered(len(vectors)), encode, folder, kind="flat", shard_size=shard_size)
    scores = vectors.astype(np.float16).astype(np.float64) @ vectors[0].astype(np.float64)
    hits = built.search("0", k)
    if not vectors[0].any():
        assert hits == []
        return
    rows = [int(hit.passage.text) for hit in hits]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:k], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose([hit.score for hit in hits], scores[rows], rtol=1e-12, atol=1e-12)
    for (a, first), (b, second) in zip(
        zip(rows, hits, strict=True), list(zip(rows, hits, strict=True))[1:], strict=False
    ):
        assert first.score > second.score or a < b


@pytest.mark.parametrize("kind", [pytest.param("hnsw", marks=needs_faiss), pytest.param("rabitq", marks=needs_rabitq)])
def test_approximate_search_finds_nearly_what_exact_search_finds(tmp_path, capfd, kind):
    n = 3000
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n // 50, 32))
    vectors = centres[rng.integers(len(centres), size=n)] + 0.5 * rng.normal(size=(n, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    encode, queries = table_encoder(vectors), [str(i) for i in range(0, n, n // 50)]
    exact = DenseIndex.build(numbered(n), encode, tmp_path / "index", kind="flat").search_batch(queries)
    approximate = DenseIndex.build(numbered(n), encode, tmp_path / "index", kind=kind)
    assert approximate.kind == kind
    found = approximate.search_batch(queries)
    shared = [
        len({hit.passage.id for hit in a} & {hit.passage.id for hit in b}) for a, b in zip(exact, found, strict=True)
    ]
    assert np.mean(shared) >= 9.8
    assert [hits[0] for hits in found] == [hits[0] for hits in exact]
    assert DenseIndex.load(tmp_path / "index", encode).search_batch(queries) == found
    assert capfd.readouterr() == ("", "")


@needs_faiss
def test_auto_takes_the_graph_for_many_passages(tmp_path, monkeypatch):
    monkeypatch.setattr("knobo.knowledge.dense.FLAT_UP_TO", 5)
    assert DenseIndex.build(PASSAGES, HashEncoder(), tmp_path / "many").kind == "hnsw"
    assert DenseIndex.build(PASSAGES[:5], HashEncoder(), tmp_path / "few").kind == "flat"


@needs_rabitq
def test_auto_takes_one_bit_codes_beyond_a_million_passages(monkeypatch):
    assert [dense._choose("auto", n) for n in (50_000, 50_001, 1_000_000, 1_000_001)] == [
        "flat",
        "hnsw",
        "hnsw",
        "rabitq",
    ]
    monkeypatch.delattr("faiss.IndexIVFRaBitQ")
    with pytest.raises(MissingDependencyError, match=r"has no RaBitQ\. Install faiss-cpu 1\.11 or newer"):
        dense._choose("rabitq", 10)


@needs_faiss
def test_changing_the_kind_encodes_nothing_again(tmp_path):
    DenseIndex.build(PASSAGES, HashEncoder(), tmp_path / "index", shard_size=3)
    again = HashEncoder()
    DenseIndex.build(PASSAGES, again, tmp_path / "index", shard_size=3, kind="hnsw")
    assert set(again.texts) == {TEXTS[0], TEXTS[3], TEXTS[6]}  # the first of each shard, to know the encoder


def test_without_faiss_a_graph_is_refused_before_anything_is_encoded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    encode = HashEncoder()
    with pytest.raises(MissingDependencyError, match=r"Install knobo\[dense\], or build the index with kind='flat'"):
        DenseIndex.build(PASSAGES, encode, tmp_path / "index", kind="hnsw")
    assert encode.texts == []


def test_an_encoder_that_fails_half_way_loses_one_shard_at_most(tmp_path):
    folder = tmp_path / "index"
    with pytest.raises(RuntimeError, match="power cut"):
        DenseIndex.build(PASSAGES, HashEncoder(fail_after=2), folder, shard_size=2)
    assert not folder.exists()
    second = HashEncoder()
    built = DenseIndex.build(PASSAGES, second, folder, shard_size=2)
    assert second.texts == [TEXTS[0], TEXTS[2], *TEXTS[4:], TEXTS[0]]  # two checks, two shards, the check of load
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    fresh = DenseIndex.build(PASSAGES, HashEncoder(), tmp_path / "fresh", shard_size=2)
    assert built.search("pleural effusion", 7) == fresh.search("pleural effusion", 7)


def test_a_killed_build_is_continued(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_dense import *; "
        f"DenseIndex.build(PASSAGES, HashEncoder(wait_after=2), {str(tmp_path / 'index')!r}, shard_size=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        for _ in range(600):
            if len(list(tmp_path.glob(".index.partial/vectors-*.npy"))) == 2 or process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    second = HashEncoder()
    built = DenseIndex.build(PASSAGES, second, tmp_path / "index", shard_size=2)
    assert second.texts[:2] == [TEXTS[0], TEXTS[2]]
    assert second.texts[2:-1] == TEXTS[4:]
    assert built.search("collapse of lung", 1)[0].passage == PASSAGES[6]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_shards_of_other_weights_are_encoded_again(tmp_path):
    folder = tmp_path / "index"
    with pytest.raises(RuntimeError, match="power cut"):
        DenseIndex.build(PASSAGES, HashEncoder(salt="old", fail_after=2), folder, shard_size=2)
    built = DenseIndex.build(PASSAGES, HashEncoder(), folder, shard_size=2)
    assert built.search("cardiomegaly heart", 1)[0].passage == PASSAGES[1]


def test_a_current_index_is_opened_and_a_grown_corpus_keeps_its_shards(tmp_path):
    folder = tmp_path / "index"
    DenseIndex.build(PASSAGES[:6], HashEncoder(), folder, shard_size=3)
    same = HashEncoder()
    DenseIndex.build(PASSAGES[:6], same, folder, shard_size=3)
    assert same.texts == TEXTS[:1]
    grown = HashEncoder()
    assert len(DenseIndex.build(PASSAGES, grown, folder, shard_size=3)) == 7
    assert grown.texts == [TEXTS[0], TEXTS[3], TEXTS[6], TEXTS[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_index_of_another_corpus_or_encoder_is_refused(index, tmp_path):
    folder = tmp_path / "index"
    with pytest.raises(FormatError, match="belongs to another corpus"):
        DenseIndex.load(folder, HashEncoder(), "0" * 64)
    with pytest.raises(FormatError, match=r"made with the encoder hash, not .*table_encoder"):
        DenseIndex.load(folder, table_encoder(np.eye(3)))
    with pytest.raises(FormatError, match="hash no longer gives the vectors"):
        DenseIndex.load(folder, HashEncoder(salt="other weights"))
    with pytest.raises(FormatError, match="hash no longer gives the vectors"):
        DenseIndex.load(folder, HashEncoder(32))
    assert DenseIndex.load(folder, HashEncoder(), index.corpus_hash).search("heart") == index.search("heart")


def change(folder, **fields):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_other_versions_and_damage_are_said(index, tmp_path):
    folder = tmp_path / "index"
    with pytest.raises(FileError, match="Cannot read"):
        DenseIndex.load(tmp_path / "none", HashEncoder())
    change(folder, format_version=99)
    with pytest.raises(FormatError, match="format_version 99"):
        DenseIndex.load(folder, HashEncoder())
    change(folder, format_version=1, settings={})
    with pytest.raises(FormatError, match="other settings"):
        DenseIndex.load(folder, HashEncoder())
    DenseIndex.build(PASSAGES, HashEncoder(), folder, shard_size=3)
    shard = sorted(folder.glob("vectors-*.npy"))[1]
    shard.write_bytes(shard.read_bytes()[:150])
    with pytest.raises(FormatError, match="is damaged"):
        DenseIndex.load(folder, HashEncoder())
    np.save(shard, np.zeros((2, 64), dtype=np.float16))
    with pytest.raises(FormatError, match="do not fit its passages"):
        DenseIndex.load(folder, HashEncoder())
    for damage in (b"", b"no numpy file", shard.read_bytes()[:150]):
        shard.write_bytes(damage)
        with pytest.raises(FormatError, match="is damaged"):
            DenseIndex.load(folder, HashEncoder())
        assert DenseIndex.build(PASSAGES, HashEncoder(), folder, shard_size=3).search("heart")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(InputError, match="holds files that are no index"):
        DenseIndex.build(PASSAGES, HashEncoder(), tmp_path)
    Bm25Index.build(PASSAGES, tmp_path / "words")
    with pytest.raises(InputError, match="holds files that are no index"):
        DenseIndex.build(PASSAGES, HashEncoder(), tmp_path / "words")
    with pytest.raises(FileError, match="Choose another place"):
        DenseIndex.build(PASSAGES, HashEncoder(), tmp_path / "thesis.docx" / "index")


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda texts: np.zeros(len(texts)), r"gave shape \(7,\), expected \(7, 'd'\)"),
        (lambda texts: np.zeros((1, 3)), r"gave shape \(1, 3\), expected \(7, 'd'\)"),
        (lambda texts: np.full((len(texts), 3), np.nan), "for 'Pleural effusion"),
        (lambda texts: np.full((len(texts), 3), 1e5), "beyond float16"),
        (lambda texts: [None] * len(texts), "gave"),
        (lambda texts: ["a"] * len(texts), "gave no array of numbers"),
    ],
)
def test_an_encoder_that_gives_no_vectors_is_named(tmp_path, encode, message):
    with pytest.raises(InputError, match=message):
        DenseIndex.build(PASSAGES, encode, tmp_path / "index")


def test_unusable_settings_and_passages_are_refused(tmp_path):
    with pytest.raises(InputError, match="kind is 'auto', 'flat', 'hnsw' or 'rabitq', got 'lsh'"):
        DenseIndex.build(PASSAGES, HashEncoder(), tmp_path / "index", kind="lsh")
    with pytest.raises(InputError, match="shard_size is a number of passages, at least 1, got 0"):
        DenseIndex.build(PASSAGES, HashEncoder(), tmp_path / "index", shard_size=0)
    with pytest.raises(InputError, match="no passages to index"):
        DenseIndex.build([], HashEncoder(), tmp_path / "index")
    with pytest.raises(InputError, match="Two passages have the id 'p:0'"):
        DenseIndex.build([PASSAGES[0], PASSAGES[0]], HashEncoder(), tmp_path / "index")


def test_a_small_index_needs_neither_faiss_nor_torch(tmp_path):
    code = (
        "import sys, numpy; from knobo.knowledge.dense import DenseIndex; from knobo.knowledge.corpus import Passage; "
        f"DenseIndex.build([Passage('a', '', '', 'b')], lambda t: numpy.ones((len(t), 2)), {str(tmp_path / 'index')!r})"
        ".search('b'); assert not {'faiss', 'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
