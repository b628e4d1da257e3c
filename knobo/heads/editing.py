"""Edits of a fitted head by a reader: the head is refitted around them, and every change is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import clone

from knobo._validation import show
from knobo.errors import InputError, InputTypeError
from knobo.heads._checks import column_names
from knobo.heads.base import class_weights
from knobo.heads.comparing import compare_heads
from knobo.heads.edits import Concept, Edit, ForceSign, Merge, Pin, Release, Rename, Veto, log_entry
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array
from knobo.heads.refit import as_fitted, bounds_of, fit_within, plain_head

_NEAREST = 1e-6  # activations of exactly 0 or 1 have no log-odds


def edit_head(
    head: Any,
    X: ArrayLike,
    y: ArrayLike,
    edits: Sequence[Edit],
    *,
    names: Sequence[str] | None = None,
    sample_weight: ArrayLike | None = None,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 200,
    random_state: int | None = 0,
) -> ConceptHead:
    """Apply a reader's edits: refit the head around them, and add them to its change log.

    Edits are taken in order, a later one overrides an earlier one of the same weight, and those of an earlier call
    stay in force until a :class:`Release`. The refit begins at the head's weights and keeps its ``alpha``. With no
    edits at all it refits to other data and keeps what was edited before.

    Parameters
    ----------
    head : fitted ConceptHead or ConceptHeadCV
        Not changed.
    X : array-like of shape (n, m)
        Activations to refit to, as the head takes them now.
    y : array-like of shape (n,)
        Class labels.
    edits : sequence of Edit
        :class:`Veto`, :class:`ForceSign`, :class:`Pin`, :class:`Release`, :class:`Rename`, :class:`Merge`.
    names : sequence of length m, optional
        Names of the concepts; default: the columns that the head was fitted to, else x0, x1, …
    sample_weight : array-like of shape (n,), optional
        Non-negative.
    test : tuple of activations and labels, optional
        Samples that the head was not fitted to, to compare on; else it is compared on X and y.
    groups : array-like, optional
        Patient of each sample that is compared on, for the intervals.
    n_bootstrap : int
        Resamples of the comparison; 0 for none.
    random_state : int or None

    Returns
    -------
    ConceptHead
        A new head. Its ``change_log_`` is that of ``head`` with one more entry: a dict that JSON can hold, with
        ``when``, the ``edits`` with the weights ``before`` and ``after``, ``n_samples``, ``compared_on``, the table
        of :func:`compare_heads` (see :func:`change_table`) as ``comparison``, and ``dropped``: a temperature or a
        prevalence that the refit undid. ``weight_bounds_``, shape (2, R, m), are the bounds that it keeps.
        After a :class:`Merge` it takes the columns that :func:`merge_columns` gives.

    Raises
    ------
    InputError
        If a concept or class is unknown, or an edit cannot be applied.
    """
    before = plain_head(head)
    start = as_fitted(before)
    edits = check_edits(edits)
    plan = Plan.of(start, names)
    for edit in edits:
        plan.apply(edit)
    fresh: ConceptHead = clone(start)
    if start.prior_signs is not None:
        fresh.set_params(prior_signs=plan.signs, prior_confidence=plan.confidence)
    merged = merge_columns(X, edits, names=plan.first_names)
    fit_within(fresh, merged, y, plan.bounds, sample_weight, (plan.start, start.intercept_))
    if not np.array_equal(fresh.classes_, start.classes_):
        raise InputError("y does not hold the classes that the head was fitted to; refit needs samples of each.")
    if hasattr(start, "feature_names_in_"):
        fresh.feature_names_in_ = np.asarray(plan.names, dtype=object)
    fresh.weight_bounds_ = plan.bounds
    fresh.change_log_ = [*getattr(before, "change_log_", [])]
    if edits:
        X_test, y_test = (X, y) if test is None else test
        X_after = merged if test is None else merge_columns(X_test, edits, names=plan.first_names)
        table = compare_heads(
            before,
            fresh,
            X_test,
            y_test,
            X_after=X_after,
            groups=groups,
            n_bootstrap=n_bootstrap,
            random_state=random_state,
        )
        fresh.change_log_.append(_entry(before, fresh, plan, edits, len(np.asarray(y)), test is not None, table))
    return fresh


def merge_columns(X: Any, edits: Sequence[Edit], *, names: Sequence[str] | None = None) -> Any:
    """Activations for a head after its :class:`Merge` edits: the mean of both log-odds, and one column less.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, m)
        Activations in [0, 1] for the head before the edits.
    edits : sequence of Edit
        Other edits than merges and renames change nothing.
    names : sequence of length m, optional
        Names of the columns where X has none.

    Returns
    -------
    ndarray or DataFrame of shape (n, m − number of merges)
    """
    if not any(isinstance(edit, Merge | Rename) for edit in edits):
        return X
    table = isinstance(X, pd.DataFrame)
    A = np.array(X, dtype=np.float64)
    known = list(X.columns) if table else list(names if names is not None else [f"x{j}" for j in range(A.shape[1])])
    finder = _Names(known)
    for edit in edits:
        if isinstance(edit, Merge):
            kept, gone = finder.find(edit.keep), finder.find(edit.absorb)
            finder.merge(kept, gone)
            A[:, kept] = pool(A[:, [kept, gone]])
            A = np.delete(A, gone, axis=1)
        elif isinstance(edit, Rename):
            finder.rename(finder.find(edit.concept), edit.name)
    return pd.DataFrame(A, index=X.index, columns=finder.names) if table else A


def pool(activations: Array) -> Array:
    """One activation of several: that of the mean of their log-odds; shape (n, k) to (n,)."""
    if activations.size and not (activations.min() >= 0 and activations.max() <= 1):
        raise InputError("Only activations in [0, 1] can be merged, these go beyond; merge before scoring.")
    return np.asarray(expit(logit(activations.clip(_NEAREST, 1 - _NEAREST)).mean(axis=1)))


def change_table(entry: dict[str, Any]) -> pd.DataFrame:
    """The before/after table of one entry of a change log, as :func:`compare_heads` gave it."""
    frame = pd.DataFrame(entry.get("comparison") or [], columns=None)
    return frame.set_index("metric").astype(np.float64) if len(frame) else frame


def check_edits(edits: Any) -> list[Edit]:
    """The edits as a list; an error where something else is among them."""
    found = [edits] if isinstance(edits, Edit) else list(edits)
    for edit in found:
        if not isinstance(edit, Edit):
            raise InputTypeError(f"edits must be Veto, ForceSign, Pin, Release, Rename or Merge, got {edit!r}.")
    return found


class _Names:
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
            hint = f" Did you mean {', '.join(map(repr, close))}?" if close else " See coef_frame(head) for the names."
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
    finder: _Names
    classes: NDArray[Any]
    bounds: Array
    start: Array
    signs: Array
    confidence: Array

    @classmethod
    def of(cls, head: ConceptHead, names: Sequence[str] | None) -> Plan:
        """Begin at a fitted head without a temperature."""
        known = list(column_names(head) if names is None else names)
        if len(known) != head.coef_.shape[1] or len(set(known)) < len(known):
            raise InputError(f"names must be {head.coef_.shape[1]} different names, one a concept; got {len(known)}.")
        signs, confidence = head._signs("sign")
        parts = bounds_of(head), head.coef_.copy(), signs.copy(), confidence.copy()
        return cls(known, _Names(known), head.classes_, *parts)

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


def _entry(
    before: ConceptHead, after: ConceptHead, plan: Plan, edits: list[Edit], n: int, held_out: bool, table: pd.DataFrame
) -> dict[str, Any]:
    old, new = class_weights(before)[0], class_weights(after)[0]
    first = _Names(plan.first_names)
    records = []
    for edit in edits:
        record = edit.to_dict()
        if not isinstance(edit, Rename | Merge):
            concept = getattr(edit, "concept")  # noqa: B009
            chosen = getattr(edit, "class_name", None)
            codes = range(len(plan.classes)) if chosen is None else [plan.class_code(chosen)]
            labels = [str(plan.classes[k]) for k in codes]
            column = plan.finder.find(concept)
            if isinstance(concept, int | np.integer) or concept in first.names:
                own = first.find(concept)
                record["before"] = dict(zip(labels, (float(old[k, own]) for k in codes), strict=True))
            record["after"] = dict(zip(labels, (float(new[k, column]) for k in codes), strict=True))
        records.append(record)
    plain = table.astype(object).where(table.notna(), None).reset_index()
    undone = [name for name in ("temperature_", "prevalence_") if hasattr(before, name)]
    dropped = {name[:-1]: np.asarray(getattr(before, name)).tolist() for name in undone}
    return log_entry(
        records,
        n_samples=n,
        compared_on="held-out data" if held_out else "the data of the refit",
        comparison=plain.to_dict(orient="records"),
        **({"dropped": dropped} if dropped else {}),
    )
