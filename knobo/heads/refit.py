"""A head fitted within bounds on its weights: what edits, resamples and calibration refit with.

Bounds are an array of shape (2, R, m), lowest and highest value of each weight, R rows as in ``coef_``. Each weight is
free (−∞, ∞), kept to one sign (0, ∞) or (−∞, 0), or fixed (v, v). A sign is kept by a slope on the forbidden side that
is steeper than any gradient of the loss, so that it holds exactly; a fixed weight becomes an offset of the logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from knobo._validation import check_fitted
from knobo.errors import InputError, InputTypeError
from knobo.heads.base import Data
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array, Penalty
from knobo.heads.path import ConceptHeadCV
from knobo.heads.problem import Problem
from knobo.heads.solver import one_blas_thread, solve

Start = tuple[Array, Array]


def no_bounds(n_rows: int, m: int) -> Array:
    """Bounds that leave every weight free."""
    return np.stack([np.full((n_rows, m), -np.inf), np.full((n_rows, m), np.inf)])


def bounds_of(head: ConceptHead) -> Array:
    """The bounds that a fitted head was edited to keep."""
    kept = getattr(head, "weight_bounds_", None)
    return no_bounds(*head.coef_.shape) if kept is None else np.array(kept)


def plain_head(head: Any) -> ConceptHead:
    """The fitted :class:`ConceptHead` of a head; of :class:`ConceptHeadCV` the one with the chosen ``alpha``."""
    if not isinstance(head, ConceptHead | ConceptHeadCV):
        raise InputTypeError(f"This needs a fitted ConceptHead or ConceptHeadCV, got {type(head).__name__}.")
    check_fitted(head, "coef_")
    return head.to_head() if isinstance(head, ConceptHeadCV) else head


def with_state(head: ConceptHead, **changes: Any) -> ConceptHead:
    """A copy of a fitted head with some attributes changed; the head itself stays as it is."""
    fresh: ConceptHead = clone(head)
    for name, value in {**fitted_state(head), **changes}.items():
        setattr(fresh, name, value)
    return fresh


def fitted_state(head: ConceptHead) -> Mapping[str, Any]:
    """Names and values of what ``fit`` and later changes have set."""
    return {name: value for name, value in vars(head).items() if name.endswith("_") and not name.startswith("_")}


def as_fitted(head: ConceptHead) -> ConceptHead:
    """The head without the temperature and the prevalence that it was given after its fit."""
    temperature, shift = getattr(head, "temperature_", 1.0), getattr(head, "prevalence_shift_", 0.0)
    fresh = with_state(head, coef_=head.coef_ * temperature, intercept_=(head.intercept_ - shift) * temperature)
    for name in {"temperature_", "prevalence_", "prevalence_shift_"} & set(vars(fresh)):
        delattr(fresh, name)
    return fresh


def fit_within(
    head: ConceptHead, X: ArrayLike, y: ArrayLike, bounds: Array, sample_weight: ArrayLike | None, start: Start
) -> ConceptHead:
    """Fit ``head`` (which is changed) within ``bounds``, beginning at ``start``."""
    data = head._read(X, y, sample_weight)
    if not is_separable(head):
        if np.isfinite(bounds).any():
            raise InputError(
                "Weights can be bounded where the penalty acts on each by itself: with prior 'sign', 'hard', 'shrink' "
                "or None, without concept_groups and max_concepts_per_class. Fit such a head to edit it."
            )
        return head.fit(X, y, sample_weight=sample_weight)
    problem, penalty, fixed = bounded_problem(head, data, bounds)
    with one_blas_thread():
        solution = solve(problem, penalty, tol=head.tol, max_iter=head.max_iter, start=_inside(start, bounds, fixed))
    head._keep(problem, penalty, solution)
    head.coef_ = head.coef_ + fixed
    return head


def is_separable(head: ConceptHead) -> bool:
    """True where the penalty is a sum over single weights; ``head`` has read data."""
    limited = getattr(head, "max_concepts_per_class", None) is not None
    return not limited and isinstance(head._penalty(float(head.alpha)), Penalty)


def solve_within(head: ConceptHead, data: Data, bounds: Array, start: Start, tol: float) -> tuple[Array, Array]:
    """Weights (R, m) and intercepts (R,) within ``bounds`` on checked data; for many quick fits in a row."""
    problem, penalty, fixed = bounded_problem(head, data, bounds)
    solution = solve(problem, penalty, tol=tol, max_iter=head.max_iter, start=_inside(start, bounds, fixed))
    return solution.W + fixed, solution.b


def bounded_problem(head: ConceptHead, data: Data, bounds: Array) -> tuple[Problem, Penalty, Array]:
    """Data with the fixed weights as offset, the penalty that keeps the bounds, and the fixed weights (R, m)."""
    low, high = bounds
    fixed = np.where(low == high, low, 0.0)
    problem = Problem(
        *data,
        n_classes=len(head.classes_),
        intercept=bool(head.fit_intercept),
        offset=data.A @ fixed.T if fixed.any() else None,
    )
    penalty = head._penalty(float(head.alpha))
    assert isinstance(penalty, Penalty)  # callers ask is_separable first
    return problem, _forbid(penalty, bounds, np.abs(data.A).max(axis=0)), fixed


def _forbid(penalty: Penalty, bounds: Array, largest: Array) -> Penalty:
    """The penalty with a slope that no gradient reaches on each forbidden side of zero.

    No gradient of the mean loss by a weight is above the largest activation.
    """
    low, high = bounds
    steep = 10.0 * np.where(largest > 0, largest, 1.0)
    fixed = low == high
    up: NDArray[np.float64] = np.where(fixed | (high == 0), penalty.up + steep, penalty.up)
    down: NDArray[np.float64] = np.where(fixed | (low == 0), penalty.down + steep, penalty.down)
    return Penalty(up, down, penalty.ridge)


def _inside(start: Start, bounds: Array, fixed: Array) -> Start:
    low, high = bounds
    return np.clip(start[0], low, high) - fixed, start[1]
