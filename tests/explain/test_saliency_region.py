import numpy as np
import pytest

from knobo.errors import InputError
from knobo.explain import keep_region


@pytest.fixture
def image():
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 15:] = 200
    return pixels


def test_a_box_and_its_mask_keep_the_same_pixels(image):
    mask = np.zeros((20, 30), bool)
    mask[2:8, 16:28] = True
    boxed = keep_region(image, (16, 2, 28, 8))
    np.testing.assert_array_equal(boxed, keep_region(image, mask))
    np.testing.assert_array_equal(boxed[mask], image[mask])
    assert (boxed[~mask] == 100).all()


def test_blur_leaves_what_is_large(image):
    kept = keep_region(image, (0, 0, 2, 2), outside="blur")
    assert kept[10, 29, 0] > 150
    assert kept[10, 5, 0] < 50


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((5, 5, 5, 9), "empty or not inside"),
        ((0, 0, 31, 9), "30 wide"),
        (np.zeros((20, 30), bool), "empty"),
        (np.ones((30, 20), bool), "shape"),
        (np.full((20, 30), 3), "True and False"),
    ],
)
def test_a_region_that_does_not_fit_is_refused(image, region, message):
    with pytest.raises(InputError, match=message):
        keep_region(image, region)


def test_what_stands_outside_must_be_known(image):
    with pytest.raises(InputError, match="black"):
        keep_region(image, (0, 0, 2, 2), outside="black")
