import pandas as pd
import pytest
from typer.testing import CliRunner

from knobo.bank import ConceptBank
from knobo.cli import app
from knobo.errors import InputError


@pytest.fixture
def reports(tmp_path):
    path = tmp_path / "reports.jsonl"
    path.write_text(
        '{"id": "a", "text": "Right effusion. No pneumothorax."}\n'
        '{"id": "b", "text": "Possible pneumothorax. Effusion cannot be excluded."}\n'
        '{"id": "c", "text": null}\n',
        encoding="utf-8",
    )
    return path


def run(*arguments):
    result = CliRunner().invoke(app, ["annotate", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_bank_file_gives_one_column_a_concept(reports, tmp_path):
    bank = ConceptBank.from_names(["Pleural effusion", "Pneumothorax"]).to_json(tmp_path / "bank.json")
    output = run(reports, "--bank", bank, "--out", tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8") == (
        "id,pleural-effusion,pneumothorax\na,1,0\nb,,1\nc,,\n"
    )
    assert "pneumothorax" in output


@pytest.mark.parametrize(("uncertain", "cell"), [("blank", ""), ("positive", "1"), ("negative", "0")])
def test_names_may_be_listed_and_doubt_is_the_users_choice(reports, tmp_path, uncertain, cell):
    run(reports, "--findings", "Pneumothorax, No finding", "--uncertain", uncertain, "--out", tmp_path / "l.csv")
    table = pd.read_csv(tmp_path / "l.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == ["id", "pneumothorax", "no-finding"]
    assert list(table["pneumothorax"]) == ["0", cell, ""]


def test_names_may_stand_in_a_file_and_reports_in_a_table(tmp_path):
    (tmp_path / "names.txt").write_text("Nodule/mass\n\nOedema\n", encoding="utf-8")
    (tmp_path / "r.csv").write_text("study,findings\n1,A mass.\n2,No pulmonary edema.\n", encoding="utf-8")
    run(
        tmp_path / "r.csv",
        *("--findings", tmp_path / "names.txt", "--id", "study", "--text", "findings", "--out", tmp_path / "l.csv"),
    )
    assert (tmp_path / "l.csv").read_text(encoding="utf-8") == "id,nodule-mass,oedema\n1,1,\n2,,0\n"


@pytest.mark.parametrize("options", [(), ("--bank", "chest-xray", "--findings", "mass")])
def test_what_to_look_for_is_said_once(reports, tmp_path, options):
    with pytest.raises(InputError, match="either --bank chest-xray"):
        run(reports, *options, "--out", tmp_path / "l.csv")
