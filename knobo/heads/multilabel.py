"""Several findings or diagnoses at once: one sigmoid a label, each fitted to the samples where it is known."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, validate_data

from knobo._validation import check_fitted, knobo_errors, show
from knobo.errors import InputError
from knobo.heads.base import check_settings, concept_names, head_penalty
from knobo.heads.fitting import fit_at
from knobo.heads.labels import read_labels
from knobo.heads.objective import Array
from knobo.heads.problem import Problem
from knobo.heads.settings import check_concept_groups, check_number, check_prior, effective_weights, read_prior
from knobo.heads.solver import Solution, one_blas_thread


class MultiLabelConceptHead(ClassifierMixin, BaseEstimator):
    """One :class:`ConceptHead` of two classes for each label, with missing labels left out of its own fit only.

    The objective is the sum over labels l of the one of :class:`ConceptHead` for the samples whose label l is known,
    each with its own ``alpha`` if wanted. The prior's mean, too, is taken over the known signs of one label.

    Where y holds one class a sample, this is the one-vs-rest strategy with a prior for each class: one label a class
    (one in all for two classes), as ``OneVsRestClassifier`` of scikit-learn makes them.

    Parameters
    ----------
    alpha : float or array-like of shape (L,)
        Strength of the elastic net, one for all labels or one a label.
    l1_ratio, prior, prior_strength, concept_groups, max_concepts_per_class, fit_intercept, tol, max_iter :
        As in :class:`ConceptHead`, where a label's row stands for its class.
    prior_signs : array-like of shape (L, m), in {-1, 0, 1}, optional
        Whether the concept speaks for (1) or against (-1) the label.
    prior_confidence : array-like of shape (L, m), in [0, 1], optional
        Default 1.
    class_weight : {"balanced", None}, or dict of class to weight for one class a sample
        ``"balanced"`` gives the positive and the negative samples of a label (or all classes) the same total.

    Attributes
    ----------
    coef_ : ndarray of shape (L, m)
        Weights of each label's log-odds.
    intercept_ : ndarray of shape (L,)
    classes_ : ndarray of shape (L,), or (K,) for one class a sample
        Names of the labels: the columns of y where it is a table, else 0 … L − 1, as in scikit-learn's
        ``OneVsRestClassifier``; or the sorted classes.
    multilabel_ : bool
        False where y held one class a sample.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (m,)
        Only where X was a table with column names.
    n_iter_ : ndarray of shape (L,)
    certificates_ : list of Certificate
        One a label.

    Notes
    -----
    With missing labels give scikit-learn's searches a splitter, such as ``cv=KFold(5)``: it cannot tell the kind of
    labels that have gaps, and so not whether to stratify.

    Examples
    --------
    >>> import numpy as np
    >>> from knobo.heads import MultiLabelConceptHead
    >>> A = np.array([[0.9, 0.1], [0.8, 0.9], [0.1, 0.8], [0.2, 0.1]])
    >>> Y = np.array([[1, 0], [1, 1], [0, np.nan], [0, 0]])
    >>> MultiLabelConceptHead(alpha=0.01).fit(A, Y).predict([[0.9, 0.8]])
    array([[1, 1]])
    """

    def __init__(
        self,
        alpha: float | ArrayLike = 0.01,
        *,
        l1_ratio: float = 1.0,
        prior: str | None = "sign",
        prior_signs: ArrayLike | None = None,
        prior_confidence: ArrayLike | None = None,
        prior_strength: float = 1.0,
        concept_groups: ArrayLike | None = None,
        max_concepts_per_class: int | None = None,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        tol: float = 1e-8,
        max_iter: int = 100,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.prior = prior
        self.prior_signs = prior_signs
        self.prior_confidence = prior_confidence
        self.prior_strength = prior_strength
        self.concept_groups = concept_groups
        self.max_concepts_per_class = max_concepts_per_class
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> MultiLabelConceptHead:
        """Fit the weights of all labels.

        Parameters
        ----------
        X : array-like of shape (n, m)
            Concept activations, usually in [0, 1].
        y : array-like of shape (n, L)
            1, 0, or NaN where it is not known whether the label holds.
        sample_weight : array-like of shape (n,), optional
            Non-negative.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a parameter, the prior or the data cannot be used, or a label is not both present and absent.

        Warns
        -----
        ConvergenceWarning
            If the KKT residual of a label is still above ``tol``.
        """
        check_settings(self)
        if y is None:
            raise InputError("requires y to be passed, but the target y is None.")
        with knobo_errors():
            A = validate_data(self, X, dtype=np.float64)
            check_consistent_length(A, y)
        # The weights are first checked as a whole, so that a message counts samples as the user does.
        whole = np.zeros(1), np.zeros(len(A), dtype=np.intp)
        weights = effective_weights(sample_weight, None, *whole)
        labels = read_labels(y)
        self.multilabel_ = labels.codes is None
        self.classes_ = labels.classes
        if labels.codes is not None:
            weights = effective_weights(sample_weight, self.class_weight, labels.classes, labels.codes)
        elif self.class_weight not in (None, "balanced"):
            raise InputError(
                f"With labels of shape (n, L) class_weight must be None or 'balanced', got {self.class_weight!r}."
            )
        names, Y = labels.names, labels.Y
        signs, confidence = self._signs(Y.shape[1])
        groups = check_concept_groups(self.concept_groups, A.shape[1])
        solutions = []
        with one_blas_thread():
            for label, alpha in enumerate(self._alphas(Y.shape[1])):
                problem = self._problem(A, Y[:, label], weights, names[label])
                solutions.append(self._solve(problem, signs[[label]], confidence[[label]], groups, alpha))
        self.coef_ = np.vstack([solution.W for solution in solutions])
        self.intercept_ = np.concatenate([solution.b for solution in solutions])
        self.n_iter_ = np.array([solution.n_iter for solution in solutions])
        self.certificates_ = [solution.certificate for solution in solutions]
        late = [show(names[k]) for k, certificate in enumerate(self.certificates_) if not certificate.converged]
        if late:
            warnings.warn(
                f"{len(late)} of {len(names)} labels stopped before a KKT residual of tol={self.tol:g} (the first is "
                f"{late[0]}). Raise max_iter, tol or alpha.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Log-odds of each label, shape (n, L); for two classes of one class a sample shape (n,)."""
        logits = self._logits(X)
        return logits if self.multilabel_ or logits.shape[1] > 1 else logits[:, 0]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probability that each label holds, shape (n, L); for one class a sample (n, K), divided by their sum."""
        p = np.exp(-np.logaddexp(0.0, -self._logits(X)))
        if self.multilabel_:
            return p
        return np.hstack([1.0 - p, p]) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """1 where a label is more probable than not, else 0, shape (n, L); or the most probable class, shape (n,)."""
        logits = self._logits(X)
        present = (logits > 0).astype(np.int64)
        if self.multilabel_:
            return present
        return self.classes_[present[:, 0] if logits.shape[1] == 1 else logits.argmax(axis=1)]

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of samples with all known labels right: the subset accuracy of scikit-learn, without missing labels.

        Parameters
        ----------
        X, y, sample_weight :
            As in :meth:`fit`; samples without any known label do not count.
        """
        predicted = self.predict(X)
        if not self.multilabel_:
            return float(super().score(X, y, sample_weight))
        Y = read_labels(y).Y
        if Y.shape != predicted.shape:
            raise InputError(f"y has shape {Y.shape}, expected {predicted.shape}: one column a label of classes_.")
        known = ~np.isnan(Y)
        right = ((predicted == Y) | ~known).all(axis=1)
        weights = np.ones(len(Y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        weights = weights * known.any(axis=1)
        if weights.sum() <= 0:
            raise InputError("No sample with weight has a known label, so there is nothing to score.")
        return float(np.average(right, weights=weights))

    def weights_frame(self) -> pd.DataFrame:
        """``coef_`` as a table: one row a label, one column a concept."""
        check_fitted(self, "coef_")
        rows, columns = (
            pd.Index(self.classes_[-len(self.coef_) :], name="label"),
            pd.Index(concept_names(self), name="concept"),
        )
        return pd.DataFrame(self.coef_, index=rows, columns=columns)

    def _logits(self, X: ArrayLike) -> Array:
        check_fitted(self, "coef_")
        with knobo_errors():
            A = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(A @ self.coef_.T + self.intercept_)

    def _problem(self, A: Array, y: Array, weights: Array, name: Any) -> Problem:
        known = ~np.isnan(y)
        codes = y[known].astype(np.intp)
        if len(np.unique(codes)) < 2:
            held = f"is {'present' if codes[0] else 'absent'} in all samples" if len(codes) else "is never known"
            raise InputError(
                f"Label {show(name)} {held} (one class only), so nothing can be learnt of it; drop its column."
            )
        balance = self.class_weight if self.multilabel_ else None  # else it is among the weights
        s = effective_weights(weights[known], balance, np.array([0, 1]), codes)
        return Problem(A[known], codes, s, n_classes=2, intercept=bool(self.fit_intercept))

    def _solve(
        self, problem: Problem, signs: Array, confidence: Array, groups: NDArray[np.intp] | None, alpha: float
    ) -> Solution:
        def penalty_at(strength: float) -> Any:
            return head_penalty(self, signs, confidence, groups, strength)

        return fit_at(
            problem,
            penalty_at,
            alpha,
            l1_ratio=self.l1_ratio,
            most=self.max_concepts_per_class,
            tol=self.tol,
            max_iter=self.max_iter,
        )

    def _signs(self, n_labels: int) -> tuple[Array, Array]:
        if not self.multilabel_:
            return check_prior(
                self.prior, self.prior_signs, self.prior_confidence, len(self.classes_), self.n_features_in_
            )
        shape = (n_labels, self.n_features_in_)
        if self.prior is None or self.prior_signs is None:
            return np.zeros(shape), np.zeros(shape)
        P, c = read_prior(self.prior_signs, self.prior_confidence)
        if P.shape != shape:
            raise InputError(
                f"prior_signs must have shape {shape}, one row a label and one column a concept; got {P.shape}."
            )
        return P, c

    def _alphas(self, n_labels: int) -> list[float]:
        values = np.atleast_1d(np.asarray(self.alpha, dtype=object))
        if values.shape not in ((1,), (n_labels,)):
            raise InputError(f"alpha must be one number, or one for each of {n_labels} labels; got {self.alpha!r}.")
        return [check_number("alpha", alpha, low=0.0) for alpha in np.broadcast_to(values, n_labels)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
