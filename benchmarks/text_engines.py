"""Two engines for BM25: knobo's Bm25Index (bm25s) and the disk engine tantivy, which knobo does not need.

    python benchmarks/text_engines.py [--sizes 20000 200000] [--engines NAME ...]

The corpus is the synthetic one of benchmarks/retrieval.py: a topic word and 120 words by Zipf's law (300,000 words).
The 300 queries are eight such words, so most of them hold a word that stands in a large part of all passages. They ask
for 50 passages with their text, one query at a time, on one thread; tantivy writes with two threads.

- bm25s: ``Bm25Index`` as it is shipped (k1 = 1.5).
- bm25s, k1 1.2: the same with the k1 that tantivy has fixed; it is here for the overlap alone.
- tantivy: as it could stand behind the same interface. It is given knobo's words, cut and stemmed in Python; passages
  are kept in knobo's file and looked up by offset.
- tantivy alone: its own words (no stemming, no stop words) and its own store of the text.

Each row is the build in one new process and the search in another. Build: seconds and growth of the resident peak, both
from the iterable of passages, which is made while it is read; the seconds that making it takes ("corpus only") are
printed and not taken off. Disk: the whole index folder, text included. Loaded: growth of resident memory by loading and
by all queries; mapped pages count, so the system can take part of it back. Same 10: share of the first ten passages
that are also among the first ten of bm25s with that k1. tantivy rounds the length of a passage to one byte and bm25s
does not, and passages of equal score may come in any order.

tantivy is skipped where it is not installed: ``pip install tantivy`` (MIT licence; Rust, no Java).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from retrieval import N_QUERIES, make_corpus, make_queries, megabytes

from knobo.knowledge import bm25
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.passages import StoredPassages

ENGINES = ("bm25s", "bm25s, k1 1.2", "tantivy", "tantivy alone")
HEAP = 256 * 2**20  # bytes, for tantivy's writer
K = 50


def tantivy_schema(*, alone):
    """Words without positions; the row of a passage, or its id and text."""
    import tantivy

    schema = tantivy.SchemaBuilder()
    if alone:
        schema.add_text_field("words", stored=True, tokenizer_name="default", index_option="freq")
        schema.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    else:
        schema.add_text_field("words", stored=False, tokenizer_name="whitespace", index_option="freq")
        schema.add_integer_field("row", fast=True)
    return schema.build()


def build_tantivy(passages, folder, *, alone):
    import tantivy

    folder.mkdir()
    (folder / "tantivy").mkdir()
    index = tantivy.Index(tantivy_schema(alone=alone), path=str(folder / "tantivy"))
    writer = index.writer(heap_size=HEAP, num_threads=2)
    if alone:
        for passage in passages:
            writer.add_document(tantivy.Document(words=passage.text, id=passage.id))
    else:
        for row, passage in enumerate(StoredPassages.write(folder, passages)):
            writer.add_document(tantivy.Document(words=" ".join(bm25._words(passage.text)), row=row))
    writer.commit()
    writer.wait_merging_threads()


class Tantivy:
    """The part of ``Bm25Index`` that is measured: ids and texts of the best passages for a query."""

    def __init__(self, folder, *, alone):
        import tantivy

        index = tantivy.Index.open(str(folder / "tantivy"))
        self.schema, self.alone, self.tantivy = index.schema, alone, tantivy
        self.searcher = index.searcher()
        self.stored = None if alone else StoredPassages(folder)

    def search(self, query, k):
        words = query.split() if self.alone else bm25._words(query)  # a word that is given twice counts twice
        make, occur = self.tantivy.Query, self.tantivy.Occur.Should
        terms = [(occur, make.term_query(self.schema, "words", word, "freq")) for word in words]
        found = [address for _, address in self.searcher.search(make.boolean_query(terms), k, count=False).hits]
        if not self.alone:
            passages = [self.stored[row] for row in self.searcher.fast_field_values("row", found)]
            return [(passage.id, passage.text) for passage in passages]
        documents = [self.searcher.doc(address) for address in found]
        return [(document.get_first("id"), document.get_first("words")) for document in documents]


class Bm25s:
    def __init__(self, folder):
        self.index = Bm25Index.load(folder)

    def search(self, query, k):
        return [(hit.passage.id, hit.passage.text) for hit in self.index.search(query, k)]


def settle(engine):
    """Set k1, which ``Bm25Index`` does not take as an argument, in this process."""
    if engine == "bm25s, k1 1.2":
        bm25._SETTINGS["k1"] = 1.2


def build(engine, n, folder):
    """Build one index; gives seconds, growth of the resident peak, and size on disk."""
    settle(engine)
    before, start = megabytes(), time.perf_counter()
    if engine.startswith("bm25s"):
        Bm25Index.build(make_corpus(n), folder)
    else:
        build_tantivy(make_corpus(n), folder, alone=engine == "tantivy alone")
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    return {"build s": seconds, "build MB": megabytes("VmHWM") - before, "disk MB": size}


def search(engine, n, folder):
    """Load one index and search; gives memory, speed, and the first ten ids of each query."""
    settle(engine)
    queries, before = make_queries(n), megabytes()
    index = Bm25s(folder) if engine.startswith("bm25s") else Tantivy(folder, alone=engine == "tantivy alone")
    index.search(queries[0], K)
    seconds, first = [], []
    for query in queries:
        start = time.perf_counter()
        found = index.search(query, K)
        seconds.append(time.perf_counter() - start)
        first.append([i for i, _ in found[:10]])
    return {
        "loaded MB": megabytes() - before,
        "queries/s": N_QUERIES / sum(seconds),
        "p95 ms": 1000 * np.percentile(seconds, 95),
        "first": first,
    }


def only_corpus(engine, n, folder):
    """Seconds that it takes to make the corpus alone."""
    start = time.perf_counter()
    return {"seconds": [sum(1 for _ in make_corpus(n)), time.perf_counter() - start][1]}


STEPS = {"build": build, "search": search, "corpus": only_corpus}


def in_new_process(step, engine, n, folder):
    """Result of a step, run where nothing else has touched the memory."""
    command = [sys.executable, __file__, "--step", step, engine, str(n), str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def overlap(first, others):
    """Mean share of the first ten ids that are among the first ten of another engine."""
    return np.mean([len(set(a) & set(b)) / max(len(a), 1) for a, b in zip(first, others, strict=True)])


def compare(n, engines):
    """Print the rows of one size."""
    print(f"\n{n} passages; corpus only: {in_new_process('corpus', '', n, '')['seconds']:.1f} s")
    print("engine          build s  build MB  disk MB  loaded MB  queries/s  p95 ms  same 10: k1 1.5  k1 1.2")
    firsts = {}
    for engine in engines:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "index"
            row = in_new_process("build", engine, n, folder) | in_new_process("search", engine, n, folder)
        firsts[engine] = row["first"]
        shares = [f"{overlap(row['first'], firsts[other]):.3f}" if other in firsts else "" for other in ENGINES[:2]]
        print(
            f"{engine:<14} {row['build s']:>8.1f} {row['build MB']:>9.0f} {row['disk MB']:>8.0f}"
            f" {row['loaded MB']:>10.0f} {row['queries/s']:>10.0f} {row['p95 ms']:>7.1f}"
            f" {shares[0]:>16} {shares[1]:>7}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step, engine, n, folder = args.step
        print(json.dumps(STEPS[step](engine, int(n), Path(folder))))
        return
    engines = [engine for engine in args.engines if engine.startswith("bm25s") or find_spec("tantivy")]
    if len(engines) < len(args.engines):
        print("tantivy is not installed, so its rows are left out; pip install tantivy")
    for n in args.sizes if engines else ():
        compare(n, engines)


if __name__ == "__main__":
    main()
