"""Synthetic concept activations: correlated, in [0, 1], classes that depend on a few of them."""

import numpy as np
import pytest


def make_activations(n, m, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 4)) @ rng.normal(size=(4, m))
    A = 1 / (1 + np.exp(-0.7 * factors - rng.normal(size=(n, m))))
    W = 4 * rng.normal(size=(n_classes, m)) * (rng.random((n_classes, m)) < 0.4)
    logits = A @ W.T
    return A, (logits - logits.mean(axis=0) + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.fixture(params=[2, 4], ids=["two classes", "four classes"])
def activations(request):
    """A (300, 12) and y with two or four classes."""
    return make_activations(300, 12, request.param)


@pytest.fixture
def two_classes():
    """A (300, 12) and y with two classes."""
    return make_activations(300, 12, 2)


@pytest.fixture
def four_classes():
    """A (300, 12) and y with four classes."""
    return make_activations(300, 12, 4)
