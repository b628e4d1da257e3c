"""Explanation: each prediction as a starting point plus one contribution a concept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo.bank import ConceptBank, Evidence, slug
from knobo.errors import InputError, InputTypeError
from knobo.explain import _checks as checks
from knobo.explain import contributions as formulas
from knobo.explain.intervene import intervene, suggest
from knobo.images import ImageSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why a linear head on concept activations says what it says, for n cases. Immutable.

    The logit of class k is ``base[k] + contributions[i, k].sum()``, without remainder, for every class. A contribution
    says how the classifier used its reading of the image; it does not say what made the patient ill.

    Attributes
    ----------
    activations : ndarray of shape (n, m), in [0, 1]
    weights : ndarray of shape (K, m)
        With two classes the rows mirror each other and row 1 gives the log-odds of ``classes[1]``; with more they
        are the weights of a softmax.
    intercept : ndarray of shape (K,)
    reference : ndarray of shape (m,), in [0, 1]
        Mean activations of the training images.
    classes : ndarray of shape (K,)
    bank : ConceptBank
        The m concepts, in the order of the columns.
    prior_signs : ndarray of shape (K, m) in {-1, 0, 1}, optional
        What the literature says; 0 is unknown, and so is all of it by default.
    quality : DataFrame, optional
        How well each concept can be read off images: indexed by concept id, with columns such as ``auroc``.
    case_ids : sequence of length n, optional
        Names of the cases; by default 0, 1, …. They stay with the cases when some are selected.
    images : sequence of n images, optional
        For plots only.

    Raises
    ------
    InputError
        If shapes do not fit together, or values are missing or out of range.
    InputTypeError
        If ``bank`` or ``quality`` is something else.
    """

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
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.activations)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, cases: int | slice | Sequence[int] | NDArray[Any]) -> Explanation:
        """Return the explanation of some cases: a position, a slice, positions, or a mask of n booleans."""
        rows = checks.check_positions(cases, len(self))
        return replace(
            self,
            activations=self.activations[rows],
            case_ids=[self.cases[i] for i in rows],
            images=None if self.images is None else [self.images[i] for i in rows],
        )

    @property
    def cases(self) -> tuple[Any, ...]:
        """Name of each case."""
        return tuple(self.case_ids or ())

    @property
    def logits(self) -> Array:
        """Logit of each class, shape (n, K)."""
        return formulas.logits(self.activations, self.weights, self.intercept)

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
            raise InputError(f"There is no class {str(label)!r}.{suggest(label, names)}")
        return names.index(str(label))

    def citation(self, label: Any, concept_id: str) -> Evidence | None:
        """The sentence behind the prior's sign for this class and concept, else one that the concept was taken from."""
        for sign in self.bank.prior:
            if sign.concept_id == concept_id and slug(sign.class_name) == slug(str(label)) and sign.evidence:
                return sign.evidence[0]
        evidence = self.bank[concept_id].evidence
        return evidence[0] if evidence else None

    def to_frame(self, label: Any = None) -> pd.DataFrame:
        """Return one row a case and concept, the largest absolute contribution first within each case.

        Parameters
        ----------
        label : class, optional
            The class whose logit is explained; by default the predicted class of each case.

        Returns
        -------
        DataFrame
            Columns ``case``, ``class``, ``concept``, ``name``, ``activation``, ``reference``, ``weight``,
            ``contribution``, ``prior_sign`` (0: unknown), ``agrees`` (weight with prior; missing where either says
            nothing), ``auroc``, ``cui``, ``sentence`` and ``source``.

        Raises
        ------
        InputError
            If there is no such class.
        """
        from knobo.explain.tables import explanation_frame

        return explanation_frame(self, label)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, ready for JSON: the head, and each case's explanation for every class."""
        from knobo.explain.tables import explanation_dict

        return explanation_dict(self)

    def intervene(self, values: Mapping[str, ArrayLike]) -> Explanation:
        """Explain what the classifier would say if some concepts had other activations.

        Parameters
        ----------
        values : mapping of concept id to float in [0, 1], or to n of them
            ``{"pleural-effusion": 0.0}`` sets the finding to absent in every case.

        Raises
        ------
        InputError
            If a concept is unknown (close matches are given), or a value lies outside [0, 1].
        """
        return replace(self, activations=intervene(self.activations, self.bank.ids, values))

    def plot(self, ax: Axes | None = None, class_name: Any = None, max_concepts: int = 8, *, case: int = 0) -> Axes:
        """Draw one case as a waterfall; see :func:`knobo.explain.plot_contributions`."""
        from knobo.explain.plots import plot_contributions

        return plot_contributions(self, case=case, class_name=class_name, ax=ax, max_concepts=max_concepts)

    def __repr__(self) -> str:
        n, m = self.activations.shape
        return f"Explanation({n} case{'s' * (n != 1)}, {m} concepts, classes: {', '.join(map(str, self.classes))})"

    def _repr_html_(self) -> str:
        from knobo.explain.notebook import explanation_html

        return explanation_html(self)
