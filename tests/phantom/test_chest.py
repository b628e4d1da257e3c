"""Synthetic chest radiographs: reproducible, true to their findings, and strict about their arguments."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from knobo.errors import InputError
from knobo.phantom._chest_case import CHEST_CLASSES, Case, draw_case, sample_case
from knobo.phantom._chest_exposure import print_side
from knobo.phantom._chest_findings import LOCAL_FINDINGS
from knobo.phantom._chest_patient import DEVICES, LOBES
from knobo.phantom.chest import CHEST_FINDINGS, make_chest_xrays
from knobo.phantom.dataset import PhantomDataset

EVEN = np.full(len(CHEST_CLASSES), 1 / len(CHEST_CLASSES))
METADATA = ["hospital", "patient_id", "sex", "age", "view", "marker", "lobe"]


@pytest.fixture(scope="module")
def films() -> PhantomDataset:
    return make_chest_xrays(40, size=64, random_state=4)


def _case(seed: int, *present: str, hospital: str = "A", **details: object) -> Case:
    """One patient with exactly these findings; all else follows the seed."""
    case = sample_case(np.random.SeedSequence(seed), hospital=hospital, weights=EVEN, label="normal", marker=False)
    return dataclasses.replace(
        case,
        findings={finding: finding in present for finding in LOCAL_FINDINGS},
        details=dataclasses.replace(case.details, **details),
    )


def _sampled(n: int, *, hospital: str = "A", label: str | None = None) -> list[Case]:
    return [sample_case(np.random.SeedSequence(k), hospital=hospital, weights=EVEN, label=label) for k in range(n)]


def _change(case: Case, finding: str, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Change (size, size) in grey levels when one finding is turned on, and its mask."""
    without, _ = draw_case(case, size)
    shown, masks = draw_case(dataclasses.replace(case, findings={**case.findings, finding: True}), size)
    return shown.astype(float) - without, masks[finding]


def _middle(mask: np.ndarray) -> tuple[float, float]:
    """Mean row and column of a mask, as shares of the image."""
    rows, columns = np.nonzero(mask)
    return float(rows.mean()) / len(mask), float(columns.mean()) / len(mask)


def test_shapes_types_and_columns(films: PhantomDataset) -> None:
    assert films.images.shape == (40, 64, 64)
    assert films.images.dtype == np.uint8
    assert tuple(films.findings.columns) == CHEST_FINDINGS
    assert all(dtype.kind == "b" for dtype in films.findings.dtypes)
    assert set(films.labels) == set(CHEST_CLASSES)
    assert len(films.reports) == len(films.masks) == 40
    assert films.modality == "chest-xray"


def test_every_finding_occurs_and_no_finding_means_none(films: PhantomDataset) -> None:
    assert films.findings.any().all()
    local = films.findings[list(LOCAL_FINDINGS)].any(axis=1)
    assert (films.findings["no_finding"] == ~local).all()


def test_metadata_describe_the_patient_and_the_view(films: PhantomDataset) -> None:
    table = films.metadata
    assert list(table) == METADATA
    assert table["patient_id"].is_unique
    assert set(table["hospital"]) == {"A"}
    assert set(table["sex"]) == {"F", "M"}
    assert set(table["view"]) == {"AP", "PA"}
    assert table["age"].between(18, 95).all()
    assert table["marker"].dtype == bool
    consolidated = films.findings["consolidation"]
    assert set(table.loc[consolidated, "lobe"]) <= set(LOBES)
    assert (table.loc[~consolidated, "lobe"] == "").all()


