"""Checks of what an Explanation is made of."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from knobo.bank import ConceptBank
from knobo.errors import InputError, InputTypeError

Array = NDArray[np.float64]


def check_arrays(
    activations: ArrayLike,
    weights: ArrayLike,
    intercept: ArrayLike,
    reference: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    prior_signs: ArrayLike | None,
    bank: ConceptBank,
) -> dict[str, Any]:
    """Return read-only copies that fit together: n cases, m concepts of the bank, K classes."""
    names = check_classes(classes)
    n_classes, n_concepts = len(names), len(bank)
    A = _array(activations, "activations", (None, n_concepts))
    W = _array(weights, "weights", (n_classes, n_concepts))
    b = _array(intercept, "intercept", (n_classes,))
    ref = _array(reference, "reference", (n_concepts,))
    for name, values in (("activations", A), ("reference", ref)):
        if values.size and (values.min() < 0 or values.max() > 1):
            raise InputError(f"{name} must lie in [0, 1], got {values.min():g} to {values.max():g}.")
    if n_classes == 2 and not (np.allclose(W[0], -W[1]) and np.allclose(b[0], -b[1])):
        raise InputError(
            "With two classes row 0 of weights and intercept must be the negative of row 1, the log-odds of "
            "classes[1]: pass numpy.vstack([-w, w]) and [-b, b]."
        )
    P = None if prior_signs is None else _signs(prior_signs, n_classes, n_concepts)
    return {"activations": A, "weights": W, "intercept": b, "reference": ref, "classes": names, "prior_signs": P}


def check_weights(
    weights: ArrayLike, prior_signs: ArrayLike | None, n_classes: int, n_concepts: int
) -> tuple[Array, Array]:
    """Return weights and prior signs, both of shape (K, m); without a prior the signs are zero."""
    W = _array(weights, "weights", (n_classes, n_concepts))
    return W, np.zeros_like(W) if prior_signs is None else _signs(prior_signs, n_classes, n_concepts)


def check_classes(classes: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Return two or more distinct labels as a read-only array."""
    names = np.array(classes)
    if names.ndim != 1 or len(names) < 2 or len({str(name) for name in names}) < len(names):
        raise InputError(f"classes must be two or more distinct labels, got {list(map(str, names.ravel()))}.")
    names.flags.writeable = False
    return names


def check_quality(quality: pd.DataFrame | None, concept_ids: Sequence[str]) -> pd.DataFrame | None:
    """Return the rows of these concepts, in their order; NaN where a concept has none."""
    if quality is None:
        return None
    if not isinstance(quality, pd.DataFrame):
        raise InputTypeError(f"quality must be a DataFrame indexed by concept id, got {type(quality).__name__}.")
    if not quality.index.is_unique:
        raise InputError("quality must have one row a concept; its index holds an id more than once.")
    if not quality.index.isin(concept_ids).any():
        raise InputError("quality has no row for any concept of the bank; its index must hold concept ids.")
    return quality.reindex(list(concept_ids))


def check_each(items: Sequence[Any] | None, n: int, name: str) -> tuple[Any, ...] | None:
    """Return one item a case as a tuple, or None where there are none."""
    if items is None:
        return None
    if len(items) != n:
        raise InputError(f"There are {n} cases but {len(items)} {name}; pass one a case.")
    return tuple(items)


def check_positions(chosen: Any, n: int, kind: str = "case") -> list[int]:
    """Positions among n cases (or concepts) that an index stands for."""
    if isinstance(chosen, slice):
        return list(range(n))[chosen]
    wanted = np.atleast_1d(np.asarray(chosen))
    if wanted.dtype == bool and wanted.shape == (n,):
        return [int(i) for i in np.flatnonzero(wanted)]
    if wanted.size == 0:
        return []
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise InputError(f"Select {kind}s by position, slice, positions or a mask of {n} booleans, got {chosen!r}.")
    if wanted.min() < -n or wanted.max() >= n:
        raise InputError(f"There is no {kind} at position {chosen!r}: there are {n}, counted from 0.")
    return [int(i) % n for i in wanted]


def check_concepts(chosen: Any, ids: Sequence[str]) -> list[int]:
    """Positions of the concepts that an id, several ids, or anything that :func:`check_positions` takes stands for."""
    names = [chosen] if isinstance(chosen, str) else chosen
    if not isinstance(names, slice) and len(np.shape(names)) == 1 and any(isinstance(name, str) for name in names):
        unknown = [name for name in names if name not in ids]
        if unknown:
            raise InputError(f"There is no concept {unknown[0]!r}.{suggest(unknown[0], ids)}")
        columns = [ids.index(name) for name in names]
    else:
        columns = check_positions(names, len(ids), "concept")
    if not columns:
        raise InputError("No concept is selected; choose at least one.")
    if len(set(columns)) < len(columns):
        raise InputError(f"Concepts are selected more than once: {chosen!r}.")
    return columns


def check_rest(rest: ArrayLike | None, n: int, n_classes: int) -> Array:
    """Return the contribution of the concepts that were left out, shape (n, K); zero by default."""
    return _array(np.zeros((n, n_classes)) if rest is None else rest, "rest", (n, n_classes))


def check_truth(truth: pd.DataFrame | ArrayLike, n: int, ids: Sequence[str]) -> Array:
    """Return what an expert says of each concept in each case, shape (n, m): in [0, 1], NaN where unknown."""
    if isinstance(truth, pd.DataFrame):
        if not truth.columns.isin(ids).any():
            raise InputError(
                "truth has no column that is a concept of the explanation; name its columns by concept id."
            )
        truth = truth.reindex(columns=list(ids))
    try:
        values = np.asarray(truth, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"truth must be numbers in [0, 1], NaN where unknown ({error}).") from error
    if values.shape != (n, len(ids)):
        raise InputError(
            f"truth has shape {values.shape}; expected ({n}, {len(ids)}): one row a case, one column a concept."
        )
    known = values[~np.isnan(values)]
    if known.size and (known.min() < 0 or known.max() > 1):
        raise InputError(f"truth must lie in [0, 1], got {known.min():g} to {known.max():g}.")
    return values


def suggest(name: object, known: Sequence[str], most: int = 12) -> str:
    """Write which of the ``known`` names could have been meant, or what there is."""
    close = get_close_matches(str(name), known, n=3, cutoff=0.5)
    if close:
        return f" Did you mean {' or '.join(map(repr, close))}?"
    return f" There are: {', '.join(known[:most])}{', …' if len(known) > most else ''}."


def _signs(prior_signs: ArrayLike, n_classes: int, n_concepts: int) -> Array:
    P = _array(prior_signs, "prior_signs", (n_classes, n_concepts))
    if not np.isin(P, (-1, 0, 1)).all():
        raise InputError("prior_signs must be -1, 0 (unknown) or 1.")
    return P


def _array(values: ArrayLike, name: str, shape: tuple[int | None, ...]) -> Array:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers ({error}).") from error
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = ", ".join("n" if size is None else str(size) for size in shape)
        raise InputError(
            f"{name} has shape {array.shape}; expected ({wanted}{',' * (len(shape) == 1)}) for these concepts and "
            "classes."
        )
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite.")
    array.flags.writeable = False
    return array
