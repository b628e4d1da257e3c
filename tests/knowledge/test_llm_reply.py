"""The JSON object amid what a model writes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Loose, Word

from knobo.knowledge.llm_reply import UnusableReplyError, find_object

GOOD = '{"word": "x", "number": 1}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  \n{GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"Here {{you}} are:\n```\n{GOOD}\n```\nAn empty one would be {{}}.",
        f"It is {GOOD}. Ask for more!",
        f'<think>{{"word": "draft", "number": 0}}</think>{GOOD}',
        f"{{{GOOD}}}",
        f"{GOOD}\n{GOOD}",
        f'{{"note": 1}} then {GOOD}',
    ],
)
def test_finding_the_object(text):
    assert json.loads(find_object(text, Word)) == {"word": "x", "number": 1}


@pytest.mark.parametrize(
    ("text", "schema", "match"),
    [
        ("", Word, "no JSON object"),
        ("[1, 2]", Word, "no JSON object"),
        ('{"items": [{}', Loose, "broken"),
        ("{'items': [{}]}", Loose, "broken"),
        ("{items: [{}]}", Loose, "broken"),
        ('{"a":' * 100_000, Word, "broken"),
        ("{" * 5000, Word, "no JSON object"),
        ('{"items": ["a"]} or {"items": ["b"]}', Loose, "2 different objects"),
        ('{"word": Infinity, "number": 1}', Word, "Infinity"),
    ],
)
def test_no_object_is_guessed(text, schema, match):
    with pytest.raises(UnusableReplyError, match=match):
        find_object(text, schema)


@given(st.text(), st.text(st.characters(exclude_characters="{}`")), st.integers())
def test_any_object_is_found_amid_any_chat(word, chat, number):
    text = json.dumps({"word": word, "number": number})
    found = Word.model_validate_json(find_object(f"{chat}\n{text}\n{chat}", Word)) if "</think>" not in chat else None
    assert found is None or (found.word, found.number) == (word.encode("utf-8", "replace").decode(), number)


@given(st.text())
def test_any_text_is_an_object_or_unusable(text):
    with pytest.raises(UnusableReplyError):
        find_object(text, Word)