def test_same_seed_same_data_and_another_seed_other_data() -> None:
    first, again, other = (make_chest_xrays(3, size=64, random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.reports == again.reports
    assert first.metadata.equals(again.metadata)
    assert (first.images != other.images).any()


def test_an_image_does_not_depend_on_how_many_are_drawn() -> None:
    few, many = make_chest_xrays(3, size=64), make_chest_xrays(5, size=64)
    np.testing.assert_array_equal(few.images, many.images[:3])
    assert few.findings.equals(many.findings.iloc[:3])
    assert few.metadata.equals(many.metadata.iloc[:3])
    assert few.reports == many.reports[:3]
    for ours, theirs in zip(few.masks, many.masks, strict=False):
        assert all((ours[name] == theirs[name]).all() for name in ours)


def test_a_case_is_drawn_the_same_every_time() -> None:
    case = _case(3, "nodule", "interstitial_lines", "support_device")
    first, again = draw_case(case, 160), draw_case(case, 160)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1]["support_device"], again[1]["support_device"])


@pytest.mark.parametrize("size", [32, 64, 224])
def test_every_present_finding_has_a_mask_in_the_image_and_no_other_has(size: int) -> None:
    data = make_chest_xrays(6, size=size, random_state=2)
    for row, masks in zip(data.findings.to_dict(orient="records"), data.masks, strict=True):
        assert {finding for finding, present in row.items() if present and finding != "no_finding"} == set(masks)
        for mask in masks.values():
            assert mask.dtype == bool
            assert mask.shape == (size, size)
            assert 0 < mask.mean() < 0.5


@pytest.mark.parametrize("finding", LOCAL_FINDINGS)
@pytest.mark.parametrize("seed", [3, 8])
def test_a_finding_changes_the_picture_where_its_mask_is(finding: str, seed: int) -> None:
    change, mask = _change(_case(seed), finding)
    inside, outside = np.abs(change[mask]).mean(), np.abs(change[~mask]).mean()
    moves_the_diaphragm = finding in ("hyperinflation", "atelectasis")
    assert inside > 3
    assert inside > (3 if moves_the_diaphragm else 8) * outside


@pytest.mark.parametrize("seed", [1, 5])
@pytest.mark.parametrize(
    ("finding", "direction", "least"),
    [
        ("cardiomegaly", 1, 15),
        ("pleural_effusion_left", 1, 10),
        ("pleural_effusion_right", 1, 10),
        ("consolidation", 1, 30),
        ("nodule", 1, 15),
        ("mediastinal_widening", 1, 15),
        ("atelectasis", 1, 8),
        ("interstitial_lines", 1, 5),
        ("support_device", 1, 2),
        ("pneumothorax", -1, 12),
        ("hyperinflation", -1, 15),
    ],
)
def test_fluid_and_masses_brighten_and_free_air_darkens(finding: str, direction: int, least: float, seed: int) -> None:
    change, mask = _change(_case(seed), finding)
    assert direction * change[mask].mean() > least


@pytest.mark.parametrize("device", DEVICES)
def test_every_kind_of_device_shows(device: str) -> None:
    change, mask = _change(_case(7, device=device), "support_device", 224)
    assert change[mask].mean() > 2
    assert np.abs(change[mask]).mean() > 20 * np.abs(change[~mask]).mean()


def test_a_finding_looks_the_same_beside_another_one() -> None:
    alone, crowd = _case(5, "nodule", "consolidation"), _case(5, "nodule", "consolidation", "support_device")
    (_, few), (_, many) = draw_case(alone, 160), draw_case(crowd, 160)
    np.testing.assert_array_equal(few["nodule"], many["nodule"])
    np.testing.assert_array_equal(few["consolidation"], many["consolidation"])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_patients_left_is_on_the_right_of_the_image(seed: int) -> None:
    """As the viewer faces the patient, in every radiograph."""
    for side in ("left", "right"):
        case = _case(
            seed,
            f"pleural_effusion_{side}",
            "nodule",
            "pneumothorax",
            "atelectasis",
            nodule_side=side,
            pneumothorax_side=side,
            atelectasis_side=side,
        )
        for finding, mask in draw_case(case, 160)[1].items():
            column = _middle(mask)[1]
            assert (column > 0.54) if side == "left" else (column < 0.46), finding


def test_the_letter_l_stands_at_the_patients_left_shoulder() -> None:
    blank = np.zeros((200, 200), np.float32)
    print_side(blank, np.random.default_rng(0))
    rows, columns = np.nonzero(blank > 0.5)
    assert len(rows) > 5
    assert rows.max() < 40
    assert columns.min() > 170


