"""Tool calls found in text that grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localchat_ui.engine.tool_calls import FoundCall, ToolCallParser
from localchat_ui.engine.tool_format import HERMES, Kind, ParameterMarks, ToolFormat

WEATHER = FoundCall("weather", '{"city": "Zürich"}')
TIME = FoundCall("time", "{}")
MARKED = '<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'
TOOLS: dict[str, dict[str, object]] = {"weather": {}, "time": {}}


def parsed(*pieces: str, tool_format: ToolFormat = HERMES) -> tuple[str, list[FoundCall]]:
    """All that came out, put together from the news as a client does it."""
    parser = ToolCallParser(TOOLS, tool_format)
    text, calls = "", list[FoundCall]()
    for news in [*map(parser.feed, pieces), parser.finish()]:
        text += news.text
        for index, name, arguments in news.calls:
            if name:
                assert index == len(calls)
                calls.append(FoundCall(name))
            calls[index].arguments += arguments
    assert parser.calls == calls
    return text, calls


@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        ("Hello there. ", "Hello there. ", []),
        (MARKED, "", [WEATHER]),
        (f"Let me see.\n\n{MARKED}\n", "Let me see.", [WEATHER]),
        (f'{MARKED}\n<tool_call>{{"name": "time"}}</tool_call>', "", [WEATHER, TIME]),
        (f"{MARKED}\nThere it is.", "There it is.", [WEATHER]),
        ('<tool_call>{"name": "time", "parameters": {}}', "", [TIME]),
        (
            '<tool_call>{"id": "a", "name": "weather", "arguments": {"city": "Zürich"}, "x": {}}</tool_call>',
            "",
            [WEATHER],
        ),
        ('<tool_call>{"arguments": {"city": "Zürich"}, "name": "weather"}</tool_call>', "", [WEATHER]),
        ('{"name": "weather", "parameters": {"city": "Zürich"}}', "", [WEATHER]),
        (
            '{"name": "time", "parameters": {}}; {"name": "weather", "parameters": {"city": "Zürich"}}',
            "",
            [TIME, WEATHER],
        ),
        ('{"name": "weather", "arguments": "{\\"city\\": \\"Zürich\\"}"}', "", [WEATHER]),
        ('{"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich"}}}', "", [WEATHER]),
        ('[{"name": "weather", "arguments": {"city": "Zürich"}}, {"name": "time"}]', "", [WEATHER, TIME]),
        ('{"name": "Anna", "age": 7}', '{"name": "Anna", "age": 7}', []),
        ('{"name": "Anna", "arguments": {"age": 7}}', '{"name": "Anna", "arguments": {"age": 7}}', []),
        ("{broken: it never becomes JSON}", "{broken: it never becomes JSON}", []),
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
    parser = ToolCallParser(TOOLS)
    assert parser.feed("Well, <to") == ("Well,", [])
    assert parser.feed("ast>") == (" <toast>", [])


def test_arguments_are_handed_out_while_they_are_written():
    parser = ToolCallParser(TOOLS)
    assert parser.feed('<tool_call>\n{"name": "weather", "argu').calls == []
    assert parser.feed('ments": {"ci').calls == [(0, "weather", ""), (0, "", '{"ci')]
    assert parser.feed('ty": "}{\\"').calls == [(0, "", 'ty": "}{\\"')]
    assert parser.feed('"}}\n</tool_call>').calls == [(0, "", '"}')]


@pytest.mark.parametrize("cut", ["", "\n", "\n<", "\n</parameter", "\n</parameter>", "\n</parameter>\n</func"])
def test_a_value_that_is_cut_off_has_nothing_of_its_mark(cut: str):
    marks = ParameterMarks("<parameter=", ">", "</parameter>")
    tagged = ToolFormat(Kind.TAGGED, calls=("<function=",), between=">", end="</function>", parameter=marks)
    written = f"<function=weather>\n<parameter=city>\nZürich{cut}"
    assert parsed(written, tool_format=tagged) == ("", [WEATHER])
