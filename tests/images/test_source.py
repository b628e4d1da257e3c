"""A manifest chooses a frame and a window of a file, and everything that reads images or paths goes along."""

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from knobo.errors import InputError
from knobo.images import ImageFile, check_images, read_image, read_manifest, thumbnail_sheet
from knobo.images.source import choose, source_columns

STACK = (np.arange(3 * 64, dtype=np.uint16).reshape(3, 8, 8) * 20) % 1900


@pytest.fixture
def folder(write_dicom, tmp_path):
    write_dicom(STACK, name="ct.dcm", bits=12, NumberOfFrames=3, WindowCenter=[500, 900], WindowWidth=[400, 300])
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "plain.png")
    return tmp_path


def write(folder, text):
    (folder / "manifest.csv").write_text(text)
    return folder / "manifest.csv"


def test_rows_choose_a_frame_a_window_both_or_nothing(folder):
    table = "image,frame,window\nct.dcm,2,\nct.dcm,0,1\nct.dcm,1,40.5/400\nplain.png,,\n"
    path = folder / "ct.dcm"
    sources = read_manifest(write(folder, table)).paths
    assert sources == [
        ImageFile(path, frame=2),
        ImageFile(path, frame=0, window=1),
        ImageFile(path, frame=1, window=(40.5, 400.0)),
        folder / "plain.png",
    ]
    for source, options in zip(sources, ({"frame": 2}, {"frame": 0, "window": 1}), strict=False):
        np.testing.assert_array_equal(read_image(source), read_image(path, **options))
    np.testing.assert_array_equal(read_image(sources[2]), read_image(path, frame=1, window=(40.5, 400)))
    np.testing.assert_array_equal(read_image(sources[0], frame=1), read_image(path, frame=1))


def test_it_is_a_path_that_says_what_was_chosen(tmp_path):
    source = ImageFile(tmp_path / "ct.dcm", frame=3, window=(-600.0, 1500.0))
    assert os.fspath(source) == str(tmp_path / "ct.dcm")
    assert str(source) == f"{tmp_path / 'ct.dcm'} (frame 3, window -600/1500)"
    assert source.name == "ct.dcm (frame 3, window -600/1500)"
    assert source.stem == "ct"
    assert str(ImageFile(tmp_path / "ct.dcm")) == str(tmp_path / "ct.dcm")


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("frame", "second", "column 'frame' holds 'second'; a frame is a number from 0"),
        ("frame", "-1", "a frame is a number from 0"),
        ("frame", "1.5", "a frame is a number from 0"),
        ("window", "lung", "column 'window' holds 'lung'; a window is the number of one in the file"),
        ("window", "40/0", "with a width of at least 1"),
        ("window", "40/-400", "with a width of at least 1"),
        ("window", "nan/400", "with a width of at least 1"),
    ],
)
def test_a_cell_that_chooses_nothing_is_named_with_its_row(folder, column, cell, message):
    path = write(folder, f"image,{column}\nct.dcm,\nct.dcm,{cell}\n")
    with pytest.raises(InputError, match=rf"manifest\.csv, row 2 after the header: .*{message}"):
        read_manifest(path)


def test_frames_and_windows_that_the_file_lacks_are_errors(folder):
    with pytest.raises(InputError, match="no frame 3: it holds 3"):
        read_image(ImageFile(folder / "ct.dcm", frame=3))
    with pytest.raises(InputError, match=r"plain\.png is not a DICOM file, so that no window can be chosen"):
        read_image(ImageFile(folder / "plain.png", window=0))


@given(
    st.none() | st.integers(0, 10**6),
    st.none() | st.integers(0, 99) | st.tuples(st.integers(-9999, 9999), st.integers(1, 9999)),
)
def test_sources_survive_the_way_into_a_manifest_and_back(tmp_path_factory, frame, window):
    source = ImageFile(tmp_path_factory.getbasetemp() / "a.dcm", frame, window)
    columns = source_columns([source])
    cells = [columns.get(name, [""])[0] for name in ("image", "frame", "window")]
    back = choose(source.path, *cells[1:])
    assert cells[0] == str(source.path)
    assert back == source if source.choice else back == source.path


def test_numbers_of_a_table_in_memory_will_do(folder):
    table = pd.DataFrame({"image": [str(folder / "ct.dcm")] * 2, "frame": [1.0, np.nan]})
    problems = check_images(table)
    assert problems["image"].tolist() == [str(folder / "ct.dcm")]
    assert "holds 3 frames" in problems["detail"][0]


def test_check_tells_frames_apart_and_lists_wrong_cells(folder):
    table = "image,frame\nct.dcm,0\nct.dcm,1\nct.dcm,1\nct.dcm,x\n"
    problems = check_images(write(folder, table), near=0.0, outlier=100)
    assert problems[["problem", "image"]].to_numpy().tolist() == [
        ["unreadable", "ct.dcm"],
        ["duplicate", "ct.dcm (frame 1)"],
    ]
    assert "holds 'x'" in problems["detail"][0]
    assert problems["detail"][1] == "Listed more than once."


def test_the_sheet_shows_what_was_chosen(folder):
    sources = [ImageFile(folder / "ct.dcm", frame=n, window=(900.0, 300.0)) for n in range(2)]
    sheet = np.asarray(thumbnail_sheet(sources, ["", ""], size=8, columns=2))
    assert (sheet[6:14, 6:14] != sheet[6:14, 26:34]).any()
