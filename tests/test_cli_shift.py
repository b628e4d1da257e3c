"""``knobo shift`` takes two manifests, or one with a column of hospitals, and names what it cannot use."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from knobo import ConceptBottleneckClassifier, make_chest_xrays
from knobo.cli import app
from knobo.errors import InputError
from knobo.heads import ConceptHead
from knobo.phantom import write_phantom


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False).output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model of hospital A, and one manifest of three hospitals."""
    root = tmp_path_factory.mktemp("shift")
    tables = []
    for seed, name in enumerate("ABC"):
        n = 60 if name == "A" else 30
        data = make_chest_xrays(n, size=48, hospital="A" if name == "A" else "B", random_state=seed, progress=False)
        write_phantom(data, root / name)
        table = pd.read_csv(root / name / "manifest.csv").assign(site=name, sex=np.resize(["f", "m"], n))
        table["image"] = f"{name}/" + table["image"]
        tables.append(table.assign(patient=[f"{name}{i // 2}" for i in range(n)]))
    pd.concat(tables).to_csv(root / "all.csv", index=False)
    clf = ConceptBottleneckClassifier(encoder="classical", head=ConceptHead())
    answers = tables[0][["cardiomegaly", "hyperinflation", "consolidation", "no_finding"]].astype(float)
    clf.fit([root / path for path in tables[0]["image"]], tables[0]["label"].to_numpy(), concepts=answers)
    clf.save(root / "model")
    return root


def test_one_manifest_with_a_column_of_hospitals(folder, tmp_path):
    out = tmp_path / "shift.csv"
    data = ["--manifest", folder / "all.csv", "--domain", "site", "--home", "A", "--label", "label"]
    more = ["--group", "patient", "--metadata", "sex", "--positive", "pneumonia", "--out", out]
    text = run("shift", folder / "model", *data, *more)
    table = pd.read_csv(out).set_index(["domain", "metric"])
    assert list(table.index.unique("domain")) == ["B", "C"]
    row = table.loc[("C", "accuracy")]
    assert row["gap"] == pytest.approx(row["id"] - row["ood"], abs=1e-9)
    assert "Hospital that does worst" in text
    assert "Subgroup that does worst" in text
    groups = pd.read_csv(tmp_path / "shift-subgroups.csv")
    assert set(groups["set"]) == {"source", "B", "C"}
    assert groups["n"].sum() == 120


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--manifest", "all.csv", "--domain", "site"], "--home is None; name one .* A, B, C"),
        (["--manifest", "all.csv", "--domain", "place", "--home", "A"], "no column 'place'"),
        (["--manifest", "all.csv", "--source", "all.csv"], "Give --source and --target, or --manifest"),
        ([], "Give --source and --target, or --manifest"),
        (["--manifest", "all.csv", "--domain", "site", "--home", "A", "--metadata", "shoe"], "names 'shoe'"),
    ],
)
def test_unusable_options_are_named(folder, options, message):
    options = [folder / option if option.endswith(".csv") else option for option in options]
    with pytest.raises(InputError, match=message):
        run("shift", folder / "model", "--label", "label", *options)


def test_blank_hospital_is_named(folder, tmp_path):
    table = pd.read_csv(folder / "all.csv")
    table.loc[0, "site"] = None
    table.to_csv(folder / "blank.csv", index=False)
    with pytest.raises(InputError, match="'site' has blank cells"):
        run("shift", folder / "model", "--manifest", folder / "blank.csv", "--domain", "site", "--label", "label")
