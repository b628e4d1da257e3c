"""Synthetic concept activations: correlated, in [0, 1], classes that depend on a few of them."""

import pytest
from activations_data import make_activations


@pytest.fixture(params=[2, 4], ids=["two classes", "four classes"])
def activations(request):
    """A (300, 12) and y with two or four classes."""
    return make_activations(300, 12, request.param)


@pytest.fixture
def two_classes():
    """A (300, 12) and y with two classes."""
    return make_activations(300, 12, 2)


@pytest.fixture
def four_classes():
    """A (300, 12) and y with four classes."""
    return make_activations(300, 12, 4)
