"""The demo carries a whole run offline and writes what it says."""

import json

import numpy as np
import pandas as pd
import pytest

import knobo
from knobo.demo import CLASSES, PORTABLE, _tied_marker, run_demo


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    return run_demo(out, n_archive=160, n_train=120, n_test=60, size=96, progress=False)


def test_it_writes_everything_it_promises(result):
    names = {path.name for path in result.folder.iterdir()}
    assert {"bank.json", "model", "metrics.json", "shift.csv", "report.html"} <= names
    assert any(name.endswith(".png") for name in names)


def test_the_table_is_that_of_the_files(result):
    metrics = json.loads((result.folder / "metrics.json").read_text())
    shift = pd.read_csv(result.folder / "shift.csv").set_index(["model", "metric"])
    for model, row in result.table.iterrows():
        assert metrics["accuracy"][model]["ood"] == pytest.approx(row["ood"], abs=1e-6)
        assert shift.loc[(model, "accuracy"), "ood"] == pytest.approx(row["ood"])
        assert row["average"] == pytest.approx((row["id"] + row["ood"]) / 2)
        assert row["gap"] == pytest.approx(row["id"] - row["ood"])


def test_the_bank_is_cited_and_the_model_loads(result):
    bank = knobo.load_bank(result.folder / "bank.json")
    assert len(bank) >= 40
    assert all(concept.evidence and concept.evidence[0].verified for concept in bank)
    model = knobo.load(result.folder / "model")
    assert set(model.classes_) == set(CLASSES)
    assert set(model.bank_.ids) <= set(bank.ids)


def test_the_report_says_that_the_images_are_synthetic(result):
    page = (result.folder / "report.html").read_text()
    assert "synthetic" in page.lower()
    assert "not a medical device" in page


def test_the_marker_follows_the_label_at_home_and_not_elsewhere():
    labels = np.resize(CLASSES, 4000)
    sick = np.isin(labels, PORTABLE)
    assert np.mean(_tied_marker(labels, True, 0.9, 0) == sick) == pytest.approx(0.9, abs=0.02)
    assert np.mean(_tied_marker(labels, False, 0.9, 0) == sick) == pytest.approx(0.1, abs=0.02)
    assert np.mean(_tied_marker(labels, None, 0.9, 0) == sick) == pytest.approx(0.5, abs=0.03)
