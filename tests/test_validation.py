"""Labels are checked once, at the edge, with messages that name the item."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from knobo._validation import check_fitted, check_labels, knobo_errors
from knobo.errors import InputError, InputTypeError, NotFittedError


def test_labels_are_encoded_in_sorted_order():
    classes, codes = check_labels(["b", "a", "b", "a"], 4)
    assert list(classes) == ["a", "b"]
    assert list(codes) == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "n", "message"),
    [
        ([["a"], ["b"]], 2, r"shape \(2, 1\)"),
        (["a", "b"], 3, "3 images but 2 labels"),
        (["a", None, "b"], 3, "1 missing labels .first at row 1"),
        (["a", "", "b"], 3, "1 missing labels .first at row 1"),
        ([0.0, np.nan, 1.0], 3, "missing labels"),
        (["a", "a"], 2, r"one class only \('a'\)"),
        (["a", "a", "b"], 3, r"Class 'b' has 1 image\(s\)"),
    ],
)
def test_unusable_labels_are_named(labels, n, message):
    with pytest.raises(InputError, match=message):
        check_labels(labels, n)


def test_sklearn_errors_keep_their_message():
    with pytest.raises(InputError, match="bad value"), knobo_errors():
        raise ValueError("bad value")
    with pytest.raises(InputTypeError, match="bad type"), knobo_errors():
        raise TypeError("bad type")


def test_an_unfitted_estimator_is_named():
    with pytest.raises(NotFittedError, match="LogisticRegression instance is not fitted"):
        check_fitted(LogisticRegression(), "coef_")
