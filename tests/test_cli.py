"""Every command runs on files, and a bad input ends in one readable message, not a traceback."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from knobo.bank import load_bank
from knobo.cli import app

COMMANDS = [
    ["demo"],
    ["bank", "build"],
    ["bank", "show"],
    ["bank", "diff"],
    ["bank", "merge"],
    ["bank", "validate"],
    ["corpus", "list"],
    ["corpus", "get"],
    ["corpus", "add"],
    ["corpus", "stats"],
    ["store", "stats"],
    ["store", "verify"],
    ["store", "gc"],
    ["edit", "apply"],
    ["edit", "log"],
    ["fit"],
    ["predict"],
    ["explain"],
    ["shift"],
    ["report"],
    ["phantom"],
]


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Two folders of small synthetic radiographs with their manifests."""
    root = tmp_path_factory.mktemp("phantoms")
    for seed, hospital in enumerate("AB"):
        run(
            "phantom",
            "chest",
            "--n",
            100,
            "--size",
            64,
            "--hospital",
            hospital,
            "--seed",
            seed,
            "--out",
            root / hospital,
        )
    return root


@pytest.fixture(scope="module")
def fitted(phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("fit")
    concepts = "cardiomegaly,hyperinflation,consolidation,no_finding"
    options = ["--concepts", concepts, "--cv", 3, "--store", out / "store", "--out", out]
    return out, run("fit", phantoms / "A" / "manifest.csv", "--label", "label", *options)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example(command):
    assert f"knobo {' '.join(command)}" in " ".join(run(*command, "--help").split())


def test_phantom_writes_images_and_a_manifest(phantoms):
    manifest = pd.read_csv(phantoms / "A" / "manifest.csv")
    assert len(manifest) == 100
    assert {"image", "label", "report", "cardiomegaly"} <= set(manifest)
    with Image.open(phantoms / "A" / manifest["image"][0]) as image:
        assert image.size == (64, 64)


def test_fit_keeps_embeddings_if_told_where(fitted):
    assert "100 embeddings" in run("store", "stats", fitted[0] / "store")


def test_fit_writes_a_model_and_what_it_measured(fitted):
    out, text = fitted
    metrics = pd.read_csv(out / "metrics.csv")
    assert set(metrics["model"]) == {"bottleneck", "linear probe", "expert concepts"}
    assert len(pd.read_csv(out / "predictions.csv")) == 100
    assert pd.read_csv(out / "concepts.csv")["kept"].any()
    assert "balanced_accuracy" in text
    assert "auroc[normal]" in text


def test_fit_reads_reports_with_a_bank(phantoms, tmp_path):
    manifest = phantoms / "A" / "manifest.csv"
    run("fit", manifest, "--label", "label", "--report", "report", "--bank", "chest-xray", "--cv", 3, "--out", tmp_path)
    assert set(pd.read_csv(tmp_path / "metrics.csv")["model"]) == {"bottleneck", "linear probe"}


@pytest.mark.filterwarnings("ignore:There are no concept answers")
def test_fit_reads_a_bank_by_the_words_of_the_encoder(phantoms, tmp_path):
    manifest = phantoms / "A" / "manifest.csv"
    options = ("--bank", "chest-xray", "--encoder", "phantom-clip", "--cv", 2, "--out", tmp_path)
    assert "no answers check that they are seen" in run("fit", manifest, "--label", "label", *options)
    assert set(pd.read_csv(tmp_path / "metrics.csv")["model"]) == {"bottleneck", "linear probe"}


def test_predict_prints_and_writes(fitted, phantoms, tmp_path):
    model = fitted[0] / "model"
    image = next((phantoms / "B").rglob("*.png"))
    printed = run("predict", model, image)
    assert "prediction" in printed
    assert image.name in printed
    run("predict", model, phantoms / "B" / "manifest.csv", "--out", tmp_path / "p.csv")
    frame = pd.read_csv(tmp_path / "p.csv")
    assert frame.filter(like="p[").sum(axis=1).to_numpy() == pytest.approx(1)


def test_frames_of_a_manifest_are_images_of_their_own(fitted, phantoms, tmp_path):
    names = pd.read_csv(phantoms / "B" / "manifest.csv")["image"][:2]
    pages = [Image.open(phantoms / "B" / name) for name in names]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "m.csv").write_text("image,frame\nstack.tif,0\nstack.tif,1\n")
    out = tmp_path / "p.csv"
    run("predict", fitted[0] / "model", tmp_path / "m.csv", "--out", out)
    run("predict", fitted[0] / "model", phantoms / "B" / "manifest.csv", "--out", tmp_path / "single.csv")
    table, single = pd.read_csv(out), pd.read_csv(tmp_path / "single.csv")[:2]
    assert table["frame"].tolist() == [0, 1]
    assert table["image"].tolist() == [str(tmp_path / "stack.tif")] * 2
    np.testing.assert_array_equal(table.filter(like="p["), single.filter(like="p["))
    run("explain", fitted[0] / "model", tmp_path / "m.csv", "--out", tmp_path / "why")
    assert {path.name for path in (tmp_path / "why").glob("*.png")} == {"001-stack.png", "002-stack.png"}


def test_explain_draws_each_case(fitted, phantoms, tmp_path):
    paths = [phantoms / "B" / name for name in pd.read_csv(phantoms / "B" / "manifest.csv")["image"][:2]]
    text = run("explain", fitted[0] / "model", *paths, "--out", tmp_path)
    assert "contribution" in text
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert pd.read_csv(tmp_path / "contributions.csv")["case"].nunique() == 2


def test_shift_compares_two_manifests(fitted, phantoms, tmp_path):
    source, target = phantoms / "A" / "manifest.csv", phantoms / "B" / "manifest.csv"
    model = fitted[0] / "model"
    out = tmp_path / "shift.csv"
    text = run("shift", model, "--source", source, "--target", target, "--label", "label", "--out", out)
    table = pd.read_csv(tmp_path / "shift.csv").set_index("metric")
    row = table.loc["accuracy"]
    assert row["gap"] == pytest.approx(row["id"] - row["ood"])
    assert f"{row['id']:.3f}" in text
    assert f"{row['gap_low']:+.3f}–{row['gap_high']:+.3f}" in text


def test_report_writes_one_page(fitted, phantoms, tmp_path):
    out = tmp_path / "report.html"
    run("report", fitted[0] / "model", phantoms / "B" / "manifest.csv", "--label", "label", "--cases", 2, "--out", out)
    assert "not a medical device" in out.read_text()


def test_bank_build_and_show(tmp_path):
    out = tmp_path / "bank.json"
    run("bank", "build", "pneumonia", "heart_failure", "--corpus", "chest-xray", "--out", out, "--n-concepts", 12)
    bank = load_bank(out)
    assert len(bank) == 12
    assert bank.concepts[0].id in run("bank", "show", out)
    assert bank.concepts[0].evidence[0].sentence[:20] in run("bank", "show", out, "--concept", bank.concepts[0].id)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bank", "show", "dental"], "No bank 'dental'"),
        (["predict", "nowhere", "a.png"], "Cannot read"),
        (["fit", "gone.csv", "--label", "x", "--concepts", "y"], "gone.csv"),
        (["fit", "gone.csv", "--label", "x"], "give --concepts"),
        (["fit", "gone.csv", "--label", "x", "--report", "y"], "--report needs a bank"),
    ],
)
def test_bad_input_is_one_message(arguments, message, tmp_path):
    command = [sys.executable, "-c", "from knobo.cli import main; main()", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
