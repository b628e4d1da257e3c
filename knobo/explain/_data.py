"""The arrays of an explanation, checked, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knobo.bank import ConceptBank, Evidence, slug
from knobo.errors import InputError, InputTypeError
from knobo.explain import _checks as checks
from knobo.explain import contributions as formulas
from knobo.images import ImageSource

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ExplanationData:
    """Fields and derived arrays of :class:`knobo.explain.Explanation`, where they are described."""

    activations: Array
    weights: Array
    intercept: Array
    reference: Array
    classes: NDArray[Any]
    bank: ConceptBank
    prior_signs: Array | None = None
    quality: pd.DataFrame | None = None
    case_ids: Sequence[Any] | None = None
    images: Sequence[ImageSource] | None = None
    rest: Array = None  # type: ignore[assignment]  # checked and made zeros
    label: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.bank, ConceptBank):
            raise InputTypeError(f"bank must be a ConceptBank, got {type(self.bank).__name__}.")
        checked = checks.check_arrays(
            self.activations, self.weights, self.intercept, self.reference, self.classes, self.prior_signs, self.bank
        )
        n = len(checked["activations"])
        checked["quality"] = checks.check_quality(self.quality, self.bank.ids)
        checked["case_ids"] = checks.check_each(self.case_ids, n, "case_ids") or tuple(range(n))
        checked["images"] = checks.check_each(self.images, n, "images")
        checked["rest"] = checks.check_rest(self.rest, n, len(checked["classes"]))
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.label is not None:
            object.__setattr__(self, "label", self.classes[self.class_index(self.label)])

    def __len__(self) -> int:
        return len(self.activations)

    @property
    def cases(self) -> tuple[Any, ...]:
        """Name of each case."""
        return tuple(self.case_ids or ())

    @property
    def logits(self) -> Array:
        """Logit of each class, shape (n, K)."""
        return formulas.logits(self.activations, self.weights, self.intercept) + self.rest

    @property
    def explained(self) -> NDArray[np.intp]:
        """Position of the class that each case's table, plot and sentence explain, shape (n,)."""
        if self.label is None:
            return self.logits.argmax(axis=1)
        return np.full(len(self), self.class_index(self.label))

    @property
    def base(self) -> Array:
        """Logit of each class at the reference activations, shape (K,): where the contributions start from."""
        return formulas.base_values(self.weights, self.intercept, self.reference)

    @property
    def contributions(self) -> Array:
        """Contribution of each concept to each class's logit, shape (n, K, m)."""
        return formulas.contributions(self.activations, self.weights, self.reference)

    @property
    def probabilities(self) -> Array:
        """Class probabilities, shape (n, K)."""
        return formulas.probabilities(self.logits)

    @property
    def predicted(self) -> NDArray[Any]:
        """The most probable class of each case, shape (n,)."""
        return self.classes[self.logits.argmax(axis=1)]

    @property
    def agreement(self) -> NDArray[np.int8]:
        """Weight against prior, shape (K, m): 1 same sign, -1 opposite sign, 0 where either says nothing."""
        signs = np.zeros_like(self.weights) if self.prior_signs is None else self.prior_signs
        return formulas.agreement(self.weights, signs)

    def class_index(self, label: Any) -> int:
        """Position of a class in ``classes``; labels are compared as text.

        Raises
        ------
        InputError
            If there is no such class.
        """
        names = [str(name) for name in self.classes]
        if str(label) not in names:
            raise InputError(f"There is no class {str(label)!r}.{checks.suggest(label, names)}")
        return names.index(str(label))

    def citation(self, label: Any, concept_id: str) -> Evidence | None:
        """The sentence behind the prior's sign for this class and concept, else one that the concept was taken from."""
        for sign in self.bank.prior:
            if sign.concept_id == concept_id and slug(sign.class_name) == slug(str(label)) and sign.evidence:
                return sign.evidence[0]
        evidence = self.bank[concept_id].evidence
        return evidence[0] if evidence else None
