"""Probabilities of the words that a reply chose, read off its tokens."""

import json
import math

import pytest
from vision_server import SURE, tokens_of

from knobo.knowledge.llm_choices import check_choices, read_choices

WORDS = ("yes", "no", "unknown")
ANSWER = json.dumps({"answers": [{"concept": "a", "answer": "yes"}, {"concept": "b", "answer": "no"}]})


def token(text, **top):
    options = [{"token": name, "logprob": math.log(p)} for name, p in top.items()]
    return {"token": text, "logprob": math.log(top.get(text, 1.0)), "top_logprobs": options}


@pytest.mark.parametrize("words", ['"yes|"no|"unknown', "yes|no|unknown"], ids=["with its quotation mark", "bare"])
def test_each_place_gets_its_probabilities_however_tokens_are_cut(words):
    first, second = read_choices(ANSWER, tokens_of(ANSWER, words), WORDS)
    assert first == pytest.approx({"yes": SURE, "no": 1 - SURE, "unknown": 0.0})
    assert second == pytest.approx({"yes": 1 - SURE, "no": SURE, "unknown": 0.0})


def test_the_first_letters_of_a_word_stand_for_it():
    tokens = [token('{"x": "'), token("un", un=0.5, y=0.2, Yes=0.1, n=0.125, maybe=0.05), token('known"}')]
    (found,) = read_choices('{"x": "unknown"}', tokens, WORDS)
    assert found == pytest.approx({"yes": 0.3, "no": 0.125, "unknown": 0.5})


def test_an_alternative_that_ends_the_value_or_starts_elsewhere_counts_for_no_word():
    tokens = [token('{"x":'), token(' "yes"', **{' "yes"': 0.6, ' "': 0.2, "no": 0.1, ' "no"': 0.05}), token("}")]
    assert read_choices('{"x": "yes"}', tokens, WORDS) == ({"yes": 0.6, "no": 0.05, "unknown": 0.0},)


def test_a_token_without_alternatives_stands_for_itself():
    tokens = [{"token": '{"x": "', "logprob": 0.0}, {"token": "no", "logprob": -0.5, "top_logprobs": None}]
    tokens += [{"token": '"}', "logprob": 0}]
    assert read_choices('{"x": "no"}', tokens, WORDS)[0]["no"] == pytest.approx(math.exp(-0.5), abs=1e-6)


def test_thinking_and_fences_before_the_answer_are_passed_over():
    written = f'<think>Maybe {{"answer": "no"}}?</think>\n```json\n{ANSWER}\n```'
    assert len(read_choices(ANSWER, tokens_of(written), WORDS)) == 2
    assert read_choices(ANSWER, tokens_of(written), WORDS)[0]["yes"] == pytest.approx(SURE)


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        [],
        {},
        "yes",
        [1],
        [{"token": 3, "logprob": 0.0}],
        [{"token": ANSWER}],
        [{"token": ANSWER, "logprob": float("nan")}],
        [{"token": ANSWER, "logprob": "high"}],
        tokens_of(ANSWER.replace("yes", "no")),
        tokens_of(ANSWER[:30]),
        [{"token": f"token_id:{i}", "logprob": -0.1} for i in range(40)],
    ],
    ids=range(12),
)
def test_what_does_not_fit_the_answer_gives_none(tokens):
    assert read_choices(ANSWER, tokens, WORDS) == ()


def test_nothing_is_read_where_no_words_are_asked_for():
    assert read_choices(ANSWER, tokens_of(ANSWER), ()) == ()
    assert read_choices('{"x": 1}', tokens_of('{"x": 1}'), WORDS) == ()


def test_choices_in_a_cache_are_checked():
    good = [{"yes": 0.5, "no": 0.25}]
    assert check_choices(good) == tuple(good)
    assert [check_choices(bad) for bad in (None, "x", [1], [{"yes": 2}], [{"yes": "x"}])] == [()] * 5
