"""How often names that are not in the index are linked to the right entry, and what a large knowledge base costs.

    python benchmarks/linking.py DATA [--seed 0]
    python benchmarks/linking.py --scale 1000000

DATA holds ``kb`` (hpo_umls.jsonl), ``ncbi_disease`` (documents.jsonl) and ``roco_chest_captions`` (captions.jsonl).
Every query is a wording that was left out of the index:

- HPO: names and half of the synonyms are indexed, the other half is asked for.
- shipped: the same for the further wordings of the knowledge base that ships with knobo.
- NCBI: disease mentions are indexed under their MeSH or OMIM identifier; other mentions are asked for, abbreviations
  replaced that their own document defines, where the identifier is indexed and the words are not.
- ROCO: CUIs of captions (found by software, so noisy) that the knowledge base has at all, looked for in the caption.

Dev and test are apart: half of the entries each (HPO, shipped; drawn with the seed), the dev documents with the train
documents indexed and the test documents with both (NCBI), and ROCO's own validation and test parts. Thresholds are
chosen on dev: the least multiple of 0.05 from which on precision, mean of the tasks, is at least 0.9 although every
query is asked twice, once with its right entries and once with them taken away ("absent": every answer is wrong).

Engines: knobo, cosine of character 3-grams (knobo before it judged words), of 2 to 5 characters, equal words (``stem``
of each word, any order), and gilda where it can be imported. Precision is the share of right ones among the first
answers that were given (with the right entries there), coverage the share of queries that were answered. "Mixed" is the
precision with absent ones, as for choosing. "Wrong sense" is a first answer that is neither right, nor broader, nor
narrower; NCBI's identifiers come without a hierarchy, so there it is every wrong answer.
"""

from __future__ import annotations

import argparse
import inspect
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
from knobo.knowledge.word_match import content_words

DEFAULT, IN_TEXT = (
    inspect.signature(way).parameters["threshold"].default for way in (ConceptLinker.link, ConceptLinker.link_in_text)
)
SPLITS = ("validation", "test")

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
    in_dev = {entry.id for entry in kept if rng.random() < 0.5}
    kb, dev, test = KnowledgeBase(kept), [], []
    for key, query in sorted(asked.items()):
        if key not in indexed:
            (dev if min(owners[key]) in in_dev else test).append((query, owners[key]))
    return (kb, dev), (kb, test)


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


def ncbi(data, splits, asked_split):
    """Mentions of some splits as names, mentions of another one as queries."""
    names, queries = defaultdict(set), {}
    for document in read_jsonl(data / "ncbi_disease" / "documents.jsonl"):
        short = find_abbreviations(document["text"])
        for mention in document["mentions"]:
            if len(mention["ids"]) == 1 and document["split"] in splits:
                names[mention["ids"][0]].add(mention["text"])
            elif len(mention["ids"]) == 1 and document["split"] == asked_split:
                text = expand_abbreviations(mention["text"], short)
                queries.setdefault((text.lower(), mention["ids"][0]), text)
    entries = [KbEntry(id=i, name=min(texts), aliases=tuple(sorted(texts))) for i, texts in sorted(names.items())]
    indexed = {tuple(sorted(content_words(text))) for texts in names.values() for text in texts}
    pairs = [
        (text, {i})
        for (_, i), text in sorted(queries.items())
        if i in names and tuple(sorted(content_words(text))) not in indexed
    ]
    return KnowledgeBase(entries), pairs


# ---- engines: queries to lists of ids and scores, best first


def by_knobo(kb):
    linker = ConceptLinker(kb, engine="knobo")
    return lambda queries: [[(c.id, c.score) for c in f] for f in linker.link_batch(queries, k=30, threshold=0.0)]


def by_characters(kb, low, high):
    """Plain scikit-learn: cosine over character n-grams."""
    pairs = [(alias, entry.id) for entry in kb for alias in entry.wordings]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(low, high), dtype=np.float32)
    columns = vectorizer.fit_transform(alias for alias, _ in pairs).T.tocsr()

    def answer(queries):
        found = []
        for start in range(0, len(queries), 200):
            for row in (vectorizer.transform(queries[start : start + 200]) @ columns).toarray():
                best = np.argsort(-np.round(row, 6), kind="stable")[:30]
                scores = {}
                for i in best[row[best] > 0].tolist():
                    scores.setdefault(pairs[i][1], float(row[i]))
                found.append(list(scores.items()))
        return found

    return answer


def by_words(kb):
    def key(text):
        return tuple(sorted(stem(token.lower) for token in tokenize(text)))

    owners = defaultdict(list)
    for entry in kb:
        for alias in entry.wordings:
            owners[key(alias)].append(entry.id)
    return lambda queries: [[(i, 1.0) for i in dict.fromkeys(owners.get(key(query), []))] for query in queries]


def by_gilda(kb):
    import gilda
    from gilda.process import normalize

    terms = [
        gilda.Term(normalize(a), a, "KB", entry.id, entry.name, "name" if a == entry.name else "synonym", "kb")
        for entry in kb
        for a in entry.wordings
    ]
    grounder = gilda.make_grounder(terms)

    def answer(query):
        scores = {}
        for match in grounder.ground(query):
            scores.setdefault(match.term.id, match.score)
        return list(scores.items())

    return lambda queries: [answer(query) for query in queries]


ENGINES = {
    "knobo": by_knobo,
    "3 characters": lambda kb: by_characters(kb, 3, 3),
    "2-5 characters": lambda kb: by_characters(kb, 2, 5),
    "equal words": by_words,
    **({"gilda": by_gilda} if find_spec("gilda") else {}),
}


