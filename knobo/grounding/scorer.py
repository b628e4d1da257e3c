"""ConceptScorer: image embeddings to concept activations in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import validate_data

from knobo._validation import knobo_errors
from knobo.errors import InputError
from knobo.grounding.certificate import MEASURES, certify
from knobo.grounding.linear_scorer import LinearScorer, check_answers
from knobo.grounding.logistic import ClassWeight
from knobo.grounding.quality import count_answers
from knobo.grounding.supervised import GroundingFit, fit_grounding, make_folds

DEFAULT_CS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class ConceptScorer(LinearScorer):
    """Read concepts off image embeddings with one logistic grounding function each.

    Parameters
    ----------
    min_auroc : float
        A concept whose held-out AUROC is lower is dropped. One whose interval reaches down to 0.5 is kept, but
        ``abstain`` says so: with so few answers nothing shows that it is seen.
    min_count : int
        A concept with fewer *yes* or fewer *no* answers is dropped.
    Cs : sequence of float
        Inverse L2 strengths on standardised embeddings; each concept takes the one with the least held-out log-loss.
    class_weight : "balanced" or None
        "balanced" gives *yes* and *no* the same weight in each concept's fit. Activations are then no longer
        calibrated to how frequent the finding is; 0.5 becomes the point where both answers are equally likely.
    l1_ratio : float in [0, 1]
        Share of the L1 norm in the penalty; 0 is plain L2, and much faster.
    cv : int
        Number of folds for the held-out activations.
    n_jobs : int, optional
        Threads over concepts, as in scikit-learn: None is one, -1 is one a core.
    device : str
        "cpu", or a CUDA device, where the concepts are fitted in batches.
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
    certificate_, quality_ : DataFrame, one row for every concept that came in
        The columns of :func:`knobo.grounding.certify` for the held-out activations (support, AUROC with interval,
        average precision, calibration, ``abstain``), ``C``, ``kept``, and the ``reason`` where it was dropped.
    domain_certificate_ : DataFrame, one row for every kept concept in each domain
        Only where ``fit`` was given ``domain``.
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
        class_weight: ClassWeight = None,
        l1_ratio: float = 0.0,
        cv: int = 5,
        n_jobs: int | None = None,
        device: str = "cpu",
        random_state: int | None = 0,
        progress: bool = False,
    ) -> None:
        self.min_auroc = min_auroc
        self.min_count = min_count
        self.Cs = Cs
        self.class_weight = class_weight
        self.l1_ratio = l1_ratio
        self.cv = cv
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | pd.DataFrame,
        groups: ArrayLike | None = None,
        domain: ArrayLike | None = None,
    ) -> ConceptScorer:
        """Fit the grounding functions.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Embeddings.
        y : array-like or DataFrame of shape (n, m)
            Answers: 1 (yes), 0 (no) or NaN (unknown). A frame's columns name the concepts.
        groups : array-like of shape (n,), optional
            Such as patients: rows of one group stay in one fold, and are not taken for independent in intervals.
        domain : array-like of shape (n,), optional
            Such as the hospital: fills ``domain_certificate_``.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If shapes differ, an answer is neither 0, 1 nor NaN, or no concept is good enough to keep.
        """
        self._fit(X, y, groups, domain)
        return self

    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike | pd.DataFrame | None = None,
        groups: ArrayLike | None = None,
        domain: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Fit, and return the out-of-fold activations of the kept concepts, shape (n, m)."""
        if y is None:
            raise InputError("ConceptScorer learns from answers: pass y, one column a concept, to fit_transform.")
        return self._fit(X, y, groups, domain)

    def _fit(
        self, X: ArrayLike, y: ArrayLike | pd.DataFrame, groups: ArrayLike | None, domain: ArrayLike | None
    ) -> NDArray[np.float64]:
        with knobo_errors():
            X = np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=self.cv))
        labels, names = check_answers(y, len(X))
        patients = None if groups is None else np.asarray(groups)
        if patients is not None and len(patients) != len(X):
            raise InputError(f"There are {len(X)} images but {len(patients)} groups; pass one group an image.")
        with knobo_errors():
            folds = make_folds(len(X), self.cv, groups=patients, random_state=self.random_state)
        quality = count_answers(labels, names)
        usable = _answered_enough(labels, folds, self.min_count)
        if not usable.any():
            raise InputError(_nothing_kept(quality, f"{self.min_count} yes and {self.min_count} no answers"))
        fitted = fit_grounding(
            X,
            labels[:, usable],
            Cs=self.Cs,
            folds=folds,
            class_weight=self.class_weight,
            l1_ratio=self.l1_ratio,
            n_jobs=self.n_jobs,
            device=self.device,
            progress=self.progress,
        )
        known, found = labels[:, usable], fitted.held_out
        certificate = certify(known, found, names[usable], groups=patients, min_count=self.min_count)
        good = self._complete(quality, certificate, fitted)
        if not good.any():
            raise InputError(_nothing_kept(quality, f"a held-out AUROC of {self.min_auroc}"))
        self.concepts_ = names[usable][good]
        self.coef_, self.intercept_ = fitted.coef[good], fitted.intercept[good]
        self.quality_ = quality
        if domain is not None:
            self.domain_certificate_ = certify(
                known[:, good], found[:, good], self.concepts_, groups=patients, domain=domain, min_count=self.min_count
            )
        return found[:, good]

    def _complete(self, quality: pd.DataFrame, certificate: pd.DataFrame, fitted: GroundingFit) -> NDArray[np.bool_]:
        """Complete the quality table in place and say which of the usable concepts are kept."""
        strong = certificate["auroc"] >= self.min_auroc
        for column in MEASURES:
            quality[column] = certificate[column]
        quality["abstain"] = certificate["abstain"].reindex(quality.index, fill_value=True)
        quality["C"] = pd.Series(fitted.C, index=certificate.index)
        quality["kept"] = strong.reindex(quality.index, fill_value=False)
        reason = pd.Series(f"fewer than {self.min_count} yes or no answers", index=quality.index)
        reason[certificate.index] = f"held-out AUROC below {self.min_auroc}"
        reason[quality["kept"]] = ""
        quality["reason"] = reason
        return strong.to_numpy()


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
