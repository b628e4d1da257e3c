"""The shipped concept banks beside the published lists and yes/no answers of the KnoBo study.

    python benchmarks/banks.py DATA_FOLDER [BANK ...] [--seed 0] [--matches 30]

DATA_FOLDER holds the study's concepts.json, prior_answers_xray.json and prior_answers_skin.json. A BANK is the name of
a shipped bank or a file; without one all shipped banks are read.

- Counterpart: a question has one in the bank when it *holds* the name or a synonym of a concept by the rule of knobo's
  ``MentionFinder`` (the same words; order, endings, spelling and small words aside). It *equals* the concept when no
  word is left but those of a fixed list that only ask ("is there evidence of … on the chest X-ray?"). "Holds" counts
  too much ("effusion of more than half the chest"), "equals" too little (a wording that the bank does not know). Each
  different question counts once. "Only in kb": no counterpart, but a finding that the knowledge base has.
- Name leak: the question holds a name or synonym of a class (``TaskClass.is_named_in``): of a class of the bank, or of
  the study's classes, which come from several tasks ("Lung Opacity", "Cardiomegaly"), so not each is a leak in each.
  The word "normal" alone is none.
- Diversity: mean over questions of 1 - the largest TF-IDF cosine to another question, over stems without the words that
  only ask; weights from all lists and the bank together. It falls with the number of questions, so it is that of draws
  of equal size. It sees words, not meaning.
- Agreement of the prior: pairs of a class, the same one by the knowledge base, and a question that names one concept,
  without denying or doubting it, for which the bank has a sign. "yes" is taken as +1 and "no" as -1, though the study's
  model could not say "unknown", so its "no" is also "has nothing to do with it". Neither side is the truth. Kappa is
  Cohen's. A class for which the bank has signs of one kind only (normal) agrees with anything that always says "no",
  so there is a row without such classes.

Ten disagreements are drawn at random and printed with the sentence that the bank cites. ``--matches`` prints
that many random counterparts, for a reader to judge how often the rule is right.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from knobo.bank import load_bank
from knobo.knowledge.classes import resolve_classes
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.mentions import MentionFinder
from knobo.knowledge.text import stem, tokenize
from knobo.storage import shipped_path

SHORT = {"chest-xray": "xray", "skin-lesion": "skin"}
# The study's class names that the knowledge base cannot resolve as they stand, in its words.
STUDY_CLASSES = {
    "Nodule/Mass": ("pulmonary nodule", "pulmonary mass"),
    "Effusion": ("pleural effusion",),
    "Edema": ("pulmonary edema",),
    "maliganant": ("malignant",),
    "benign keratosis-like lesions": ("seborrheic keratosis",),
    "actinic, seborrheic keratosis": ("actinic keratosis", "seborrheic keratosis"),
    "Actinic, Seborrheic Keratosis": ("actinic keratosis", "seborrheic keratosis"),
    "Basal, Squamous Cell Carcinoma": ("basal cell carcinoma", "squamous cell carcinoma"),
    "vascular lesions": ("vascular lesion",),
    "not melanoma": (),
    "Has Finding": (),
}
NORMAL = ("normal", "no finding")  # also said of an organ
ASKING = frozenset(
    map(
        stem,
        """
        is are was were be been has have does do can could there any some you see seen sign signs evidence indication
        indications presence present visible visualized observed noted detected detectable identified evident apparent
        appear appears appearance show shows shown display exhibit exhibits contain contains demonstrate demonstrates
        indicate indicates suggest suggests suggestive reveal reveals found noticeable it its a an the of in on at to
        from for with within by that this these chest x ray xray radiograph radiography image picture lesion lesions
        skin patient patient's under dermoscopy dermatoscope dermoscopic s
        """.split(),  # noqa: SIM905 - a list of words is read best as text
    )
)


# ---- counterparts


def finder_of(concepts):
    """Finds the concepts of a bank by name and synonyms."""
    return MentionFinder(KbEntry(id=c.id, name=c.name, aliases=c.synonyms) for c in concepts)


def rest_of(question, mentions):
    """Words of a question that neither name a concept nor only ask."""
    named = {i for mention in mentions for i in range(mention.start, mention.end)}
    words = (t for t in tokenize(question) if t.lower[0].isalnum() and t.start not in named)
    return [token.lower for token in words if token.stem not in ASKING]


def counterpart(question, finder):
    """ "equals", "holds" or "" (none), and the mentions."""
    mentions = finder.find(question)
    if not mentions:
        return "", mentions
    equal = len({m.entry_id for m in mentions}) == 1 and not rest_of(question, mentions)
    return "equals" if equal else "holds", mentions


# ---- classes


def study_names(name):
    """Names of a class of the study that the knowledge base can resolve."""
    return STUDY_CLASSES.get(name, (name,))


def resolve(names, kb):
    """Classes by entry; names that mean the same are one, and stand among its wordings."""
    classes = {}
    for name in names:
        item = resolve_classes([name], kb)[0][0]
        known = classes.get(item.entry_id, item)
        readable = name.lower().replace("_", " ")
        more = () if readable in NORMAL else (readable,)
        classes[item.entry_id] = replace(known, wordings=(*known.wordings, *more))
    return classes


def leaks(questions, classes):
    """Questions that name one of the classes."""
    return [q for q in questions if any(item.is_named_in(q) for item in classes.values())]


# ---- diversity


def content(text):
    return [t.stem for t in tokenize(text) if t.lower[0].isalnum() and t.stem not in ASKING]


def largest_cosines(weights):
    """For each row of unit length, the largest product with another row."""
    products = (weights @ weights.T).toarray()
    np.fill_diagonal(products, 0.0)
    return products.max(axis=1)


def diversity(weights, size, rng, n_draws=50):
    """Mean and standard deviation over draws of ``size`` rows."""
    draws = [
        np.mean(1 - largest_cosines(weights[rng.choice(weights.shape[0], size, replace=False)])) for _ in range(n_draws)
    ]
    return np.mean(draws), np.std(draws)


# ---- prior


def kappa(pairs):
    """Cohen's kappa of pairs of signs; nan where one side never varies and all agree by chance."""
    n, same = len(pairs), np.mean([a == b for a, b in pairs])
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[s] * second[s] for s in (-1, 1)) / n**2
    return (same - chance) / (1 - chance) if chance < 1 else float("nan")


