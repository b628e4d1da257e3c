import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knobo.knowledge.text import SPELLINGS, spellings, split_sentences, stem, tokenize


@pytest.mark.parametrize(
    "text",
    [
        "Causes are many, e.g. Klebsiella or aspiration.",
        "See Fig. 2 for the meniscus.",
        "It holds approx. 200 ml.",
        "The ratio is 0.5 on this view.",
        "Work of J. Smith et al. 2019 agrees.",
        "The nodule is benign, i.e. Stable for two years.",
        "It is film No. 7 of the series.",
        "Dr. Kerley described the lines.",
    ],
)
def test_abbreviations_do_not_end_a_sentence(text):
    assert split_sentences(text) == [text]


def test_sentences_end_where_they_should():
    text = 'The heart is big. Is it? "No." He disagreed! (See below.) COPD was named. 12 of 80 had it.'
    assert split_sentences(text) == [
        "The heart is big.",
        "Is it?",
        '"No."',
        "He disagreed!",
        "(See below.)",
        "COPD was named.",
        "12 of 80 had it.",
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_sentences_are_slices_that_hold_every_word(text):
    sentences = split_sentences(text)
    assert all(sentence and sentence in text for sentence in sentences)
    assert "".join("".join(sentences).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("thickened", "thickening"),
        ("enlarged", "enlargement"),
        ("elevated", "elevation"),
        ("opacities", "opacity"),
        ("bullae", "bulla"),
        ("oedema", "edema"),
        ("arborising", "arborizing"),
        ("haemothorax", "hemothorax"),
        ("nevi", "naevus"),
    ],
)
def test_forms_of_one_word_meet(one, other):
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("one", "other"), [("dotted", "dots"), ("typical", "atypical"), ("calcified", "calcification"), ("mass", "masked")]
)
def test_different_words_stay_apart(one, other):
    assert stem(one) != stem(other)


def test_tokens_keep_their_place():
    text = "Blue-white veil, 0.5 mm"
    assert [text[t.start : t.end] for t in tokenize(text)] == ["Blue", "white", "veil", ",", "0.5", "mm"]


def test_spellings_gives_both_varieties():
    assert spellings("tumour with oedema") == ["tumour with oedema", "tumor with edema"]
    assert spellings("gray color") == ["gray color", "grey colour"]
    assert spellings("nodule") == ["nodule"]
    assert all(british != american for british, american in SPELLINGS)
