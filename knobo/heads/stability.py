"""What of a head would stand if other patients had been sampled: weights, selected concepts, and conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone

from knobo._resampling import percentile_interval, resample_weights
from knobo.errors import InputError
from knobo.heads._checks import check_share, encode_groups, row_classes
from knobo.heads.base import Data, concept_names
from knobo.heads.linear import ConceptHead
from knobo.heads.objective import Array
from knobo.heads.refit import as_fitted, bounds_of, is_separable, plain_head, solve_within
from knobo.heads.settings import check_count
from knobo.heads.solver import one_blas_thread

_TOL = 1e-5  # of the refits: far below the spread between resamples


@dataclass(frozen=True, eq=False)
class HeadBootstrap:
    """A head refitted to resamples of its data.

    Attributes
    ----------
    head : ConceptHead
        The fitted head.
    coef : ndarray of shape (B, R, m)
        Weights of each refit, rows as in ``head.coef_``.
    intercept : ndarray of shape (B, R)
    spread : ndarray of shape (m,)
        Standard deviation of each activation.
    n_redrawn : int
        Resamples that lacked a class and were drawn again.
    """

    head: ConceptHead
    coef: Array
    intercept: Array
    spread: Array
    n_redrawn: int

    def stability(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """How steady each weight is, and how often its concept is selected.

        Returns
        -------
        DataFrame, one row a class and concept that some refit gives a weight, most often selected first
            ``class``, ``concept``, ``weight`` of the head, ``frequency`` (share of refits where the weight is not
            zero), ``sign`` (the more frequent one among those), ``same_sign`` (the share of those that has it),
            ``low`` and ``high`` of the weight.
        """
        check_share("confidence", confidence)
        used = self.coef != 0
        row, column = np.nonzero(used.any(axis=0) | (self.head.coef_ != 0))
        positive, selected = (self.coef > 0).sum(axis=0)[row, column], used.sum(axis=0)[row, column]
        commoner = np.maximum(positive, selected - positive) / np.maximum(selected, 1)
        sign = np.where(2 * positive >= selected, 1, -1)
        frame = self._frame(row, column, confidence)
        frame.insert(3, "frequency", selected / len(self.coef))
        frame.insert(4, "sign", np.where(selected > 0, sign, np.sign(frame["weight"]).astype(int)))
        frame.insert(5, "same_sign", np.where(selected > 0, commoner, np.nan))
        order = ["frequency", "weight"]
        return frame.sort_values(order, key=np.abs, ascending=False, kind="stable", ignore_index=True)

    def conflicts(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """The weights whose sign contradicts the literature, with their size and how sure the contradiction is.

        Returns
        -------
        DataFrame, largest effect first
            ``class``, ``concept``, ``weight``, ``low`` and ``high`` of it, ``prior_sign``, ``confidence`` of the
            sign, ``effect`` (weight times the standard deviation of the activation: change of the logit from a usual
            difference), and ``frequency``, the share of refits that contradict the literature, too.
        """
        check_share("confidence", confidence)
        signs, sure = self.head._signs("sign")
        row, column = np.nonzero(signs * self.head.coef_ < 0)
        frame = self._frame(row, column, confidence)
        frame["prior_sign"] = signs[row, column].astype(int)
        frame["confidence"] = sure[row, column]
        frame["effect"] = frame["weight"] * self.spread[column]
        frame["frequency"] = (self.coef[:, row, column] * signs[row, column] < 0).mean(axis=0)
        return frame.sort_values("effect", key=np.abs, ascending=False, kind="stable", ignore_index=True)

    def _frame(self, row: Any, column: Any, confidence: float) -> pd.DataFrame:
        low, high = percentile_interval(self.coef[:, row, column], confidence)
        return pd.DataFrame(
            {
                "class": row_classes(self.head)[row],
                "concept": concept_names(self.head)[column],
                "weight": self.head.coef_[row, column],
                "low": low,
                "high": high,
            }
        )


def bootstrap_head(
    head: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    n_bootstrap: int = 100,
    random_state: int | np.random.Generator | None = 0,
) -> HeadBootstrap:
    """Refit a head to resamples of its data, each begun at the head's weights.

    Settings stay as they are: the ``alpha`` of a :class:`ConceptHeadCV` is the one that it chose, and bounds that the
    head was edited to keep are kept. A temperature or prevalence that was given
    to it later is taken out first.

    Parameters
    ----------
    head : fitted ConceptHead or ConceptHeadCV
        Not changed.
    X, y, sample_weight :
        What the head was fitted to.
    groups : array-like of shape (n,), optional
        Patient of each sample; whole patients are drawn.
    n_bootstrap : int
    random_state : int, Generator or None

    Returns
    -------
    HeadBootstrap

    Raises
    ------
    InputError
        If most resamples lack a class.
    """
    check_count("n_bootstrap", n_bootstrap, low=2)
    plain = as_fitted(plain_head(head))
    worker = clone(plain)
    data = worker._read(X, y, sample_weight)
    labels, warm = np.asarray(y), is_separable(worker)
    if not warm:
        worker.set_params(class_weight=None)  # the weights of the classes are in those of the samples already
    if not np.array_equal(worker.classes_, plain.classes_) or data.A.shape[1] != plain.n_features_in_:
        raise InputError("X and y do not have the classes and concepts that the head was fitted to.")
    patients = encode_groups(groups, len(data.codes))
    rng, bounds, start = np.random.default_rng(random_state), bounds_of(plain), (plain.coef_, plain.intercept_)
    found: list[tuple[Array, Array]] = []
    redrawn = 0
    with one_blas_thread():
        while len(found) < n_bootstrap:
            weights = next(iter(resample_weights(len(data.codes), patients, 1, rng)))[0] * data.weights
            if np.bincount(data.codes, weights, len(plain.classes_)).min() <= 0:
                redrawn += 1
                if redrawn > 10 * n_bootstrap:
                    raise InputError(
                        "Nearly all resamples lack a class; there are too few samples (or patients) of it."
                    )
                continue
            resample = Data(data.A, data.codes, weights)
            if warm:
                found.append(solve_within(worker, resample, bounds, start, max(_TOL, plain.tol)))
            else:  # a penalty that only ``fit`` knows how to follow
                worker.fit(data.A, labels, sample_weight=weights)
                found.append((worker.coef_, worker.intercept_))
    coef, intercept = (np.stack(part) for part in zip(*found, strict=True))
    return HeadBootstrap(plain, coef, intercept, data.A.std(axis=0), redrawn)
