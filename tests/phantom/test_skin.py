"""Synthetic dermoscopic lesions: reproducible, true to their findings, and strict about their arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from knobo.errors import InputError
from knobo.phantom._skin_canvas import Canvas
from knobo.phantom._skin_scene import Lesion
from knobo.phantom.dataset import PhantomDataset
from knobo.phantom.skin import SKIN_CLASSES, SKIN_FINDINGS, draw_lesion, make_skin_lesions


@pytest.fixture(scope="module")
def lesions() -> PhantomDataset:
    return make_skin_lesions(120, size=96, random_state=4)


def test_shapes_types_and_columns(lesions: PhantomDataset) -> None:
    assert lesions.images.shape == (120, 96, 96, 3)
    assert lesions.images.dtype == np.uint8
    assert tuple(lesions.findings.columns) == SKIN_FINDINGS
    assert all(dtype.kind == "b" for dtype in lesions.findings.dtypes)
    assert set(lesions.labels) == set(SKIN_CLASSES)
    assert set(lesions.metadata) == {"hospital", "patient_id", "sex", "age", "skin_tone", "site", "ruler"}
    assert lesions.metadata["patient_id"].is_unique
    assert len(lesions.reports) == len(lesions.masks) == 120
    assert lesions.modality == "skin-lesion"


def test_same_seed_same_data_and_another_seed_other_data() -> None:
    first, again, other = (make_skin_lesions(3, size=64, random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.reports == again.reports
    assert first.metadata.equals(again.metadata)
    assert (first.images != other.images).any()


def test_an_image_does_not_depend_on_how_many_are_drawn() -> None:
    few, many = make_skin_lesions(3, size=64), make_skin_lesions(7, size=64)
    np.testing.assert_array_equal(few.images, many.images[:3])
    assert few.findings.equals(many.findings.iloc[:3])
    assert few.metadata.equals(many.metadata.iloc[:3])
    assert few.reports == many.reports[:3]


def test_every_present_finding_has_a_mask_in_the_image_and_no_other_has(lesions: PhantomDataset) -> None:
    for row, masks in zip(lesions.findings.to_dict(orient="records"), lesions.masks, strict=True):
        assert {finding for finding, present in row.items() if present} == set(masks)
        for mask in masks.values():
            assert mask.dtype == bool
            assert mask.shape == (96, 96)
            assert 0 < mask.mean() < 0.75


def _plain_lesion(*findings: str, **looks: object) -> Lesion:
    lesion = Lesion(
        findings=frozenset(findings),
        skin_tone="II",
        pigment=0.7,
        warmth=0.5,
        irregular_dots=True,
        blue_globules=False,
        arborising=False,
        typical_network=0.0,
    )
    return dataclasses.replace(lesion, **looks)


def _with_and_without(lesion: Lesion, finding: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour change (size, size) in grey levels that the finding makes, and its mask."""
    without = dataclasses.replace(lesion, findings=lesion.findings - {finding})
    drawn = [
        draw_lesion(
            each,
            size=128,
            hospital="B",
            ruler=False,
            seed=np.random.SeedSequence(seed),
            nuisance=np.random.SeedSequence(seed + 1),
        )
        for each in (lesion, without)
    ]
    change = np.abs(drawn[0][0].astype(float) - drawn[1][0].astype(float)).mean(axis=2)
    return change, drawn[0][1][finding]


@pytest.mark.parametrize("finding", SKIN_FINDINGS)
@pytest.mark.parametrize("seed", [0, 10])
def test_a_finding_changes_the_colour_where_its_mask_is(finding: str, seed: int) -> None:
    change, mask = _with_and_without(_plain_lesion(finding), finding, seed)
    assert change[mask].mean() > 10
    assert change[mask].mean() > 4 * change[~mask].mean()


@pytest.mark.parametrize(
    ("finding", "looks"),
    [
        ("vessels", {"arborising": True, "pigment": 0.1}),
        ("dots_globules", {"blue_globules": True, "pigment": 0.1}),
        ("dots_globules", {"irregular_dots": False}),
        ("pigment_network", {"skin_tone": "VI"}),
        ("blue_white_veil", {"skin_tone": "VI"}),
    ],
)
def test_other_looks_of_a_finding_show_too(finding: str, looks: dict[str, object]) -> None:
    change, mask = _with_and_without(_plain_lesion(finding, **looks), finding, 3)
    assert change[mask].mean() > 8
    assert change[mask].mean() > 4 * change[~mask].mean()


def test_colours_are_those_that_a_dermatologist_expects() -> None:
    def mean_colour(finding: str, **looks: object) -> np.ndarray:
        image, masks = draw_lesion(
            _plain_lesion(finding, **looks),
            size=128,
            hospital="A",
            ruler=False,
            seed=np.random.SeedSequence(5),
            nuisance=np.random.SeedSequence(6),
        )
        return image[masks[finding]].mean(axis=0)

    veil, scar = mean_colour("blue_white_veil"), mean_colour("regression")
    crust, dots = mean_colour("ulceration"), mean_colour("dots_globules")
    assert veil[2] / veil[0] > 1.2 * dots[2] / dots[0]  # bluer than brown dots
    assert scar.mean() > veil.mean() > dots.mean()
    assert crust[0] > 1.3 * crust[2]  # reddish


def test_darker_skin_is_darker() -> None:
    corner = [
        draw_lesion(
            _plain_lesion(skin_tone=tone),
            size=128,
            hospital="B",
            ruler=False,
            seed=np.random.SeedSequence(1),
            nuisance=np.random.SeedSequence(2),
        )[0][:12, 58:70].mean()
        for tone in ("I", "II", "III", "IV", "V", "VI")
    ]
    assert (np.diff(corner) < 0).all()