def matched_pairs(bank, answers, kb):
    """Rows (their class, our class, question, concept id, how, their sign, our PriorSign)."""
    ours = {entry_id: item.name for entry_id, item in resolve(bank.classes, kb).items()}
    signs = {(sign.class_name, sign.concept_id): sign for sign in bank.prior}
    finder, named = finder_of(bank), []
    for column, question in enumerate(answers["concepts"]):
        how, mentions = counterpart(question, finder)
        if len({m.entry_id for m in mentions}) == 1 and all(m.polarity == "asserted" for m in mentions):
            named.append((column, question, mentions[0].entry_id, how))
    rows = []
    for theirs, given in zip(answers["classes"], answers["answers"], strict=True):
        found = list(resolve(study_names(theirs), kb))
        name = ours.get(found[0]) if len(found) == 1 else None
        for column, question, concept_id, how in named:
            if (name, concept_id) in signs:
                yes = {"yes": 1, "no": -1}[given[column]]
                rows.append((theirs, name, question, concept_id, how, yes, signs[name, concept_id]))
    return rows


def themselves(answers, kb):
    """Share of equal answers where two of their class names mean the same."""
    groups = {}
    for name, given in zip(answers["classes"], answers["answers"], strict=True):
        found = tuple(sorted(resolve(study_names(name), kb)))
        groups.setdefault(found, []).append((name, given))
    for entries, rows in groups.items():
        if entries and len(rows) > 1:
            pairs = [(a, b) for i, (_, a) in enumerate(rows) for _, b in rows[i + 1 :]]
            yield ", ".join(name for name, _ in rows), np.mean([np.mean(np.array(a) == np.array(b)) for a, b in pairs])


# ---- tables


def show_matches(bank, lists, rng, n):
    finder = finder_of(bank)
    different = sorted({q for questions in lists.values() for q in questions})
    found = [(q, how, mentions) for q in different for how, mentions in [counterpart(q, finder)] if how]
    print(f"\n{min(n, len(found))} of {len(found)} counterparts:")
    for question, how, mentions in rng.sample(found, min(n, len(found))):
        print(f"  {how} | {question} | {', '.join(dict.fromkeys(m.entry_id for m in mentions))}")


def show_coverage(bank, lists, kb, rng):
    finder = finder_of(bank)
    kb_finder = MentionFinder(e for e in kb if e.kind != "disease" and e.modality in ("", bank.modality))
    print("\nlist         different   holds  equals  only in kb  concepts of the bank that it names")
    lists = {**lists, "all": [q for questions in lists.values() for q in questions]}
    for name, questions in lists.items():
        different = sorted(set(questions))
        found = [counterpart(question, finder) for question in different]
        missing = [q for q, (how, _) in zip(different, found, strict=True) if not how]
        in_kb = sum(bool(kb_finder.find(q)) for q in missing)
        used = {m.entry_id for _, mentions in found for m in mentions}
        n_equal = sum(how == "equals" for how, _ in found)
        print(
            f"{name:12s} {len(different):9d} {1 - len(missing) / len(different):7.3f} {n_equal / len(different):7.3f}"
            f" {in_kb:11d}  {len(used)} of {len(bank)}"
        )
    print("\nTen of them without a counterpart:")
    for question in rng.sample(missing, min(10, len(missing))):
        print(f"  {question}")


