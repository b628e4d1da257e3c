import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.knowledge.align import align

TEXT = "No blunting is seen. There is no “large” pleural\u00a0effusion – it is a mass (Fig. 2)."
SECOND = TEXT[21:]


@pytest.mark.parametrize(
    "quote",
    [
        SECOND,
        'There is no "large" pleural effusion - it is a mass (Fig. 2).',
        "there  is no\n'“large”' pleural effusion".replace("'", ""),
        "THERE IS NO “LARGE” PLEURAL EFFUSION",
        "…large” pleural effusion – it is a mass…",
        "pleural effusion",
        "pleu\u00adral effu\u200bsion",
    ],
)
def test_a_near_exact_quotation_gives_the_whole_sentence_of_the_passage(quote):
    assert align(quote, TEXT) == (SECOND,)


@pytest.mark.parametrize("quote", ["", "effusion is large", "is no", "typical pleural effusion", "...", "mass, Fig 2"])
def test_other_quotations_are_not_found(quote):
    assert align(quote, "An atypical pleural effusion. " + TEXT) == ()


def test_a_quotation_over_two_sentences_gives_both():
    assert align("is seen. there is", TEXT) == (TEXT[:20], SECOND)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=60), st.text(max_size=80))
def test_what_is_found_is_always_a_slice(quote, text):
    assert all(sentence and sentence in text for sentence in align(quote, text))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(alphabet="abcÄé ﬁ’-", min_size=1, max_size=30).filter(lambda t: sum(map(str.isalnum, t)) >= 8))
def test_a_text_is_found_in_itself(text):
    assert align(text.upper(), "x " + text)
