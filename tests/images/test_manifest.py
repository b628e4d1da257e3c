"""A CSV table becomes paths, labels, reports, groups and concepts; what is wrong with it is said at once."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.errors import FileError, FormatError, InputError
from knobo.images import concept_columns, read_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "images" / f"{name}.png").touch()
    return tmp_path


def write(folder, text, encoding="utf-8"):
    path = folder / "manifest.csv"
    path.write_text(text, encoding=encoding)
    return path


TABLE = """image,diagnosis,patient,notes,veil,age
images/a.png,melanoma,007,"A lesion, irregular",present,61
images/b.png,nevus,007,,absent,
images/c.png,nevus,012,None seen.,,40
"""


def test_the_parts_of_a_manifest(folder):
    data = read_manifest(write(folder, TABLE), label="diagnosis", report="notes", concepts=["veil"], group="patient")
    assert len(data) == 3
    assert data.paths == [folder / "images" / f"{name}.png" for name in "abc"]
    assert data.labels.tolist() == ["melanoma", "nevus", "nevus"]
    assert data.groups.tolist() == ["007", "007", "012"]
    assert data.reports == ["A lesion, irregular", "", "None seen."]
    np.testing.assert_array_equal(data.concepts["veil"], [1, 0, np.nan])
    assert data.frame["age"].tolist()[::2] == [61, 40]
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.paths = []


def test_only_the_image_column_is_needed(folder):
    data = read_manifest(write(folder, "file\nimages/a.png\nimages/a.png\n"), image="file")
    assert data.paths == [folder / "images" / "a.png"] * 2
    assert data.labels is None
    assert data.groups is None
    assert data.reports is None
    assert data.concepts is None


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_byte_order_marks(folder, separator, encoding):
    path = write(folder, f"image{separator} label\nimages/a.png{separator}häufig\n", encoding)
    assert read_manifest(path, label="label").labels.tolist() == ["häufig"]


def test_number_labels_stay_numbers_and_absolute_paths_stay(folder):
    path = write(folder, f"image,label\n{folder / 'images' / 'a.png'},1\nimages/b.png,0\n")
    data = read_manifest(path, label="label")
    assert data.labels.dtype == np.int64
    assert data.paths[0] == folder / "images" / "a.png"


def test_missing_images_are_counted_in_one_error(folder):
    rows = "".join(f"images/gone{n}.png\n" for n in range(5))
    with pytest.raises(FileError, match=r"5 of the 6 images listed .* are missing: .*gone0.*gone1.*gone2\.png, …"):
        read_manifest(write(folder, f"image\nimages/a.png\n{rows}"))


def test_an_absent_column_is_answered_with_those_that_exist(folder):
    with pytest.raises(InputError, match=r"No column 'diagnosos'.*image, diagnosis, patient.*mean 'diagnosis'"):
        read_manifest(write(folder, TABLE), label="diagnosos")
    with pytest.raises(InputError, match=r"No column 'zzz'"):
        read_manifest(write(folder, TABLE), concepts=["zzz"])


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (
            "image,label\nimages/a.png,x\nimages/b.png, \n",
            {"label": "label"},
            InputError,
            "blank in 1 rows .first in row 2",
        ),
        ("image,label\nimages/a.png,x\n,y\n", {}, InputError, "Column 'image' .* blank in 1 rows"),
        ("image,who\nimages/a.png,NA\n", {"group": "who"}, InputError, "Column 'who' .* blank"),
        ("image,label\n", {}, InputError, "lists no images"),
        ("", {}, FormatError, "not a CSV table"),
        ('image,label\n"images/a.png,x\n', {}, FormatError, "not a CSV table"),
    ],
)
def test_broken_tables(folder, text, options, error, message):
    with pytest.raises(error, match=message):
        read_manifest(write(folder, text), **options)


def test_files_that_are_no_text_or_not_there(folder):
    (folder / "latin.csv").write_bytes("image\nimages/ä.png\n".encode("latin-1"))
    with pytest.raises(FormatError, match="not UTF-8"):
        read_manifest(folder / "latin.csv")
    with pytest.raises(FileError, match=r"nothing\.csv: No such file"):
        read_manifest(folder / "nothing.csv")
    with pytest.raises(FileError, match="Is a directory"):
        read_manifest(folder)


def test_yes_no_columns_become_one_concept_of_their_name():
    frame = pd.DataFrame(
        {
            "blue_veil": ["absent", "present", None, " Present "],
            "ulcer": [0, 1, np.nan, -1],
            "streaks": [True, False, False, True],
            "dots": ["no", "yes", "unknown", "No"],
        }
    )
    concepts = concept_columns(frame, list(frame))
    assert list(concepts) == ["blue veil", "ulcer", "streaks", "dots"]
    np.testing.assert_array_equal(concepts["blue veil"], [0, 1, np.nan, 1])
    np.testing.assert_array_equal(concepts["ulcer"], [0, 1, np.nan, np.nan])
    np.testing.assert_array_equal(concepts["streaks"], [1, 0, 0, 1])
    np.testing.assert_array_equal(concepts["dots"], [0, 1, np.nan, 0])
    assert set(concepts.dtypes) == {np.dtype(float)}


def test_two_other_values_become_one_concept_for_the_unusual_one():
    frame = pd.DataFrame(
        {"network": ["typical", "atypical", None], "sex": ["M", "F", "M"], "b": ["odd", "normal", "odd"]}
    )
    concepts = concept_columns(frame, ["network", "sex", "b"])
    assert list(concepts) == ["network: atypical", "sex: M", "b: odd"]
    np.testing.assert_array_equal(concepts["network: atypical"], [0, 1, np.nan])
    np.testing.assert_array_equal(concepts["b: odd"], [1, 0, 1])


def test_more_values_become_one_concept_each():
    frame = pd.DataFrame({"asymmetry": ["symmetric", "one_axis", "two_axes", None]}, index=[3, 5, 7, 9])
    concepts = concept_columns(frame, ["asymmetry"])
    assert list(concepts) == ["asymmetry: one axis", "asymmetry: symmetric", "asymmetry: two axes"]
    assert concepts.index.tolist() == [3, 5, 7, 9]
    np.testing.assert_array_equal(concepts.sum(axis=1), [1, 1, 1, 0])
    assert concepts.iloc[3].isna().all()


def test_joined_values_become_one_concept_each():
    frame = pd.DataFrame({"colors": ["white|red", "red | black", "black", None]})
    concepts = concept_columns(frame, ["colors"])
    np.testing.assert_array_equal(concepts["colors: white"], [1, 0, 0, np.nan])
    np.testing.assert_array_equal(concepts["colors: red"], [1, 1, 0, np.nan])
    np.testing.assert_array_equal(concepts["colors: black"], [0, 1, 1, np.nan])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["absent"] * 4, r"'x' holds one value only \('absent'\).*Leave it out"),
        ([1, 1, 1, np.nan], "'x' holds one value only"),
        (["present", "yes", None, "yes"], "'x' holds one value only"),
        ([None] * 4, "'x' holds no value at all"),
        ([0, 1, 37, 1], "'x' holds 37; numbers must be 1"),
        (["a|b", "a", "a", None], "'x': every image has the value 'a'"),
    ],
)
def test_columns_of_no_use_are_named(values, message):
    with pytest.raises(InputError, match=message):
        concept_columns(pd.DataFrame({"x": values}), ["x"])


def test_free_text_and_repeated_columns_are_refused():
    frame = pd.DataFrame({"x": [f"text {n}" for n in range(30)], "y": [0, 1] * 15})
    with pytest.raises(InputError, match=r"'x' holds 30 different values .*more than 20"):
        concept_columns(frame, ["x"])
    with pytest.raises(InputError, match="same concept 'y'"):
        concept_columns(frame, ["y", "y"])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["low", "mid", "high", None]), min_size=3, max_size=12))
def test_each_answer_is_told_apart_again(values):
    known = sorted({value for value in values if value})
    if len(known) < 3:
        return
    concepts = concept_columns(pd.DataFrame({"level": values}), ["level"])
    for value, row in zip(values, concepts.to_numpy(), strict=True):
        if value is None:
            assert np.isnan(row).all()
        else:
            assert row[known.index(value)] == 1
            assert row.sum() == 1
