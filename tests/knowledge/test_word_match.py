import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.knowledge.word_match import WordMatcher, clashes, content_words


def learn(*entries):
    names = [name for entry in entries for name in entry]
    owners = np.array([i for i, entry in enumerate(entries) for _ in entry], dtype=np.int32)
    return WordMatcher.learn(names, owners, np.arange(len(names) + 1))


def test_small_words_do_not_count_but_a_last_letter_does():
    assert content_words("the opacity of the left lung") == ["opacity", "left", "lung"]
    assert content_words("hepatitis A") == ["hepatitis", "a"]
    assert content_words("?!") == []


def test_equal_words_agree_in_any_order_and_number():
    matcher = learn(["rib fracture"], ["lung mass"])
    assert matcher.agreement("rib fracture", "rib fracture") == 1.0
    assert matcher.agreement("fractures of the ribs", "rib fracture") == 1.0
    assert matcher.agreement("", "rib fracture") == matcher.agreement("of the", "rib fracture") == 0.0


def test_a_word_too_many_on_either_side_lowers_the_agreement():
    matcher = learn(["rib fracture"], ["lung mass"], ["hilar mass"])
    long, short = matcher.agreement("rib fracture callus", "rib fracture"), matcher.agreement("rib", "rib fracture")
    assert 0.0 < long < 1.0
    assert 0.0 < short < 1.0


def test_words_that_fill_one_gap_in_one_entry_stand_for_each_other():
    synonyms = [[f"absent {bone}", f"missing {bone}"] for bone in ("toe", "rib", "nail", "tooth")]
    knows, does_not = learn(*synonyms), learn(*([one] for one, _ in synonyms))
    assert knows.agreement("missing thumb", "absent thumb") > 0.85
    assert does_not.agreement("missing thumb", "absent thumb") < 0.6


def test_words_that_fill_one_gap_in_two_entries_tell_them_apart():
    kinds = ("fracture", "cyst", "nodule", "tumour")
    apart = learn(*([f"{place} {kind}"] for kind in kinds for place in ("finger", "fingertip")))
    assert apart.agreement("fingertip wound", "finger wound") < learn(["x"]).agreement(
        "fingertip wound", "finger wound"
    )


def test_a_list_of_places_teaches_nothing():
    words = [f"place{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(40)]
    assert len(learn(*([f"{word} mass"] for word in words)).arrays["pairs"]) == 0
    assert len(learn(*([f"{word} mass"] for word in words[:5])).arrays["pairs"]) == 10


def test_pairs_are_counted_like_one_by_one():
    rng = np.random.default_rng(0)
    entries = [[" ".join(rng.choice(list("bcdf"), size=2)) for _ in range(3)] for _ in range(6)]
    matcher = learn(*entries)
    slots = {}
    for i, names in enumerate(entries):
        for first, second in (name.split() for name in names):
            slots.setdefault(("*", second), set()).add((first, i))
            slots.setdefault((first, "*"), set()).add((second, i))
    expected = {}
    for filled in slots.values():
        for one in filled:
            for other in filled:
                if one < other and one[0] != other[0]:
                    counts = expected.setdefault(tuple(sorted((one[0], other[0]))), [0, 0])
                    counts[one[1] != other[1]] += 1
    pairs, same, apart = (matcher.arrays[name].tolist() for name in ("pairs", "pair_same", "pair_apart"))
    words = [tuple(sorted((matcher.words[p >> 32], matcher.words[p & 0xFFFFFFFF]))) for p in pairs]
    assert dict(zip(words, map(list, zip(same, apart, strict=True)), strict=True)) == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("left pleural effusion", "right pleural effusion", 1),
        ("left pleural effusion", "pleural effusion", 0),
        ("no pleural effusion", "pleural effusion", 1),
        ("effusion without mass", "no effusion", 0),
        ("fracture of rib 4", "fracture of rib 5", 1),
        ("increased lung volume", "reduced lung volume", 1),
        ("benign left mass", "malignant right mass", 2),
    ],
)
def test_contradictions_are_counted(text, name, expected):
    assert clashes(text, name) == clashes(name, text) == expected


def test_a_contradiction_costs_two_fifths():
    matcher = learn(["upper opacity"], ["lower opacity"])
    plain = matcher.agreement("upper opacity", "dense opacity")
    assert matcher.agreement("upper opacity", "lower opacity") < 0.6 + plain
    assert matcher.agreement("4 nodules", "nodules 4") == 1.0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=30), st.text(max_size=30))
def test_agreement_lies_between_0_and_1_and_is_symmetric(text, name):
    matcher = learn([name or "x", "left mass"], [text or "y"])
    value = matcher.agreement(text, name)
    assert 0.0 <= value <= 1.0 + 1e-12
    assert value == pytest.approx(matcher.agreement(name, text))
