"""What would the classifier say if a finding were absent, or present? Other activations in, nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo.errors import InputError, InputTypeError
from knobo.explain._checks import suggest


def intervene(
    activations: NDArray[np.float64], concept_ids: Sequence[str], values: Mapping[str, ArrayLike]
) -> NDArray[np.float64]:
    """Put other values in the place of chosen activations.

    Parameters
    ----------
    activations : ndarray of shape (n, m), in [0, 1]
        Not changed.
    concept_ids : sequence of str, m of them
        Name of each column.
    values : mapping of concept id to float, or to n floats
        New activations in [0, 1]: 0 for absent, 1 for present; one for all cases, or one for each.

    Returns
    -------
    ndarray of shape (n, m)

    Raises
    ------
    InputError
        If a concept is unknown (close matches are given), or a value is no number in [0, 1] or the wrong number of
        them.
    InputTypeError
        If ``values`` is no mapping.

    References
    ----------
    Koh et al., *Concept Bottleneck Models*, ICML 2020, section 5 (test-time intervention).
    """
    if not isinstance(values, Mapping):
        raise InputTypeError(
            f'values must map concept ids to activations, such as {{"{concept_ids[0]}": 0.0}}, '
            f"got {type(values).__name__}."
        )
    column = {concept_id: j for j, concept_id in enumerate(concept_ids)}
    changed = activations.copy()
    for concept_id, value in values.items():
        if concept_id not in column:
            raise InputError(f"There is no concept {concept_id!r} to intervene on.{suggest(concept_id, concept_ids)}")
        changed[:, column[concept_id]] = _check_value(value, concept_id, len(activations))
    return changed


def _check_value(value: ArrayLike, concept_id: str, n_cases: int) -> NDArray[np.float64]:
    try:
        new = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The activation of {concept_id!r} must be a number in [0, 1], got {value!r}.") from error
    if new.shape not in ((), (n_cases,)):
        raise InputError(
            f"The activation of {concept_id!r} has shape {new.shape}; pass one number, or one for each of the "
            f"{n_cases} cases."
        )
    if not ((new >= 0) & (new <= 1)).all():
        raise InputError(
            f"The activation of {concept_id!r} must lie in [0, 1], got {value!r}; 0 is absent, 1 is present."
        )
    return new
