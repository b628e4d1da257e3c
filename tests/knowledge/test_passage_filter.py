"""Passages are kept by type, language and year; retracted articles go unless they are asked for."""

import pytest

from knobo.errors import InputError
from knobo.knowledge import Passage, filter_passages
from knobo.knowledge.corpus import language_code

KINDS = ("Practice Guideline", "review-article", "Systematic Review", "Case Reports", "book-review", "Journal Article")


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("review", [1, 2]),
        (["guideline", "case report"], [0, 3]),
        ("Book reviews", [4]),
        (("journal-article",), [5]),
        ("report", [3]),
        ("letter", []),
    ],
)
def test_passages_are_kept_by_publication_type(wanted, kept):
    passages = [Passage(str(i), "S", "T", "x", kinds=(kind,)) for i, kind in enumerate(KINDS)]
    assert [int(p.id) for p in filter_passages(passages, kinds=wanted)] == kept


def test_passages_are_kept_by_language_and_year():
    passages = [Passage("a", "S", "T", "x", year=2019, language="en"), Passage("b", "S", "T", "x")]
    passages += [Passage("c", "S", "T", "x", year=2021, language="de")]
    assert [p.id for p in filter_passages(passages, languages=["en-GB"])] == ["a"]
    assert [p.id for p in filter_passages(passages, languages="ger", since=2020)] == ["c"]
    assert [p.id for p in filter_passages(passages, since=2019)] == ["a", "c"]
    assert list(filter_passages(passages)) == passages
    assert language_code("xyz") == "xyz"
    with pytest.raises(InputError, match="kinds is empty"):
        filter_passages(passages, kinds=[])
    with pytest.raises(InputError, match="languages is empty"):
        filter_passages(passages, languages=())


def test_passages_of_retracted_articles_are_left_out_unless_they_are_asked_for():
    passages = [Passage("a", "S", "T", "x", kinds=("Review", "Retracted Publication")), Passage("b", "S", "T", "x")]
    assert [p.id for p in filter_passages(passages)] == ["b"]
    assert [p.id for p in filter_passages(passages, keep_retracted=True)] == ["a", "b"]
    assert [p.id for p in filter_passages(passages, kinds="review", keep_retracted=True)] == ["a"]
