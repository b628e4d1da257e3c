import pytest

from knobo.errors import FileError, FormatError, InputError
from knobo.grounding import read_reports


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_json_lines(tmp_path):
    text = '{"id": 7, "text": "Clear."}\n\n{"id": "b", "text": null, "more": 1}\n'
    frame = read_reports(write(tmp_path / "r.jsonl", text))
    assert frame.to_dict("list") == {"id": ["7", "b"], "text": ["Clear.", ""]}


def test_csv_with_its_own_column_names(tmp_path):
    file = write(tmp_path / "r.csv", 'study,report,age\n007,"No mass,\nno nodule.",3\n008,None,4\n')
    frame = read_reports(file, id_field="study", text_field="report")
    assert frame.to_dict("list") == {"id": ["007", "008"], "text": ["No mass,\nno nodule.", "None"]}


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("r.txt", "", InputError, "reports come as .jsonl"),
        ("r.jsonl", '{"id": 1}\n', FormatError, "line 1 has no field 'text'"),
        ("r.jsonl", "[1]\n", FormatError, "line 1 has no field 'id'"),
        ("r.jsonl", '{"id": 1, "text": "a"}\n{"id"', FormatError, "line 2 is not JSON"),
        ("r.jsonl", '{"id": 1, "text": 5}\n', FormatError, "field 'text' is int, expected text"),
        ("r.csv", "id,report\n1,a\n", InputError, "no column 'text'. It has: id, report"),
        ("r.csv", "", FormatError, "not a CSV table"),
    ],
)
def test_broken_files_are_named(tmp_path, name, text, error, message):
    with pytest.raises(error, match=message):
        read_reports(write(tmp_path / name, text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileError, match=r"Cannot read .*r\.jsonl"):
        read_reports(tmp_path / "r.jsonl")
    (tmp_path / "l.csv").write_bytes(b"id,text\n1,\xff\n")
    with pytest.raises(FormatError, match="not UTF-8"):
        read_reports(tmp_path / "l.csv")
