"""Patterns with gaps are found as words stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobo.grounding.phrases import PhraseTree
from knobo.wordings import words


def ends(pattern, text):
    tree = PhraseTree(["of", "the", "left"], {"...": ["and", ","], "...,": ["but"]})
    tree.add(pattern, frozenset({pattern}))
    found = words(text)
    return {(hit.start, hit.end) for start in range(len(found)) for hit in tree.at(found, start)}


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("rib fracture", "old rib fractures", {(1, 3)}),
        ("fracture ~ rib", "fracture of the left rib", {(0, 5)}),
        ("fracture ~ rib", "fracture without rib", set()),
        ("heart ... enlarged", "heart is not very enlarged", {(0, 5)}),
        ("heart ... enlarged", "heart and aorta enlarged", set()),
        ("heart ..., normal", "heart and aorta , lungs normal", {(0, 6)}),
        ("heart ..., normal", "heart small but lungs normal", set()),
        ("a|b c?", "a c b", {(0, 1), (0, 2), (2, 3)}),
        ("no ?", "no ? no", {(0, 2)}),
    ],
)
def test_one_pattern(pattern, text, found):
    assert ends(pattern, text) == found


def test_a_phrase_may_mean_several_things():
    tree = PhraseTree([], {})
    tree.add("mass", frozenset({1}))
    tree.add("masses", frozenset({2}))
    assert tree.at(words("mass"), 0)[0].meaning == frozenset({1, 2})


@given(st.lists(st.sampled_from(["heart", "is", "enlarged", "and", "of", ","]), min_size=1, max_size=12))
def test_every_hit_begins_and_ends_with_the_words_of_its_pattern(sentence):
    for start, end in ends("heart ... enlarged", " ".join(sentence)):
        assert sentence[start] == "heart"
        assert sentence[end - 1] == "enlarged"
        assert not {"and", ","} & set(sentence[start:end])
