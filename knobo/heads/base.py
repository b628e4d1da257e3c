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
from knobo.heads.objective import Array, Penalty, log_probabilities, make_penalty
from knobo.heads.problem import Problem
from knobo.heads.settings import check_count, check_number, check_prior, effective_weights
from knobo.heads.solver import Solution


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
        names = getattr(
            self, "feature_names_in_", np.array([f"x{j}" for j in range(self.n_features_in_)], dtype=object)
        )
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

    def _logits(self, X: ArrayLike) -> Array:
        check_fitted(self, "coef_")
        with knobo_errors():
            A = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(A @ self.coef_.T + self.intercept_)

    def _read(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> Data:
        """Check settings and data, and set ``classes_``."""
        check_number("l1_ratio", self.l1_ratio, low=0.0, high=1.0)
        check_number("prior_strength", self.prior_strength, low=0.0)
        check_number("tol", self.tol, low=0.0, strict=True)
        check_count("max_iter", self.max_iter)
        with knobo_errors():
            A, labels = validate_data(self, X, y, dtype=(np.float64, np.float32))
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

    def _penalty(self, alpha: float) -> Penalty:
        return make_penalty(
            *self._signs(self.prior), alpha=alpha, l1_ratio=self.l1_ratio, prior_strength=self.prior_strength
        )

    def _keep(self, problem: Problem, penalty: Penalty, solution: Solution) -> None:
        """Store a solution, and warn if it is not what was asked for."""
        self.coef_, self.intercept_ = solution.W, solution.b
        self.n_iter_, self.certificate_ = solution.n_iter, solution.certificate
        if penalty.value(solution.W) == 0 and problem.separated(solution.W, solution.b):
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
