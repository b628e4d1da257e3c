"""The classes of a task and all their names, so that a concept can be kept from naming one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from knobo.bank import slug
from knobo.errors import InputError, InputTypeError
from knobo.knowledge.kb import KbEntry, KnowledgeBase
from knobo.knowledge.text import tokenize

_LONG_WORD = 6  # letters


@dataclass(frozen=True)
class TaskClass:
    """One class.

    Attributes
    ----------
    name : str
        As the user writes it, such as ``"heart_failure"``.
    entry_id : str
        The entry of the knowledge base that means it; made for the task when there was none.
    wordings : tuple of str
        Names and synonyms, as they stand in running text; the class name itself among them where it ends one ("edema"
        of "pulmonary edema"), which the short names of data sets ("nv", "normal") do not.
    cuis : frozenset of str
        UMLS identifiers, where known.
    known : bool
        False when the knowledge base had no entry for it.
    """

    name: str
    entry_id: str
    wordings: tuple[str, ...]
    cuis: frozenset[str]
    known: bool

    def is_named_in(self, text: str) -> bool:
        """Whether ``text`` holds one of the wordings, endings and spelling aside."""
        words = _stems(text)
        return any(_holds(words, run) for run in self._runs)

    @cached_property
    def _runs(self) -> list[list[str]]:
        return [_stems(wording) for wording in self.wordings]


def resolve_classes(
    classes: Iterable[str] | Mapping[str, Iterable[str]], kb: KnowledgeBase
) -> tuple[list[TaskClass], KnowledgeBase]:
    """Find each class in the knowledge base, or add it.

    Parameters
    ----------
    classes : iterable of str, or mapping of str to iterable of str
        Class names, or class names with their synonyms. ``"heart_failure"`` means "heart failure".
    kb : KnowledgeBase

    Returns
    -------
    resolved : list of TaskClass
    kb : KnowledgeBase
        With the given synonyms, and with an entry for every class.

    Raises
    ------
    InputError, InputTypeError
        If there is no class, a name is empty or given twice, or synonyms are not a list of texts.
    """
    given = _checked(classes)
    entries = {entry.id: entry for entry in kb}
    lookup = _lookup(kb)
    ids: dict[str, tuple[str, bool]] = {}
    for name, synonyms in given.items():
        readable = slug(name).replace("-", " ") or name
        known = next((lookup[key] for key in map(slug, (name, *synonyms)) if key in lookup), None)
        if known is None:
            entry = KbEntry(id=f"class:{slug(name) or name}", name=readable, own_aliases=synonyms, kind="disease")
        else:
            entry = entries[known]
            entry = entry.model_copy(update={"own_aliases": tuple(dict.fromkeys((*entry.own_aliases, *synonyms)))})
        entries[entry.id] = entry
        ids[name] = (entry.id, known is not None)
    resolved = [
        TaskClass(name, entry_id, _wordings(name, entries[entry_id]), entries[entry_id].cuis, known)
        for name, (entry_id, known) in ids.items()
    ]
    _check_distinct(resolved)
    return resolved, KnowledgeBase(entries.values())


def _checked(classes: Iterable[str] | Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    if isinstance(classes, str):
        raise InputTypeError(f"classes must be a list of class names, got one text; write [{classes!r}].")
    pairs = list(classes.items()) if isinstance(classes, Mapping) else [(name, ()) for name in classes]
    if not pairs:
        raise InputError("classes is empty; give at least one class name.")
    checked: dict[str, tuple[str, ...]] = {}
    for name, synonyms in pairs:
        if not isinstance(name, str) or not _stems(name):
            raise InputError(f"Class name {name!r} is not a text with letters or digits; give each class a name.")
        if slug(name) in map(slug, checked):
            raise InputError(f"Class {name!r} is given twice; name each class once.")
        listed = None if isinstance(synonyms, str) else tuple(synonyms)
        if listed is None or not all(isinstance(item, str) and _stems(item) for item in listed):
            raise InputTypeError(f"Synonyms of class {name!r} must be a list of texts, got {synonyms!r}.")
        checked[name] = listed
    return checked


def _lookup(kb: KnowledgeBase) -> dict[str, str]:
    """Slug of every name of every entry; a disease goes before a finding, a preferred name before an alias."""
    lookup: dict[str, str] = {}
    ordered = sorted(kb, key=lambda entry: entry.kind != "disease")
    for entry in ordered:
        lookup.setdefault(slug(entry.name), entry.id)
    for entry in ordered:
        for wording in (*entry.wordings, *entry.class_names):
            lookup.setdefault(slug(wording), entry.id)
    return lookup


def _wordings(name: str, entry: KbEntry) -> tuple[str, ...]:
    """Those of the entry, and the class name where it ends one of them and is none."""
    readable = slug(name).replace("-", " ")
    words, known = _stems(readable), [_stems(wording) for wording in entry.wordings]
    fresh = words not in known and any(run[-len(words) :] == words for run in known)
    return (*entry.wordings, readable) if fresh else entry.wordings


def _check_distinct(resolved: list[TaskClass]) -> None:
    owner: dict[str, str] = {}
    for item in resolved:
        if item.entry_id in owner:
            raise InputError(f"Classes {owner[item.entry_id]!r} and {item.name!r} mean the same; keep one of them.")
        owner[item.entry_id] = item.name


def _stems(text: str) -> list[str]:
    return [token.stem for token in tokenize(text) if token.lower[0].isalnum()]


def _holds(words: list[str], run: list[str]) -> bool:
    """Whether ``run`` stands in ``words`` without a gap; one long word may also end another ("hydropneumothorax")."""
    if len(run) == 1 and len(run[0]) >= _LONG_WORD:
        return any(word.endswith(run[0]) for word in words)
    return bool(run) and any(words[i : i + len(run)] == run for i in range(len(words) - len(run) + 1))
