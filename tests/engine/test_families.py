"""Every family of models: its calls, alone and beside text and thinking, in its own words, at every split."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localchat_ui.conversation import Role
from localchat_ui.engine.base import ToolCall, Turn
from localchat_ui.engine.prompt import Prompt, build_prompt
from localchat_ui.engine.text import TextStream
from localchat_ui.engine.thinking import marks_in
from localchat_ui.engine.tool_calls import FoundCall, ToolCallParser
from tests.engine.families import FAMILIES, Family
from tests.engine.test_prompt import FakeModel

TOOLS = {
    "weather": {"type": "object", "properties": {"city": {"type": "string"}}},
    "time": {"type": "object", "properties": {}},
}
GIVEN = [
    {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}
    for name, schema in TOOLS.items()
]
WEATHER = FoundCall("weather", '{"city": "Zürich"}')
TIME = FoundCall("time", "{}")
QUESTION = Turn(Role.USER, "Is it warm?")
every_family = pytest.mark.parametrize("family", FAMILIES, ids=str)


@every_family
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 1000])
def test_one_call(family: Family, size: int):
    assert read(family, answered(family, family.one), size)[1:] == ("", [WEATHER])


@every_family
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 1000])
def test_two_calls(family: Family, size: int):
    assert read(family, answered(family, family.two), size)[1:] == ("", [WEATHER, TIME])


@every_family
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_no_call(family: Family, size: int):
    text = "It is < 3 °C [cold], {brr} and *I* call it `a|b`."
    assert read(family, answered(family, text), size)[1:] == (text, [])


# Without any mark, only a reply that is nothing but JSON can be told to be a call.
@pytest.mark.parametrize("family", [family for family in FAMILIES if family.name != "Llama 3.1"], ids=str)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_call_after_text(family: Family, size: int):
    assert read(family, answered(family, f"Let me see.\n\n{family.one}"), size)[1:] == ("Let me see.", [WEATHER])


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.thinking], ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 1000])
def test_a_call_after_thinking(family: Family, size: int):
    thinking, text, calls = read(family, family.thinking + family.two, size)
    assert (thinking.strip(), text, calls) == ("Hm.", "", [WEATHER, TIME])


@every_family
def test_every_split(family: Family):
    """Wherever the text is cut in two: what tells its parts apart never shows."""
    whole = family.thinking + family.two
    expected = read(family, whole, 1000)
    for cut in range(1, len(whole)):
        assert read_pieces(family, [whole[:cut], whole[cut:]]) == expected


@given(st.data())
def test_any_splits(data: st.DataObject):
    family = data.draw(st.sampled_from(FAMILIES))
    whole = family.thinking + family.two
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read_pieces(family, pieces) == read(family, whole, 1000)


@every_family
@pytest.mark.parametrize("id_", ["call_AozouZaHQXIwUW3k", "abcDEF123", ""])
def test_a_loop_is_read_whole(family: Family, id_: str):
    """A question, a call, its result and an answer, then the next question."""
    call = ToolCall("weather", {"city": "Zürich"}, id_)
    turns = [QUESTION, Turn(Role.ASSISTANT, "", tool_calls=(call,)), Turn(Role.TOOL, "21 degrees", tool_call_id=id_)]
    first = prompt_of(family, turns)
    assert_read(first, "Is it warm?", "weather", "city", "Zürich", "21 degrees")
    second = prompt_of(family, [*turns, Turn(Role.ASSISTANT, "Yes."), Turn(Role.USER, "And now?")])
    assert_read(second, "weather", "Zürich", "21 degrees", "Yes.", "And now?")


@every_family
def test_two_calls_in_one_turn_are_both_read(family: Family):
    calls = (ToolCall("weather", {"city": "Zürich"}, "a"), ToolCall("time", {}, "b"))
    turns = [
        QUESTION,
        Turn(Role.ASSISTANT, "", tool_calls=calls),
        Turn(Role.TOOL, "21 degrees", tool_call_id="a"),
        Turn(Role.TOOL, "noon", tool_call_id="b"),
    ]
    assert_read(prompt_of(family, turns), "Is it warm?", "weather", "Zürich", "21 degrees", "noon")


@every_family
def test_calls_of_the_history_look_as_the_model_writes_them(family: Family):
    """What the template writes of a call is read back as that call."""
    turns = [QUESTION, Turn(Role.ASSISTANT, "", tool_calls=(ToolCall("weather", {"city": "Zürich"}, "abcdefghi"),))]
    beginning = prompt_of(family, [QUESTION]).text.rpartition(QUESTION.text)[2].removesuffix("<think>\n")
    written = prompt_of(family, turns).text.rpartition(QUESTION.text)[2].removeprefix(beginning)
    assert read_pieces(family, [answered(family, written)])[2] == [WEATHER]


@every_family
def test_roles_are_repaired(family: Family):
    turns = [
        Turn(Role.ASSISTANT, "Welcome"),
        QUESTION,
        Turn(Role.USER, "Say it"),
        Turn(Role.ASSISTANT, "Yes"),
        Turn(Role.SYSTEM, "In French"),
        Turn(Role.USER, "Go on"),
    ]
    prompt = prompt_of(family, turns)
    assert_read(prompt, "Welcome", "Is it warm?", "Say it", "Yes", "In French", "Go on")
    assert any("joined" in note for note in prompt.notes)


def prompt_of(family: Family, turns: list[Turn]) -> Prompt:
    model = FakeModel(family.template, adds_bos=False, thinking_marks=marks_in(family.template))
    return build_prompt(model, turns, n_ctx=100_000, template_arguments={"tools": GIVEN})  # type: ignore[arg-type]


def read(family: Family, written: str, size: int) -> tuple[str, str, list[FoundCall]]:
    return read_pieces(family, [written[at : at + size] for at in range(0, len(written), size)])


def read_pieces(family: Family, pieces: list[str]) -> tuple[str, str, list[FoundCall]]:
    """Thinking, text and calls of a reply, put together from what was news with each piece."""
    prompt = prompt_of(family, [QUESTION])
    stream = TextStream((), prompt.marks, prompt.phase)
    parser = ToolCallParser(TOOLS, prompt.tool_format)
    thinking, text, calls = "", "", list[FoundCall]()

    def came() -> Iterator[tuple[str, str]]:
        for piece in pieces:
            yield stream.feed(piece.encode())
        yield stream.finish()

    for thought, said in came():
        thinking += thought
        news = parser.feed(said)
        text += news.text
        take(calls, news.calls)
    last = parser.finish()
    take(calls, last.calls)
    return thinking, text + last.text, calls


def take(calls: list[FoundCall], news: list) -> None:  # type: ignore[type-arg]
    for index, name, arguments in news:
        if name:
            assert index == len(calls)
            calls.append(FoundCall(name))
        calls[index].arguments += arguments


def answered(family: Family, text: str) -> str:
    """Text as an answer, behind thinking where the prompt has begun it."""
    return (family.thinking if not family.thinking.startswith(("<", "[")) else "") + text


def assert_read(prompt: Prompt, *words: str) -> None:
    position = 0
    for word in words:
        found = prompt.text.find(word) if word == "In French" else prompt.text.find(word, position)
        assert found >= 0, f"{word} is missing in {prompt.text}"
        position = position if word == "In French" else found
