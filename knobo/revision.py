"""What may change in a classifier after its fit: edits by a reader, temperature, prevalence."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo._validation import check_fitted
from knobo.bank import ConceptBank
from knobo.errors import InputError
from knobo.heads import Edit, Merge, Rename, calibrate_temperature, edit_head, merge_columns, with_prevalence
from knobo.heads.editing import check_edits

if TYPE_CHECKING:
    from typing_extensions import Self

_MERGED = "pooled by a reader with another finding; not measured since"


class Revisable:
    """Mixin of the classifier: each method gives back a changed copy and leaves the classifier as it is."""

    bank_: ConceptBank
    classes_: NDArray[Any]
    reference_: NDArray[np.float64]
    head_: Any
    scorer_: Any
    concept_quality_: Any

    def edit(
        self,
        edits: Sequence[Edit],
        X: Any = None,
        y: ArrayLike | None = None,
        *,
        test: tuple[Any, ArrayLike] | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        n_bootstrap: int = 200,
    ) -> Self:
        """Apply a reader's edits to a copy: bank, scorer and head stay consistent, and the change log grows.

        Parameters
        ----------
        edits : sequence of Edit
            :class:`knobo.heads.Veto`, ``ForceSign``, ``Pin``, ``Release``, ``Rename`` or ``Merge``; concepts by id or
            name.
        X, y : images or embeddings, and labels, optional
            What the head is refitted to. Left out, it is what ``fit`` was given, with the held-out activations of
            then; a classifier that was loaded from disk needs them.
        test : tuple of images or embeddings and labels, optional
            What before and after are compared on; best images that ``fit`` has not seen. Default: the refit's.
        groups : array-like, optional
            Patient of each image that is compared on.
        sample_weight : array-like of shape (n,), optional
            With ``X`` and ``y`` only.
        n_bootstrap : int
            Resamples of the comparison.

        Returns
        -------
        ConceptBottleneckClassifier
            A ``Rename`` changes the name in the bank and keeps the id; after a ``Merge`` the probe of ``keep`` has
            the mean log-odds of both, and its certificate is empty until it is measured anew (``scorer_.certify``).

        Raises
        ------
        InputError
            If an edit names an unknown concept or class, or there is nothing to refit to.
        """
        check_fitted(self, "head_")
        chosen = check_edits(edits)
        A, labels, weights = self._refit_data(X, y, sample_weight)
        fresh = copy.copy(self)
        fresh.bank_, by_id = revise_bank(self.bank_, chosen)
        fresh.head_ = edit_head(
            self.head_,
            A,
            labels,
            by_id,
            names=self.bank_.ids,
            sample_weight=weights,
            test=None if test is None else (self._activations(test[0]), test[1]),
            groups=groups,
            n_bootstrap=n_bootstrap,
        )
        merges = [(str(edit.keep), str(edit.absorb)) for edit in by_id if isinstance(edit, Merge)]
        for keep, absorb in merges:
            fresh._merge_probes(keep, absorb)
        if merges:
            mean = merge_columns(A, by_id, names=self.bank_.ids).mean(axis=0)
            kept = [place for place, name in enumerate(fresh.bank_.ids) if name in dict(merges)]
            fresh.reference_[kept] = mean[kept]
        return fresh

    def calibrate(self, X: Any, y: ArrayLike, **settings: Any) -> Self:
        """A copy whose probabilities are calibrated by a temperature.

        Parameters
        ----------
        X, y : images or embeddings, and labels
            Best images that ``fit`` has not seen.
        **settings
            ``cv``, ``groups``, ``sample_weight`` of :func:`knobo.heads.calibrate_temperature`.
        """
        check_fitted(self, "head_")
        return self._with_head(calibrate_temperature(self.head_, self._activations(X), y, **settings))

    def for_prevalence(
        self, target: Mapping[Any, float] | ArrayLike, *, source: Mapping[Any, float] | ArrayLike
    ) -> Self:
        """A copy for another prevalence of the classes, see :func:`knobo.heads.with_prevalence`."""
        check_fitted(self, "head_")
        return self._with_head(with_prevalence(self.head_, source=source, target=target))

    @property
    def change_log_(self) -> list[dict[str, Any]]:
        """What was changed after the fit, oldest first; saved with the model and shown in the report."""
        check_fitted(self, "head_")
        return list(getattr(self.head_, "change_log_", []))

    def _activations(self, X: Any) -> NDArray[np.float64]:
        raise NotImplementedError

    def _with_head(self, head: Any) -> Self:
        fresh = copy.copy(self)
        fresh.head_ = head
        return fresh

    def _refit_data(self, X: Any, y: ArrayLike | None, sample_weight: ArrayLike | None) -> tuple[Any, Any, Any]:
        if (X is None) != (y is None):
            raise InputError("Give both X and y to refit to, or neither.")
        if X is not None:
            return self._activations(X), np.asarray(y), sample_weight
        seen = getattr(self, "_seen", None)
        if seen is None:
            raise InputError("A classifier from disk holds no images; give X and y to refit its head to.")
        if seen[0].shape[1] != len(self.bank_):
            raise InputError("Concepts were merged since the fit; give X and y to refit to.")
        return seen

    def _merge_probes(self, keep: str, absorb: str) -> None:
        scorer = copy.copy(self.scorer_)
        names = [str(name) for name in scorer.concepts_]
        kept, gone = names.index(keep), names.index(absorb)
        coef, intercept = scorer.coef_.copy(), scorer.intercept_.copy()
        coef[kept], intercept[kept] = coef[[kept, gone]].mean(axis=0), intercept[[kept, gone]].mean()
        scorer.coef_, scorer.intercept_ = np.delete(coef, gone, axis=0), np.delete(intercept, gone)
        scorer.concepts_ = np.delete(scorer.concepts_, gone)
        self.reference_ = np.delete(self.reference_, gone)
        scorer.quality_ = _merged_quality(scorer.quality_, keep, absorb)
        self.scorer_, self.concept_quality_ = scorer, scorer.quality_


def revise_bank(bank: ConceptBank, edits: Sequence[Edit]) -> tuple[ConceptBank, list[Edit]]:
    """The bank after renames and merges, and the edits with ids in the place of names.

    Raises
    ------
    InputError
        If a concept is unknown.
    """
    by_id: list[Edit] = []
    for edit in edits:
        fields = {name: _id(bank, getattr(edit, name)) for name in ("concept", "keep", "absorb") if hasattr(edit, name)}
        named = copy.copy(edit)
        for name, value in fields.items():
            object.__setattr__(named, name, value)
        by_id.append(named)
        if isinstance(edit, Rename):
            bank = _renamed(bank, fields["concept"], edit.name)
        elif isinstance(edit, Merge):
            bank = _merged(bank, fields["keep"], fields["absorb"])
    return bank, by_id


def _id(bank: ConceptBank, concept: str | int) -> str:
    if isinstance(concept, int):
        if not 0 <= concept < len(bank):
            raise InputError(f"There is no concept number {concept}; the bank has {len(bank)}, from 0.")
        return bank.ids[concept]
    by_name = [c.id for c in bank if c.name.casefold() == concept.casefold()]
    return by_name[0] if concept not in bank and len(by_name) == 1 else bank[concept].id


def _renamed(bank: ConceptBank, concept_id: str, name: str) -> ConceptBank:
    old = bank[concept_id]
    wordings = tuple(dict.fromkeys(w for w in (*old.synonyms, old.name) if w != name))
    new = old.model_copy(update={"name": name, "synonyms": wordings})
    return bank.model_copy(update={"concepts": tuple(new if c.id == concept_id else c for c in bank)})


def _merged(bank: ConceptBank, keep: str, absorb: str) -> ConceptBank:
    if keep == absorb:
        raise InputError(f"{keep!r} cannot be merged with itself; name two concepts.")
    gone = bank[absorb]
    kept = bank[keep]
    wordings = tuple(dict.fromkeys((*kept.synonyms, gone.name, *gone.synonyms)))
    first = bank.subset([concept_id for concept_id in bank.ids if concept_id != absorb])
    signs = tuple(sign.model_copy(update={"concept_id": keep}) for sign in bank.prior if sign.concept_id == absorb)
    second = ConceptBank(
        concepts=(gone.model_copy(update={"id": keep}),), classes=bank.classes, modality=bank.modality, prior=signs
    )
    both = first.merge(second)
    concepts = tuple(c.model_copy(update={"synonyms": wordings}) if c.id == keep else c for c in both)
    return both.model_copy(update={"concepts": concepts, "provenance": bank.provenance})


def _merged_quality(quality: Any, keep: str, absorb: str) -> Any:
    """Certificates after a merge: that of ``keep`` measured another probe, so it is emptied."""
    table = quality.astype(object)
    if keep in table.index:
        table.loc[keep, [column for column in table if column not in ("kept", "reason")]] = np.nan
        table.loc[keep, "reason"] = _MERGED
    if absorb in table.index:
        table.loc[absorb, "kept"], table.loc[absorb, "reason"] = False, f"merged into {keep} by a reader"
    return table
