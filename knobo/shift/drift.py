"""What moved between two domains: each concept, the concepts together, the embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control, ks_2samp, wasserstein_distance

from knobo.errors import InputError
from knobo.shift._checks import check_features, encode_groups
from knobo.shift._inputs import Pair, unpack
from knobo.shift._two_sample import classifier_test, kolmogorov_smirnov, permutation_p, permuted_sides, squared_mmd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

_FEWEST = 4


@dataclass(frozen=True, eq=False, repr=False)
class DriftReport:
    """What moved between a source and a target.

    Attributes
    ----------
    concepts : DataFrame, one row a concept, the largest distance first
        ``mean_source``, ``mean_target``; ``ks``, the largest distance of the two distribution functions, and its
        ``p``; ``wasserstein``, the mean distance that an activation moved; ``q``, the p-value adjusted for the number
        of concepts; ``drifted``, whether ``q`` is at most ``alpha``.
    sets : DataFrame, rows ``concepts`` and, where given, ``embedding``
        ``mmd2`` with its permutation p-value ``mmd_p``; ``classifier_auroc`` of a classifier that tells the domains
        apart, on cases that it has not seen (0.5: it cannot), with interval and p-value.
    alpha : float
        Share of false discoveries that is accepted.
    """

    concepts: pd.DataFrame
    sets: pd.DataFrame
    alpha: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table of concepts."""
        return self.concepts.copy()

    def plot(self, ax: Axes | None = None, *, top: int = 15) -> Axes:
        """Draw the mean activation of the ``top`` concepts in both domains; a filled pair has drifted."""
        from knobo.shift.drift_plot import plot_drift

        return plot_drift(self.concepts, ax=ax, top=top)

    def __repr__(self) -> str:
        return f"DriftReport\n{self.concepts.round(3).to_string()}\n{self.sets.round(4).to_string()}\n{self._caption()}"

    def _repr_html_(self) -> str:
        tables = (
            frame.rename_axis(None).to_html(border=0, float_format="%.3f") for frame in (self.concepts, self.sets)
        )
        return f'<div class="knobo-drift">{"".join(tables)}<p>{escape(self._caption())}</p></div>'

    def _caption(self) -> str:
        n = int(self.concepts["drifted"].sum())
        return (
            f"{n} of {len(self.concepts)} concepts drifted, at a false-discovery rate of {self.alpha:g}. Other "
            "proportions of the classes are enough to move a concept."
        )


def check_drift(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    embeddings: tuple[ArrayLike, ArrayLike] | None = None,
    groups: Pair | None = None,
    alpha: float = 0.05,
    n_permutations: int = 500,
    chunk: int = 1024,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> DriftReport:
    """Test which concepts moved between two domains, and whether concepts and embeddings as a whole did.

    Parameters
    ----------
    source, target : DataFrame of shape (n, m)
        Activations in each domain, such as ``clf.concepts(X)``; the same columns.
    embeddings : (source, target), optional
        Arrays of shape (n, d).
    groups : (source groups, target groups), optional
        Patient of each case. The tests then deal out whole patients (permutation p-values, also for KS).
    alpha : float in (0, 1)
        Accepted share of false discoveries among the concepts called drifted.
    n_permutations : int
        The smallest p-value that a permutation can give is 1 / (n_permutations + 1).
    chunk : int
        Rows of the MMD's kernel that are held at a time, of n_source + n_target float64 each.
    confidence : float in (0, 1)
    random_state : int, Generator or None

    Returns
    -------
    DriftReport

    Raises
    ------
    InputError
        If columns differ, a set has fewer than four cases or patients, or values are not finite.

    References
    ----------
    Benjamini & Hochberg, *Controlling the false discovery rate*, J. R. Stat. Soc. B 57(1), 1995. Gretton et al., *A
    kernel two-sample test*, JMLR 13, 2012. Lopez-Paz & Oquab, *Revisiting classifier two-sample tests*, ICLR 2017.
    Rabanser, Günnemann & Lipton, *Failing loudly*, NeurIPS 2019 (what these tests notice, and from how many cases).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> here, there = (pd.DataFrame(rng.normal(size=(80, 2)), columns=["haze", "line"]) for _ in range(2))
    >>> check_drift(here, there + [1.0, 0.0]).concepts["drifted"].to_dict()
    {'haze': True, 'line': False}
    """
    if list(source.columns) != list(target.columns):
        raise InputError("source and target have different columns; pass the same concepts in the same order.")
    if not 0 < alpha < 1 or n_permutations < 1 or chunk < 1:
        raise InputError("alpha must lie between 0 and 1, and n_permutations and chunk must be at least 1.")
    rng = np.random.default_rng(random_state)
    features = {"concepts": _stack((source, target), (len(source), len(target)), "concepts")}
    if embeddings is not None:
        pair = unpack(embeddings, "embeddings", "(source, target)")
        features["embedding"] = _stack(pair, (len(source), len(target)), "embeddings")
    side = np.arange(len(source) + len(target)) < len(source)
    units = _units(groups, len(source), len(target))
    sides = permuted_sides(side, units, n_permutations, rng)
    table = _by_concept(features["concepts"], source.columns, side, sides, clustered=groups is not None)
    table["q"] = false_discovery_control(table["p"])
    table["drifted"] = table["q"] <= alpha
    rows = {}
    for name, values in features.items():
        found = squared_mmd(values, sides, chunk)
        rows[name] = {"mmd2": float(found[0]), "mmd_p": permutation_p(found)}
        rows[name] |= classifier_test(values, side, units, confidence, rng)
    return DriftReport(
        concepts=table.sort_values("ks", ascending=False, kind="stable"),
        sets=pd.DataFrame.from_dict(rows, orient="index"),
        alpha=alpha,
    )


def _by_concept(
    values: Array, names: pd.Index[Any], side: NDArray[np.bool_], sides: Array, *, clustered: bool
) -> pd.DataFrame:
    rows = []
    for column in values.T:
        here, there = column[side], column[~side]
        if clustered:
            found = kolmogorov_smirnov(column, sides)
            distance, p = float(found[0]), permutation_p(found)
        else:
            test = ks_2samp(here, there)
            distance, p = float(test.statistic), float(test.pvalue)
        moved = float(wasserstein_distance(here, there))
        rows.append((float(here.mean()), float(there.mean()), distance, p, moved))
    columns = ["mean_source", "mean_target", "ks", "p", "wasserstein"]
    return pd.DataFrame(rows, index=names.rename("concept"), columns=columns)


def _stack(pair: Pair, sizes: tuple[int, int], what: str) -> Array:
    if min(sizes) < _FEWEST:
        raise InputError(f"source has {sizes[0]} cases and target {sizes[1]}; a test needs at least {_FEWEST} in each.")
    sets = [check_features(values, n, what) for values, n in zip(pair, sizes, strict=True)]
    if sets[0].shape[1] != sets[1].shape[1]:
        raise InputError(f"{what} have {sets[0].shape[1]} columns in source and {sets[1].shape[1]} in target.")
    return np.concatenate(sets)


def _units(groups: Pair | None, n_source: int, n_target: int) -> Ints:
    """Number the patients; one that is in both domains counts as two."""
    if groups is None:
        return np.arange(n_source + n_target)
    first, second = unpack(groups, "groups", "(source groups, target groups)")
    here = encode_groups(first, n_source, "source", fewest=_FEWEST)
    return np.concatenate([here, encode_groups(second, n_target, "target", fewest=_FEWEST) + here.max() + 1])
