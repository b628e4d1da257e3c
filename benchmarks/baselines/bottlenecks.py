"""Concept layers that were fitted elsewhere, and classifiers that read images through them."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from baselines.base import Baseline


class ConceptVectors(TransformerMixin, BaseEstimator):
    """Distance of an embedding from each concept's separating plane, found by a linear SVM on an archive.

    References
    ----------
    Yuksekgonul et al., *Post-hoc Concept Bottleneck Models*, ICLR 2023, arXiv:2205.15480.
    """

    def __init__(self, *, C=0.1, min_count=10):
        self.C = C
        self.min_count = min_count

    def fit(self, X, answers):
        """Learn from embeddings (n, d) and a table of answers (n, m) of 1, 0 and NaN."""
        self.scaler_ = StandardScaler().fit(X)
        Z, names, planes = self.scaler_.transform(X), [], []
        for name, column in answers.items():
            known = column.notna().to_numpy()
            yes = column[known].to_numpy() > 0.5
            if min(yes.sum(), (~yes).sum()) < self.min_count:
                continue
            svm = LinearSVC(C=self.C, class_weight="balanced", dual="auto", random_state=0).fit(Z[known], yes)
            names.append(name)
            planes.append(np.append(svm.coef_[0], svm.intercept_) / np.linalg.norm(svm.coef_[0]))
        self.planes_, self.names_ = np.array(planes), np.array(names, dtype=object)
        return self

    def transform(self, X):
        """Signed distances (n, m)."""
        return self.scaler_.transform(X) @ self.planes_[:, :-1].T + self.planes_[:, -1]


class TextSimilarity(TransformerMixin, BaseEstimator):
    """Cosine of an image's embedding with that of each concept's text, of shape (m, d).

    Concepts as in LaBo (arXiv:2211.11158) and in Yan et al., *Robust and Interpretable Medical Image Classifiers via
    Concept Bottleneck Models*, arXiv:2310.03182.
    """

    def __init__(self, texts, *, standardise=False):
        self.texts = texts
        self.standardise = standardise

    def fit(self, X, y=None):
        """Learn the mean and spread of each cosine, where they are to be taken out."""
        cosines = self._cosines(X)
        self.mean_, self.spread_ = cosines.mean(axis=0), cosines.std(axis=0) + 1e-9
        return self

    def transform(self, X):
        """Cosines (n, m)."""
        cosines = self._cosines(X)
        return (cosines - self.mean_) / self.spread_ if self.standardise else cosines

    def _cosines(self, X):
        texts = np.asarray(self.texts)
        X = np.asarray(X, float)
        return (X / np.linalg.norm(X, axis=1, keepdims=True)) @ (texts / np.linalg.norm(texts, axis=1, keepdims=True)).T


class Bottleneck(ClassifierMixin, BaseEstimator):
    """A fitted concept layer and a head on top: any of :mod:`baselines.heads`, or one of Knobo's."""

    def __init__(self, layer, head):
        self.layer = layer
        self.head = head

    def fit(self, X, y, *, groups=None, validation=None):
        """Fit the head on the activations."""
        extra = {}
        if isinstance(self.head, Baseline):
            extra = {
                "groups": groups,
                "validation": validation and (self.layer.transform(validation[0]), *validation[1:]),
            }
        self.head_ = clone(self.head).fit(self.layer.transform(X), y, **extra)
        self.classes_ = self.head_.classes_
        return self

    def predict_proba(self, X):
        """Probabilities of shape (n, K)."""
        return self.head_.predict_proba(self.layer.transform(X))

    def predict(self, X):
        """Labels of shape (n,)."""
        return self.head_.predict(self.layer.transform(X))


class HybridBottleneck(Baseline):
    """PCBM-h: a probe on the embedding explains what the concept model's logits leave over.

    References
    ----------
    Yuksekgonul et al., *Post-hoc Concept Bottleneck Models*, ICLR 2023, arXiv:2205.15480 (section on PCBM-h).
    """

    def __init__(self, layer, head, *, penalty=0.01):
        self.layer = layer
        self.head = head
        self.penalty = penalty

    def fit(self, X, y, *, groups=None, validation=None):
        """Fit the bottleneck, then the residual with the bottleneck's logits held."""
        from scipy.optimize import minimize

        from baselines.base import log_loss, residual

        self.bottleneck_ = Bottleneck(self.layer, self.head).fit(X, y, groups=groups, validation=validation)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.scaler_ = StandardScaler().fit(X)
        Z, fixed = self.scaler_.transform(X), self._concept_logits(X)
        shape = (len(self.classes_), Z.shape[1])

        def objective(flat):
            W = flat.reshape(shape)
            logits = fixed + Z @ W.T
            gradient = residual(logits, codes).T @ Z / len(Z) + self.penalty * W
            return log_loss(logits, codes) + self.penalty / 2 * (W**2).sum(), gradient.ravel()

        self.residual_ = minimize(objective, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B").x.reshape(shape)
        return self

    def decision_function(self, X):
        """Logits of shape (n, K)."""
        return self._concept_logits(X) + self.scaler_.transform(X) @ self.residual_.T

    def _concept_logits(self, X):
        return self.bottleneck_.head_.decision_function(self.layer.transform(X))
