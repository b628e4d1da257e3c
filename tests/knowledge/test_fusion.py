from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knobo.errors import InputError
from knobo.knowledge.bm25 import Bm25Index
from knobo.knowledge.corpus import Passage
from knobo.knowledge.fusion import HybridRetriever, fuse
from knobo.knowledge.passages import Hit

rankings = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=1, max_size=4)
weight = st.floats(0.1, 10)


def test_scores_equal_the_formula():
    fused = fuse([["a", "b"], ["b", "c"]])
    assert fused == [("b", pytest.approx(1 / 61 + 1 / 62)), ("a", pytest.approx(1 / 61)), ("c", pytest.approx(1 / 62))]
    weighted = dict(fuse([["a", "b"], ["b", "c"]], k=0, weights=[3, 1]))
    assert weighted == {"a": 3.0, "b": 2.5, "c": 0.5}
    assert fuse([]) == fuse([[], []]) == []


def test_ties_go_by_best_rank_and_then_by_id():
    assert [name for name, _ in fuse([["b", "a"], ["a", "b"]])] == ["a", "b"]
    first = fuse([["x", "y", "b"], ["a"]], k=0, weights=[3, 1])  # a and b score 1; a stood first somewhere
    assert [name for name, _ in first] == ["x", "y", "a", "b"]


@given(rankings, st.data())
def test_the_order_of_the_rankers_has_no_influence(lists, data):
    weights = data.draw(st.lists(weight, min_size=len(lists), max_size=len(lists)))
    expected = fuse(lists, weights=weights)
    for order in permutations(range(len(lists))):
        assert fuse([lists[i] for i in order], weights=[weights[i] for i in order]) == expected


@given(rankings, st.data())
def test_a_better_rank_never_worsens_an_item(lists, data):
    lists = [*lists, data.draw(st.permutations("abcdefgh"))]
    at = data.draw(st.integers(1, 7))
    better = [*lists[:-1], [*lists[-1][: at - 1], lists[-1][at], lists[-1][at - 1], *lists[-1][at + 1 :]]]
    name = lists[-1][at]
    before, after = fuse(lists), fuse(better)
    assert dict(after)[name] > dict(before)[name]
    assert [n for n, _ in after].index(name) <= [n for n, _ in before].index(name)


@given(rankings)
def test_every_item_comes_once_and_scores_fall(lists):
    fused = fuse(lists)
    assert sorted(name for name, _ in fused) == sorted({name for ranking in lists for name in ranking})
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True)


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), weight, st.integers(1, 3))
def test_one_ranking_or_equal_rankings_keep_their_order(ranking, weight, n):
    assert [name for name, _ in fuse([ranking] * n, weights=[weight] * n)] == ranking


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rankings": [["a"], ["b", "c", "b"]]}, "Ranking 2 names 'b' twice"),
        ({"rankings": [["a"]], "k": -1}, "at least 0, got -1"),
        ({"rankings": [["a"]], "k": float("nan")}, "at least 0, got nan"),
        ({"rankings": [["a"]], "weights": [1, 2]}, "There are 1 rankings and 2 weights"),
        ({"rankings": [["a"]], "weights": [0]}, "above 0, got 0.0; leave the ranking out"),
        ({"rankings": [["a"]], "weights": [float("inf")]}, "above 0, got inf"),
    ],
)
def test_unusable_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        fuse(**arguments)


PASSAGES = [Passage(f"p:{i}", "S", "T", text) for i, text in enumerate(["heart failure", "heart", "lung", "oedema"])]


class Fixed:
    """Retriever that always gives the same passages."""

    def __init__(self, *rows, passages=PASSAGES):
        self.rows, self.passages, self.asked = rows, passages, []

    def search(self, query, k=10):
        self.asked.append(k)
        return [Hit(self.passages[row], 9.0 - i) for i, row in enumerate(self.rows[:k])]


def test_a_hybrid_joins_what_its_retrievers_find():
    hybrid = HybridRetriever([Bm25Index.build(PASSAGES), Fixed(2, 1)])
    hits = hybrid.search("heart", k=3)
    assert [hit.passage for hit in hits] == [PASSAGES[1], PASSAGES[2], PASSAGES[0]]
    assert [hit.score for hit in hits] == pytest.approx([1 / 61 + 1 / 62, 1 / 61, 1 / 62])
    assert hybrid.search("heart", k=1) == hits[:1]
    nested = HybridRetriever([hybrid, Fixed(3)], weights=[1, 5])
    assert nested.search("heart", 1)[0].passage == PASSAGES[3]


def test_each_retriever_is_asked_deeply_enough():
    deep = Fixed(0, 1, 2, 3)
    HybridRetriever([deep], depth=2).search("heart", 1)
    HybridRetriever([deep], depth=2).search("heart", 3)
    assert deep.asked == [2, 3]


def test_unusable_retrievers_and_settings_are_refused():
    with pytest.raises(InputError, match="at least one retriever"):
        HybridRetriever([])
    with pytest.raises(InputError, match="There are 1 rankings and 2 weights"):
        HybridRetriever([Fixed()], weights=[1, 1])
    with pytest.raises(InputError, match="at least 1, got 0"):
        HybridRetriever([Fixed()], depth=0)
    with pytest.raises(InputError, match="at least 1, got 0"):
        HybridRetriever([Fixed()]).search("heart", 0)
    other = Fixed(0, passages=[Passage("p:0", "S", "T", "another text")])
    with pytest.raises(InputError, match="different passages with the id 'p:0'"):
        HybridRetriever([Fixed(0), other]).search("heart")
