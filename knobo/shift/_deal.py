"""Deal cases out to parts so that each part gets exactly the cases it wants of each kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.intp]


def deal(
    cells: Ints, groups: Ints | None, demand: Ints, rng: np.random.Generator
) -> tuple[tuple[NDArray[np.intp], ...], Ints]:
    """Deal cases out at random.

    Parameters
    ----------
    cells : ndarray of shape (n,), intp
        Kind of each case, or -1 for a case that nobody wants.
    groups : ndarray of shape (n,), intp, or None
        Cases of one group go to one part, or are left out.
    demand : ndarray of shape (n_parts, n_cells), intp
        Cases of each kind that each part wants.
    rng : Generator

    Returns
    -------
    parts : tuple of ndarray, n_parts of them
        Sorted positions of the cases of each part.
    lack : ndarray of shape (n_parts, n_cells), intp
        Cases that were wanted and not found; all zero when the deal worked out.
    """
    open_ = demand.copy()
    taken: list[list[Ints]] = [[] for _ in demand]
    shuffled = rng.permutation(np.flatnonzero(cells >= 0))
    if groups is not None:
        shuffled = _deal_groups(shuffled, cells, groups, open_, taken, rng)
    for cell in range(demand.shape[1]):
        stack = shuffled[cells[shuffled] == cell]
        for part, wanted in enumerate(open_[:, cell].tolist()):
            hand, stack = stack[:wanted], stack[wanted:]
            taken[part].append(hand)
            open_[part, cell] -= len(hand)
    return tuple(np.sort(np.concatenate(hands)) for hands in taken), open_


def _deal_groups(
    shuffled: Ints, cells: Ints, groups: Ints, open_: Ints, taken: list[list[Ints]], rng: np.random.Generator
) -> Ints:
    """Deal groups of two and more, large ones first, each to the part that can use it best; return the single cases.

    A case counts as much as its kind is sought after (wanted / there are); ties fall to chance.
    """
    n_cells = open_.shape[1]
    by_group = shuffled[np.argsort(groups[shuffled], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[by_group], prepend=-1))
    bundles = np.split(by_group, starts[1:])
    worth = open_.sum(axis=0) / np.maximum(np.bincount(cells[shuffled], minlength=n_cells), 1)
    order = rng.permutation(len(bundles))
    for index in sorted(order.tolist(), key=lambda i: -len(bundles[i])):
        bundle = bundles[index]
        if len(bundle) == 1:
            break
        usable = np.minimum(np.bincount(cells[bundle], minlength=n_cells), open_)
        value = usable @ worth
        if not value.any():
            continue
        part = int(rng.choice(np.flatnonzero(value == value.max())))
        for cell in np.flatnonzero(usable[part]):
            taken[part].append(bundle[cells[bundle] == cell][: usable[part, cell]])
        open_[part] -= usable[part]
    singles = [bundle for bundle in bundles if len(bundle) == 1]
    return rng.permutation(np.concatenate(singles)) if singles else shuffled[:0]
