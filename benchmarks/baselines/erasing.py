"""Take what tells a known column out of an embedding, by an archive in which nothing is tied to it."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler


class Erased:
    """A concept layer behind the projection that takes the view out."""

    def __init__(self, erase, layer=None):
        self.erase, self.layer = erase, layer

    def transform(self, X):
        X = self.erase(X)
        return X if self.layer is None else self.layer.transform(X)


def eraser(X, columns, *, chance=0.55, most=10, seed=0):
    """A projection after which a cross-validated linear model tells none of the columns better than by chance.

    Parameters
    ----------
    X : array of shape (n, d)
    columns : list of bool arrays of shape (n,)
    chance : float
        AUROC at which a column counts as gone.
    most : int
        Directions a column at most.

    References
    ----------
    Ravfogel et al., *Null It Out: Guarding Protected Attributes by Iterative Nullspace Projection*, ACL 2020,
    arXiv:2004.07667.
    """
    scaler = StandardScaler().fit(X)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = LogisticRegression(C=1e-3, class_weight="balanced", max_iter=500)
    Z, directions = scaler.transform(X), []
    for column in map(np.asarray, columns):
        for _ in range(most):
            score = cross_val_predict(model, Z, column, cv=folds, method="decision_function")
            if roc_auc_score(column, score) <= chance:
                break
            found = model.fit(Z, column).coef_[0]
            found /= np.linalg.norm(found)
            directions.append(found)
            Z = Z - np.outer(Z @ found, found)

    def erase(rows):
        rows = scaler.transform(rows)
        for direction in directions:
            rows = rows - np.outer(rows @ direction, direction)
        return rows

    return erase
