"""A concept head plus what the embedding knows beyond the concepts, and how much of each decision that is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from knobo._validation import check_fitted, knobo_errors
from knobo.errors import InputError
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array, log_loss, log_probabilities, loss_derivative
from knobo.heads.path import ConceptHeadCV
from knobo.heads.settings import check_count, check_number, effective_weights
from knobo.heads.solver import Certificate, one_blas_thread

_STEPS = 100  # L-BFGS steps that count as one iteration


class HybridHead(ClassifierMixin, BaseEstimator):
    """A concept head, then a ridge-penalised residual on the embedding, fitted to what the concepts leave unexplained.

    The concept head is fitted first and stays as it is. The residual V minimises

        mean_i s_i CE(softmax(W a_i + b + V e_i), y_i) + residual_alpha/2 ‖V‖²

    where e is the embedding less its mean over the samples of ``fit``, divided by the root mean square of its norm.
    So the logits are an intercept, one contribution a concept and one residual, which is zero on average:
    explanations stay sums. :meth:`residual_share` says how much of the decisions the concepts do not answer for.

    Parameters
    ----------
    n_concepts : int
        How many of the first columns of X are concept activations; the other ones are the embedding.
    head : ConceptHead or ConceptHeadCV, optional
        Default ``ConceptHead()``.
    residual_alpha : float
        Strength of the residual's ridge penalty, above 0. The larger, the less passes by the concepts.
    tol : float
        Largest gradient of the residual's objective.
    max_iter : int
        Hundreds of L-BFGS steps.

    Attributes
    ----------
    head_ : ConceptHead or ConceptHeadCV
    coef_, intercept_ :
        Those of ``head_``.
    residual_coef_ : ndarray of shape (K, d), or (1, d) for two classes
        V, for embeddings as they are given, less ``embedding_mean_``.
    embedding_mean_ : ndarray of shape (d,)
    residual_share_ : Series
        :meth:`residual_share` of the samples of ``fit``.
    certificate_ : Certificate
        Of the residual's fit.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (m + d,)
        Only where X was a table with column names.
    n_iter_ : int

    References
    ----------
    Yuksekgonul, Wang & Zou, *Post-hoc Concept Bottleneck Models*, ICLR 2023, arXiv:2205.15480 (PCBM-h, whose residual
    is fitted after the concept weights, too).

    Examples
    --------
    >>> import numpy as np
    >>> from knobo.heads import HybridHead
    >>> rng = np.random.default_rng(0)
    >>> activations, embedding = rng.random((200, 3)), rng.normal(size=(200, 5))
    >>> y = activations[:, 0] + 0.1 * embedding[:, 0] > 0.5
    >>> hybrid = HybridHead(n_concepts=3).fit(np.hstack([activations, embedding]), y)
    >>> list(hybrid.residual_share_.index)
    ['decisions_changed', 'logit_variance']
    """

    def __init__(
        self,
        n_concepts: int,
        *,
        head: ConceptHead | ConceptHeadCV | None = None,
        residual_alpha: float = 0.01,
        tol: float = 1e-6,
        max_iter: int = 100,
    ) -> None:
        self.n_concepts = n_concepts
        self.head = head
        self.residual_alpha = residual_alpha
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> HybridHead:
        """Fit the concept head, then the residual.

        Parameters
        ----------
        X : array-like of shape (n, m + d)
            Concept activations, then the embedding.
        y : array-like of shape (n,)
            Class labels.
        sample_weight : array-like of shape (n,), optional
            Non-negative.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a parameter or the data cannot be used.

        Warns
        -----
        ConvergenceWarning
            If the residual's gradient is still above ``tol``.
        """
        n_concepts = check_count("n_concepts", self.n_concepts)
        alpha = check_number("residual_alpha", self.residual_alpha, low=0.0, strict=True)
        check_number("tol", self.tol, low=0.0, strict=True)
        check_count("max_iter", self.max_iter)
        with knobo_errors():
            table, labels = validate_data(self, X, y, dtype=np.float64)
            check_classification_targets(labels)
        if n_concepts > table.shape[1]:
            raise InputError(f"n_concepts is {n_concepts}, but X has {table.shape[1]} feature(s) only.")
        names = getattr(self, "feature_names_in_", None)
        A, E = table[:, :n_concepts], table[:, n_concepts:]
        head = ConceptHead() if self.head is None else clone(self.head)
        activations = A if names is None else pd.DataFrame(A, columns=names[:n_concepts])
        self.head_ = head.fit(activations, labels, sample_weight=sample_weight)
        self.classes_ = self.head_.classes_
        codes = np.searchsorted(self.classes_, labels)
        weights = effective_weights(sample_weight, self.head_.class_weight, self.classes_, codes)
        s = weights / weights.sum()
        self.embedding_mean_ = s @ E
        centred = E - self.embedding_mean_
        scale = float(np.sqrt(s @ (centred**2).sum(axis=1))) or 1.0
        with one_blas_thread():
            V = self._fit_residual(centred / scale, self._concept_logits(A), codes, s, alpha)
        self.residual_coef_ = V / scale
        self.residual_share_ = self.residual_share(table if names is None else pd.DataFrame(table, columns=names))
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Logits, shape (n, K), or (n,) for two classes (log-odds of ``classes_[1]``)."""
        concepts, residual = self._parts(X)
        logits = concepts + residual
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Log class probabilities, shape (n, K)."""
        concepts, residual = self._parts(X)
        return log_probabilities(concepts + residual)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Class probabilities, shape (n, K)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each sample, shape (n,)."""
        best = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[best]

    def split_logits(self, X: ArrayLike) -> tuple[Array, Array]:
        """The two parts of each class's logit, for explanations.

        Returns
        -------
        concepts, residual : ndarray of shape (n, K)
            Intercept and concepts, and the embedding's residual. For two classes the columns are (−z, z) of the
            log-odds z, as in :func:`class_weights`.
        """
        concepts, residual = self._parts(X)
        if concepts.shape[1] > 1:
            return concepts, residual
        return np.hstack([-concepts, concepts]), np.hstack([-residual, residual])

    def residual_share(self, X: ArrayLike) -> pd.Series:
        """How much of the decisions passes by the concepts.

        Parameters
        ----------
        X : array-like of shape (n, m + d)

        Returns
        -------
        Series
            ``decisions_changed``, the share of samples whose class the residual changes; ``logit_variance``, the
            variance of the residual over the sum of it and that of the concepts' part, both added up over logits
            that sum to zero in each sample.
        """
        parts = self._parts(X)
        concepts, residual = parts
        before = log_probabilities(concepts).argmax(axis=1)
        after = log_probabilities(concepts + residual).argmax(axis=1)
        free = [part - part.mean(axis=1, keepdims=True) if part.shape[1] > 1 else part for part in parts]
        by_concepts, beside = (float(part.var(axis=0).sum()) for part in free)
        total = by_concepts + beside
        return pd.Series(
            {
                "decisions_changed": float((before != after).mean()),
                "logit_variance": beside / total if total > 0 else 0.0,
            }
        )

    @property
    def coef_(self) -> Array:
        """Weights of the concepts, those of ``head_``."""
        check_fitted(self, "head_")
        return self.head_.coef_

    @property
    def intercept_(self) -> Array:
        """Intercepts, those of ``head_``."""
        check_fitted(self, "head_")
        return self.head_.intercept_

    def _parts(self, X: ArrayLike) -> tuple[Array, Array]:
        """Logits of the concepts and of the residual, in the rows of the weights."""
        check_fitted(self, "residual_coef_")
        with knobo_errors():
            table = validate_data(self, X, reset=False, dtype=np.float64)
        A, E = table[:, : self.n_concepts], table[:, self.n_concepts :]
        return self._concept_logits(A), (E - self.embedding_mean_) @ self.residual_coef_.T

    def _concept_logits(self, A: Array) -> Array:
        return np.asarray(A @ self.head_.coef_.T + self.head_.intercept_)

    def _fit_residual(self, E: Array, offset: Array, codes: NDArray[np.intp], s: Array, alpha: float) -> Array:
        """Weights of the standardised embedding, shape (R, d)."""
        shape = offset.shape[1], E.shape[1]

        def objective(v: Array) -> tuple[float, Array]:
            V = v.reshape(shape)
            log_p = log_probabilities(offset + E @ V.T)
            gradient = loss_derivative(log_p, codes, s).T @ E + alpha * V
            return log_loss(log_p, codes, s) + 0.5 * alpha * float(v @ v), gradient.ravel()

        steps = _STEPS * self.max_iter
        options = {"maxiter": steps, "maxfun": 2 * steps, "gtol": self.tol, "ftol": 0.0}
        begin = np.zeros(shape[0] * shape[1])
        found = minimize(objective, begin, jac=True, method="L-BFGS-B", options=options) if begin.size else None
        v = begin if found is None else found.x
        value, gradient = objective(v)
        worst = float(np.abs(gradient).max(initial=0.0))
        # The objective is strongly convex with modulus alpha, which bounds the distance to its minimum.
        gap = float(gradient @ gradient) / (2.0 * alpha)
        self.n_iter_ = 1 if found is None else max(1, -(-int(found.nit) // _STEPS))
        self.certificate_ = Certificate(value, worst, gap, self.tol, worst <= self.tol)
        if not self.certificate_.converged:
            warnings.warn(
                f"The residual stopped at a gradient of {worst:.1e} (tol={self.tol:g}). Raise max_iter, tol or "
                "residual_alpha.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return v.reshape(shape)