def test_a_consolidation_lies_in_its_lobe() -> None:
    middles = {
        lobe: _middle(draw_case(_case(6, "consolidation", lobe=lobe), 160)[1]["consolidation"]) for lobe in LOBES
    }
    for lobe, (_, column) in middles.items():
        assert (column < 0.46) if lobe.startswith("right") else (column > 0.54), lobe
    assert middles["right upper lobe"][0] < middles["right middle lobe"][0] - 0.1
    assert middles["right middle lobe"][0] < middles["right lower lobe"][0]
    assert middles["left upper lobe"][0] < middles["left lower lobe"][0] - 0.1


def test_more_fluid_makes_a_larger_effusion() -> None:
    areas = [
        draw_case(_case(2, "pleural_effusion_left", effusion=(0.0, amount)), 160)[1]["pleural_effusion_left"].mean()
        for amount in (0.1, 0.45, 0.9)
    ]
    assert areas[0] < areas[1] < areas[2]
    assert areas[2] > 2 * areas[0]


def test_effusions_fill_the_lower_lung_and_a_pneumothorax_the_apex() -> None:
    _, masks = draw_case(_case(4, "pleural_effusion_right", "pneumothorax", "hyperinflation"), 160)
    lung_row = _middle(masks["hyperinflation"])[0]
    assert _middle(masks["pleural_effusion_right"])[0] > lung_row + 0.05
    assert _middle(masks["pneumothorax"])[0] < lung_row - 0.05


@pytest.mark.parametrize("size", [32, 64])
def test_a_small_image_is_the_large_one_made_small(size: int) -> None:
    """The same patients, findings and reports; the picture and the masks agree when both are averaged."""
    small, large = (make_chest_xrays(3, size=side, random_state=9) for side in (size, 224))
    assert small.findings.equals(large.findings)
    assert small.metadata.equals(large.metadata)
    assert small.reports == large.reports

    def coarse(stack: np.ndarray) -> np.ndarray:
        block = len(stack) // 32
        return stack.reshape(32, block, 32, block).mean(axis=(1, 3))

    for i in range(3):
        ours, theirs = coarse(small.images[i].astype(float)), coarse(large.images[i].astype(float))
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97
        assert list(small.masks[i]) == list(large.masks[i])
        for name, mask in small.masks[i].items():
            np.testing.assert_allclose(_middle(mask), _middle(large.masks[i][name]), atol=0.06, err_msg=name)


def test_findings_overlap_between_the_classes() -> None:
    share = {
        label: np.mean([list(case.findings.values()) for case in _sampled(250, label=label)], axis=0)
        for label in CHEST_CLASSES
    }
    table = np.array(list(share.values()))
    assert (table < 0.97).all()
    assert (table > 0).all()
    assert (table.max(axis=0) - table.min(axis=0) > 0.05).all()
    column = {finding: j for j, finding in enumerate(LOCAL_FINDINGS)}
    for label, finding in {
        "pneumonia": "consolidation",
        "heart_failure": "cardiomegaly",
        "copd": "hyperinflation",
        "lung_cancer": "nodule",
    }.items():
        others = [share[name][column[finding]] for name in CHEST_CLASSES if name != label]
        assert share[label][column[finding]] > max(others) + 0.3, finding


@pytest.mark.parametrize("hospital", ["A", "B", "C"])
@pytest.mark.parametrize("size", [32, 224])
def test_the_marker_is_printed_where_asked_and_only_in_its_corner(hospital: str, size: int) -> None:
    asked = [True, False, True]
    some = make_chest_xrays(3, size=size, hospital=hospital, marker=asked)
    none = make_chest_xrays(3, size=size, hospital=hospital, marker=np.zeros(3, bool))
    assert list(some.metadata["marker"]) == asked
    assert not none.metadata["marker"].any()
    change = np.abs(some.images.astype(int) - none.images.astype(int))
    corner = change[:, : round(0.18 * size), : round(0.44 * size)]
    assert change.sum() == corner.sum()
    for printed, label in zip(asked, corner, strict=True):
        assert (np.mean(label > 60) > 0.03) if printed else not label.any()


