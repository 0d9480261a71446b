"""Every family of models: its calls, alone and beside text and thinking, in its own words, at every split."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localchat_ui.conversation import RequestOptions, Role
from localchat_ui.engine.base import EngineError, ToolCall, Turn
from localchat_ui.engine.grammar import Guide, guide_of
from localchat_ui.engine.llama import Model
from localchat_ui.engine.prompt import Prompt, build_prompt
from localchat_ui.engine.text import Phase, TextStream
from localchat_ui.engine.thinking import marks_in
from localchat_ui.engine.tool_calls import FoundCall, ToolCallParser
from localchat_ui.engine.tool_grammar import CallRules
from tests.engine.families import FAMILIES, Family
from tests.engine.random_text import some_text
from tests.engine.test_grammar import accept, guided
from tests.engine.test_prompt import FakeModel

TOOLS = {
    "weather": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}},
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
@settings(deadline=None)
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


@pytest.fixture(scope="module")
def vocabulary(smollm: Path) -> Iterator[Model]:
    model = Model(smollm, vocab_only=True)
    yield model
    model.close()


@every_family
def test_a_structured_answer_stands_behind_the_thinking(family: Family, vocabulary: Model):
    prompt = prompt_of(family, [QUESTION])
    marks, phase = prompt.marks, prompt.phase
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    thinking = family.thinking + (marks.answer if marks and family.thinking else "")
    guide, stream = guided(vocabulary, marks, phase, json_schema=schema), TextStream((), marks, phase)
    thought = said = ""
    for token in vocabulary.tokenize(thinking + '{"a": "b"}'):
        guide.accept(token)
        piece = stream.feed(vocabulary.control_text(token).encode())
        thought, said = thought + piece.thinking, said + piece.text
    rest = stream.finish()
    assert ((thought + rest.thinking).strip(), said + rest.text) == ("Hm." if family.thinking else "", '{"a": "b"}')
    with pytest.raises(EngineError):
        accept(guided(vocabulary, marks, phase, json_schema=schema), vocabulary.tokenize(thinking + "Sure"))


@every_family
def test_a_forced_call_is_written_as_the_model_does_it(family: Family, vocabulary: Model):
    """What the template writes of a call is what is allowed, and nothing else is."""
    turns = [QUESTION, Turn(Role.ASSISTANT, "", tool_calls=(ToolCall("weather", {"city": "Zürich"}, "abcdefghi"),))]
    prompt = prompt_of(family, [QUESTION])
    beginning = prompt.text.rpartition(QUESTION.text)[2].removesuffix("<think>\n")
    written = prompt_of(family, turns).text.rpartition(QUESTION.text)[2].removeprefix(beginning)
    if family.name == "gpt-oss":
        written = family.one  # the template leaves out what the model writes
    assert read_pieces(family, [allowed_of(vocabulary, prompt, answered(family, written.lstrip()))])[2] == [WEATHER]
    with pytest.raises(EngineError):
        accept(forced_to_call(vocabulary, prompt), vocabulary.tokenize(answered(family, "Sure")))


def test_white_space_between_marks_may_be_any():
    family = next(each for each in FAMILIES if each.name == "GLM 4.6")
    written = "<tool_call>weather\n\n<arg_key>city</arg_key>\n\n\n<arg_value>Zürich</arg_value>\n\n</tool_call>"
    assert read(family, written, 3)[1:] == ("", [WEATHER])


@every_family
def test_what_is_forced_is_read_as_calls(family: Family, vocabulary: Model):
    prompt = prompt_of(family, [QUESTION])
    for seed in range(3):
        text = some_text(vocabulary, forced_to_call(vocabulary, prompt, phase=Phase.ANSWER), seed)
        if text is None:
            continue
        calls = read_pieces(family, [answered(family, text)])[2]
        assert calls, text
        for call in calls:
            assert jsonschema_rs.validator_for(TOOLS[call.name]).is_valid(json.loads(call.arguments)), text


@every_family
def test_strict_calls_obey_and_text_is_free(family: Family, vocabulary: Model):
    """Text, thinking and calls as the model writes them are allowed; arguments that do not obey are not."""
    prompt = prompt_of(family, [QUESTION])

    def may(text: str) -> bool:
        guide = strictly(vocabulary, prompt)
        tokens = vocabulary.tokenize(answered(family, text))
        return all(_goes_on(guide, token) for token in tokens) and guide.allows(vocabulary.ends[0])

    words = "It is < 3 °C [cold], {brr} and *I* call it `a|b`."
    for text in (words, family.one, family.two, "" if family.name == "Llama 3.1" else f"Let me see.\n\n{family.one}"):
        assert may(text), text
        assert may((family.thinking if family.thinking.startswith(("<", "[")) else "") + text), text
    assert not may(family.one.replace("Zürich", "Rome"))
    if family.name != "Llama 3.1":
        # Without any mark, JSON that names no function is text.
        assert not may(family.one.replace("weather", "wether"))


def test_parameters_that_only_name_their_schema_obey_it(vocabulary: Model):
    """As pydantic writes those of a model that contains itself."""
    family = next(each for each in FAMILIES if each.name == "Qwen 3 Coder")
    schema = {"$ref": "#/$defs/place", "$defs": {"place": CITY}}
    for text, obeys in ((family.one, True), (family.one.replace("Zürich", "Rome"), False)):
        guide = strictly(vocabulary, prompt_of(family, [QUESTION]), schema, must=True)
        tokens = vocabulary.tokenize(answered(family, text))
        assert all(_goes_on(guide, token) for token in tokens) is obeys


@every_family
@pytest.mark.parametrize("must", [True, False], ids=["forced", "strict"])
def test_arguments_of_any_kind_obey(family: Family, vocabulary: Model, must: bool):
    """Whatever is written where a call has begun; in marks, texts stand there as they are."""
    prompt = prompt_of(family, [QUESTION])
    # Without any mark, only the name tells that it is a call.
    n_begun = family.one.index("weather") + (8 if family.name == "Llama 3.1" else 0)
    begun = answered(family, family.one[:n_begun])
    for seed in range(2):
        guide = strictly(vocabulary, prompt, FIELDS, must=must)
        for token in vocabulary.tokenize(begun):
            if not _goes_on(guide, token):
                break
        else:
            text = some_text(vocabulary, guide, seed)
            if text is not None:
                calls = read_pieces(family, [begun + text], {"weather": FIELDS})[2]
                assert calls, begun + text
                assert FOLLOWS.is_valid(json.loads(calls[0].arguments)), (begun + text, calls)


FIELDS = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "pattern": r"^[A-Z]{2}-\d+$|^none$", "maxLength": 12},
        "unit": {"$ref": "#/$defs/Unit"},
        "number": {"type": "integer", "minimum": 3, "maximum": 12},
        "word": {"type": "string", "minLength": 2, "maxLength": 5},
        "digits": {"type": "string", "enum": ["1", "22", "</parameter>"]},
        "some": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "integer"}]},
    },
    "required": ["code", "unit", "number", "word", "digits", "some"],
    "additionalProperties": False,
    "$defs": {"Unit": {"type": "string", "enum": ["°C", "°F", " K"]}},
}
FOLLOWS = jsonschema_rs.validator_for(FIELDS)


def _goes_on(guide: Guide, token: int) -> bool:
    if guide.allows(token):
        guide.accept(token)
        return True
    return False


CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "pattern": "^Z", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("name", ["Qwen 3", "Qwen 3 Coder", "Command R7B"])
def test_an_answer_with_a_schema_leaves_room_for_calls(name: str, vocabulary: Model):
    family = next(each for each in FAMILIES if each.name == name)
    prompt = prompt_of(family, [QUESTION])
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    rules = CallRules(GIVEN, prompt.tool_format, must=False, answer=schema)
    for text, allowed in (('{"a": 1}', True), (family.one, True), (family.two, False), ("Sure", False)):
        guide = guide_of(vocabulary, RequestOptions(), prompt.marks, prompt.phase, rules)
        assert guide is not None
        tokens = vocabulary.tokenize(answered(family, text))
        assert all(_goes_on(guide, token) for token in [*tokens, *vocabulary.ends[:1]]) is allowed, text


def strictly(model: Model, prompt: Prompt, schema: dict = CITY, *, must: bool = False) -> Guide:  # type: ignore[type-arg]
    weather = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    tools = [weather] if schema is FIELDS else [weather, GIVEN[1]]
    rules = CallRules(tools, prompt.tool_format, several=schema is CITY, must=must, strict={"weather"})
    guide = guide_of(model, RequestOptions(), prompt.marks, prompt.phase, rules)
    assert guide is not None
    return guide


def allowed_of(model: Model, prompt: Prompt, text: str) -> str:
    """As much of a text as may be written where a call has to be made."""
    guide, allowed = forced_to_call(model, prompt), b""
    for token in model.tokenize(text):
        try:
            guide.accept(token)
        except EngineError:
            break
        allowed += model.piece(token)
    return allowed.decode(errors="ignore")


def forced_to_call(model: Model, prompt: Prompt, phase: Phase | None = None) -> Guide:
    forced = CallRules(GIVEN, prompt.tool_format, several=prompt.may_call_several)
    guide = guide_of(model, RequestOptions(), prompt.marks, phase or prompt.phase, forced)
    assert guide is not None
    return guide


def prompt_of(family: Family, turns: list[Turn]) -> Prompt:
    model = FakeModel(family.template, adds_bos=False, thinking_marks=marks_in(family.template))
    return build_prompt(model, turns, n_ctx=100_000, template_arguments={"tools": GIVEN})  # type: ignore[arg-type]


def read(family: Family, written: str, size: int) -> tuple[str, str, list[FoundCall]]:
    return read_pieces(family, [written[at : at + size] for at in range(0, len(written), size)])


def read_pieces(
    family: Family,
    pieces: list[str],
    tools: dict = TOOLS,  # type: ignore[type-arg]
) -> tuple[str, str, list[FoundCall]]:
    """Thinking, text and calls of a reply, put together from what was news with each piece."""
    prompt = prompt_of(family, [QUESTION])
    stream = TextStream((), prompt.marks, prompt.phase)
    parser = ToolCallParser(tools, prompt.tool_format)
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
