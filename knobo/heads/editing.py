"""Edits of a fitted head by a reader: the head is refitted around them, and every change is written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.base import clone

from knobo.errors import InputError, InputTypeError
from knobo.heads.base import class_weights
from knobo.heads.comparing import compare_heads
from knobo.heads.edits import Edit, Merge, Rename, log_entry
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array
from knobo.heads.plan import Names, Plan
from knobo.heads.refit import as_fitted, fit_within, plain_head

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
    finder = Names(known)
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


def _entry(
    before: ConceptHead, after: ConceptHead, plan: Plan, edits: list[Edit], n: int, held_out: bool, table: pd.DataFrame
) -> dict[str, Any]:
    old, new = class_weights(before)[0], class_weights(after)[0]
    first = Names(plan.first_names)
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