def show_leaks(bank, lists, study, kb):
    own = resolve(bank.classes, kb)
    theirs = resolve([name for given in study for name in study_names(given)], kb)
    print("\nlist         questions  naming a class of the bank  of the study")
    for name, questions in {**lists, "bank": [c.question for c in bank]}.items():
        print(f"{name:12s} {len(questions):9d} {len(leaks(questions, own)):27d} {len(leaks(questions, theirs)):13d}")
    wordings = [w for c in bank for w in (c.name, *c.synonyms)]
    print(f"bank, names and synonyms: {len(leaks(wordings, own))} of {len(wordings)} name a class of the bank")


def show_diversity(bank, lists, seed):
    texts = {**lists, "bank": [concept.question for concept in bank]}
    vectorizer = TfidfVectorizer(analyzer=content).fit([t for group in texts.values() for t in group])
    size = min(map(len, texts.values()))
    print(f"\nlist         diversity of {size} questions  of all of them (n)")
    for name, group in texts.items():
        weights = vectorizer.transform(group)
        mean, spread = diversity(weights, size, np.random.default_rng(seed))
        print(f"{name:12s} {mean:19.3f} ± {spread:.3f} {np.mean(1 - largest_cosines(weights)):14.3f} ({len(group)})")


def show_agreement(bank, answers, kb, rng):
    rows = matched_pairs(bank, answers, kb)
    print("\ntheir class                    ours                     n  agree  kappa  +/yes  +/no  -/yes  -/no")
    signs = {name: {sign.sign for sign in bank.prior if sign.class_name == name} for name in bank.classes}
    kinds = list(dict.fromkeys(row[:2] for row in rows))
    groups = [(f"{theirs:30s} {ours:20s}", [r for r in rows if r[:2] == (theirs, ours)]) for theirs, ours in kinds]
    both = [row for row in rows if len(signs[row[1]]) == 2]
    for label, group in (("all", rows), ("all, but classes with one sign only", both)):
        groups.append((f"{label:51s}", group))
    groups.append((f"{'... and the question equals the concept':51s}", [row for row in both if row[4] == "equals"]))
    for label, group in groups:
        pairs = [(row[6].sign, row[5]) for row in group]
        if pairs:
            counts = Counter(pairs)
            cells = "".join(f"{counts[cell]:7d}" for cell in ((1, 1), (1, -1), (-1, 1), (-1, -1)))
            print(f"{label} {len(pairs):5d} {np.mean([a == b for a, b in pairs]):6.3f} {kappa(pairs):6.2f}{cells}")
    disagreed = [row for row in rows if row[5] != row[6].sign]
    absent = sorted(set(bank.classes) - {row[1] for row in rows})
    print(
        f"{len({row[2] for row in rows})} questions; classes of the bank without a pair: {', '.join(absent) or 'none'}"
    )
    for names, share in themselves(answers, kb):
        print(f"The study's own answers agree in {share:.3f} of all questions between: {names}")
    most = Counter((row[3], row[6].sign) for row in disagreed).most_common(6)
    print("Most disagreements on:", ", ".join(f"{concept_id} {sign:+d} ({n})" for (concept_id, sign), n in most))
    print("\nTen disagreements:")
    for theirs, _, question, concept_id, _, yes, sign in rng.sample(disagreed, min(10, len(disagreed))):
        said = "yes" if yes > 0 else "no"
        print(f"  {theirs} | {question} | they say {said}; {concept_id} {sign.sign:+d}, citing:")
        print(f"      “{sign.evidence[0].sentence}”" if sign.evidence else "      nothing")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DATA_FOLDER")
    parser.add_argument("banks", nargs="*", metavar="BANK")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--matches", type=int, default=0, help="counterparts to print")
    args = parser.parse_args()
    kb = KnowledgeBase.read()
    published = json.loads((args.folder / "concepts.json").read_text(encoding="utf-8"))
    for name in args.banks or sorted(path.parent.name for path in shipped_path("concepts").glob("*/bank.json")):
        bank = load_bank(name)
        if bank.modality not in SHORT:
            parser.error(f"bank {name} is of modality {bank.modality!r}; the study has {', '.join(SHORT)}")
        short = SHORT[bank.modality]
        answers = json.loads((args.folder / f"prior_answers_{short}.json").read_text(encoding="utf-8"))
        print(f"\n==== {name}: {len(bank)} concepts, {len(bank.prior)} signs, classes {', '.join(bank.classes)}")
        rng = random.Random(args.seed)
        show_coverage(bank, published[short], kb, rng)
        show_leaks(bank, published[short], answers["classes"], kb)
        show_diversity(bank, published[short], args.seed)
        show_agreement(bank, answers, kb, rng)
        if args.matches:
            show_matches(bank, published[short], rng, args.matches)


if __name__ == "__main__":
    main()
