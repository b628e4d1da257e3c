"""The smallest change of the findings with which the classifier would say something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp, minimize

from knobo.errors import InputError
from knobo.explain._checks import check_concepts
from knobo.explain.style import chance, readable

if TYPE_CHECKING:
    from knobo.explain.explanation import Explanation

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """Findings that would have led to another decision, for n cases.

    Attributes
    ----------
    before, after : Explanation
        As it is, and with the changed activations; a case that cannot be flipped is left as it is.
    target : ndarray of shape (n,)
        The class that each case was to become; of a case that no class can be reached from, the present one.
    reached : ndarray of bool of shape (n,)
    distance : ndarray of shape (n,)
        L1 or L2 norm of the change; infinite where the target cannot be reached.
    exact : bool
        Whether no smaller change exists (to the solver's tolerance); False only for L2 with ``max_concepts``.
    """

    before: Explanation
    after: Explanation
    target: NDArray[Any]
    reached: NDArray[np.bool_]
    distance: Array
    exact: bool

    def to_frame(self) -> pd.DataFrame:
        """Return one row a case and changed concept: case, target, concept, name, before, after, change."""
        change = self.after.activations - self.before.activations
        rows = [
            {
                "case": self.before.cases[i],
                "target": self.target[i],
                "concept": self.before.bank.ids[j],
                "name": self.before.bank.concepts[j].name,
                "before": self.before.activations[i, j],
                "after": self.after.activations[i, j],
                "change": change[i, j],
            }
            for i in range(len(change))
            for j in np.argsort(-np.abs(change[i]), kind="stable").tolist()
            if change[i, j]
        ]
        return pd.DataFrame(rows, columns=["case", "target", "concept", "name", "before", "after", "change"])

    def sentences(self) -> list[str]:
        """Say in plain words what would have to be different, one sentence a case."""
        return [self._sentence(i) for i in range(len(self.target))]

    def _sentence(self, i: int) -> str:
        wanted = readable(self.target[i])
        one, other = self.before, self.after
        change = other.activations[i] - one.activations[i]
        if not self.reached[i]:
            return f"No change of these findings would make it {wanted}."
        if not change.any():
            return f"It is {wanted} as it is."
        parts = [
            f"{one.bank.concepts[j].name} {one.activations[i, j]:.2f} → {other.activations[i, j]:.2f}"
            for j in np.argsort(-np.abs(change), kind="stable")
            if change[j]
        ]
        probability = other.probabilities[i, other.class_index(self.target[i])]
        return f"It would be {wanted} ({chance(probability)}) with {', '.join(parts)}."


class _Problem(NamedTuple):
    """Find a small d with ``gains @ d >= lead`` that moves ``start`` (m,) to somewhere in [0, 1]."""

    gains: Array
    lead: Array
    start: Array


def counterfactual(
    why: Explanation,
    target: Any = None,
    *,
    norm: Literal["l1", "l2"] = "l1",
    concepts: Sequence[str] | None = None,
    max_concepts: int | None = None,
    margin: float = 1e-6,
) -> Counterfactual:
    """Find the smallest change of activations that flips each decision; see :meth:`Explanation.counterfactual`."""
    if norm not in ("l1", "l2"):
        raise InputError(f"norm must be 'l1' or 'l2', got {norm!r}.")
    if max_concepts is not None and max_concepts < 1:
        raise InputError(f"max_concepts is {max_concepts}; allow at least 1 concept to change.")
    if not 0 < margin < np.inf:
        raise InputError(f"margin must be a positive number of logits, got {margin!r}.")
    columns = np.arange(len(why.bank)) if concepts is None else np.array(check_concepts(concepts, why.bank.ids))
    wanted = None if target is None else why.class_index(target)
    A, chosen = why.activations.copy(), why.logits.argmax(axis=1)
    distance = np.full(len(why), np.inf)
    for i, now in enumerate(chosen.tolist()):
        goals = [k for k in range(len(why.classes)) if k != now] if wanted is None else [wanted]
        changes = {k: _smallest(_problem(why, i, k, columns, margin), norm, max_concepts) for k in goals if k != now}
        lengths = {k: 0.0 if k == now else _length(changes[k], norm) for k in goals}
        best = min(goals, key=lambda k: lengths[k])
        distance[i] = lengths[best]
        chosen[i] = best if wanted is not None or np.isfinite(distance[i]) else now
        change = changes.get(best)
        if change is not None:
            A[i, columns] = np.clip(A[i, columns] + change, 0, 1)
    return Counterfactual(
        before=why,
        after=replace(why, activations=A),
        target=why.classes[chosen],
        reached=np.isfinite(distance),
        distance=distance,
        exact=norm == "l1" or max_concepts is None,
    )


def _problem(why: Explanation, i: int, k: int, columns: NDArray[np.intp], margin: float) -> _Problem:
    """Class ``k`` must lead every other class by ``margin``."""
    others = [other for other in range(len(why.classes)) if other != k]
    leads = margin - (why.logits[i, k] - why.logits[i, others])
    return _Problem((why.weights[k] - why.weights[others])[:, columns], leads, why.activations[i, columns])


def _smallest(problem: _Problem, norm: str, max_concepts: int | None) -> Array | None:
    """The change (m,), or None where there is none."""
    change = _smallest_l1(problem, max_concepts)
    if change is None or norm == "l1":
        return change
    free = np.arange(len(change)) if max_concepts is None else np.flatnonzero(change)
    return _smallest_l2(problem, change, free)


def _smallest_l1(problem: _Problem, max_concepts: int | None) -> Array | None:
    """Linear program in the ways up and down; a limit on the concepts adds one switch a concept (branch and cut)."""
    gains, lead, start = problem
    m = len(start)
    room = np.concatenate([1 - start, start])
    cost, upper, whole = np.ones(2 * m), room, np.zeros(2 * m)
    limits = [LinearConstraint(np.hstack([gains, -gains]), lb=lead)]
    if max_concepts is not None:
        switches = np.vstack([-np.diag(room[:m]), -np.diag(room[m:])])
        limits = [
            LinearConstraint(np.hstack([gains, -gains, np.zeros_like(gains)]), lb=lead),
            LinearConstraint(np.hstack([np.eye(2 * m), switches]), ub=0),  # no way up or down with the switch off
            LinearConstraint(np.concatenate([np.zeros(2 * m), np.ones(m)])[None], ub=max_concepts),
        ]
        cost, upper = np.concatenate([cost, np.zeros(m)]), np.concatenate([upper, np.ones(m)])
        whole = np.concatenate([whole, np.ones(m)])
    found = milp(cost, constraints=limits, bounds=Bounds(0, upper), integrality=whole, options={"mip_rel_gap": 0.0})
    if found.x is None:
        return None
    change = found.x[:m] - found.x[m : 2 * m]
    return np.where(np.abs(change) > 1e-9, change, 0.0)


def _smallest_l2(problem: _Problem, change: Array, free: NDArray[np.intp]) -> Array:
    """Convex quadratic program in the free concepts, from a change that is allowed."""
    gains, start = problem.gains[:, free], problem.start[free]
    found = minimize(
        lambda d: 0.5 * d @ d,
        change[free],
        jac=lambda d: d,
        method="SLSQP",
        bounds=Bounds(-start, 1 - start),
        constraints={"type": "ineq", "fun": lambda d: gains @ d - problem.lead, "jac": lambda d: gains},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    best = change.copy()
    if (gains @ found.x >= problem.lead - 1e-7).all():
        best[free] = np.where(np.abs(found.x) > 1e-9, found.x, 0.0)
    return best


def _length(change: Array | None, norm: str) -> float:
    if change is None:
        return np.inf
    return float(np.abs(change).sum() if norm == "l1" else np.linalg.norm(change))
