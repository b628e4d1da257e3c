"""Documents and arrays survive the round trip, and a failed write leaves the old file alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from knobo import storage
from knobo.errors import FileError, FormatError

DOCUMENT = {"format": "knobo.test", "format_version": 1, "value": [1, 2.5, "é", None]}


def test_json_round_trip(tmp_path):
    path = storage.write_json(tmp_path / "deep" / "a.json", DOCUMENT)
    assert storage.read_json(path, what="knobo.test", versions=(1,)) == DOCUMENT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[1]", "field 'format' is 'list'"),
        ('{"format": "other"}', "field 'format' is 'other'"),
        ('{"format": "knobo.test", "format_version": 9}', r"format_version 9; this release of knobo reads \[1\]"),
    ],
)
def test_a_broken_document_is_named(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FormatError, match=message):
        storage.read_json(tmp_path / "a.json", what="knobo.test", versions=(1,))


def test_a_missing_document_is_named(tmp_path):
    with pytest.raises(FileError, match=r"Cannot read .*gone\.json: No such file"):
        storage.read_json(tmp_path / "gone.json", what="knobo.test", versions=(1,))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8]), hnp.array_shapes(min_dims=1, max_dims=3)
    )
)
def test_arrays_round_trip_bit_for_bit(tmp_path_factory, array):
    path = storage.write_arrays(tmp_path_factory.mktemp("arrays") / "a.safetensors", {"x": array})
    loaded = storage.read_arrays(path)["x"]
    assert loaded.dtype == array.dtype
    assert loaded.tobytes() == np.ascontiguousarray(array).tobytes()


def test_transposed_arrays_keep_their_values(tmp_path):
    array = np.arange(6.0).reshape(2, 3).T
    path = storage.write_arrays(tmp_path / "a.safetensors", {"x": array})
    np.testing.assert_array_equal(storage.read_arrays(path)["x"], array)


def test_a_file_that_is_no_safetensors_is_named(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nonsense")
    with pytest.raises(FormatError, match="not a safetensors file"):
        storage.read_arrays(tmp_path / "a.safetensors")
    with pytest.raises(FileError, match="no such file"):
        storage.read_arrays(tmp_path / "gone.safetensors")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = storage.write_text(tmp_path / "a.txt", "old")

    def write_half():
        with storage.atomic_path(path) as part:
            part.write_text("new")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_reported_and_the_old_file_kept(tmp_path):
    path = storage.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(FileError, match="No space left"), storage.atomic_path(path):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"


def test_a_folder_is_replaced_whole(tmp_path):
    for text in ("one", "two"):
        with storage.atomic_path(tmp_path / "folder") as part:
            part.mkdir()
            (part / f"{text}.txt").write_text(text)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_replaced_is_put_back(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old.txt").write_text("old")
    with pytest.raises(FileError, match="What was there is unchanged"), storage.atomic_path(tmp_path / "folder"):
        pass  # nothing was written, so there is nothing to rename
    assert (tmp_path / "folder" / "old.txt").read_text() == "old"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="Choose another place"), storage.atomic_path(tmp_path / "file" / "a.txt"):
        pass


def test_what_ships_is_found_and_what_does_not_is_named():
    assert storage.shipped_path("concepts").is_dir()
    with pytest.raises(FileError, match="knobo ships no concepts/dentistry"):
        storage.shipped_path("concepts", "dentistry")
