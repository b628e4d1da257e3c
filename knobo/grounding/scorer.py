"""ConceptScorer: image embeddings to concept activations in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, validate_data

from knobo._validation import check_fitted, knobo_errors
from knobo.errors import InputError
from knobo.grounding.quality import count_answers, held_out_quality
from knobo.grounding.supervised import GroundingFit, fit_grounding, make_folds
from knobo.heads.solver import one_blas_thread

DEFAULT_CS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class ConceptScorer(TransformerMixin, BaseEstimator):
    """Read concepts off image embeddings with one logistic grounding function each.

    Parameters
    ----------
    min_auroc : float
        A concept whose held-out AUROC is lower is dropped.
    min_count : int
        A concept with fewer *yes* or fewer *no* answers is dropped.
    Cs : sequence of float
        Inverse L2 strengths on standardised embeddings; each concept takes the one with the least held-out log-loss.
    cv : int
        Number of folds for the held-out activations.
    random_state : int or None
        Seed of the folds.
    progress : bool
        Show a progress bar while fitting.

    Attributes
    ----------
    concepts_ : ndarray of shape (m,), object
        Names of the concepts that were kept, in the order of the output's columns.
    coef_ : ndarray of shape (m, d)
        Weights on the embedding.
    intercept_ : ndarray of shape (m,)
    quality_ : DataFrame, one row for every concept that came in
        ``n_yes``, ``n_no``, ``n_unknown``, held-out ``auroc``, ``accuracy`` and ``brier``, ``C``, ``kept``, and the
        ``reason`` where it was dropped.
    n_features_in_ : int
        Size d of the embedding.

    Notes
    -----
    :meth:`fit_transform` returns *out-of-fold* activations, as scikit-learn's ``TargetEncoder`` does: a head that
    is trained on activations of the very images that taught the grounding functions would trust them too much.
    ``fit(X, C).transform(X)`` therefore gives other numbers.

    References
    ----------
    Yang et al., *A Textbook Remedy for Domain Shifts*, NeurIPS 2024, arXiv:2405.14839, section 4.2.
    """

    def __init__(
        self,
        *,
        min_auroc: float = 0.6,
        min_count: int = 10,
        Cs: Sequence[float] = DEFAULT_CS,
        cv: int = 5,
        random_state: int | None = 0,
        progress: bool = False,
    ) -> None:
        self.min_auroc = min_auroc
        self.min_count = min_count
        self.Cs = Cs
        self.cv = cv
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike | pd.DataFrame, groups: ArrayLike | None = None) -> ConceptScorer:
        """Fit the grounding functions.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Embeddings.
        y : array-like or DataFrame of shape (n, m)
            Answers: 1 (yes), 0 (no) or NaN (unknown). A frame's columns name the concepts.
        groups : array-like of shape (n,), optional
            Such as patients: rows of one group stay in one fold.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If shapes differ, an answer is neither 0, 1 nor NaN, or no concept is good enough to keep.
        """
        self._fit(X, y, groups)
        return self

    def fit_transform(
        self, X: ArrayLike, y: ArrayLike | pd.DataFrame | None = None, groups: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Fit, and return the out-of-fold activations of the kept concepts, shape (n, m)."""
        if y is None:
            raise InputError("ConceptScorer learns from answers: pass y, one column a concept, to fit_transform.")
        return self._fit(X, y, groups)

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Concept activations of new embeddings.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, m), float64 in [0, 1]
            The grounding functions' probabilities for *yes*.
        """
        check_fitted(self, "coef_")
        with knobo_errors():
            X = validate_data(self, X, reset=False, dtype=np.float64)
        return expit(X @ self.coef_.T + self.intercept_)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the kept concepts."""
        check_fitted(self, "coef_")
        return np.asarray(self.concepts_, dtype=object)

    def _fit(self, X: ArrayLike, y: ArrayLike | pd.DataFrame, groups: ArrayLike | None) -> NDArray[np.float64]:
        with knobo_errors():
            X = np.asarray(validate_data(self, X, dtype=np.float64, ensure_min_samples=self.cv))
        labels, names = _check_answers(y, len(X))
        patients = None if groups is None else np.asarray(groups)
        if patients is not None and len(patients) != len(X):
            raise InputError(f"There are {len(X)} images but {len(patients)} groups; pass one group an image.")
        with knobo_errors():
            folds = make_folds(len(X), self.cv, groups=patients, random_state=self.random_state)
        quality = count_answers(labels, names)
        usable = _answered_enough(labels, folds, self.min_count)
        if not usable.any():
            raise InputError(_nothing_kept(quality, f"{self.min_count} yes and {self.min_count} no answers"))
        with one_blas_thread():
            fitted = fit_grounding(X, labels[:, usable], Cs=self.Cs, folds=folds, progress=self.progress)
        good = self._judge(quality, names, labels, usable, fitted)
        if not good.any():
            raise InputError(_nothing_kept(quality, f"a held-out AUROC of {self.min_auroc}"))
        self.concepts_ = names[usable][good]
        self.coef_, self.intercept_ = fitted.coef[good], fitted.intercept[good]
        self.quality_ = quality
        return fitted.held_out[:, good]

    def _judge(
        self,
        quality: pd.DataFrame,
        names: NDArray[np.object_],
        labels: NDArray[np.float64],
        usable: NDArray[np.bool_],
        fitted: GroundingFit,
    ) -> NDArray[np.bool_]:
        """Complete the quality table in place and say which of the usable concepts are kept."""
        scores = held_out_quality(labels[:, usable], fitted.held_out, names[usable])
        good = (scores["auroc"] >= self.min_auroc).to_numpy()
        for column in scores:
            quality[column] = scores[column]
        quality["C"] = pd.Series(fitted.C, index=scores.index)
        quality["kept"] = quality.index.isin(names[usable][good])
        too_few = f"fewer than {self.min_count} yes or no answers"
        quality["reason"] = np.where(~usable, too_few, f"held-out AUROC below {self.min_auroc}")
        quality.loc[quality["kept"], "reason"] = ""
        return good


