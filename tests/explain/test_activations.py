"""Prototypes and correlations, against numpy and pandas."""

import numpy as np
import pytest
from random_explanations import random_explanation

from knobo.errors import InputError
from knobo.explain import concept_correlation, prototypes


def test_prototypes_are_the_highest_and_lowest_activations():
    why = random_explanation(0, n=10)
    most, least = prototypes(why, "finding-2", 3)
    order = np.argsort(why.activations[:, 2])
    np.testing.assert_array_equal(most, order[::-1][:3])
    np.testing.assert_array_equal(least, order[:3])


def test_no_case_is_a_prototype_of_both_kinds():
    most, least = prototypes(random_explanation(0, n=5), "finding-2", 4)
    assert len(most) == len(least) == 2
    assert not set(most) & set(least)


def test_correlation_is_that_of_the_columns_and_unknown_where_nothing_varies(parts, why):
    correlation = concept_correlation(why)
    np.testing.assert_allclose(correlation, np.corrcoef(why.activations.T), atol=1e-12)
    assert list(correlation.index) == list(correlation.columns) == list(why.bank.ids)
    parts["activations"][:, 1] = 0.5
    assert concept_correlation(type(why)(**parts))["enlarged-heart"].isna().all()
    ranks = why.activations.argsort(axis=0).argsort(axis=0)
    distinct = [0, 1, 3, 4]
    expected = np.corrcoef(ranks.T)[np.ix_(distinct, distinct)]
    np.testing.assert_allclose(concept_correlation(why, "spearman").to_numpy()[np.ix_(distinct, distinct)], expected)


def test_what_cannot_be_found_is_refused(why):
    with pytest.raises(InputError, match="no concept 'lung'"):
        prototypes(why, "lung")
    with pytest.raises(InputError, match="n_cases of at least 1 and 2 cases, got 0 and 4"):
        prototypes(why, "nodule", 0)
    with pytest.raises(InputError, match="got 4 and 1"):
        prototypes(why[0], "nodule")
    with pytest.raises(InputError, match="at least 3 cases, got 2"):
        concept_correlation(why[:2])
    with pytest.raises(InputError, match="method must be 'pearson' or 'spearman'"):
        concept_correlation(why, "kendall")
