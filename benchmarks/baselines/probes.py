"""Probes: logistic regressions that read the whole embedding, plain, sparse, or told the confounder."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from baselines.base import Adam, Baseline, log_loss, residual
from knobo.heads import ConceptHead, alpha_max, class_weights


class LinearProbe(Baseline):
    """Logistic regression on standardised embeddings, its strength chosen by the validation log-loss.

    Parameters
    ----------
    sparse : bool
        L1 instead of L2.
    reweight : bool
        Give every group the same total weight, so that the confounder tells nothing about the label. A group without
        cases (a perfect tie) cannot be weighted up.
    """

    def __init__(self, *, sparse=False, reweight=False):
        self.sparse = sparse
        self.reweight = reweight

    def _fit(self, X, codes, groups, validation):
        self.scaler_ = StandardScaler().fit(X)
        Z = self._features(X)
        weights = (1 / np.bincount(groups)[groups]) if self.reweight else None
        fits = (_lasso_path if self.sparse else _ridge_path)(Z, codes, weights)
        held, held_codes = validation
        losses = [log_loss(self._features(held) @ W.T + b, held_codes) for W, b in fits]
        self.coef_, self.intercept_ = fits[int(np.argmin(losses))]

    def _features(self, X):
        return self.scaler_.transform(X)


def _ridge_path(Z, codes, weights):
    fits = []
    for C in np.logspace(-5, 0, 6):
        fits.append(_rows(LogisticRegression(C=C, max_iter=1000).fit(Z, codes, weights)))
    return fits


def _lasso_path(Z, codes, weights):
    top = alpha_max(ConceptHead(prior=None), Z, codes, weights)
    return [
        class_weights(ConceptHead(alpha, prior=None, tol=1e-5).fit(Z, codes, weights))
        for alpha in top * np.geomspace(0.7, 0.02, 8)
    ]


def _rows(model):
    """One row of weights and one intercept a class, also where there are two classes."""
    if len(model.coef_) == 1:
        return np.vstack([-model.coef_, model.coef_]) / 2, np.concatenate([-model.intercept_, model.intercept_]) / 2
    return model.coef_, model.intercept_


class GroupDROProbe(Baseline):
    """Linear probe that minimises the worst group's loss; the penalty and the step are chosen by the validation loss.

    References
    ----------
    Sagawa et al., *Distributionally Robust Neural Networks for Group Shifts*, ICLR 2020, arXiv:1911.08731: group
    weights are raised by exp(step * loss) and the model is moved on the weighted loss.
    """

    def __init__(self, *, penalties=(1e-2, 1e-1, 1.0), group_step=0.05, rate=0.02, steps=400):
        self.penalties = penalties
        self.group_step = group_step
        self.rate = rate
        self.steps = steps

    def _fit(self, X, codes, groups, validation):
        self.scaler_ = StandardScaler().fit(X)
        Z = self._features(X)
        member = np.eye(groups.max() + 1)[groups]
        member = member[:, member.any(axis=0)] / member.sum(axis=0)[member.any(axis=0)]
        held, held_codes = self._features(validation[0]), validation[1]
        fits = [self._descend(Z, codes, member, penalty) for penalty in self.penalties]
        losses = [log_loss(held @ W.T + b, held_codes) for W, b in fits]
        self.coef_, self.intercept_ = fits[int(np.argmin(losses))]

    def _descend(self, Z, codes, member, penalty):
        """Full-batch steps; ``member`` (n, G) averages over each group."""
        W, b = np.zeros((len(self.classes_), Z.shape[1])), np.zeros(len(self.classes_))
        adam, share = Adam([W, b], self.rate), np.full(member.shape[1], 1 / member.shape[1])
        rows = np.arange(len(codes))
        for _ in range(self.steps):
            logits = Z @ W.T + b
            error = residual(logits, codes)
            losses = -np.log(1 + error[rows, codes] + 1e-12)  # the error of the true class is p - 1
            share *= np.exp(self.group_step * (losses @ member))
            share /= share.sum()
            error *= (member @ share)[:, None]
            adam.step([error.T @ Z + penalty * W, error.sum(axis=0)])
        return W, b

    def _features(self, X):
        return self.scaler_.transform(X)