@pytest.mark.parametrize("size", [64, 224, 320])
def test_the_same_lesion_at_any_size(size: int) -> None:
    small, large = make_skin_lesions(2, size=64, random_state=9), make_skin_lesions(2, size=size, random_state=9)
    assert large.images.shape == (2, size, size, 3)
    assert large.reports == small.reports
    assert list(large.masks[0]) == list(small.masks[0])
    grid = (np.arange(16) * 2 + 1) * size // 32
    reference = (np.arange(16) * 2 + 1) * 2
    ours, theirs = large.images[:, grid][:, :, grid], small.images[:, reference][:, :, reference]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.8


def test_findings_overlap_between_the_classes() -> None:
    data = make_skin_lesions(200, size=32, random_state=1)
    share = data.findings.groupby(np.asarray(data.labels)).mean()
    assert (share < 0.97).all(axis=None)
    assert (share.max() - share.min() > 0.1).all()
    assert share.loc["basal_cell_carcinoma", "vessels"] > share.loc["common_nevus", "vessels"]
    assert share.loc["melanoma", "blue_white_veil"] > share.loc["atypical_nevus", "blue_white_veil"]


def _ruler_pairs() -> Iterator[tuple[str, np.ndarray]]:
    for hospital in ("A", "B", "C"):
        with_ruler = make_skin_lesions(4, size=128, hospital=hospital, ruler=[True] * 4)
        without = make_skin_lesions(4, size=128, hospital=hospital, ruler=np.zeros(4, bool))
        assert with_ruler.metadata["ruler"].all()
        assert not without.metadata["ruler"].any()
        yield hospital, np.abs(with_ruler.images.astype(int) - without.images.astype(int)).max(axis=-1)


def test_a_ruler_is_drawn_where_asked_and_changes_nothing_else() -> None:
    for hospital, change in _ruler_pairs():
        visible, untouched = (change > 25).mean(axis=(1, 2)), (change == 0).mean(axis=(1, 2))
        assert (visible > 0.01).all(), hospital
        assert (untouched > 0.7).all(), hospital


def test_rulers_follow_the_hospital_when_not_asked_for() -> None:
    share = {name: make_skin_lesions(50, size=32, hospital=name).metadata["ruler"].mean() for name in "BC"}
    assert share["B"] > share["C"] > 0


def test_hospitals_differ_in_colour_but_not_in_truth() -> None:
    first, second = (make_skin_lesions(6, size=64, hospital=name, random_state=2) for name in "AB")
    assert list(first.labels) == list(second.labels)
    assert first.findings.equals(second.findings)
    assert np.abs(first.images.mean(axis=(0, 1, 2)) - second.images.mean(axis=(0, 1, 2))).max() > 5


def test_labels_and_label_weights_choose_the_classes() -> None:
    chosen = ["melanoma", "common_nevus", "melanoma"]
    assert list(make_skin_lesions(3, size=32, labels=chosen).labels) == chosen
    weighted = make_skin_lesions(20, size=32, label_weights={"melanoma": 3, "basal_cell_carcinoma": 1})
    assert set(weighted.labels) == {"melanoma", "basal_cell_carcinoma"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples must be a whole number of at least 1, got 0"),
        ({"n_samples": 2.5}, "n_samples must be a whole number"),
        ({"size": 16}, "size must be a whole number of at least 32, got 16"),
        ({"random_state": -1}, "random_state must be a whole number of at least 0"),
        ({"random_state": True}, "random_state must be a whole number"),
        ({"hospital": "Z"}, "Unknown hospital 'Z'; choose one of A, B, C"),
        ({"label_weights": {"wart": 1}}, r"unknown classes \['wart'\]; the classes are"),
        ({"label_weights": {"melanoma": -1}}, "label_weights must be at least 0"),
        ({"label_weights": {"melanoma": float("nan")}}, "label_weights must be at least 0"),
        ({"label_weights": {}}, "not all 0"),
        ({"labels": ["melanoma"]}, r"labels must hold one class an image \(2\)"),
        ({"labels": ["melanoma", "wart"]}, r"labels names unknown classes \['wart'\]"),
        ({"labels": ["melanoma"] * 2, "label_weights": {"melanoma": 1}}, "either labels or label_weights"),
        ({"ruler": [True]}, r"ruler must hold one bool an image \(2\)"),
        ({"ruler": [0.5, 1]}, "ruler must hold booleans, got float64"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_skin_lesions(**{"n_samples": 2, "size": 32, **arguments})


def test_noise_is_standardised_and_stamps_stay_on_the_canvas() -> None:
    canvas, rng = Canvas(96), np.random.default_rng(0)
    noise = np.stack([canvas.noise(rng, 12, octaves=octaves) for octaves in (1, 2, 3)])
    assert np.abs(noise.mean()) < 0.1
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 1, atol=0.15)
    cover = canvas.stamp([(0, 0), (3, 3), (-1, 1)], [0.25, 0.5, 0.1])
    assert cover.min() == 0
    assert cover.max() == 1
    assert cover.sum() == pytest.approx(np.pi * (0.25 * 48) ** 2 + np.pi * (0.1 * 48) ** 2 / 4, rel=0.05)


def test_a_honeycomb_without_jitter_has_equal_cells() -> None:
    canvas = Canvas(128)
    wall = canvas.honeycomb(canvas.x * 4, canvas.y * 4, np.random.default_rng(0), jitter=0.0)
    assert wall.min() < 0.05
    assert wall.max() == pytest.approx(1.0, abs=0.1)
