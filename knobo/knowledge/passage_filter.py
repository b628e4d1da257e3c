"""Which passages of a corpus to use: by publication type, language, year, and whether an article was retracted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from knobo.errors import InputError
from knobo.knowledge.corpus import Passage, language_code
from knobo.knowledge.pubmed import RETRACTED

_REVIEWED_GOODS = ("book review", "product review", "peer review")  # no reviews of the literature


def filter_passages(
    passages: Iterable[Passage],
    *,
    kinds: str | Iterable[str] | None = None,
    languages: str | Iterable[str] | None = None,
    since: int | None = None,
    keep_retracted: bool = False,
) -> Iterator[Passage]:
    """Keep the passages of some publications. One that does not state the asked fact is left out.

    Parameters
    ----------
    passages : iterable of Passage
    kinds : str or iterable of str, optional
        Publication types. Case, hyphens, plural and a last word "article" do not matter, and the more general word
        finds the special one: ``"review"`` keeps "review-article" and "Systematic Review", ``"guideline"`` keeps
        "Practice Guideline", ``"case report"`` keeps "Case Reports".
    languages : str or iterable of str, optional
        Codes such as ``"en"``, ``"eng"`` or ``"en-GB"``.
    since : int, optional
        First year.
    keep_retracted : bool
        Keep articles that PubMed lists as retracted, which an index may hold.

    Yields
    ------
    Passage

    Raises
    ------
    InputError
        If ``kinds`` or ``languages`` is empty.
    """
    wanted = None if kinds is None else {_kind(kind) for kind in _listed(kinds, "kinds")}
    spoken = None if languages is None else {language_code(code) for code in _listed(languages, "languages")}
    return (
        passage
        for passage in passages
        if (keep_retracted or RETRACTED not in passage.kinds)
        and (wanted is None or any(_is_kind(kind, wanted) for kind in passage.kinds))
        and (spoken is None or (passage.language is not None and language_code(passage.language) in spoken))
        and (since is None or (passage.year is not None and passage.year >= since))
    )


def _listed(values: str | Iterable[str], name: str) -> list[str]:
    found = [values] if isinstance(values, str) else list(values)
    if not found:
        raise InputError(f"{name} is empty, so no passage could be kept; name at least one or leave {name} out.")
    return found


def _is_kind(kind: str, wanted: set[str]) -> bool:
    words = _kind(kind)
    return words in wanted or (words not in _REVIEWED_GOODS and any(words.endswith(f" {item}") for item in wanted))


def _kind(text: str) -> str:
    """Comparable form of a publication type: ``review`` of "Review Article", ``case report`` of "Case Reports"."""
    words = [word.removesuffix("s") for word in text.lower().replace("-", " ").replace("_", " ").split()]
    return " ".join(words[:-1] if len(words) > 1 and words[-1] == "article" else words)
