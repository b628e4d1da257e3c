import json

import pytest

from knobo.errors import FileError, FormatError, InputError
from knobo.knowledge.kb import KbEntry, KnowledgeBase


def test_id_is_the_cui_or_made_from_the_name():
    assert KbEntry(name="Cardiomegaly", cui="C0018800").id == "C0018800"
    assert KbEntry(name="Blue-white veil").id == "knobo:blue-white-veil"


def test_wordings_come_in_both_spellings():
    entry = KbEntry(name="colour variegation", aliases=("many colours",), own_aliases=("variation of colour",))
    assert entry.wordings == (
        "colour variegation",
        "color variegation",
        "variation of colour",
        "variation of color",
        "many colours",
        "many colors",
    )


def test_broader_and_narrower_follow_the_chain():
    kb = KnowledgeBase(
        [
            KbEntry(id="a", name="effusion"),
            KbEntry(id="b", name="loculated effusion", broader=("a",)),
            KbEntry(id="c", name="fissural effusion", broader=("b",)),
        ]
    )
    assert kb.broader("c") == {"a", "b", "c"}
    assert [entry.id for entry in kb.narrower("a")] == ["b", "c"]


def test_ids_must_be_unique_and_known():
    with pytest.raises(InputError, match="at least one entry"):
        KnowledgeBase([])
    with pytest.raises(InputError, match="have the id 'knobo:mass'"):
        KnowledgeBase([KbEntry(name="mass"), KbEntry(name="Mass")])
    with pytest.raises(InputError, match="names 'x' as broader"):
        KnowledgeBase([KbEntry(name="mass", broader=("x",))])


def test_a_jsonl_file_is_read(tmp_path):
    path = tmp_path / "kb.jsonl"
    path.write_text(json.dumps({"name": "mass", "cui": "C0000001"}) + "\n\n" + json.dumps({"name": "cyst"}) + "\n")
    assert [entry.id for entry in KnowledgeBase.read(path)] == ["C0000001", "knobo:cyst"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "line 2 is not JSON"),
        ('{"name": "x", "cui": "12"}', "line 2: field cui is broken"),
        ('{"name": "x", "colour": 1}', "line 2: field colour is broken"),
        ('{"cui": "C0000002"}', "line 2: field id is broken"),
        ('{"name": "x", "codes": ["D011014"]}', "line 2: field codes.0 is broken"),
        ("[1]", "line 2: field the line is broken"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    path = tmp_path / "kb.jsonl"
    path.write_text('{"name": "mass"}\n' + line + "\n")
    with pytest.raises(FormatError, match=message):
        KnowledgeBase.read(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileError, match="Cannot read knowledge base"):
        KnowledgeBase.read(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"name": "na\xefve"}')
    with pytest.raises(FormatError, match="is not UTF-8"):
        KnowledgeBase.read(tmp_path / "latin.jsonl")


def test_every_code_of_the_shipped_knowledge_base_says_where_it_was_seen():
    entries = list(KnowledgeBase.read())
    assert sum(bool(entry.codes) for entry in entries) > 80
    for entry in entries:
        for code in entry.codes:
            seen_in = f"HPO {code}" if code.startswith("HP:") else "DO DOID:"
            assert any(part.startswith(seen_in) for part in entry.source.split("; ")), (entry.id, code)
