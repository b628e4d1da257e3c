"""One class against the rest, with a threshold: what subgroups and shortcuts are counted in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knobo._validation import show
from knobo.errors import InputError
from knobo.shift._checks import check_classes, check_proba, encode_labels

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Decision(NamedTuple):
    """Truth, score and call of each case, and the class that counts as positive."""

    truth: Mask
    score: Array
    call: Mask
    correct: Mask
    positive: Any

    @classmethod
    def of(
        cls,
        y: ArrayLike,
        proba: ArrayLike,
        classes: Sequence[Any] | NDArray[Any],
        positive: Any,
        threshold: float | None,
    ) -> Decision:
        """Check the arguments; by default the second of two classes is positive, and the likeliest class is called."""
        names = check_classes(classes)
        codes = encode_labels(y, names, "y")
        values = check_proba(proba, len(codes), names, "proba")
        if positive is None:
            if len(names) > 2:
                raise InputError(f"There are {len(names)} classes; say which one is positive with positive=.")
            positive = names[1]
        found = [index for index, name in enumerate(names.tolist()) if str(name) == str(positive)]
        if not found:
            raise InputError(
                f"positive is {show(positive)}, which is no class; they are {', '.join(map(show, names))}."
            )
        if threshold is not None and not 0 <= threshold <= 1:
            raise InputError(f"threshold is {threshold}; pass a probability between 0 and 1.")
        truth, score = codes == found[0], values[:, found[0]]
        call = values.argmax(axis=1) == found[0] if threshold is None else score >= threshold
        correct = values.argmax(axis=1) == codes if threshold is None else call == truth
        return cls(truth, score, call, correct, names[found[0]])


def threshold_at_specificity(
    y: ArrayLike,
    proba: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    *,
    specificity: float = 0.9,
    positive: Any = None,
) -> float:
    """Lowest threshold that keeps a specificity on these cases, to be carried to another domain.

    Parameters
    ----------
    y : array-like of shape (n,)
    proba : array-like of shape (n, K)
    classes : sequence of length K
    specificity : float in (0, 1)
    positive : label, optional
        By default the second of two classes.

    Returns
    -------
    float
        Call a case positive where its probability is at least this. It is at most 1, which keeps less than was asked
        for if more negatives than that have probability 1.

    Raises
    ------
    InputError
        If there is no negative case, or an argument cannot be used.
    """
    if not 0 < specificity < 1:
        raise InputError(f"specificity is {specificity}; pass a fraction between 0 and 1, such as 0.9.")
    decision = Decision.of(y, proba, classes, positive, None)
    negatives = np.sort(decision.score[~decision.truth])
    if not len(negatives):
        raise InputError("There is no negative case, so no specificity; pass cases of another class, too.")
    needed = int(np.ceil(specificity * len(negatives) - 1e-9))  # so many negatives must lie below
    highest = negatives[needed - 1]
    return float(min(np.nextafter(highest, 2.0), 1.0))