def first(found, threshold, hidden=frozenset()):
    """The best answer, or nothing."""
    return next((i for i, score in found if i not in hidden and score >= threshold), None)


def precisions(asked, threshold):
    """Of the first answers, with the right entries there; and with every query asked once more without them."""
    given = [(first(found, threshold), right) for found, right in asked]
    good, answered = sum(i in right for i, right in given), sum(i is not None for i, _ in given)
    absent = sum(first(found, threshold, right) is not None for found, right in asked)
    return good / answered if answered else 1.0, good / (answered + absent) if answered + absent else 1.0


def compare(tasks):
    """For each engine the threshold from dev, and a row for each task on test; knobo also at its default threshold."""
    for name, make in ENGINES.items():
        on_dev = [ask(make, kb, pairs)[0] for (kb, pairs), _ in tasks.values()]
        steps = [step / 20 for step in range(21)]
        good = [np.mean([precisions(asked, threshold)[1] for asked in on_dev]) >= 0.9 for threshold in steps]
        chosen = next((t for i, t in enumerate(steps) if all(good[i:])), 1.0)
        on_test = {task: ask(make, kb, pairs) for task, (_, (kb, pairs)) in tasks.items()}
        before = {"knobo": [DEFAULT], "3 characters": [0.7]}.get(name, [])
        for threshold in dict.fromkeys([*before, chosen]):
            for task, (_, (kb, _)) in tasks.items():
                row(f"{task:<8} {name:<15} {threshold:>5}", *on_test[task], cache(kb.broader), threshold)


def ask(make, kb, pairs):
    """Answers beside what is right, and milliseconds a query."""
    answer = make(kb)
    begun = time.perf_counter()
    answers = answer([query for query, _ in pairs])
    spent = 1000 * (time.perf_counter() - begun) / len(pairs)
    return [(found, right) for found, (_, right) in zip(answers, pairs, strict=True)], spent


def row(label, asked, spent, broader, threshold):
    n, kinds = len(asked), Counter(kind(first(found, threshold), right, broader) for found, right in asked)
    at_1 = np.mean([first(found, 0) in right for found, right in asked])
    at_5 = np.mean([bool(right & {i for i, _ in found[:5]}) for found, right in asked])
    there, mixed = precisions(asked, threshold)
    errors = [kinds[k] for k in ("wrong sense", "broader", "narrower")]
    print(
        f"{label} {n:>5} {at_1:>6.3f} {at_5:>6.3f} {1 - kinds['nothing'] / n:>8.3f} {there:>9.3f} {mixed:>6.3f} "
        + " ".join(f"{count:>8}" for count in errors)
        + f" {spent:>8.2f}",
        flush=True,
    )


def kind(given, right, broader):
    if given is None or given in right:
        return "nothing" if given is None else "right"
    if any(given in broader(i) for i in right):
        return "broader"
    return "narrower" if right & broader(given) else "wrong sense"


def captions(task, kb, data):
    """In running text: shares of the caption's CUIs that were found, and of those found that the caption has."""
    rows = read_jsonl(data / "roco_chest_captions" / "captions.jsonl")
    known = frozenset().union(*(entry.cuis for entry in kb))
    linker, finder = ConceptLinker(kb, engine="knobo"), MentionFinder(kb)

    def linked(caption):
        return [(m.candidates[0].score, kb[m.candidates[0].id].cuis) for m in linker.link_in_text(caption, threshold=0)]

    def equal_words(caption):
        return [(1.0, kb[m.entry_id].cuis) for sentence in split_sentences(caption) for m in finder.find(sentence)]

    def figures(found, threshold):
        wanted = right = answered = good = 0
        for caption, mentions in found:
            best, there = {cuis for score, cuis in mentions if score >= threshold}, known & set(caption["cuis"])
            wanted, answered = wanted + len(there), answered + len(best)
            right += len(there & frozenset().union(*best))
            good += sum(bool(cuis & there) for cuis in best)
        recall, exact = right / wanted, good / max(1, answered)
        return wanted, recall, exact, answered, 2 * recall * exact / max(1e-9, recall + exact)

    for name, find in (("link_in_text", linked), ("equal words", equal_words)):
        begun = time.perf_counter()
        found = {split: [(r, find(r["caption"])) for r in rows if r["split"] == split] for split in SPLITS}
        spent = 1000 * (time.perf_counter() - begun) / len(rows)
        steps = [step / 100 for step in range(60, 101, 5)] if find is linked else [1.0]
        chosen = max(steps, key=lambda t: (round(figures(found["validation"], t)[-1], 2), t))
        for threshold in dict.fromkeys([*([IN_TEXT] if find is linked else []), chosen]):
            wanted, recall, exact, answered, f1 = figures(found["test"], threshold)
            print(
                f"{task:<14} {name:<12} {threshold:>5} {wanted:>5} {recall:>6.3f} {exact:>9.3f} of {answered:>4} "
                f"{f1:>6.3f} {spent:>8.1f}",
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
        print(
            "task     engine         least     n   at 1   at 5 coverage precision  mixed    wrong  broader narrower  ms"
        )
        compare(
            {
                "HPO": held_out(hpo_entries(arguments.data), "aliases", rng),
                "shipped": held_out(KnowledgeBase.read(), "own_aliases", rng),
                "NCBI": (ncbi(arguments.data, ("train",), "dev"), ncbi(arguments.data, ("train", "dev"), "test")),
            }
        )
        print("\ntask           way          least     n recall precision         F1     ms a caption")
        captions("ROCO, shipped", KnowledgeBase.read(), arguments.data)
        captions("ROCO, HPO", KnowledgeBase(hpo_entries(arguments.data)), arguments.data)


if __name__ == "__main__":
    main()
