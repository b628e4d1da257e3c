"""What all heads share: reading the data, keeping the solution, predicting, and comparing with the literature."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from knobo._validation import check_fitted, knobo_errors, show
from knobo.errors import InputError
from knobo.heads.fitting import AnyPenalty
from knobo.heads.groups import make_group_penalty
from knobo.heads.objective import Array, Penalty, log_probabilities, make_penalty
from knobo.heads.problem import Problem
from knobo.heads.settings import (
    check_concept_groups,
    check_count,
    check_number,
    check_prior,
    check_prior_name,
    effective_weights,
)
from knobo.heads.solver import Solution
from knobo.heads.tanh import TanhPenalty, make_tanh_penalty


class Data(NamedTuple):
    """Checked data: activations (n, m), class codes (n,), and weights (n,) that include those of the classes."""

    A: Array
    codes: NDArray[np.intp]
    weights: Array

    def take(self, rows: NDArray[np.intp]) -> Data:
        """The data of some samples."""
        return Data(self.A[rows], self.codes[rows], self.weights[rows])


class LinearHead(ClassifierMixin, BaseEstimator):
    """Base of :class:`ConceptHead` and :class:`ConceptHeadCV`; they add the parameters and how α is found."""

    l1_ratio: float
    prior: str | None
    prior_signs: ArrayLike | None
    prior_confidence: ArrayLike | None
    prior_strength: float
    concept_groups: ArrayLike | None
    max_concepts_per_class: int | None
    fit_intercept: bool
    class_weight: Mapping[Any, float] | str | None
    tol: float
    max_iter: int

    def decision_function(self, X: ArrayLike) -> Array:
        """Logits.

        Parameters
        ----------
        X : array-like of shape (n, m)
            Concept activations.

        Returns
        -------
        ndarray of shape (n,) for two classes (log-odds of ``classes_[1]``), else (n, K)
        """
        logits = self._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Log class probabilities, shape (n, K), in the order of ``classes_``."""
        return log_probabilities(self._logits(X))

    def predict_proba(self, X: ArrayLike) -> Array:
        """Class probabilities, shape (n, K), in the order of ``classes_``."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each sample, shape (n,)."""
        best = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[best]

    def prior_conflicts(self) -> pd.DataFrame:
        """Weights whose sign contradicts ``prior_signs``, largest first; also where ``prior=None`` fitted without them.

        Returns
        -------
        DataFrame
            Columns ``class``, ``concept`` (the name of the input column, else x0, x1, …), ``prior_sign``,
            ``confidence`` and ``weight``. For two classes the sign and the weight are those of ``classes_[1]``.
        """
        check_fitted(self, "coef_")
        signs, confidence = self._signs("sign")
        row, column = np.nonzero(signs * self.coef_ < 0)
        names = concept_names(self)
        frame = pd.DataFrame(
            {
                "class": self.classes_[-len(self.coef_) :][row],
                "concept": names[column],
                "prior_sign": signs[row, column].astype(int),
                "confidence": confidence[row, column],
                "weight": self.coef_[row, column],
            }
        )
        return frame.sort_values("weight", key=np.abs, ascending=False, kind="stable", ignore_index=True)

    def weights_frame(self) -> pd.DataFrame:
        """``coef_`` as a table: one row a class (the second one only, where there are two), one column a concept."""
        check_fitted(self, "coef_")
        rows = pd.Index(self.classes_[-len(self.coef_) :], name="class")
        return pd.DataFrame(self.coef_, index=rows, columns=pd.Index(concept_names(self), name="concept"))

    def _logits(self, X: ArrayLike) -> Array:
        check_fitted(self, "coef_")
        with knobo_errors():
            A = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(A @ self.coef_.T + self.intercept_)

    def _read(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> Data:
        """Check settings and data, and set ``classes_``."""
        check_settings(self)
        with knobo_errors():
            A, labels = validate_data(self, X, y, dtype=np.float64)
            check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"y holds one class only ({show(self.classes_[0])}); a classifier needs at least two classes."
            )
        return Data(A, codes, effective_weights(sample_weight, self.class_weight, self.classes_, codes))

    def _problem(self, data: Data) -> Problem:
        return Problem(*data, n_classes=len(self.classes_), intercept=bool(self.fit_intercept))

    def _signs(self, prior: str | None) -> tuple[Array, Array]:
        """Signs and confidences of the rows of weights; zeros where ``prior`` is None."""
        return check_prior(prior, self.prior_signs, self.prior_confidence, len(self.classes_), self.n_features_in_)

    def _penalty(self, alpha: float) -> AnyPenalty:
        signs, confidence = self._signs(self.prior)
        groups = check_concept_groups(self.concept_groups, self.n_features_in_)
        return head_penalty(self, signs, confidence, groups, alpha)

    def _keep(self, problem: Problem, penalty: AnyPenalty, solution: Solution) -> None:
        """Store a solution, and warn if it is not what was asked for."""
        self.coef_, self.intercept_ = solution.W, solution.b
        self.n_iter_, self.certificate_ = solution.n_iter, solution.certificate
        limit = penalty.net if isinstance(penalty, TanhPenalty) else penalty  # tanh saturates
        if limit.value(solution.W) == 0 and problem.separated(solution.W, solution.b):
            warnings.warn(
                "The classes are separated without error and no penalty limits the weights, so there is no finite "
                f"optimum; these weights are where the KKT residual reached {self.certificate_.kkt_residual:.1e}. "
                "Set alpha above 0.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif not self.certificate_.converged:
            warnings.warn(
                f"Stopped after {solution.n_iter} iterations at a KKT residual of {self.certificate_.kkt_residual:.1e} "
                f"(tol={self.tol:g}) and a duality gap of {self.certificate_.duality_gap:.1e}. "
                "Raise max_iter, tol or alpha.",
                ConvergenceWarning,
                stacklevel=3,
            )


def check_settings(head: Any) -> None:
    """Check the parameters that all heads share, each by itself and with the others."""
    check_number("l1_ratio", head.l1_ratio, low=0.0, high=1.0)
    check_number("prior_strength", head.prior_strength, low=0.0)
    check_number("tol", head.tol, low=0.0, strict=True)
    check_count("max_iter", head.max_iter)
    check_prior_name(head.prior)
    grouped, most = head.concept_groups is not None, head.max_concepts_per_class
    if grouped and head.prior in ("shrink", "tanh"):
        raise InputError(
            f"concept_groups take the place of the L1 norm, which prior={head.prior!r} needs single weights of; "
            "use prior='sign', 'hard' or None with them."
        )
    if most is None:
        return
    check_count("max_concepts_per_class", most)
    if grouped or head.prior == "tanh":
        other = "concept_groups" if grouped else "prior='tanh'"
        raise InputError(f"max_concepts_per_class follows a path of single weights, which {other} does not have.")
    if head.l1_ratio == 0:
        raise InputError("max_concepts_per_class follows the path of the L1 norm; set l1_ratio above 0.")


def head_penalty(
    head: Any, signs: Array, confidence: Array, groups: NDArray[np.intp] | None, alpha: float
) -> AnyPenalty:
    """The penalty that a head's parameters ask for."""
    tanh = head.prior == "tanh"
    penalty = make_penalty(
        signs,
        confidence,
        alpha=alpha,
        l1_ratio=head.l1_ratio,
        prior_strength=0.0 if tanh else head.prior_strength,
        prior=head.prior if head.prior in ("hard", "shrink") else "sign",
    )
    if tanh:
        return make_tanh_penalty(penalty, signs, confidence, head.prior_strength)
    if groups is None:
        return penalty
    lasso = alpha * head.l1_ratio
    slopes = Penalty(penalty.up - lasso, penalty.down - lasso, penalty.ridge)
    return make_group_penalty(slopes, groups, lasso)


def concept_names(head: Any) -> NDArray[Any]:
    """Names of the input columns, else x0, x1, …, shape (m,)."""
    names: NDArray[Any] = np.array([f"x{j}" for j in range(head.n_features_in_)], dtype=object)
    return getattr(head, "feature_names_in_", names)


def class_weights(head: LinearHead) -> tuple[Array, Array]:
    """Weights and intercept of each class's own logit, for explanations.

    Parameters
    ----------
    head : fitted ConceptHead or ConceptHeadCV

    Returns
    -------
    W : ndarray of shape (K, m)
        For two classes the rows are (−w, w): row k is the log-odds of class k against the other one, and the row of
        ``classes_[1]`` gives ``decision_function``.
    b : ndarray of shape (K,)
    """
    check_fitted(head, "coef_")
    if len(head.coef_) == 1:
        return np.vstack([-head.coef_, head.coef_]), np.concatenate([-head.intercept_, head.intercept_])
    return head.coef_.copy(), head.intercept_.copy()
