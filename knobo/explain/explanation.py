"""Explanation: each prediction as a starting point plus one contribution a concept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from numpy.typing import ArrayLike

from knobo.explain import selection
from knobo.explain._data import ExplanationData
from knobo.explain.correction import Policy, correct
from knobo.explain.counterfactual import Counterfactual, counterfactual
from knobo.explain.intervene import intervene
from knobo.explain.sentences import Places, case_sentences
from knobo.explain.tables import edits_frame, explanation_dict, explanation_frame, weights_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(ExplanationData):
    """Why a linear head on concept activations says what it says, for n cases. Immutable.

    The logit of class k is ``base[k] + contributions[i, k].sum() + rest[i, k]``, without remainder, for every class. A
    contribution says how the classifier used its reading of the image; it does not say what made the patient ill.

    ``why[cases]`` and ``why[cases, concepts]`` select, ``why[0]``, ``why[:, "pleural-effusion"]``: cases by position,
    slice, positions or mask, concepts also by id. What the concepts left out contribute goes to ``rest``, so that the
    sum stays exact. :meth:`for_class` turns tables and plots to one class, :meth:`contrast` sets two
    against each other.

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
    rest : ndarray of shape (n, K), optional
        Contribution of the concepts that a selection left out; 0 by default.
    label : class, optional
        The class that tables, plots and sentences explain; by default each case's predicted one.

    Raises
    ------
    InputError
        If shapes do not fit together, or values are missing or out of range.
    InputTypeError
        If ``bank`` or ``quality`` is something else.
    """

    def __iter__(self) -> Iterator[Explanation]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Explanation:
        """Return the explanation of some cases, or by some concepts: ``why[cases]`` or ``why[cases, concepts]``."""
        if isinstance(index, tuple) and len(index) == 2:
            cases, concepts = index
            return selection.select_concepts(selection.select_cases(self, cases), concepts)
        return selection.select_cases(self, index)

    def for_class(self, label: Any) -> Explanation:
        """Return the same explanation with tables, plots and sentences of this class; ``None`` for the predicted one.

        Raises
        ------
        InputError
            If there is no such class.
        """
        return replace(self, label=label)

    def contrast(self, label: Any, other: Any) -> Explanation:
        """Explain why one class rather than another: two classes, whose log-odds are ``log(p[label] / p[other])``.

        With a softmax that is the difference of the two logits, and the contributions are the differences of the
        contributions; a prior's sign is that of the difference of the signs.

        Returns
        -------
        Explanation
            With ``classes`` = ``[other, label]``, turned to ``label``: row 1 says what speaks for it.

        Raises
        ------
        InputError
            If there is no such class, or the two are one.
        """
        return selection.contrast(self, label, other)

    def to_frame(self, label: Any = None) -> pd.DataFrame:
        """Return one row a case and concept, the largest absolute contribution first within each case.

        Parameters
        ----------
        label : class, optional
            The class whose logit is explained; by default that of :meth:`for_class`, else each case's predicted one.

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
        return explanation_frame(self, label)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, ready for JSON: the head, and each case's explanation for every class."""
        return explanation_dict(self)

    def weights_frame(self, label: Any = None) -> pd.DataFrame:
        """Return what each class rests on: one row a class and concept with a weight, the largest weight first.

        Parameters
        ----------
        label : class, optional
            One class only; by default that of :meth:`for_class`, else all.

        Returns
        -------
        DataFrame
            Columns ``class``, ``concept``, ``name``, ``weight``, ``prior_sign``, ``agrees``, ``auroc``,
            ``mean_effect`` (mean absolute contribution over these cases), ``cui``, ``sentence`` and ``source``.
        """
        return weights_frame(self, label)

    def sentences(self, places: Places | None = None, *, max_concepts: int = 3) -> list[str]:
        """Say each prediction in plain words: "Pneumonia 0.81: consolidation (+1.9); against: no fever (−0.4)."

        Numbers are contributions. A finding whose activation is below the average of the training images reads as
        "no …" or "… less clear than usual"; one that is above it but below 0.5 as "possible …".

        Parameters
        ----------
        places : mapping of concept id to str, or to n of str or None, optional
            Where a map shows the finding, such as ``"right lower zone"``; None where no map supports a place. Without
            it no sentence names a place.
        max_concepts : int
            Findings to name on either side.

        Raises
        ------
        InputError
            If a concept is unknown, or ``places`` does not fit the cases.
        """
        return case_sentences(self, places, max_concepts)

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

    def correct(
        self,
        truth: pd.DataFrame | ArrayLike,
        n_concepts: int | None = None,
        *,
        policy: Policy = "contribution",
        random_state: int = 0,
    ) -> Explanation:
        """Explain what the classifier would say had an expert corrected the first concepts of each case.

        Parameters
        ----------
        truth : DataFrame or array-like of shape (n, m), in [0, 1]
            What the expert says; NaN where not known. A DataFrame's columns are concept ids.
        n_concepts : int, optional
            How many concepts of each case; by default all that are known.
        policy, random_state
            Which ones, as in :func:`knobo.explain.correction_order`.

        Raises
        ------
        InputError
            If ``truth`` does not fit, or there is no such policy.
        """
        return correct(self, truth, n_concepts, policy=policy, random_state=random_state)

    def edits_frame(self, edited: Explanation) -> pd.DataFrame:
        """Return what :meth:`intervene` or :meth:`correct` has done: one row a case and changed concept.

        Returns
        -------
        DataFrame
            Columns ``case``, ``concept``, ``name``, ``before`` and ``after`` (activation), ``class`` (the one
            explained), ``effect`` (change of its logit), ``probability_before``, ``probability_after`` (of all edits
            of the case together), ``predicted_before`` and ``predicted_after``.

        Raises
        ------
        InputError
            If ``edited`` is not of the same cases, concepts and classes.
        """
        return edits_frame(self, edited)

    def counterfactual(
        self,
        target: Any = None,
        *,
        norm: Literal["l1", "l2"] = "l1",
        concepts: Sequence[str] | None = None,
        max_concepts: int | None = None,
        margin: float = 1e-6,
    ) -> Counterfactual:
        """Find the smallest change of activations, within [0, 1], that flips each decision.

        The target must lead every other class. For a linear head that is a linear (L1) or convex quadratic (L2)
        program, so that no smaller change exists. With ``max_concepts`` L1 becomes a mixed-integer program, still
        solved to the optimum; L2 is then the smallest in the concepts that L1 chooses, which need not be the smallest.

        Parameters
        ----------
        target : class, optional
            By default whichever other class is nearest.
        norm : {"l1", "l2"}
            L1 changes few concepts by much, L2 many by little.
        concepts : sequence of str, optional
            Only these may change, such as those that a treatment can reach or a reader disputes.
        max_concepts : int, optional
            At most so many may change.
        margin : float
            By how much the target's logit must lead.

        Raises
        ------
        InputError
            If a class, concept or number makes no sense.

        References
        ----------
        Ustun, Spangher & Liu, *Actionable Recourse in Linear Classification*, FAT* 2019 (the mixed-integer program).
        """
        return counterfactual(self, target, norm=norm, concepts=concepts, max_concepts=max_concepts, margin=margin)

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
