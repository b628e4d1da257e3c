"""Interventions change what they are told to, refuse what makes no sense, and say what was meant."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from knobo.errors import InputError, InputTypeError
from knobo.explain import intervene

IDS = ("pleural-effusion", "consolidation", "nodule")


@given(arrays(float, (4, 3), elements=st.floats(0, 1)), st.sampled_from(range(3)))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_present_value_changes_nothing(A, j):
    np.testing.assert_array_equal(intervene(A, IDS, {IDS[j]: A[:, j]}), A)
    np.testing.assert_array_equal(intervene(A, IDS, {}), A)


def test_one_value_for_all_cases_or_one_for_each():
    A = np.full((2, 3), 0.5)
    changed = intervene(A, IDS, {"nodule": 0, "consolidation": [0.1, 0.9]})
    np.testing.assert_array_equal(changed, [[0.5, 0.1, 0.0], [0.5, 0.9, 0.0]])
    np.testing.assert_array_equal(A, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"plural-effusion": 0.0}, "no concept 'plural-effusion'.*Did you mean 'pleural-effusion'"),
        ({"xyz": 0.0}, "no concept 'xyz'.*There are: pleural-effusion, consolidation, nodule"),
        ({"nodule": 1.5}, r"activation of 'nodule' must lie in \[0, 1\], got 1.5"),
        ({"nodule": -0.1}, r"must lie in \[0, 1\]"),
        ({"nodule": float("nan")}, r"must lie in \[0, 1\], got nan"),
        ({"nodule": "absent"}, "must be a number in .0, 1., got 'absent'"),
        ({"nodule": [0.1, 0.2, 0.3]}, r"shape \(3,\); pass one number, or one for each of the 2 cases"),
    ],
)
def test_impossible_interventions_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        intervene(np.full((2, 3), 0.5), IDS, values)


def test_values_must_be_a_mapping():
    with pytest.raises(InputTypeError, match="must map concept ids to activations, such as"):
        intervene(np.full((2, 3), 0.5), IDS, [0.0, 1.0])
