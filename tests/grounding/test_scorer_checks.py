"""scikit-learn's own checks of the concept scorer."""

import numpy as np
from sklearn.utils.estimator_checks import parametrize_with_checks

from knobo.grounding import ConceptScorer

OUT_OF_FOLD = "fit_transform returns out-of-fold activations, as TargetEncoder's does"


class AnyTarget(ConceptScorer):
    """The checks' targets have any values, answers are 1 or 0: every other row says yes."""

    def _fit(self, X, y, groups, domain):
        return super()._fit(X, y if y is None else np.arange(len(y)) % 2, groups, domain)


@parametrize_with_checks(
    [AnyTarget(min_auroc=0.0, min_count=1, cv=2, Cs=(0.01,))],
    expected_failed_checks=lambda _: {
        "check_transformer_general": OUT_OF_FOLD,
        "check_transformer_data_not_an_array": OUT_OF_FOLD,
    },
)
def test_passes_every_check(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else the check of array API input is skipped
    check(estimator)
