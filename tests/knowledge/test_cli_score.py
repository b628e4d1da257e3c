"""`knobo score` against a loopback server that looks at the images."""

# ruff: noqa: F401 (fixtures are imported, and named by the tests)

import numpy as np
import pandas as pd
import pytest
import vision_server
from llm_server import environment
from PIL import Image
from typer.testing import CliRunner

from knobo.cli import app
from knobo.images import read_manifest


@pytest.fixture
def server(six_concepts):
    with vision_server.serve(six_concepts.ids) as server:
        yield server


@pytest.fixture
def run(server, six_concepts, band_images, tmp_path):
    images, labels, _ = band_images
    for n in range(36):
        Image.fromarray(images[n]).save(tmp_path / f"{n}.png")
    rows = {"image": [f"{n}.png" for n in range(36)], "diagnosis": labels[:36]}
    pd.DataFrame(rows).to_csv(tmp_path / "images.csv", index=False)
    six_concepts.to_json(tmp_path / "bank.json")

    def run(*arguments):
        command = ["score", tmp_path / "images.csv", "--bank", tmp_path / "bank.json", "--llm", "m"]
        command += ["--llm-url", server.url, "--cache", tmp_path / "cache", *arguments]
        result = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return run


def test_probabilities_are_written_beside_the_manifest_and_a_replay_is_free(server, run, tmp_path, six_concepts):
    told = run("--dry-run", "--price", "1,2")
    assert "36 images, 6 findings. Estimate" in told
    assert "36 calls" in told
    assert server.n_calls == 0
    assert "36 images, 6 findings" in run("--out", tmp_path / "deep" / "out.csv")
    table = pd.read_csv(tmp_path / "deep" / "out.csv")
    assert list(table.columns) == ["image", "diagnosis", *six_concepts.ids]
    assert all((tmp_path / "deep" / name).is_file() for name in table["image"])
    assert set(np.unique(table[list(six_concepts.ids)])) == {0.1, 0.9}
    assert "cached 36" in run("--offline", "--out", tmp_path / "again.csv")
    assert server.n_calls == 36


def test_answers_are_concept_columns_of_a_manifest(run, tmp_path, six_concepts):
    run("--answers", "--out", tmp_path / "answers.csv")
    answers = read_manifest(tmp_path / "answers.csv", label="diagnosis", concepts=six_concepts.ids).concepts
    run("--out", tmp_path / "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv")[list(six_concepts.ids)]
    assert (answers.to_numpy() == scores.round().to_numpy()).all()


def test_a_column_that_is_there_stays_and_the_models_has_another_name(run, tmp_path):
    frame = pd.read_csv(tmp_path / "images.csv").assign(nodule=1)
    run("--out", tmp_path / "alone.csv")
    frame.to_csv(tmp_path / "images.csv", index=False)
    told = run("--out", tmp_path / "beside.csv")
    assert "Columns called like a finding stay; the model's are called 'nodule (model)'." in told
    alone, beside = pd.read_csv(tmp_path / "alone.csv"), pd.read_csv(tmp_path / "beside.csv")
    assert beside["nodule"].eq(1).all()
    pd.testing.assert_series_equal(beside["nodule (model)"], alone["nodule"], check_names=False)
    beside.to_csv(tmp_path / "images.csv", index=False)
    run("--out", tmp_path / "again.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again.csv")[list(beside)], beside)
