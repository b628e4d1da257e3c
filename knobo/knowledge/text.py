"""Plain text to sentences and to comparable words. No model: rules that can be read, and tests for each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_ABBREVIATIONS = frozenset(
    """
    e.g i.e cf vs viz approx ca fig figs tab eq eqs vol pp ref refs resp dr prof mr mrs ms st
    al jan feb mar apr jun jul aug sep sept oct nov dec incl excl max min dept ed eds
    """.split()  # noqa: SIM905 - a list of words is read best as text
)
_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s)")
_LAST_WORD = re.compile(r"(\S+)$")

# British and American spellings of the same part of a word; both directions are used.
SPELLINGS = (
    ("oedema", "edema"),
    ("oesophag", "esophag"),
    ("haem", "hem"),
    ("igaem", "igem"),
    ("tumour", "tumor"),
    ("colour", "color"),
    ("grey", "gray"),
    ("naev", "nev"),
    ("goitre", "goiter"),
    ("centre", "center"),
    ("seborrhoe", "seborrhe"),
    ("arboris", "arboriz"),
    ("cephalis", "cephaliz"),
    ("organis", "organiz"),
    ("visualis", "visualiz"),
    ("mineralis", "mineraliz"),
    ("orthopaed", "orthoped"),
)
_IRREGULAR = {
    "bullae": "bulla",
    "lacunae": "lacuna",
    "vertebrae": "vertebra",
    "hila": "hilum",
    "nevi": "nevus",
    "septa": "septum",
    "bronchi": "bronchus",
    "axes": "axis",
    "metastases": "metastasis",
    "keratoses": "keratosis",
    "telangiectases": "telangiectasia",
    "pneumothoraces": "pneumothorax",
    "lentigines": "lentigo",
}
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[^\w\s]")


@dataclass(frozen=True)
class Token:
    """One word, number or punctuation mark: its comparable form, its lower-case form, and where it stands."""

    stem: str
    lower: str
    start: int
    end: int


def split_sentences(text: str) -> list[str]:
    """Cut text at full stops, question and exclamation marks that end a sentence.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        Each sentence is a slice of ``text`` without white space at its ends; together they hold every word.
        Abbreviations ("e.g.", "Fig. 2", "approx."), initials and decimals do not end a sentence.
    """
    sentences, start = [], 0
    for match in _END.finditer(text):
        following = text[match.end() :].lstrip()[:2]
        if following and not _ends_here(text[start : match.start()], text[match.start()], following):
            continue
        sentences.append(text[start : match.end()].strip())
        start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _ends_here(before: str, mark: str, following: str) -> bool:
    opener = following.lstrip("\"'“‘([")[:1]
    if opener and opener.islower():
        return False
    if mark != ".":
        return True
    last = _LAST_WORD.search(before)
    word = last.group(1).lstrip("\"'“‘([") if last else ""
    initial = len(word) == 1 and word.isalpha() and word.isupper()
    numbered = word.lower() in ("no", "nos") and opener.isdigit()
    return not (initial or numbered or word.lower() in _ABBREVIATIONS)


def tokenize(text: str) -> list[Token]:
    """Words, numbers and punctuation marks of ``text`` in order; a hyphen joins nothing and is left out."""
    tokens = []
    for match in _TOKEN.finditer(text):
        if match.group() not in "-‐‑–":
            lower = match.group().lower()
            tokens.append(Token(stem(lower), lower, match.start(), match.end()))
    return tokens


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Comparable form of one lower-case word: one spelling, no plural, no ending such as -ing, -ed, -ment, -ion.

    Cruder than a Porter stemmer on purpose: forms of one finding ("thickened", "thickening") must meet, but words
    that radiologists keep apart ("dotted" and "dots", "calcified" and "calcification") must not.
    """
    for british, american in SPELLINGS:
        word = word.replace(british, american)
    word = _singular(_IRREGULAR.get(word, word))
    for ending, shortest in (("ing", 4), ("ed", 4), ("ment", 5)):
        if word.endswith(ending) and len(word) - len(ending) >= shortest:
            word = word[: -len(ending)]
            break
    if word.endswith(("tion", "sion")) and len(word) >= 7:
        word = word[:-3]
    return word[:-1] if word.endswith("e") and len(word) >= 5 else word


def _singular(word: str) -> str:
    if len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def spellings(text: str) -> list[str]:
    """``text`` in British and in American spelling, the given one first, without repeats."""
    british, american = text, text
    for one, other in SPELLINGS:
        american = american.replace(one, other)
        if one not in british:
            british = british.replace(other, one)
    return list(dict.fromkeys((text, british, american)))
