"""`knobo bank build --llm` against a loopback server."""

import scripted_model
from typer.testing import CliRunner

from knobo.bank import load_bank
from knobo.cli import app


def test_a_model_builds_a_bank_and_a_rerun_costs_nothing(tmp_path):
    with scripted_model.serve() as server:
        arguments = ["pneumonia", "normal", "--corpus", "chest-xray", "--n-concepts", "12", "--llm", "scripted"]
        arguments += ["--llm-url", server.url, "--cache", str(tmp_path / "cache"), "--budget-calls", "40"]
        banks = []
        for name in ("first.json", "second.json"):
            command = ["bank", "build", *arguments, "--out", str(tmp_path / name)]
            result = CliRunner().invoke(app, command, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            banks.append(((tmp_path / name).read_bytes(), server.n_calls))
    assert banks[0] == banks[1]
    assert 0 < banks[0][1] <= 40
    assert len(load_bank(tmp_path / "first.json")) == 12
    assert "Language model:" in result.output
