"""Make another domain of one's own data: a metadata column tied to the label, and the tie reversed in the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._validation import show
from knobo.errors import InputError
from knobo.shift._checks import check_column, encode_groups
from knobo.shift._deal import Ints, deal
from knobo.shift._pairs import choose_pairs, read_pairs

PARTS = ("train", "val", "id_test", "test")
_SMALLEST = 10  # cases of each label in the smallest split that is made without being asked for


@dataclass(frozen=True, eq=False)
class ConfoundedSplit:
    """Positions of the cases in each part.

    Attributes
    ----------
    train, val, id_test : ndarray of intp
        In domain: the column is tied to the label. ``id_test`` is empty unless it was asked for.
    test : ndarray of intp
        Out of domain: the tie is reversed.
    counts : DataFrame of int
        Cases of each part and label (rows) at each paired level of the column (columns).
    pairs, reversed_pairs : dict of label to level
        The level that goes with each label in domain, and out of domain.
    strength : float
        Share of a label's cases that are at its level, as asked for; ``counts`` has what whole cases allowed.
    """

    train: Ints = field(repr=False)
    val: Ints = field(repr=False)
    id_test: Ints = field(repr=False)
    test: Ints = field(repr=False)
    counts: pd.DataFrame
    pairs: dict[Any, Any]
    reversed_pairs: dict[Any, Any]
    strength: float


def confounded_split(
    y: ArrayLike,
    column: ArrayLike,
    *,
    strength: float = 0.9,
    pairs: Mapping[Any, Any] | None = None,
    n_train: int | None = None,
    n_val: int | None = None,
    n_test: int | None = None,
    n_id_test: int = 0,
    groups: ArrayLike | None = None,
    random_state: int | np.random.Generator | None = 0,
) -> ConfoundedSplit:
    """Tie a metadata column to the label in training and validation, and reverse the tie in the test set.

    A classifier that reads the column (sex, view, hospital) off the image instead of the finding does well in
    validation and badly in the test set. Every part holds each label equally often. In training and validation a share
    ``strength`` of a label's cases is at the level paired with it, and the rest is spread evenly over the other paired
    levels. In the test set each label goes with the next paired level instead (with two levels: they swap), at the same
    strength. Cases of a label, or at a level, that is in no pair are left out.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Class labels.
    column : array-like of shape (n_samples,)
        Categorical metadata; cut numbers such as age into a few levels first.
    strength : float in [1 / number of paired levels, 1]
        P(paired level | label) in domain. At the lower end nothing is tied, which makes a control.
    pairs : mapping of label to level, optional
        Two or more labels and two or more different levels. By default each label gets the level that goes with it
        most often: the assignment with the largest sum of P(level | label) in which each level serves as equal a number
        of labels as can be.
    n_train, n_val, n_test : int, optional
        Cases of each part, rounded down to a multiple of the number of labels. All three or none; by default the
        largest split with shares of 60, 20 and 20 % that the data allow, of at least 10 cases a label.
    n_id_test : int
        Cases of a second set with the tie of the training set, for the in-domain score when validation chooses
        something.
    groups : array-like of shape (n_samples,), optional
        Patient of each case; no patient is in two parts. Patients are dealt out greedily, so the largest split that
        is found may be a little smaller than the largest there is.
    random_state : int, Generator or None

    Returns
    -------
    ConfoundedSplit

    Raises
    ------
    InputError
        If labels, levels, strength or sizes cannot be used, or a combination of label and level has too few cases
        (the message says which).

    References
    ----------
    Yang et al., *A Textbook Remedy for Domain Shifts*, NeurIPS 2024, arXiv:2405.14839 (confounded data sets).

    Examples
    --------
    >>> from knobo.shift import confounded_split
    >>> y, sex = ["sick", "well"] * 100, ["f", "f", "m", "m"] * 50
    >>> split = confounded_split(y, sex, strength=0.9, n_train=40, n_val=20, n_test=20)
    >>> split.counts.loc["train"].to_dict("index")
    {'sick': {'f': 18, 'm': 2}, 'well': {'f': 2, 'm': 18}}
    >>> split.counts.loc["test"].to_dict("index")
    {'sick': {'f': 1, 'm': 9}, 'well': {'f': 9, 'm': 1}}
    """
    labels, codes = np.unique(check_column(y, "y"), return_inverse=True)
    levels, level_codes = np.unique(check_column(column, "column"), return_inverse=True)
    if len(codes) != len(level_codes):
        raise InputError(f"There are {len(codes)} labels but {len(level_codes)} entries in column; pass one a case.")
    patients = None if groups is None else encode_groups(groups, len(codes), "y")
    if pairs is None:
        tied = choose_pairs(codes, level_codes, labels, levels)
    else:
        tied = read_pairs(pairs, labels, levels)
    plan = _Plan.make(tied, labels, levels, strength)
    cells = plan.cells(codes, level_codes)
    seed = int(np.random.default_rng(random_state).integers(2**32))
    per_label = _read_sizes((n_train, n_val, n_id_test, n_test), len(tied))
    if per_label is None:
        per_label = _largest(plan, cells, patients, seed)
    parts, lack = _deal_plan(plan, cells, patients, per_label, seed)
    if lack.any():
        raise InputError(plan.refusal(lack, per_label, cells, patients is not None))
    train, val, id_test, test = parts
    return ConfoundedSplit(
        train=train,
        val=val,
        id_test=id_test,
        test=test,
        counts=plan.count(cells, parts),
        pairs=plan.name_pairs(plan.tied),
        reversed_pairs=plan.name_pairs(plan.reversed),
        strength=strength,
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which label goes with which level, how strongly. Cells are numbered row by row: label first, level second."""

    labels: NDArray[Any]
    levels: NDArray[Any]
    label_codes: Ints  # where the k labels and the p levels stand among all labels and levels
    level_codes: Ints
    tied: Ints  # level of each label in domain, an index into ``levels``
    strength: float

    @classmethod
    def make(cls, tied: Mapping[int, int], labels: NDArray[Any], levels: NDArray[Any], strength: float) -> _Plan:
        label_codes, chosen = np.array(list(tied)), np.array(list(tied.values()))
        level_codes, positions = np.unique(chosen, return_inverse=True)
        if not 1 / len(level_codes) - 1e-9 <= strength <= 1:
            raise InputError(
                f"strength is {strength}; with {len(level_codes)} paired levels it must lie between "
                f"{1 / len(level_codes):.3g} (nothing tied) and 1."
            )
        return cls(labels[label_codes], levels[level_codes], label_codes, level_codes, positions, strength)

    @property
    def reversed(self) -> Ints:
        """Level of each label out of domain: the next one."""
        return (self.tied + 1) % len(self.levels)

    def cells(self, codes: Ints, level_codes: Ints) -> Ints:
        """Cell of each case, -1 where its label or level is in no pair."""
        cells = np.full(len(codes), -1, dtype=np.intp)
        for row, label in enumerate(self.label_codes):
            for column, level in enumerate(self.level_codes):
                cells[(codes == label) & (level_codes == level)] = row * len(self.levels) + column
        return cells

    def demand(self, per_label: Sequence[int]) -> Ints:
        """Cases that each part wants in each cell, of shape (n_parts, n_cells), for so many cases a label."""
        n_levels = len(self.levels)
        demand = np.zeros((len(PARTS), len(self.labels), n_levels), dtype=np.intp)
        for part, (name, size) in enumerate(zip(PARTS, per_label, strict=True)):
            at_level = int(np.floor(self.strength * size + 0.5))
            each, extra = divmod(size - at_level, n_levels - 1)
            shares = np.array([at_level, *(each + (i < extra) for i in range(n_levels - 1))])
            for row, level in enumerate(self.reversed if name == "test" else self.tied):
                demand[part, row] = np.roll(shares, level)
        return demand.reshape(len(PARTS), -1)

    def count(self, cells: Ints, parts: Sequence[Ints]) -> pd.DataFrame:
        """Cases of each part that holds any, by label and level."""
        shape = (len(self.labels), len(self.levels))
        tables = {
            name: pd.DataFrame(
                np.bincount(cells[part], minlength=shape[0] * shape[1]).reshape(shape),
                index=pd.Index(self.labels.tolist(), name="label"),
                columns=pd.Index(self.levels.tolist(), name="level"),
            )
            for name, part in zip(PARTS, parts, strict=True)
            if len(part)
        }
        return pd.concat(tables, names=["part"])

    def name_pairs(self, level_of: Ints) -> dict[Any, Any]:
        return dict(zip(self.labels.tolist(), self.levels[level_of].tolist(), strict=True))

    def refusal(self, lack: Ints, per_label: Sequence[int], cells: Ints, grouped: bool) -> str:
        """Say which cell has too few cases."""
        worst = int(lack.sum(axis=0).argmax())
        label, level = self.labels[worst // len(self.levels)], self.levels[worst % len(self.levels)]
        demand = self.demand(per_label)[:, worst]
        wanted = ", ".join(f"{name} {n}" for name, n in zip(PARTS, demand, strict=True) if n)
        together = " with each patient in one part only" if grouped else ""
        return (
            f"Label {show(label)} has {np.sum(cells == worst)} cases at level {show(level)}, and the split needs "
            f"{demand.sum()} ({wanted}): {lack[:, worst].sum()} are missing{together}. Ask for fewer cases, pair other "
            "labels and levels, or add such cases."
        )


def _read_sizes(sizes: tuple[int | None, int | None, int, int | None], n_labels: int) -> list[int] | None:
    """Cases a label in each part, or None when the sizes are left open."""
    n_train, n_val, n_id_test, n_test = sizes
    if n_train is None and n_val is None and n_test is None and not n_id_test:
        return None
    if n_train is None or n_val is None or n_test is None:
        raise InputError("Give n_train, n_val and n_test together (n_id_test needs all three), or none of them.")
    per_label = []
    for name, size in zip(PARTS, (n_train, n_val, n_id_test, n_test), strict=True):
        if size < n_labels and not (name == "id_test" and size == 0):
            raise InputError(f"n_{name} is {size}; with {n_labels} labels a part needs at least {n_labels} cases.")
        per_label.append(int(size) // n_labels)
    return per_label


def _shares(total: int) -> list[int]:
    """Sizes of the parts, 60 : 20 : 0 : 20, for ``total`` cases a label."""
    fifth = total // 5
    return [total - 2 * fifth, fifth, 0, fifth]


def _largest(plan: _Plan, cells: Ints, patients: Ints | None, seed: int) -> list[int]:
    """Sizes of the largest split that can be dealt, by bisection; the smallest that is made, if not even that can."""
    fits, fails = _SMALLEST, int(np.sum(cells >= 0)) // len(plan.labels) + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if _deal_plan(plan, cells, patients, _shares(middle), seed)[1].any():
            fails = middle
        else:
            fits = middle
    return _shares(fits)


def _deal_plan(
    plan: _Plan, cells: Ints, patients: Ints | None, per_label: Sequence[int], seed: int
) -> tuple[tuple[Ints, ...], Ints]:
    return deal(cells, patients, plan.demand(per_label), np.random.default_rng(seed))
