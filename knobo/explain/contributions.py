"""From activations and weights to logits, probabilities and the contribution of each concept. Functions on arrays.

n cases, m concepts, K classes. With two classes the rows of ``W`` and ``b`` mirror each other and row 1 is the
log-odds of ``classes[1]``; with more, the rows are the logits of a softmax.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

Array = NDArray[np.float64]


def logits(A: Array, W: Array, b: Array) -> Array:
    """Logit of each class, shape (n, K), for activations ``A`` (n, m), weights ``W`` (K, m), intercepts ``b`` (K,)."""
    return A @ W.T + b


def probabilities(scores: Array) -> Array:
    """Class probabilities from logits, both of shape (n, K): the sigmoid for two classes, else the softmax."""
    if scores.shape[1] == 2:
        return expit(scores)
    return softmax(scores, axis=1)


def base_values(W: Array, b: Array, reference: Array) -> Array:
    """Logit of each class, shape (K,), at the ``reference`` activations (m,): where every explanation starts."""
    return b + W @ reference


def contributions(A: Array, W: Array, reference: Array) -> Array:
    """Contribution of each concept to each logit, shape (n, K, m): ``W[k, j] * (A[i, j] - reference[j])``.

    For a linear model these are the Shapley values under independent features (Lundberg & Lee, *A Unified Approach to
    Interpreting Model Predictions*, NeurIPS 2017, Corollary 1). With :func:`base_values` they add up to the logit.
    """
    return W[None, :, :] * (A - reference)[:, None, :]


def agreement(W: Array, prior_signs: Array) -> NDArray[np.int8]:
    """Compare weights with the prior's signs, both of shape (K, m): 1 same sign, -1 opposite, 0 where either is 0."""
    return (np.sign(W) * np.sign(prior_signs)).astype(np.int8)


class Ranked(NamedTuple):
    """The strongest contributions of one logit, and what is left.

    Attributes
    ----------
    top : ndarray of intp
        Concepts by falling absolute contribution.
    rest : float
        Sum of the contributions of all other concepts.
    n_rest : int
        How many of those have a weight.
    """

    top: NDArray[np.intp]
    rest: float
    n_rest: int


def rank(values: Array, weights: Array, most: int) -> Ranked:
    """Choose the ``most`` concepts with the largest absolute contribution among those with a weight.

    Parameters
    ----------
    values, weights : ndarray of shape (m,)
        Contributions to one logit and weights in it.
    most : int
    """
    used = np.flatnonzero(weights)
    order = used[np.argsort(-np.abs(values[used]), kind="stable")]
    return Ranked(order[:most], float(values[order[most:]].sum()), max(len(order) - most, 0))
