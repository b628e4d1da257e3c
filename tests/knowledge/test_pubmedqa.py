"""PubMedQA's JSON is read record by record; other JSON is no text."""

import gzip
import json
import tracemalloc

import pytest

from knobo.errors import FormatError, InputError
from knobo.knowledge import Passage, read_corpus
from knobo.knowledge.pubmedqa import read_pubmedqa

RECORD = {
    "QUESTION": "Does the heart grow?",
    "CONTEXTS": ["We looked at  hearts.", "They grew."],
    "LABELS": ["AIMS", "RESULTS"],
    "MESHES": ["Heart"],
    "YEAR": "2011",
    "reasoning_required_pred": "yes",
    "final_decision": "yes",
    "LONG_ANSWER": "The heart grows.",
}


def write(folder, records, name="ori_pqal.json"):
    path = folder / name
    data = json.dumps(records, indent=4).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["ori_pqal.json", "ori_pqal.json.gz"])
def test_a_record_gives_its_abstract(tmp_path, name):
    assert list(read_corpus(write(tmp_path, {"21645374": RECORD}, name))) == [
        Passage(
            "pubmed:21645374:1",
            "PubMed abstracts (PubMedQA)",
            "Does the heart grow?",
            "AIMS: We looked at hearts. RESULTS: They grew. CONCLUSION: The heart grows.",
            "https://pubmed.ncbi.nlm.nih.gov/21645374/",
            2011,
        )
    ]


def test_other_json_in_a_folder_is_passed_over_and_an_article_is_read_once(tmp_path):
    write(tmp_path, {"1": RECORD, "2": {**RECORD, "YEAR": None, "LABELS": [], "LONG_ANSWER": None}})
    write(tmp_path, {"1": RECORD, "3": RECORD}, "z.json")
    write(tmp_path, {"format": "something else"}, "manifest.json")
    found = list(read_corpus(tmp_path))
    assert [p.id for p in found] == ["pubmed:1:1", "pubmed:2:1", "pubmed:3:1"]
    assert (found[1].text, found[1].year) == ("We looked at hearts. They grew.", None)


def test_an_article_that_stands_in_pubmed_xml_as_well_is_read_once(tmp_path):
    write(tmp_path, {"1": RECORD, "2": RECORD})
    (tmp_path / "pubmed26n0001.xml").write_text(
        "<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article><Abstract><AbstractText>From XML."
        "</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle></PubmedArticleSet>",
        encoding="utf-8",
    )
    assert [(p.id, p.text[:9]) for p in read_corpus(tmp_path)] == [
        ("pubmed:1:1", "From XML."),
        ("pubmed:2:1", "AIMS: We "),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"1": {"QUESTION": "x", "CONTEXTS": ["a"]}, "2": {"QUEST', "cut off, after record 1"),
        ('{"1": {"QUESTION": "x", "CONTEXTS": ["a"]}', "cut off, after record 1"),
        ('{"1": {"QUESTION": "x", "CONTEXTS": ["a"]}} more', "cut off, after record 1"),
        ('{"1": {"QUESTION": "x", "CONTEXTS": "a"}}', "record 1: CONTEXTS and LABELS must be lists"),
        ('{"1": ["a"]}', "record 1: expected an object, got list"),
        ('{"name": 1}', "no PubMedQA JSON, damaged or cut off, after record none"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_damaged_or_another_is_refused(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        list(read_corpus(path))


def test_a_folder_of_other_json_holds_no_text(tmp_path):
    write(tmp_path, {"name": "x"})
    with pytest.raises(InputError, match=r"holds no \.md"):
        read_corpus(tmp_path)


def test_reading_takes_constant_memory(tmp_path):
    path = write(tmp_path, {str(n): {**RECORD, "LONG_ANSWER": "The heart grows. " * 100} for n in range(1, 4001)})
    tracemalloc.start()
    n = sum(1 for _ in read_pubmedqa(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 4000
    assert path.stat().st_size > 7_000_000
    assert peak < 2_000_000
