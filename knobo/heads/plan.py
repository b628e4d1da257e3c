"""What a sequence of edits comes to: names, bounds, start and prior of the head to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knobo._validation import show
from knobo.errors import InputError
from knobo.heads.base import concept_names
from knobo.heads.edits import Concept, Edit, ForceSign, Merge, Pin, Release, Rename, Veto
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array
from knobo.heads.refit import bounds_of


class Names:
    """Names of columns while edits are applied in order; an old name still finds its concept."""

    def __init__(self, names: Sequence[Any]) -> None:
        self.names = list(names)
        self.aliases: dict[Any, Any] = {}

    def find(self, concept: Concept) -> int:
        """Position of a concept now."""
        if isinstance(concept, int | np.integer) and not isinstance(concept, bool) and concept not in self.names:
            if not 0 <= concept < len(self.names):
                raise InputError(f"There is no concept number {concept}; there are {len(self.names)}, from 0.")
            return int(concept)
        name: Any = concept
        while name not in self.names and name in self.aliases:
            name = self.aliases[name]
        if name not in self.names:
            close = get_close_matches(str(concept), [str(known) for known in self.names], n=3)
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else " weights_frame() has the names."
            raise InputError(f"The head has no concept {concept!r}.{hint}")
        return self.names.index(name)

    def rename(self, column: int, name: str) -> None:
        """Give a column another name."""
        if name in self.names and self.names.index(name) != column:
            raise InputError(f"There already is a concept {name!r}; to make one of the two, use Merge.")
        self.aliases[self.names[column]] = name
        self.names[column] = name

    def merge(self, kept: int, gone: int) -> None:
        """Drop a column."""
        if kept == gone:
            raise InputError(f"{self.names[kept]!r} cannot be merged with itself; name two concepts.")
        if len(self.names) == 2:
            raise InputError("A head needs at least two concepts to merge and one more to be left with.")
        self.aliases[self.names[gone]] = self.names[kept]
        del self.names[gone]


@dataclass
class Plan:
    """What a sequence of edits comes to: bounds, start, prior and names of the head to fit."""

    first_names: list[Any]
    finder: Names
    classes: NDArray[Any]
    bounds: Array
    start: Array
    signs: Array
    confidence: Array

    @classmethod
    def of(cls, head: ConceptHead, names: Sequence[str] | None) -> Plan:
        """Begin at a fitted head without a temperature."""
        known = list(concept_names(head) if names is None else names)
        if len(known) != head.coef_.shape[1] or len(set(known)) < len(known):
            raise InputError(f"names must be {head.coef_.shape[1]} different names, one a concept; got {len(known)}.")
        signs, confidence = head._signs("sign")
        parts = bounds_of(head), head.coef_.copy(), signs.copy(), confidence.copy()
        return cls(known, Names(known), head.classes_, *parts)

    @property
    def names(self) -> list[Any]:
        """Names of the concepts now."""
        return self.finder.names

    def apply(self, edit: Edit) -> None:
        """Take in one edit."""
        if isinstance(edit, Merge):
            self._merge(self.finder.find(edit.keep), self.finder.find(edit.absorb))
        elif isinstance(edit, Rename):
            self.finder.rename(self.finder.find(edit.concept), edit.name)
        elif isinstance(edit, Veto):
            self._bound(edit.concept, edit.class_name, 0.0, 0.0)
        elif isinstance(edit, Release):
            self._bound(edit.concept, edit.class_name, -np.inf, np.inf)
        elif isinstance(edit, Pin):
            self._bound(edit.concept, edit.class_name, float(edit.value), float(edit.value))
        elif isinstance(edit, ForceSign):
            self._bound(edit.concept, edit.class_name, *((0.0, np.inf) if edit.sign > 0 else (-np.inf, 0.0)))

    def _bound(self, concept: Concept, class_name: Any, low: float, high: float) -> None:
        """Set the bounds of a weight in the logit of a class, or of all classes; for two the rows mirror each other."""
        column = self.finder.find(concept)
        if class_name is None:
            self.bounds[:, :, column] = np.array([[low], [high]])
            return
        k = self.class_code(class_name)
        mirrored = len(self.bounds[0]) == 1 and k == 0
        self.bounds[:, 0 if len(self.bounds[0]) == 1 else k, column] = (-high, -low) if mirrored else (low, high)

    def class_code(self, class_name: Any) -> int:
        """Position of a class, by its label or by the label as text."""
        texts = [str(label) for label in self.classes]
        if str(class_name) not in texts:
            raise InputError(f"The head has no class {class_name!r}; it has {', '.join(map(show, self.classes))}.")
        return texts.index(str(class_name))

    def _merge(self, kept: int, gone: int) -> None:
        self.finder.merge(kept, gone)
        own, other = self.signs[:, kept], self.signs[:, gone]
        sign = np.where(own == -other, 0.0, np.where(own != 0, own, other))
        sure = np.where(self.signs[:, [kept, gone]] == sign[:, None], self.confidence[:, [kept, gone]], 0.0).max(axis=1)
        self.signs[:, kept], self.confidence[:, kept] = sign, np.where(sign != 0, sure, 0.0)
        free = ~np.isfinite(self.bounds[:, :, kept]).any(axis=0)
        self.bounds[:, free, kept] = self.bounds[:, free, gone]
        self.start[:, kept] += self.start[:, gone]
        self.signs, self.confidence = (np.delete(a, gone, axis=1) for a in (self.signs, self.confidence))
        self.bounds, self.start = np.delete(self.bounds, gone, axis=2), np.delete(self.start, gone, axis=1)
