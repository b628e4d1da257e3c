"""The card of a concept bank: what is in it, where it comes from and what it cannot do, written from the bank alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from knobo.bank import ConceptBank, Evidence, slug

_TOLD_APART = ("rejected", "classes_without_passages", "reviewed_by", "merged_from")  # keys with a place of their own
_ABOUT_ANOTHER = ("names class", "the same as", "not a finding of")  # reasons that go on with a name
_MARKUP = re.compile(r"([\\`*_\[\]|#])")
_MOST = 20  # sources listed
_LONGEST = 160  # characters of a citation


def bank_card(bank: ConceptBank) -> str:
    """Write the card of a bank.

    Parameters
    ----------
    bank : ConceptBank

    Returns
    -------
    str
        Markdown. The same bank gives the same text. Names of people who reviewed the bank are taken from the list
        ``provenance["reviewed_by"]``; nothing else is said to be reviewed.
    """
    parts = [
        f"# Concept bank{f': {_plain(bank.modality)}' if bank.modality else ''}",
        _contents(bank),
        "## Sources",
        _sources(bank),
        "## Parameter prior",
        _prior(bank),
        "## How it was made",
        *_provenances(bank.provenance),
        "## Who has reviewed it",
        _reviews(bank.provenance),
        "## Limits",
        _limits(bank),
    ]
    return "\n\n".join(parts) + "\n"


def _contents(bank: ConceptBank) -> str:
    cited = _cited(bank)
    rows: list[tuple[str, object]] = [
        ("concepts", len(bank)),
        ("with a UMLS identifier", sum(c.cui is not None for c in bank)),
        ("with evidence", sum(bool(c.evidence) for c in bank)),
        ("citations of concepts", sum(len(c.evidence) for c in bank)),
        ("citations of prior signs", sum(len(s.evidence) for s in bank.prior)),
        ("different sentences", len({(e.passage_id, e.sentence) for e in cited})),
        ("of these found in their passage", len({(e.passage_id, e.sentence) for e in cited if e.verified})),
        ("synonyms", sum(len(c.synonyms) for c in bank)),
        ("classes", len(bank.classes)),
        ("prior signs", len(bank.prior)),
    ]
    if len(bank) > 1:
        rows.append(("diversity of the questions (lexical: mean of 1 − TF-IDF cosine)", f"{bank.diversity():.3f}"))
    return _table(("what", "number"), rows)


def _sources(bank: ConceptBank) -> str:
    sentences: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for cited in _cited(bank):
        key = (cited.source or cited.title or "not stated", cited.licence or "not stated")
        sentences.setdefault(key, set()).add((cited.passage_id, cited.sentence))
    if not sentences:
        return "The bank cites no sentence."
    ranked = sorted(sentences.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [(source[:_LONGEST], licence[:_LONGEST], len(found)) for (source, licence), found in ranked[:_MOST]]
    if rest := ranked[_MOST:]:
        rows.append((f"{len(rest)} more", "", sum(len(found) for _, found in rest)))
    licences = Counter(licence for (_, licence), found in ranked for _ in found)
    return "\n\n".join(
        (
            _table(("source", "licence", "sentences"), rows),
            _table(("licence", "sentences"), [(name[:_LONGEST], n) for name, n in licences.most_common()]),
        )
    )


def _prior(bank: ConceptBank) -> str:
    if not bank.prior:
        return "The bank holds no prior: nothing is known about any class and concept."
    signs: dict[str, list[Any]] = {slug(name): [name, 0, 0, 0] for name in bank.classes}
    for sign in bank.prior:
        row = signs.setdefault(slug(sign.class_name), [sign.class_name, 0, 0, 0])
        row[1 if sign.sign > 0 else 2] += 1
        row[3] += len(sign.evidence)
    unknown = len(signs) * len(bank) - len(bank.prior)
    return "\n\n".join(
        (
            _table(("class", "signs for", "signs against", "citations"), signs.values()),
            f"The other {unknown} pairs of a class and a concept are unknown and have no influence.",
        )
    )


def _provenances(provenance: Mapping[str, Any]) -> Iterator[str]:
    """What the bank says of itself, and of each bank that it was merged from."""
    merged = provenance.get("merged_from")
    if isinstance(merged, list):
        yield f"Merged from {len(merged)} banks."
        for number, part in enumerate(merged, start=1):
            yield f"### Bank {number}"
            yield from _provenances(part if isinstance(part, dict) else {})
        return
    rows = list(_facts(provenance))
    yield _table(("what", "value"), rows) if rows else "The bank does not say how it was made."
    rejected = [item for item in _listed(provenance, "rejected") if isinstance(item, dict)]
    if rejected:
        yield f"{len(rejected)} candidates were rejected, each kept in the bank with its reason:"
        yield _table(("reason", "candidates", "such as"), _reasons(rejected))


def _facts(facts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        words = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _facts(value, f"{words}: ")
        elif name not in _TOLD_APART or before:
            yield words, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _reasons(rejected: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int, str]]:
    groups: dict[str, list[str]] = {}
    for item in rejected:
        reason = str(item.get("reason"))
        start = next((start for start in _ABOUT_ANOTHER if reason.startswith(f"{start} ")), None)
        says = ", says the model" if reason.endswith(", says the model") else ""
        groups.setdefault(f"{start} …{says}" if start else reason, []).append(str(item.get("name")))
    for reason, names in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        yield reason, len(names), ", ".join(name[:40] for name in names[:3])


def _reviews(provenance: Mapping[str, Any]) -> str:
    people = _listed(provenance, "reviewed_by")
    if not people:
        return "No one yet. Neither the concepts nor the signs have been checked by a person who may judge them."
    return "\n".join(f"- {_plain(str(person))}" for person in people)


def _limits(bank: ConceptBank) -> str:
    counts = {
        "concepts cite no sentence": sum(not c.evidence for c in bank),
        "citations were not found in their passage": sum(not e.verified for e in _cited(bank)),
        "concepts have no UMLS identifier": sum(c.cui is None for c in bank),
        "prior signs cite no sentence": sum(not s.evidence for s in bank.prior),
        "classes have no prior sign": len({slug(n) for n in bank.classes} - {slug(s.class_name) for s in bank.prior}),
    }
    lines = [f"{n} {what}." for what, n in counts.items() if n]
    if missing := _listed(bank.provenance, "classes_without_passages"):
        lines.append(f"No retrieved passage names {', '.join(map(str, missing))}.")
    lines += [
        "A verified sentence stands in its passage word for word; whether it is true depends on the source.",
        "A sign says what the cited texts state about a class, not how strongly images show it.",
        "Research software, not a medical device: the bank must not be used to care for a patient.",
    ]
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _listed(provenance: Mapping[str, Any], name: str) -> list[Any]:
    """A list of the provenance, which may be written by hand: a single text is a list of one."""
    value = provenance.get(name) or []
    return value if isinstance(value, list) else [value]


def _cited(bank: ConceptBank) -> list[Evidence]:
    return [cited for items in (bank.concepts, bank.prior) for item in items for cited in item.evidence]


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_plain(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text on one line that no reader of Markdown takes for markup, whatever a source is called."""
    escaped = _MARKUP.sub(r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
