"""Synthetic concept activations for the tests of the heads."""

import numpy as np


def make_activations(n, m, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 4)) @ rng.normal(size=(4, m))
    A = 1 / (1 + np.exp(-0.7 * factors - rng.normal(size=(n, m))))
    W = 4 * rng.normal(size=(n_classes, m)) * (rng.random((n_classes, m)) < 0.4)
    logits = A @ W.T
    return A, (logits - logits.mean(axis=0) + rng.gumbel(size=logits.shape)).argmax(axis=1)
