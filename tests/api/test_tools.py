"""Tool calls found in text that grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localchat_ui.api.tools import FoundCall, ToolCallParser

WEATHER = FoundCall("weather", '{"city": "Zürich"}')
TIME = FoundCall("time", "{}")
MARKED = '<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'


def parsed(*pieces: str) -> tuple[str, list[FoundCall]]:
    parser = ToolCallParser(["weather", "time"])
    text, found = "", []
    for piece in pieces:
        shown, calls = parser.feed(piece)
        text, found = text + shown, found + calls
    shown, calls = parser.finish()
    assert parser.calls == found + calls
    return text + shown, found + calls


@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        ("Hello there. ", "Hello there. ", []),
        (MARKED, "", [WEATHER]),
        (f"Let me see.\n\n{MARKED}\n", "Let me see.", [WEATHER]),
        (f'{MARKED}\n<tool_call>{{"name": "time"}}</tool_call>', "", [WEATHER, TIME]),
        ('<tool_call>{"name": "time", "parameters": {}}', "", [TIME]),
        ('{"name": "weather", "parameters": {"city": "Zürich"}}', "", [WEATHER]),
        ('{"name": "weather", "arguments": "{\\"city\\": \\"Zürich\\"}"}', "", [WEATHER]),
        ('[{"name": "weather", "arguments": {"city": "Zürich"}}, {"name": "time"}]', "", [WEATHER, TIME]),
        ('{"name": "Anna", "age": 7}', '{"name": "Anna", "age": 7}', []),
        ("[]", "[]", []),
        ("[1, 2", "[1, 2", []),
        ("a < b and <tool", "a < b and <tool", []),
        ("<tool_call>nonsense</tool_call> yes", "<tool_call>nonsense</tool_call> yes", []),
        ("[" * 100_000, "[" * 100_000, []),
    ],
)
def test_calls_are_told_from_text(text: str, shown: str, calls: list[FoundCall]):
    assert parsed(text) == (shown, calls)
    if len(text) < 1000:
        assert parsed(*text) == (shown, calls)


@given(
    st.lists(st.sampled_from(["Yes", " ", "\n", "<", "<tool_call>", "</tool_call>", '{"name": "time"}', "[", MARKED]))
)
def test_pieces_and_the_whole_are_the_same(pieces: list[str]):
    whole = "".join(pieces)
    assert parsed(*pieces) == parsed(whole) == parsed(*whole)


def test_text_is_shown_as_soon_as_it_cannot_be_a_call():
    parser = ToolCallParser(["time"])
    assert parser.feed("Well, <to") == ("Well,", [])
    assert parser.feed("ast>") == (" <toast>", [])
