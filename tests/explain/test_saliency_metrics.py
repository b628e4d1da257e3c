import numpy as np
import pytest

from knobo.errors import InputError
from knobo.explain.saliency_metrics import deletion_insertion, map_iou, pointing_hit


@pytest.fixture
def mask():
    inside = np.zeros((20, 20), bool)
    inside[5:10, 5:10] = True
    return inside


def test_a_map_points_at_its_maximum(mask):
    found = np.zeros((20, 20))
    found[7, 12] = 1
    assert not pointing_hit(found, mask)
    assert not pointing_hit(found, mask, tolerance=2)
    assert pointing_hit(found, mask, tolerance=3)
    assert pointing_hit(mask * 1.0, mask)


def test_iou_is_one_for_the_mask_itself_and_counts_what_is_over_half_of_the_maximum(mask):
    assert map_iou(mask * 3.0, mask) == 1
    half = mask * 1.0
    half[5:10, 5] = 0.4
    assert map_iou(half, mask) == pytest.approx(0.8)
    assert map_iou(-np.ones((20, 20)), mask) == 0


def test_the_true_map_deletes_early_and_inserts_early(mask):
    image = np.zeros((20, 20, 3), np.uint8)
    image[mask] = 255

    def score(images):
        return [one[mask].mean() / 255 for one in images]

    deletion, insertion = deletion_insertion(score, image, mask * 1.0)
    worst = deletion_insertion(score, image, mask * -1.0)
    assert deletion < worst[0]
    assert insertion > worst[1]


@pytest.mark.parametrize(("found", "message"), [(np.ones((3, 3)), "one shape"), (np.ones(20), "one shape")])
def test_shapes_must_fit(mask, found, message):
    with pytest.raises(InputError, match=message):
        map_iou(found, mask)


def test_an_empty_mask_has_nothing_to_point_at():
    with pytest.raises(InputError, match="empty"):
        pointing_hit(np.ones((3, 3)), np.zeros((3, 3)))
