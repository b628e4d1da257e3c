import numpy as np
import pytest

from knobo.errors import InputError
from knobo.heads import ConceptHead, ConceptHeadCV
from knobo.heads.settings import check_prior, effective_weights


@pytest.mark.parametrize("head", [ConceptHead(), ConceptHeadCV(alphas=2, cv=2)])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"l1_ratio": 1.5}, r"l1_ratio must be a number from 0 to 1, got 1.5"),
        ({"l1_ratio": "half"}, r"l1_ratio must be a number from 0 to 1, got 'half'"),
        ({"prior_strength": -1}, r"prior_strength must be a number of at least 0, got -1"),
        ({"prior_strength": np.nan}, r"prior_strength must be a number of at least 0, got nan"),
        ({"tol": 0.0}, r"tol must be a number above 0, got 0.0"),
        ({"max_iter": 0}, r"max_iter must be an integer of at least 1, got 0"),
        ({"max_iter": 2.5}, r"max_iter must be an integer of at least 1, got 2.5"),
        ({"prior": "soft"}, r"prior must be 'sign', 'hard', 'shrink', 'tanh' or None, got 'soft'; None fits without"),
        ({"concept_groups": [0, 1]}, r"concept_groups must hold one label a concept, shape \(12,\), got shape \(2,\)"),
        ({"concept_groups": "bank"}, r"concept_groups='bank' is no list of labels; only ConceptBottleneckClassifier"),
        ({"concept_groups": np.full(12, np.nan)}, r"concept_groups has no label for concept 0"),
        (
            {"concept_groups": range(12), "prior": "shrink"},
            r"take the place of the L1 norm, which prior='shrink' needs",
        ),
        ({"concept_groups": range(12), "prior": "tanh"}, r"take the place of the L1 norm, which prior='tanh' needs"),
        ({"max_concepts_per_class": 0}, r"max_concepts_per_class must be an integer of at least 1, got 0"),
        (
            {"max_concepts_per_class": 2, "concept_groups": range(12)},
            r"follows a path of single weights, which concept_groups does not have",
        ),
        (
            {"max_concepts_per_class": 2, "prior": "tanh"},
            r"follows a path of single weights, which prior='tanh' does not have",
        ),
        ({"max_concepts_per_class": 2, "l1_ratio": 0}, r"path of the L1 norm; set l1_ratio above 0"),
        ({"prior_signs": np.ones((2, 12))}, r"shape \(4, 12\), one row a class .* one column a concept; got \(2, 12\)"),
        ({"prior_signs": np.full((4, 12), 2)}, r"prior_signs must be -1, 0 or 1, got 2; write 0 where .* unknown"),
        ({"prior_signs": np.full((4, 12), np.nan)}, r"prior_signs must be -1, 0 or 1, got nan"),
        ({"prior_signs": [["yes"]]}, r"prior_signs must be a table of numbers: could not convert"),
        (
            {"prior_signs": np.ones((4, 12)), "prior_confidence": np.ones(12)},
            r"prior_confidence must have the shape of prior_signs, \(4, 12\); got \(12,\)",
        ),
        (
            {"prior_signs": np.ones((4, 12)), "prior_confidence": np.full((4, 12), 1.5)},
            r"prior_confidence must lie in \[0, 1\], got 1.5",
        ),
        ({"class_weight": "even"}, r"class_weight must be None, 'balanced' or a dict .*, got 'even'"),
        ({"class_weight": {7: 1.0}}, r"class_weight names the class 7, which y does not hold; y holds 0, 1, 2, 3"),
        ({"class_weight": {1: -2.0}}, r"class_weight of 1 must be a number of at least 0, got -2.0"),
    ],
)
def test_unusable_settings_are_named(head, settings, message, four_classes):
    with pytest.raises(InputError, match=message):
        head.__class__(**{**head.get_params(), **settings}).fit(*four_classes)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        (-0.1, r"alpha must be a number of at least 0, got -0.1"),
        (np.inf, r"alpha must be a number of at least 0, got inf"),
        (True, r"alpha must be a number of at least 0, got True"),
    ],
)
def test_unusable_alpha(alpha, message, two_classes):
    with pytest.raises(InputError, match=message):
        ConceptHead(alpha).fit(*two_classes)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[0.1], [np.nan]], ["a", "b"], "Input X contains NaN"),
        ([[0.1], [0.2]], ["a", "a"], "y holds one class only \\('a'\\); a classifier needs at least two classes"),
        ([[0.1], [0.2]], ["a"], "inconsistent numbers of samples"),
        ([[0.1], [0.2]], [0.5, 1.7], "Unknown label type: continuous"),
        ([[0.1], [0.2]], [0.0, np.nan], "Input y contains NaN"),
        ([0.1, 0.2], ["a", "b"], "Expected 2D array, got 1D array instead"),
        (np.empty((0, 2)), [], "0 sample"),
    ],
)
def test_unusable_data(X, y, message):
    with pytest.raises(InputError, match=message):
        ConceptHead().fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 1.0], r"expected \(4,\): one weight a sample"),
        ([1.0, 1.0, -1.0, 1.0], "finite and not negative, got -1 for sample 2"),
        ([1.0, np.nan, 1.0, 1.0], "finite and not negative, got nan for sample 1"),
        ([0.0, 1.0, 0.0, 1.0], "weights of all samples of class 'a' are zero"),
        (["x", "y", "z", "w"], "sample_weight must be a table of numbers"),
    ],
)
def test_unusable_sample_weights(weights, message):
    with pytest.raises(InputError, match=message):
        ConceptHead().fit([[0.1], [0.2], [0.3], [0.4]], ["a", "b", "a", "b"], sample_weight=weights)


def test_two_classes_take_either_form_of_signs():
    signs, confidence = check_prior("sign", [[0, 1], [1, 1]], None, 2, 2)
    np.testing.assert_array_equal(signs, [[1, 0]])
    np.testing.assert_array_equal(confidence, [[1, 0]])
    signs, confidence = check_prior("sign", [[-1, 0]], [[0.3, 0.9]], 2, 2)
    np.testing.assert_array_equal(signs, [[-1, 0]])
    np.testing.assert_array_equal(confidence, [[0.3, 0.0]])
    with pytest.raises(InputError, match=r"or \(1, 2\) for the log-odds of the second class; got \(3, 2\)"):
        check_prior("sign", np.ones((3, 2)), None, 2, 2)


def test_class_weights_multiply_sample_weights():
    classes, codes = np.array(["a", "b"]), np.array([0, 0, 0, 1])
    np.testing.assert_allclose(effective_weights(None, "balanced", classes, codes), [2 / 3, 2 / 3, 2 / 3, 2])
    np.testing.assert_allclose(effective_weights([1, 2, 3, 4], {"a": 0.5}, classes, codes), [0.5, 1, 1.5, 4])
