"""What all concept scorers share: activations are logistic functions of the embedding, and each has a certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, validate_data

from knobo._validation import check_fitted, knobo_errors
from knobo.errors import InputError
from knobo.grounding.certificate import certify
from knobo.grounding.logistic import activations

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LinearScorer(TransformerMixin, BaseEstimator):
    """Base of the scorers. A subclass's ``fit`` sets ``concepts_``, ``coef_``, ``intercept_`` and ``quality_``."""

    concepts_: NDArray[np.object_]
    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    quality_: pd.DataFrame

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Concept activations of new embeddings.

        Parameters
        ----------
        X : array-like of shape (n, d)
            All concepts are one matrix product, in the precision of X (float32 or float64).

        Returns
        -------
        ndarray of shape (n, m), float64 in [0, 1]
            Probabilities for *yes*.
        """
        check_fitted(self, "coef_")
        with knobo_errors():
            checked = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return activations(checked, self.coef_, self.intercept_)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the kept concepts."""
        check_fitted(self, "coef_")
        return np.asarray(self.concepts_, dtype=object)

    @property
    def certificate_(self) -> pd.DataFrame:
        """The certificates, one row for every concept that came in; the same table as ``quality_``."""
        return self.quality_

    def certify(
        self,
        X: ArrayLike,
        y: pd.DataFrame,
        *,
        groups: ArrayLike | None = None,
        domain: ArrayLike | None = None,
        min_count: int = 10,
    ) -> pd.DataFrame:
        """Certify the kept concepts on other images, such as those of another hospital.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Embeddings that ``fit`` has not seen.
        y : DataFrame of shape (n, any)
            Answers 1, 0 or NaN; columns that are no kept concept are ignored, and concepts without a column abstain.
        groups, domain, min_count :
            As in :func:`knobo.grounding.certify`.

        Returns
        -------
        DataFrame
            As from :func:`knobo.grounding.certify`.
        """
        found = self.transform(X)
        if not isinstance(y, pd.DataFrame):
            raise InputError("y must be a DataFrame whose columns name the concepts.")
        labels, _ = check_answers(y.reindex(columns=list(self.concepts_)), len(found))
        return certify(labels, found, list(self.concepts_), groups=groups, domain=domain, min_count=min_count)

    def plot_certificate(self, *, max_concepts: int = 30, ax: Axes | None = None) -> Axes:
        """Draw ``certificate_``, see :func:`knobo.grounding.plot_certificate`."""
        from knobo.grounding.certificate_plot import plot_certificate

        check_fitted(self, "coef_")
        return plot_certificate(self.quality_, max_concepts=max_concepts, ax=ax)


def check_answers(y: ArrayLike | pd.DataFrame, n: int) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Check answers (1, 0 or NaN) and return them as an array (n, m) with the names of the concepts.

    Raises
    ------
    InputError
        If names repeat, the number of rows is not n, or an answer is neither 1, 0 nor NaN.
    """
    names = np.asarray([str(column) for column in y.columns], dtype=object) if isinstance(y, pd.DataFrame) else None
    if names is not None and len(set(names)) < len(names):
        raise InputError("Concept columns must have different names.")
    with knobo_errors():
        values = y.to_numpy(dtype=float) if isinstance(y, pd.DataFrame) else y
        labels = check_array(values, dtype=np.float64, ensure_all_finite="allow-nan", ensure_2d=False, input_name="y")
    labels = labels.reshape(len(labels), -1)
    if names is None:
        names = np.asarray([f"concept{j}" for j in range(labels.shape[1])], dtype=object)
    if len(labels) != n:
        raise InputError(f"There are {n} images but {len(labels)} rows of concept answers; pass one row an image.")
    wrong = ~np.isnan(labels) & (labels != 0) & (labels != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"Concept {names[column]!r} has the answer {labels[row, column]:g} in row {row}; "
            "answers are 1 (yes), 0 (no) or NaN (unknown)."
        )
    return labels, names