def test_markers_and_bedside_views_follow_the_hospital() -> None:
    cases = {hospital: _sampled(300, hospital=hospital) for hospital in "ABC"}
    marked = {hospital: np.mean([case.marker for case in some]) for hospital, some in cases.items()}
    bedside = {hospital: np.mean([case.view == "AP" for case in some]) for hospital, some in cases.items()}
    assert marked["B"] > marked["A"] > marked["C"] > 0
    assert bedside["B"] > bedside["A"] > bedside["C"] > 0


def test_hospitals_differ_in_look_but_not_in_truth() -> None:
    drawn = {
        name: make_chest_xrays(4, size=64, hospital=name, marker=np.zeros(4, bool), random_state=2) for name in "ABC"
    }
    for name in "BC":
        assert list(drawn[name].labels) == list(drawn["A"].labels)
        assert drawn[name].findings.equals(drawn["A"].findings)
    middle = {name: data.images[:, 16:48, 16:48].astype(float) for name, data in drawn.items()}
    spread = {name: values.std(axis=(1, 2)).mean() for name, values in middle.items()}
    assert spread["B"] < 0.9 * spread["A"]
    assert spread["A"] < spread["C"]
    assert all(np.abs(middle["A"] - middle[name]).mean() > 8 for name in "BC")


def test_images_use_the_grey_scale_and_do_not_saturate(films: PhantomDataset) -> None:
    for image in films.images:
        low, high = np.percentile(image, [5, 95])
        assert high - low > 100
        assert np.mean(image == 255) < 0.4


def test_labels_and_label_weights_choose_the_classes() -> None:
    chosen = ["copd", "normal", "copd"]
    assert list(make_chest_xrays(3, size=32, labels=chosen).labels) == chosen
    weighted = make_chest_xrays(8, size=32, label_weights={"copd": 3, "lung_cancer": 1})
    assert set(weighted.labels) == {"copd", "lung_cancer"}


def test_progress_is_shown_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    make_chest_xrays(1, size=32)
    assert capsys.readouterr().err == ""
    make_chest_xrays(1, size=32, progress=True)
    assert "Drawing chest radiographs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples must be a whole number of at least 1, got 0"),
        ({"n_samples": 2.5}, "n_samples must be a whole number"),
        ({"n_samples": "2"}, "n_samples must be a whole number"),
        ({"size": 31}, "size must be a whole number of at least 32, got 31"),
        ({"size": 64.0}, "size must be a whole number of at least 32, got 64.0"),
        ({"random_state": -1}, "random_state must be a whole number of at least 0"),
        ({"random_state": True}, "random_state must be a whole number"),
        ({"random_state": None}, "random_state must be a whole number"),
        ({"hospital": "Z"}, "Unknown hospital 'Z'; choose one of A, B, C"),
        ({"label_weights": {"flu": 1}}, r"unknown classes \['flu'\]; the classes are"),
        ({"label_weights": {"copd": -1}}, "label_weights must be at least 0"),
        ({"label_weights": {"copd": float("nan")}}, "label_weights must be at least 0"),
        ({"label_weights": {}}, "not all 0"),
        ({"labels": ["copd"]}, r"labels must hold one class an image \(2\)"),
        ({"labels": "copd"}, r"labels must hold one class an image \(2\), got an array of shape \(\)"),
        ({"labels": ["copd", "flu"]}, r"labels names unknown classes \['flu'\]"),
        ({"labels": ["copd"] * 2, "label_weights": {"copd": 1}}, "either labels or label_weights"),
        ({"marker": [True]}, r"marker must hold one bool an image \(2\)"),
        ({"marker": True}, r"marker must hold one bool an image \(2\), got an array of shape \(\)"),
        ({"marker": [0.5, 1]}, "marker must hold booleans, got float64"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_chest_xrays(**{"n_samples": 2, "size": 32, **arguments})