def _check_answers(y: ArrayLike | pd.DataFrame, n: int) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    names = np.asarray([str(column) for column in y.columns], dtype=object) if isinstance(y, pd.DataFrame) else None
    if names is not None and len(set(names)) < len(names):
        raise InputError("Concept columns must have different names.")
    with knobo_errors():
        values = y.to_numpy(dtype=float) if isinstance(y, pd.DataFrame) else y
        labels = check_array(values, dtype=np.float64, ensure_all_finite="allow-nan", ensure_2d=False, input_name="y")
    labels = labels.reshape(len(labels), -1)
    if names is None:
        names = np.asarray([f"concept{j}" for j in range(labels.shape[1])], dtype=object)
    if len(labels) != n:
        raise InputError(f"There are {n} images but {len(labels)} rows of concept answers; pass one row an image.")
    wrong = ~np.isnan(labels) & (labels != 0) & (labels != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"Concept {names[column]!r} has the answer {labels[row, column]:g} in row {row}; "
            "answers are 1 (yes), 0 (no) or NaN (unknown)."
        )
    return labels, names


def _answered_enough(
    labels: NDArray[np.float64], folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]], min_count: int
) -> NDArray[np.bool_]:
    """Concepts with enough answers of both kinds, and both kinds in every training fold."""
    enough = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0)) >= max(min_count, 1)
    for train, _ in folds:
        part = labels[train]
        enough &= (part == 1).any(axis=0) & (part == 0).any(axis=0)
    return enough


def _nothing_kept(quality: pd.DataFrame, needed: str) -> str:
    best = quality.sort_values("n_yes", ascending=False).head(5)
    counts = "; ".join(f"{name}: {row.n_yes} yes, {row.n_no} no" for name, row in best.iterrows())
    return (
        f"No concept has {needed}, so there is nothing to reason with ({counts}). "
        "Give more annotated images, use a bank whose concepts the reports mention, or lower the threshold."
    )
