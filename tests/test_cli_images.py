"""`knobo images`: what is wrong with a manifest, and a manifest of a published dataset."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from knobo.cli import app
from knobo.errors import FileError


def run(*arguments, status=0):
    result = CliRunner().invoke(app, ["images", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return " ".join(result.output.split())


@pytest.fixture
def manifest(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 6, 6), dtype=np.uint8)
    for n, pixels in enumerate(noise):
        Image.fromarray(pixels).resize((32, 32)).save(tmp_path / f"{n}.png")
    rows = {"image": [f"{n}.png" for n in range(12)], "label": ["a"] * 12, "patient": range(12)}
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def test_check_is_silent_about_good_images(manifest):
    assert "12 images, nothing wrong" in run("check", manifest)


def test_check_ends_with_status_1_and_writes_a_table_and_a_sheet(manifest, tmp_path):
    (tmp_path / "3.png").write_bytes(b"")
    text = run("check", manifest, "--out", tmp_path / "out", "--size", 40, status=1)
    assert "unreadable" in text
    assert pd.read_csv(tmp_path / "out" / "problems.csv")["image"].tolist() == ["3.png"]
    with Image.open(tmp_path / "out" / "thumbnails.png") as sheet:
        assert sheet.width == 8 * (40 + 12)


def test_warnings_alone_are_no_failure(manifest):
    assert "small class" in run("check", manifest, "--min-per-class", 20)


def test_a_dataset_becomes_a_manifest_that_is_fit_for_check(manifest, tmp_path):
    lines = [f"HAM_{n},{n},nv,histo,50.0,male,back,rosendahl" for n in range(14)]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
    (tmp_path / "HAM10000_metadata.csv").write_text("\n".join([header, *lines]))
    for n in range(12):
        (tmp_path / f"{n}.png").rename(tmp_path / f"{n}.jpg")
    with pytest.raises(FileError, match=r"2 of 14 images are not in"):
        run("manifest", "ham10000", tmp_path, "--out", tmp_path / "ham.csv")
    text = run("manifest", "ham10000", tmp_path, "--out", tmp_path / "ham.csv", "--drop-missing")
    assert "12 images, columns image, label, lesion" in text
    assert "nothing wrong" in run("check", tmp_path / "ham.csv")


def test_datasets_are_listed_with_their_terms():
    text = run("datasets")
    assert "mimic-cxr-jpg" in text
    assert "credentialed" in text
