"""How often names that are not in the index are linked to the right entry, and what a large knowledge base costs.

    python benchmarks/linking.py DATA [--seed 0]
    python benchmarks/linking.py --scale 1000000

DATA holds ``kb`` (hpo_umls.jsonl), ``ncbi_disease`` (documents.jsonl) and ``roco_chest_captions`` (captions.jsonl).
Every query is a wording that was left out of the index:

- HPO: names and half of the synonyms are indexed, the other half is asked for.
- shipped: the same for the further wordings of the knowledge base that ships with knobo.
- NCBI: disease mentions of the train and dev documents are indexed under their MeSH or OMIM identifier; those of the
  test documents are asked for, where the identifier is indexed and the words are not; once as they stand, once with the
  abbreviations replaced that their own document defines.
- ROCO: CUIs of captions (found by software, so noisy) that the knowledge base has at all, looked for in the caption.

Engines: knobo (character 3-grams, at its threshold 0.7 and at 0), 2 to 5 characters instead of 3, equal words
(``stem`` of each word, any order), and gilda where it can be imported. "Wrong sense" is a first answer that is neither
right, nor broader, nor narrower; NCBI's identifiers come without a hierarchy, so there it is every wrong answer.
Precision is the share of right ones among the first answers that were given.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from knobo.knowledge.abbreviations import expand_abbreviations, find_abbreviations
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.link import ConceptLinker
from knobo.knowledge.mentions import MentionFinder
from knobo.knowledge.text import split_sentences, stem, tokenize
from knobo.knowledge.umls import iter_umls

# ---- tasks: a knowledge base, and pairs of a query and the ids that are right


def read_jsonl(path):
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def held_out(entries, further, rng):
    """Leave half of each entry's further wordings out; ask for those that the index does not hold anyway."""
    kept, asked, owners = [], {}, defaultdict(set)
    for entry in entries:
        wordings = sorted(set(getattr(entry, further)))
        out = set(rng.sample(wordings, len(wordings) // 2 + (len(wordings) % 2 and rng.random() < 0.5)))
        kept.append(entry.model_copy(update={further: tuple(w for w in wordings if w not in out)}))
        for wording in out:
            asked.setdefault(wording.lower(), wording)
            owners[wording.lower()].add(entry.id)
    indexed = {wording.lower() for entry in kept for wording in entry.wordings}
    pairs = [(query, owners[key]) for key, query in sorted(asked.items()) if key not in indexed]
    return KnowledgeBase(kept), pairs


def hpo_entries(data):
    rows = read_jsonl(data / "kb" / "hpo_umls.jsonl")
    known = {row["hpo"] for row in rows}
    for row in rows:  # one of the published identifiers lacks its C
        row["cui"] = [cui for cui in row["cui"] if re.fullmatch(r"C\d{7}", cui)] or [None]
    return [
        KbEntry(
            id=row["hpo"],
            name=row["name"],
            cui=row["cui"][0],
            other_cuis=tuple(row["cui"][1:]),
            aliases=tuple(row["synonyms"]),
            broader=tuple(parent for parent in row["parents"] if parent in known),
        )
        for row in rows
    ]


def ncbi(data, expand):
    """Mentions of train and dev as names, mentions of test as queries."""
    names, queries = defaultdict(set), {}
    documents = read_jsonl(data / "ncbi_disease" / "documents.jsonl")
    for document in documents:
        short = find_abbreviations(document["text"]) if expand else {}
        for mention in document["mentions"]:
            if len(mention["ids"]) != 1:
                continue
            text = expand_abbreviations(mention["text"], short)
            if document["split"] == "test":
                queries.setdefault((text.lower(), mention["ids"][0]), (mention["text"], text))
            else:
                names[mention["ids"][0]].add(mention["text"])
    entries = [KbEntry(id=i, name=min(texts), aliases=tuple(sorted(texts))) for i, texts in sorted(names.items())]
    indexed = {(text.lower(), i) for i, texts in names.items() for text in texts}
    pairs = [
        (asked, {i})
        for (_, i), (as_it_stands, asked) in sorted(queries.items())
        if i in names and (as_it_stands.lower(), i) not in indexed
    ]
    return KnowledgeBase(entries), pairs


# ---- engines: queries to lists of ids, best first


def by_knobo(kb, threshold):
    linker = ConceptLinker(kb, engine="knobo")
    return lambda queries: [[c.id for c in found] for found in linker.link_batch(queries, k=5, threshold=threshold)]


def by_characters(kb, low, high):
    """Plain scikit-learn: cosine over character n-grams of another length."""
    pairs = [(alias, entry.id) for entry in kb for alias in entry.wordings]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(low, high), dtype=np.float32, sublinear_tf=True)
    columns = vectorizer.fit_transform(alias for alias, _ in pairs).T.tocsr()

    def answer(queries):
        found = []
        for start in range(0, len(queries), 200):
            for row in (vectorizer.transform(queries[start : start + 200]) @ columns).toarray():
                best = np.argsort(-np.round(row, 6), kind="stable")[:50]
                found.append(list(dict.fromkeys(pairs[i][1] for i in best if row[i] > 0))[:5])
        return found

    return answer


def by_words(kb):
    def key(text):
        return tuple(sorted(stem(token.lower) for token in tokenize(text)))

    owners = defaultdict(list)
    for entry in kb:
        for alias in entry.wordings:
            owners[key(alias)].append(entry.id)
    return lambda queries: [list(dict.fromkeys(owners.get(key(query), [])))[:5] for query in queries]


def by_gilda(kb):
    import gilda
    from gilda.process import normalize

    terms = [
        gilda.Term(normalize(a), a, "KB", entry.id, entry.name, "name" if a == entry.name else "synonym", "kb")
        for entry in kb
        for a in entry.wordings
    ]
    grounder = gilda.make_grounder(terms)
    return lambda queries: [list(dict.fromkeys(m.term.id for m in grounder.ground(query)))[:5] for query in queries]


ENGINES = {
    "knobo, 0.7": lambda kb: by_knobo(kb, 0.7),
    "knobo, 0": lambda kb: by_knobo(kb, 0.0),
    "2-5 characters": lambda kb: by_characters(kb, 2, 5),
    "equal words": by_words,
    **({"gilda": by_gilda} if find_spec("gilda") else {}),
}


def compare(task, kb, pairs):
    """One row of the table for each engine."""
    broader = cache(kb.broader)
    queries = [query for query, _ in pairs]
    for name, make in ENGINES.items():
        answer = make(kb)
        begun = time.perf_counter()
        answers = answer(queries)
        spent = (time.perf_counter() - begun) / len(queries)
        kinds = Counter(kind(found, right, broader) for found, (_, right) in zip(answers, pairs, strict=True))
        at_5 = np.mean([bool(right & set(found)) for found, (_, right) in zip(answers, pairs, strict=True)])
        errors = [kinds[k] for k in ("nothing", "wrong sense", "broader", "narrower")]
        print(
            f"{task:<20} {name:<15} {len(pairs):>5} {kinds['right'] / len(pairs):>6.3f} {at_5:>6.3f} "
            f"{kinds['right'] / max(1, len(pairs) - kinds['nothing']):>9.3f} "
            + " ".join(f"{n:>8}" for n in errors)
            + f" {1000 * spent:>8.2f}",
            flush=True,
        )


def kind(found, right, broader):
    if not found or found[0] in right:
        return "right" if found else "nothing"
    if any(found[0] in broader(i) for i in right):
        return "broader"
    return "narrower" if right & broader(found[0]) else "wrong sense"


def captions(task, kb, data):
    """In running text: shares of the caption's CUIs that were found, and of those found that the caption has."""
    rows = read_jsonl(data / "roco_chest_captions" / "captions.jsonl")
    known = frozenset().union(*(entry.cuis for entry in kb))
    linker, finder = ConceptLinker(kb, engine="knobo"), MentionFinder(kb)

    def linked(caption):
        return [[kb[c.id] for c in mention.candidates] for mention in linker.link_in_text(caption)]

    def equal_words(caption):
        return [[kb[m.entry_id]] for sentence in split_sentences(caption) for m in finder.find(sentence)]

    for name, find in (("link_in_text", linked), ("equal words", equal_words)):
        wanted = first = five = answered = begun = 0
        begun = time.perf_counter()
        for row in rows:
            mentions, there = find(row["caption"]), known & set(row["cuis"])
            best = [entries[0].cuis for entries in mentions]
            some = [entry.cuis for entries in mentions for entry in entries]
            wanted, answered = wanted + len(there), answered + len(set(best))
            first += len(there & frozenset().union(*best))
            five += len(there & frozenset().union(*some))
            row["good"] = sum(bool(cuis & set(row["cuis"])) for cuis in set(best))
        spent = (time.perf_counter() - begun) / len(rows)
        print(
            f"{task:<20} {name:<15} {wanted:>5} {first / wanted:>6.3f} {five / wanted:>6.3f}   "
            f"{sum(row['good'] for row in rows) / answered:.3f} of {answered} answers are CUIs of the caption; "
            f"{1000 * spent:.1f} ms a caption",
            flush=True,
        )


# ---- size

ROOTS = """
    cardi pulmon pleur bronch hepat nephr derm oste arthr neur enceph gastr enter col cyst aden angi my fibr lip melan
    kerat sarc carcin lymph leuk erythr thromb haem sten scler path malac necr dys hyper hypo peri endo epi sub inter
    intra intima ventricul atri mediastin costophren trache laryng pharyng thyr par ren ureter vesic prostat ovari uter
""".split()  # noqa: SIM905 - a list of words is read best as text
ENDINGS = """
    itis oma osis ia al ic ous ation ectomy emia uria algia pathy plasia trophy us um a ar ary ion ity
""".split()  # noqa: SIM905
COMMON = """
    of the with left right acute chronic type disease disorder syndrome finding structure region upper lower
""".split()  # noqa: SIM905


def invented(n_aliases, rng, per_entry=3):
    """Entries whose names are invented; a few thousand words with the skewed frequencies of a real terminology."""
    words = COMMON + ["".join(rng.choices(ROOTS, k=rng.randint(1, 2))) + rng.choice(ENDINGS) for _ in range(40_000)]
    weights = np.cumsum(1 / np.arange(2, len(words) + 2)).tolist()
    for i in range(n_aliases // per_entry):
        names = [
            f"{' '.join(rng.choices(words, cum_weights=weights, k=rng.randint(1, 5)))} {i % 97}{'abc'[j]}"
            for j in range(per_entry)
        ]
        yield KbEntry(id=f"test:{i}", name=names[0], aliases=tuple(names[1:]), semantic_types=(f"T{i % 40:03}",))


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scale(n_aliases, folder):
    """One line: what it costs to make or open a linker, and to ask it."""
    begun = time.perf_counter()
    kb = KnowledgeBase(invented(n_aliases, random.Random(0)))
    spent, in_kb = time.perf_counter() - begun, peak_mb()
    how = "make" if folder is None else "open" if folder.exists() else "make and write"
    begun = time.perf_counter()
    linker = ConceptLinker(kb, engine="knobo", index=folder)
    built = time.perf_counter() - begun
    rng, times = random.Random(1), []
    right = 0
    for _ in range(200):
        entry = rng.choice(kb.entries)
        query = " ".join(reversed(entry.aliases[0].split()))
        begun = time.perf_counter()
        found = linker.link(query)
        times.append(1000 * (time.perf_counter() - begun))
        right += bool(found) and found[0].score >= 0.99
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20 if folder else 0
    print(
        f"{how:<15} knowledge base {spent:.1f} s, {in_kb:.0f} MB; linker {built:.1f} s, peak {peak_mb():.0f} MB; "
        f"query median {np.median(times):.1f} ms, p95 {np.percentile(times, 95):.1f} ms; {right} of 200 found; "
        f"disk {size:.0f} MB",
        flush=True,
    )


def read_export(n_rows):
    """One line: what it costs to read an export of the UMLS format, with invented names, without keeping it."""
    with tempfile.TemporaryDirectory() as scratch:
        rng = random.Random(0)
        with (Path(scratch) / "MRCONSO.RRF").open("w") as conso, (Path(scratch) / "MRSTY.RRF").open("w") as sty:
            for i, entry in enumerate(invented(n_rows, rng)):
                for j, name in enumerate(entry.wordings):
                    first = "P|L|PF|S|Y" if j == 0 else "S|L|VO|S|N"
                    conso.write(f"C{i:07}|ENG|{first}|A{j}||||TEST|PT|x|{name}|0|N||\n")
                sty.write(f"C{i:07}|{entry.semantic_types[0]}|A|Invented type|AT||\n")
        size, before, begun = (Path(scratch) / "MRCONSO.RRF").stat().st_size / 2**20, peak_mb(), time.perf_counter()
        n = sum(1 for _ in iter_umls(scratch))
        spent = time.perf_counter() - begun
        print(
            f"read an export: {n} concepts of {size:.0f} MB in {spent:.1f} s; peak {before:.0f} to {peak_mb():.0f} MB"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=int, help="number of invented names")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scale and arguments.read:
        read_export(arguments.scale)
    elif arguments.scale and arguments.index:
        scale(arguments.scale, arguments.index)
    elif arguments.scale:
        with tempfile.TemporaryDirectory() as scratch:  # a process each, because the peak of a process never falls
            for what in (["--index", f"{scratch}/index"], ["--index", f"{scratch}/index"], ["--read"]):
                subprocess.run([sys.executable, __file__, "--scale", str(arguments.scale), *what], check=True)
    if arguments.data:
        rng = random.Random(arguments.seed)
        head = f"{'task':<20} {'engine':<15} {'n':>5} {'at 1':>6} {'at 5':>6} precision"
        print(f"{head}  nothing    wrong  broader narrower  ms each")
        compare("HPO", *held_out(hpo_entries(arguments.data), "aliases", rng))
        compare("shipped", *held_out(KnowledgeBase.read(), "own_aliases", rng))
        compare("NCBI", *ncbi(arguments.data, expand=False))
        compare("NCBI, expanded", *ncbi(arguments.data, expand=True))
        print("\nCaptions: share of the CUIs found by the first answer, by the first five; precision of the first")
        captions("ROCO, shipped", KnowledgeBase.read(), arguments.data)
        captions("ROCO, HPO", KnowledgeBase(hpo_entries(arguments.data)), arguments.data)


if __name__ == "__main__":
    main()
