"""The path of solutions from the sparsest head to a dense one, and the choice among them by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, StratifiedKFold, check_cv

from knobo._validation import check_fitted, knobo_errors, show
from knobo.errors import InputError
from knobo.heads._checks import encode_groups
from knobo.heads.base import Data, LinearHead
from knobo.heads.fitting import follow_path, strongest_pull
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array, log_loss, log_probabilities
from knobo.heads.problem import Problem
from knobo.heads.settings import check_count, check_number
from knobo.heads.solver import Solution, one_blas_thread

_PATH_END = 500.0  # the path ends at α_max / 500, with the α_max of ρ = 1 also where ρ is smaller
_LEAST_L1_RATIO = 1e-3  # a ridge penalty alone never reaches zero weights; its path begins as if ρ were this

_SHARED = tuple(name for name in ConceptHead().get_params() if name != "alpha")

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class ConceptHeadCV(LinearHead):
    """:class:`ConceptHead` whose ``alpha`` is chosen by the held-out log-loss.

    Parameters
    ----------
    alphas : int or array-like
        How many values to try, spaced evenly in the logarithm from α_max, where the last weight becomes zero, to
        1/500 of what it is for ``l1_ratio=1``; or the values themselves.
    cv : int, splitter or iterable of (train, test)
        An integer makes shuffled folds, stratified by class, and with ``groups`` never splits a group; it is lowered
        to the size of the smallest class where that has fewer samples.
    rule : {"best", "1se"}
        Take the ``alpha`` with the least loss, or the largest one whose loss is within one standard error of it,
        which uses fewer concepts.
    scoring : {"log_loss", "worst_group"}
        What the choice is by: the mean held-out loss over all samples, or over those of the group (of ``groups`` at
        :meth:`fit`) that has the largest. With ``cv=LeaveOneGroupOut()`` each group is judged by a head that has not
        seen it, as out-of-domain images are; with ready splits that mix the groups, by one that has. "worst_group"
        goes with ``rule="best"`` only.
    random_state : int, RandomState or None
        Seed of the folds.
    l1_ratio, prior, prior_signs, prior_confidence, prior_strength, concept_groups, max_concepts_per_class :
        As in :class:`ConceptHead`.
    fit_intercept, class_weight, tol, max_iter :
        As in :class:`ConceptHead`.

    Attributes
    ----------
    alpha_ : float
        The value chosen.
    scores_ : DataFrame, one row a value tried, largest first
        ``alpha``; ``log_loss``, the weighted mean over all held-out samples in nats; ``std_error``, its standard
        error from the spread between folds; ``n_nonzero``, mean number of non-zero weights; where
        asked for, ``worst_group``, the mean loss of the group that has the largest.
    coef_, intercept_, classes_, n_features_in_, feature_names_in_, n_iter_, certificate_ :
        As in :class:`ConceptHead`, for the fit to all samples with ``alpha_``.
    """

    def __init__(
        self,
        alphas: int | ArrayLike = 30,
        *,
        cv: int | BaseCrossValidator | Iterable[Split] = 5,
        rule: str = "best",
        scoring: str = "log_loss",
        random_state: int | np.random.RandomState | None = 0,
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
        self.alphas = alphas
        self.cv = cv
        self.rule = rule
        self.scoring = scoring
        self.random_state = random_state
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

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> ConceptHeadCV:
        """Choose ``alpha`` on folds, then fit to all samples.

        Parameters
        ----------
        X : array-like of shape (n, m)
            Concept activations.
        y : array-like of shape (n,)
            Class labels.
        sample_weight : array-like of shape (n,), optional
            Non-negative; used in the fits and in the held-out loss.
        groups : array-like of shape (n,), optional
            Such as patients: samples of one group stay in one fold. Or, for ``scoring="worst_group"``, hospitals.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a parameter, the prior, the data or the folds cannot be used.
        """
        if self.rule not in ("best", "1se"):
            raise InputError(f"rule must be 'best' or '1se', got {self.rule!r}.")
        if self.scoring not in ("log_loss", "worst_group"):
            raise InputError(f"scoring must be 'log_loss' or 'worst_group', got {self.scoring!r}.")
        if self.scoring == "worst_group" and (groups is None or self.rule != "best"):
            raise InputError("scoring='worst_group' needs groups= at fit, and rule='best'.")
        data = self._read(X, y, sample_weight)
        judged = encode_groups(groups, len(data.codes)) if self.scoring == "worst_group" else None
        problem = self._problem(data)
        with one_blas_thread():
            alphas = self._grid(problem)
            folds = self._folds(data, groups)
            self.scores_ = self._cross_validate(data, alphas, folds, judged)
            self.alpha_ = float(alphas[_choose(self.scores_, self.rule, self.scoring)])
            *_, solution = self._path(problem, alphas[alphas >= self.alpha_])
        self._keep(problem, self._penalty(self.alpha_), solution)
        return self

    def to_head(self) -> ConceptHead:
        """The fitted :class:`ConceptHead` with the chosen ``alpha``."""
        check_fitted(self, "coef_")
        head = ConceptHead(self.alpha_, **{name: getattr(self, name) for name in _SHARED})
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_") and not name.startswith("_")}
        for name in set(fitted) - {"alpha_", "scores_"}:
            setattr(head, name, fitted[name])
        return head

    def _grid(self, problem: Problem) -> Array:
        if isinstance(self.alphas, Integral) and not isinstance(self.alphas, bool):
            pull = max(_strongest_pull(self, problem), 1e-10)
            top = pull / max(self.l1_ratio, _LEAST_L1_RATIO)
            return np.geomspace(top, pull / _PATH_END, check_count("alphas", self.alphas, low=2))
        with knobo_errors():
            alphas = np.asarray(self.alphas, dtype=np.float64)
        if alphas.ndim != 1 or len(alphas) == 0:
            raise InputError(f"alphas must be a number of values or a list of values, got {self.alphas!r}.")
        for alpha in alphas:
            check_number("alphas", alpha, low=0.0)
        return np.unique(alphas)[::-1]

    def _folds(self, data: Data, groups: ArrayLike | None) -> list[Split]:
        y = self.classes_[data.codes]
        with knobo_errors():
            if not isinstance(self.cv, Integral):
                return list(check_cv(self.cv, y, classifier=True).split(data.A, y, groups))
            cv, counts = check_count("cv", self.cv, low=2), np.bincount(data.codes)
            if counts.min() < 2:
                raise InputError(
                    f"Class {show(self.classes_[counts.argmin()])} has a single sample, which cannot be both learnt "
                    "and held out; add samples, drop the class, or use ConceptHead with a fixed alpha."
                )
            make = StratifiedKFold if groups is None else StratifiedGroupKFold
            splitter = make(min(cv, int(counts.min())), shuffle=True, random_state=self.random_state)
            return list(splitter.split(data.A, y, groups))

    def _path(self, problem: Problem, alphas: Array) -> Iterator[Solution]:
        """Solutions along decreasing α, each begun at the one before."""
        return follow_path(
            problem, self._penalty, alphas, most=self.max_concepts_per_class, tol=self.tol, max_iter=self.max_iter
        )

    def _cross_validate(
        self, data: Data, alphas: Array, folds: Sequence[Split], groups: NDArray[np.intp] | None
    ) -> pd.DataFrame:
        losses, nonzero = np.empty((2, len(folds), len(alphas)))
        weights = np.empty(len(folds))
        unfinished = 0
        by_group, group_weight = np.zeros((2, len(alphas), 1 if groups is None else int(groups.max()) + 1))
        for fold, (train, test) in enumerate(folds):
            held_out, learnt = data.take(test), data.take(train)
            weights[fold] = held_out.weights.sum()
            if weights[fold] == 0 or learnt.weights.sum() == 0:
                raise InputError(f"All weights in one part of fold {fold} are zero; choose other folds.")
            for step, solution in enumerate(self._path(self._problem(learnt), alphas)):
                log_p = log_probabilities(held_out.A @ solution.W.T + solution.b)
                losses[fold, step] = log_loss(log_p, held_out.codes, held_out.weights / weights[fold])
                if groups is not None:
                    own = -log_p[np.arange(len(test)), held_out.codes] * held_out.weights
                    np.add.at(by_group[step], groups[test], own)
                    np.add.at(group_weight[step], groups[test], held_out.weights)
                nonzero[fold, step] = np.count_nonzero(solution.W)
                unfinished += not solution.certificate.converged
        if unfinished:
            warnings.warn(
                f"{unfinished} of {losses.size} fits in the folds stopped before tol={self.tol:g}; raise max_iter.",
                ConvergenceWarning,
                stacklevel=3,
            )
        scores = pd.DataFrame(
            {
                "alpha": alphas,
                "log_loss": np.average(losses, axis=0, weights=weights),
                "std_error": losses.std(axis=0, ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else np.nan,
                "n_nonzero": nonzero.mean(axis=0),
            }
        )
        if groups is not None:
            held_out_ones = np.where(group_weight > 0, by_group / np.maximum(group_weight, 1e-300), -np.inf)
            scores["worst_group"] = held_out_ones.max(axis=1)
        return scores


def alpha_max(head: LinearHead, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Smallest ``alpha`` at which all weights of a head are zero.

    Parameters
    ----------
    head : ConceptHead or ConceptHeadCV
        Its settings are used; it is not changed.
    X, y, sample_weight :
        As in :meth:`ConceptHead.fit`.

    Returns
    -------
    float
        With ``l1_ratio`` below 0.001 the value for 0.001, since a ridge penalty never gives zeros.
    """
    fresh: LinearHead = clone(head)
    pull = _strongest_pull(fresh, fresh._problem(fresh._read(X, y, sample_weight)))
    return pull / max(fresh.l1_ratio, _LEAST_L1_RATIO)


def _strongest_pull(head: LinearHead, problem: Problem) -> float:
    """α_max for ρ = 1."""
    return strongest_pull(problem, head._penalty, head.l1_ratio)


def _choose(scores: pd.DataFrame, rule: str, scoring: str) -> int:
    """Row of the alpha to take; the first row has the largest."""
    loss = scores[scoring].to_numpy()
    best = int(loss.argmin())
    if rule == "best":
        return best
    within = np.nan_to_num(scores["std_error"].to_numpy()[best])  # unknown where there is one fold only
    return int(np.flatnonzero(loss <= loss[best] + within)[0])
