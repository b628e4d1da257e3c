"""What the baselines share: the classes, the validation cases, logits to probabilities, Adam."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split


class Baseline(ClassifierMixin, BaseEstimator):
    """A linear classifier whose hyperparameters are chosen on validation cases.

    Subclasses give ``_fit(X, codes, groups, validation)``, which sets ``coef_`` (K, d) and ``intercept_`` (K,), and may
    change what the classifier reads in ``_features``.
    """

    def fit(self, X, y, *, groups=None, validation=None):
        """Fit; without ``validation`` a fifth of the cases is held out to choose."""
        X, y = np.asarray(X, float), np.asarray(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        groups = codes if groups is None else np.unique(groups, return_inverse=True)[1]
        if validation is None:
            rows, held = train_test_split(np.arange(len(y)), test_size=0.2, stratify=codes, random_state=0)
            self._fit(X[rows], codes[rows], groups[rows], (X[held], codes[held]))
        else:
            held_codes = np.searchsorted(self.classes_, validation[1])
            self._fit(X, codes, groups, (np.asarray(validation[0], float), held_codes))
        return self

    def decision_function(self, X):
        """Logits of shape (n, K)."""
        return self._features(np.asarray(X, float)) @ self.coef_.T + self.intercept_

    def predict_proba(self, X):
        """Probabilities of shape (n, K)."""
        return softmax(self.decision_function(X), axis=1)

    def predict(self, X):
        """Labels of shape (n,)."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]

    def _features(self, X):
        return X


def log_loss(logits, codes, weights=None):
    """Mean negative log-likelihood in nats."""
    return -np.average(log_softmax(logits, axis=1)[np.arange(len(codes)), codes], weights=weights)


def residual(logits, codes):
    """Gradient of each case's loss with respect to its logits, shape (n, K)."""
    error = softmax(logits, axis=1)
    error[np.arange(len(codes)), codes] -= 1
    return error


class Adam:
    """Adam steps on a list of arrays, in place (Kingma and Ba, arXiv:1412.6980)."""

    def __init__(self, parameters, rate):
        self.parameters, self.rate, self.t = parameters, rate, 0
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]

    def step(self, gradients):
        """Move all parameters against their gradients."""
        self.t += 1
        for parameter, gradient, (first, second) in zip(self.parameters, gradients, self.moments, strict=True):
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            scale = np.sqrt(second / (1 - 0.999**self.t)) + 1e-8
            parameter -= self.rate * first / (1 - 0.9**self.t) / scale
