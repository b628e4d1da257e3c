"""Everything that is wrong with a set of images is listed, once, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knobo.errors import FileError, InputError
from knobo.images import check_images, model_view, read_manifest, thumbnail_sheet
from knobo.images.look import perceptual_hash


def picture(seed, size=(128, 128)):
    """Noise of all scales, as in real images, different for every seed."""
    rng = np.random.default_rng(seed)
    octaves = [Image.fromarray(rng.uniform(-1, 1, (n, n)).astype(np.float32)) for n in (4, 8, 16, 32, 64)]
    layers = [np.asarray(layer.resize(size, Image.Resampling.BICUBIC)) / 2**n for n, layer in enumerate(octaves)]
    return Image.fromarray(np.clip(128 + 70 * sum(layers), 20, 235).astype(np.uint8)).convert("RGB")


@pytest.fixture
def folder(tmp_path):
    for n in range(24):
        picture(n).save(tmp_path / f"{n:02}.png")
    return tmp_path


@pytest.fixture
def table(folder):
    return pd.DataFrame(
        {
            "image": [str(folder / f"{n:02}.png") for n in range(24)],
            "label": ["a", "b"] * 12,
            "patient": [f"p{n // 2}" for n in range(24)],
            "split": ["train"] * 16 + ["test"] * 8,
        }
    )


def listed(problems):
    return [tuple(row) for row in problems[["severity", "problem"]].to_numpy()]


def test_nothing_is_wrong_with_good_images(table):
    problems = check_images(table)
    assert problems.empty
    assert problems.columns.tolist() == ["severity", "problem", "image", "detail"]


def test_unreadable_missing_and_blank_images(table, folder):
    (folder / "03.png").write_text("version https://git-lfs.github.com/spec/v1")
    (folder / "05.png").unlink()
    Image.new("L", (64, 64), 7).save(folder / "07.png")
    table.loc[9, "image"] = None
    problems = check_images(table, outlier=100)
    assert listed(problems) == [("error", "unreadable")] * 2 + [("error", "blank"), ("error", "unreadable")]
    for detail, expected in zip(problems["detail"], ("git lfs pull", "no such file", "value 7", "blank"), strict=True):
        assert expected in detail


def test_blank_labels_and_patients(table):
    table.loc[2, "label"] = None
    table.loc[4, "patient"] = " "
    problems = check_images(table)
    assert listed(problems) == [("error", "no label"), ("error", "no patient")]
    assert problems["image"].tolist() == table["image"][[2, 4]].tolist()


def test_a_patient_in_two_splits(table):
    table.loc[1, "split"] = "test"
    problems = check_images(table)
    assert listed(problems) == [("error", "patient in two splits")]
    assert problems["detail"][0] == "Patient p0 has images in test (1), train (1)."


def test_lesions_stand_in_for_patients_that_are_not_known(table):
    lesions = table.rename(columns={"patient": "lesion"})
    lesions.loc[1, "split"] = "test"
    assert check_images(lesions)["detail"][0].startswith("Lesion p0")


@pytest.mark.parametrize(
    ("row", "severity", "why"),
    [(2, "warning", "."), (3, "error", "; label b and a."), (18, "error", "; split test and train.")],
)
def test_a_duplicate_is_an_error_in_another_split_or_class(table, folder, row, severity, why):
    (folder / f"{row:02}.png").write_bytes((folder / "00.png").read_bytes())
    problems = check_images(table, outlier=100)
    assert listed(problems) == [(severity, "duplicate")]
    assert problems["detail"][0] == f"The same content as {folder / '00.png'}{why}"


def test_an_image_that_is_listed_twice(table):
    problems = check_images(pd.concat([table, table.iloc[[4]]]))
    assert listed(problems) == [("warning", "duplicate")]
    assert problems["detail"][0] == "Listed more than once."


def changed(image):
    return {
        "jpeg": image,
        "brighter": image.point(lambda value: min(255, int(value * 1.1 + 5))),
        "smaller": image.resize((96, 96), Image.Resampling.LANCZOS),
    }


@pytest.mark.parametrize("change", ["jpeg", "brighter", "smaller"])
def test_a_changed_copy_is_a_near_duplicate(table, folder, change):
    changed(picture(0))[change].save(folder / "copy.jpg", quality=60)
    table.loc[22, "image"] = str(folder / "copy.jpg")
    problems = check_images(table, outlier=1000)
    assert listed(problems) == [("warning", "near duplicate")]
    assert problems["image"][0] == str(folder / "copy.jpg")
    assert f"Like {folder / '00.png'}" in problems["detail"][0]
    assert "; split test and train" in problems["detail"][0]
    assert check_images(table, near=-1, outlier=1000).empty


def test_alike_images_of_one_patient_in_one_split_are_expected(table, folder):
    picture(0).save(folder / "copy.jpg", quality=60)
    table.loc[1, "image"] = str(folder / "copy.jpg")
    assert check_images(table, outlier=1000).empty
    assert listed(check_images(table.drop(columns="patient"), outlier=1000)) == [("warning", "near duplicate")]


def test_pairs_are_found_across_blocks(table, folder, monkeypatch):
    monkeypatch.setattr("knobo.images.check._BLOCK", 5)
    picture(3).save(folder / "copy.jpg", quality=60)
    table.loc[21, "image"] = str(folder / "copy.jpg")
    problems = check_images(table, outlier=1000)
    assert problems["image"].tolist() == [str(folder / "copy.jpg")]
    assert "03.png" in problems["detail"][0]


def test_odd_sizes_and_intensities(table, folder):
    picture(2, (128, 40)).save(folder / "02.png")
    Image.fromarray((np.asarray(picture(4)) // 12).astype(np.uint8)).save(folder / "04.png")
    picture(6, (128, 120)).save(folder / "06.png")  # off by little
    problems = check_images(table)
    assert problems[["problem", "image"]].to_numpy().tolist() == [
        ["odd size", str(folder / "02.png")],
        ["odd intensity", str(folder / "04.png")],
    ]
    assert "128 x 40 pixels, usual is 128 x 128" in problems["detail"][0]


def test_small_classes(table):
    table.loc[:2, "label"] = "rare"
    problems = check_images(table, min_per_class=5)
    assert listed(problems) == [("warning", "small class")]
    assert problems["detail"][0] == "Class rare has fewer than 5 images: 3."


def test_files_and_manifests_are_checked_like_tables(table, folder):
    (folder / "03.png").write_bytes(b"")
    table["image"] = table["image"].str.rsplit("/", n=1).str[-1]
    table.rename(columns={"label": "diagnosis"}).to_csv(folder / "manifest.csv", index=False)
    by_file = check_images(folder / "manifest.csv", label="diagnosis")
    assert by_file["image"].tolist() == ["03.png"]
    pd.testing.assert_frame_equal(by_file, check_images(read_manifest(folder / "manifest.csv"), label="diagnosis"))


def test_bad_manifests_are_named(table, tmp_path):
    with pytest.raises(InputError, match="No column 'site'"):
        check_images(table, group="site")
    with pytest.raises(InputError, match="lists no images"):
        check_images(table.iloc[:0])
    with pytest.raises(FileError, match=r"Cannot read .*nothing\.csv"):
        check_images(tmp_path / "nothing.csv")


def test_the_hash_knows_a_picture_from_its_negative():
    image = picture(0).convert("L")
    bits = perceptual_hash(image)
    assert bits.shape == (255,)
    assert (bits != perceptual_hash(image.resize((100, 100)))).mean() < 0.05
    assert (bits != perceptual_hash(image.point(lambda value: 255 - value))).mean() > 0.9


def test_the_view_of_a_model_is_the_centre():
    wide = np.zeros((50, 100, 3), np.uint8)
    wide[:, 25:75] = 200
    view = np.asarray(model_view(wide, 50))
    assert view.shape == (50, 50, 3)
    assert view.min() >= 195


def test_the_sheet_shows_every_image_and_why_one_is_not_there(folder):
    sources = [folder / "00.png", folder / "nothing.png", np.full((10, 10), 90, np.uint8)]
    sheet = np.asarray(
        thumbnail_sheet(sources, ["one", "two", "three"], size=60, columns=2, marked=[False, True, False])
    )
    wide, high = sheet.shape[1] // 2, sheet.shape[0] // 2
    assert (sheet[high + 20, 20] == 90).all()
    box = sheet[:high, wide:]
    assert ((box[..., 0] > 150) & (box[..., 1] < 60)).sum() > 4 * 60
    with pytest.raises(InputError, match="got 1 and 2"):
        thumbnail_sheet(sources[:1], ["one", "two"])
