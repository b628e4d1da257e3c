"""Heads on concept activations: KnoBo's own training loop, LaBo's softmax weights, a sparse layer."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from baselines.base import Adam, Baseline, log_loss, residual
from knobo.heads import ConceptHead, alpha_max, class_weights


class KnoBoHead(Baseline):
    """Linear layer by Adam with the parameter prior as published; the epoch with the best validation accuracy is kept.

    It minimises CE + λ · mean |tanh(W) − P| over all weights, those of unknown sign (P = 0) included.

    Parameters
    ----------
    prior_signs : array of shape (K, m) or None
        P, rows in the order of the sorted labels; None trains without a prior.
    prior_strength : float
        λ.

    References
    ----------
    Yang et al., *A Textbook Remedy for Domain Shifts*, NeurIPS 2024, arXiv:2405.14839 (Adam, rate 1e-3, batches of 64,
    200 epochs, λ = 1, as in the published code).
    """

    def __init__(self, prior_signs=None, *, prior_strength=1.0, rate=1e-3, batch=64, epochs=200, random_state=0):
        self.prior_signs = prior_signs
        self.prior_strength = prior_strength
        self.rate = rate
        self.batch = batch
        self.epochs = epochs
        self.random_state = random_state

    def _fit(self, X, codes, groups, validation):
        rng = np.random.default_rng(self.random_state)
        bound = 1 / np.sqrt(X.shape[1])  # the usual start of a linear layer
        W = rng.uniform(-bound, bound, (len(self.classes_), X.shape[1]))
        b = rng.uniform(-bound, bound, len(self.classes_))
        adam, best = Adam([W, b], self.rate), -1.0
        held, held_codes = validation
        for _ in range(self.epochs):
            order = rng.permutation(len(X))
            for start in range(0, len(X), self.batch):
                rows = order[start : start + self.batch]
                error = residual(X[rows] @ W.T + b, codes[rows]) / len(rows)
                adam.step([error.T @ X[rows] + self._pull(W), error.sum(axis=0)])
            accuracy = ((held @ W.T + b).argmax(axis=1) == held_codes).mean()
            if accuracy > best:
                best, self.coef_, self.intercept_ = accuracy, W.copy(), b.copy()

    def _pull(self, W):
        """Gradient of the prior."""
        if self.prior_signs is None:
            return 0.0
        squashed = np.tanh(W)
        return self.prior_strength / W.size * np.sign(squashed - self.prior_signs) * (1 - squashed**2)


class LaBoHead(Baseline):
    """Weights that are a softmax over the classes for each concept, begun at the literature's associations.

    References
    ----------
    Yang et al., *Language in a Bottle*, CVPR 2023, arXiv:2211.11158.
    """

    def __init__(self, associations=None, *, rate=0.05, steps=300, temperature=20.0):
        self.associations = associations
        self.rate = rate
        self.steps = steps
        self.temperature = temperature

    def _fit(self, X, codes, groups, validation):
        raw = np.zeros((len(self.classes_), X.shape[1])) + (0 if self.associations is None else self.associations)
        adam, best = Adam([raw], self.rate), np.inf
        self.intercept_ = np.zeros(len(raw))
        for step in range(self.steps):
            S = softmax(raw, axis=0)
            pull = self.temperature * residual(self.temperature * X @ S.T, codes).T @ X / len(X)
            if step % 10 == 0:
                loss = log_loss(self.temperature * validation[0] @ S.T, validation[1])
                if loss < best:
                    best, self.coef_ = loss, self.temperature * S
            adam.step([S * (pull - (S * pull).sum(axis=0))])


class SparseHead(Baseline):
    """Elastic-net logistic regression whose strength is chosen by the validation log-loss."""

    def __init__(self, *, l1_ratio=0.99, n_alphas=10):
        self.l1_ratio = l1_ratio
        self.n_alphas = n_alphas

    def _fit(self, X, codes, groups, validation):
        head = ConceptHead(prior=None, l1_ratio=self.l1_ratio, tol=1e-5)
        best, held = np.inf, validation
        for alpha in alpha_max(head, X, codes) * np.geomspace(0.7, 0.003, self.n_alphas):
            W, b = class_weights(head.set_params(alpha=alpha).fit(X, codes))
            loss = log_loss(held[0] @ W.T + b, held[1])
            if loss < best:
                best, self.coef_, self.intercept_ = loss, W, b
