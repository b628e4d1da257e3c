"""Splits by patient and by domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo._validation import show
from knobo.errors import InputError
from knobo.shift._checks import check_column, encode_groups

Ints = NDArray[np.intp]

_SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


@dataclass(frozen=True, eq=False)
class PatientSplit:
    """Positions of the cases in each part.

    Attributes
    ----------
    parts : dict of name to ndarray of intp
        Sorted positions.
    counts : DataFrame of int
        Cases of each label (columns) in each part (rows), and its ``patients``.
    """

    parts: dict[str, Ints] = field(repr=False)
    counts: pd.DataFrame

    def __getitem__(self, part: str) -> Ints:
        return self.parts[part]


def patient_split(
    y: ArrayLike,
    groups: ArrayLike,
    *,
    shares: Mapping[str, float] | None = None,
    random_state: int | np.random.Generator | None = 0,
) -> PatientSplit:
    """Split at random so that no patient is in two parts and each part has about the same share of each label.

    Parameters
    ----------
    y : array-like of shape (n,)
        Class labels.
    groups : array-like of shape (n,)
        Patient of each case.
    shares : mapping of part to share, optional
        Positive, adding up to 1; by default train 0.6, val 0.2, test 0.2.
    random_state : int, Generator or None

    Returns
    -------
    PatientSplit

    Raises
    ------
    InputError
        If shares cannot be used, or a part would be without a label (the message says which).

    Examples
    --------
    >>> split = patient_split(["sick", "well"] * 50, [i // 4 for i in range(100)])
    >>> split.counts.loc["train"].to_dict()
    {'sick': 30, 'well': 30, 'patients': 15}
    """
    labels, codes = np.unique(check_column(y, "y"), return_inverse=True)
    patients = encode_groups(groups, len(codes), "y")
    wanted = dict(_SHARES if shares is None else shares)
    if len(wanted) < 2 or min(wanted.values()) <= 0 or abs(sum(wanted.values()) - 1) > 1e-6:
        raise InputError(f"shares are {wanted}; pass two or more positive shares that add up to 1.")
    rng = np.random.default_rng(random_state)
    bundles = np.zeros((int(patients.max()) + 1, len(labels)), dtype=np.intp)
    np.add.at(bundles, (patients, codes), 1)
    totals = bundles.sum(axis=0)
    open_ = np.array(list(wanted.values()))[:, None] * totals
    home = np.empty(len(bundles), dtype=np.intp)
    order = rng.permutation(len(bundles))
    for patient in order[np.argsort(-bundles[order].sum(axis=1), kind="stable")]:  # large ones first
        need = np.round(open_ @ (bundles[patient] / totals), 9)
        part = int(rng.choice(np.flatnonzero(need == need.max())))
        home[patient] = part
        open_[part] -= bundles[patient]
    placed = home[patients]
    parts = {name: np.flatnonzero(placed == index) for index, name in enumerate(wanted)}
    rows = {
        name: [*np.bincount(codes[at], minlength=len(labels)), len(np.unique(patients[at]))]
        for name, at in parts.items()
    }
    counts = pd.DataFrame.from_dict(rows, orient="index", columns=[*labels.tolist(), "patients"]).rename_axis("part")
    for name in wanted:
        bare = np.flatnonzero(counts.loc[name].to_numpy()[:-1] == 0)
        if len(bare):
            raise InputError(
                f"Part {name!r} would have no case of {show(labels[bare[0]])}: {totals[bare[0]]} cases of too few "
                "patients. Give it a larger share, or add patients."
            )
    return PatientSplit(parts, counts)


@dataclass(frozen=True, eq=False)
class DomainSplit:
    """One domain held out.

    Attributes
    ----------
    domain : str
        The one that is held out.
    train, test : ndarray of intp
        Positions of the cases of the other domains, and of this one.
    dropped : ndarray of intp
        Cases of other domains left out of ``train``, as their patients are in ``test`` as well.
    """

    domain: str
    train: Ints = field(repr=False)
    test: Ints = field(repr=False)
    dropped: Ints = field(repr=False)


def leave_one_domain_out(
    y: ArrayLike, domain: ArrayLike, *, groups: ArrayLike | None = None, min_count: int = 1
) -> list[DomainSplit]:
    """Hold each domain out in turn.

    Parameters
    ----------
    y : array-like of shape (n,)
        Class labels.
    domain : array-like of shape (n,)
        Such as the hospital; at least two.
    groups : array-like of shape (n,), optional
        Patient of each case: those of the held-out domain are in no training set.
    min_count : int
        Fewest cases of each label of the held-out domain that must be left to train on.

    Returns
    -------
    list of DomainSplit
        One a domain, by name.

    Raises
    ------
    InputError
        If there is one domain only, or a label of a domain is too rare in the others (the message says which).
    """
    labels, codes = np.unique(check_column(y, "y"), return_inverse=True)
    places, place = np.unique(check_column(domain, "domain").astype(str), return_inverse=True)
    if len(place) != len(codes):
        raise InputError(f"There are {len(codes)} labels but {len(place)} entries in domain; pass one a case.")
    if len(places) < 2:
        raise InputError(f"domain holds {show(places[0])} only; at least two domains are needed to leave one out.")
    patients = None if groups is None else encode_groups(groups, len(codes), "y")
    splits = []
    for index, name in enumerate(places.tolist()):
        inside = place == index
        known = np.zeros(len(codes), dtype=bool) if patients is None else np.isin(patients, patients[inside])
        train = np.flatnonzero(~inside & ~known)
        counts = np.bincount(codes[train], minlength=len(labels))
        few = np.flatnonzero((counts < min_count) & (np.bincount(codes[inside], minlength=len(labels)) > 0))
        if len(few):
            raise InputError(
                f"Without domain {name!r} there are {counts[few[0]]} cases of {show(labels[few[0]])} to train on, "
                f"fewer than {min_count}; drop the label, or merge domains."
            )
        splits.append(DomainSplit(name, train, np.flatnonzero(inside), np.flatnonzero(~inside & known)))
    return splits
