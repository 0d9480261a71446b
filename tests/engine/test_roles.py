"""Roles that alternate, whatever was sent, and messages that templates leave out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from localchat_ui.conversation import Role
from localchat_ui.engine.base import ToolCall, Turn
from localchat_ui.engine.prompt import build_prompt
from localchat_ui.engine.roles import SystemPlace, one_call_each, repaired
from tests.engine.test_prompt import FakeModel

SYSTEM, USER, ASSISTANT, TOOL = Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL
MIDDLE = [Turn(SYSTEM, "s"), Turn(USER, "a"), Turn(ASSISTANT, "b"), Turn(SYSTEM, "zz"), Turn(USER, "c")]
WRITES = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


def shape(turns: list[Turn]) -> list[tuple[str, str]]:
    return [(turn.role.value, turn.text) for turn in turns]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (SystemPlace.ANYWHERE, [("system", "s"), ("user", "a"), ("assistant", "b"), ("system", "zz"), ("user", "c")]),
        (SystemPlace.FIRST, [("system", "s\n\nzz"), ("user", "a"), ("assistant", "b"), ("user", "c")]),
        (SystemPlace.NOWHERE, [("user", "s\n\na"), ("assistant", "b"), ("user", "zz\n\nc")]),
    ],
)
def test_a_system_message_in_the_middle_goes_where_it_can(place: SystemPlace, expected: list[tuple[str, str]]):
    turns, notes = repaired(MIDDLE, place)
    assert shape(turns) == expected
    assert bool(notes) == (place is not SystemPlace.ANYWHERE)


def test_turns_of_one_role_are_joined_with_all_that_they_hold():
    call, other = ToolCall("a", {}, "1"), ToolCall("b", {}, "2")
    turns, notes = repaired(
        [
            Turn(USER, "one"),
            Turn(USER, ""),
            Turn(USER, "two"),
            Turn(ASSISTANT, "x", "hm", (call,)),
            Turn(ASSISTANT, "", "so", (other,)),
            Turn(TOOL, "1", tool_call_id="1"),
            Turn(TOOL, "2", tool_call_id="2"),
        ],
        SystemPlace.ANYWHERE,
    )
    assert turns[:2] == [Turn(USER, "one\n\ntwo"), Turn(ASSISTANT, "x", "hm\n\nso", (call, other))]
    assert shape(turns[2:]) == [("tool", "1"), ("tool", "2")]
    assert notes == ["“two” follows another message of the user: the two were joined."]


def test_what_is_right_stays_as_it_is():
    turns = [Turn(SYSTEM, "s"), Turn(USER, "a"), Turn(ASSISTANT, "b"), Turn(USER, "c")]
    assert all(repaired(turns, place) == (turns, []) for place in (SystemPlace.ANYWHERE, SystemPlace.FIRST))


def test_each_call_gets_a_turn_with_its_own_answer():
    first, second = ToolCall("a", {}, "1"), ToolCall("b", {}, "2")
    turns = [
        Turn(USER, "q"),
        Turn(ASSISTANT, "x", "hm", (first, second)),
        Turn(TOOL, "2", tool_call_id="2"),
        Turn(TOOL, "1", tool_call_id="1"),
        Turn(ASSISTANT, "done"),
    ]
    assert one_call_each(turns) == [
        Turn(USER, "q"),
        Turn(ASSISTANT, "x", "hm", (first,)),
        Turn(TOOL, "1", tool_call_id="1"),
        Turn(ASSISTANT, "", "", (second,)),
        Turn(TOOL, "2", tool_call_id="2"),
        Turn(ASSISTANT, "done"),
    ]


def test_an_assistant_that_begins_gets_an_empty_question():
    model = FakeModel(WRITES, adds_bos=False)
    prompt = build_prompt(model, [Turn(ASSISTANT, "Welcome"), Turn(USER, "Hi")], n_ctx=200)  # type: ignore[arg-type]
    assert prompt.text == "[user][assistant]Welcome[user]Hi"
    assert prompt.notes == ("The assistant began: an empty question stands before it.",)
    alone = build_prompt(model, [Turn(SYSTEM, "s"), Turn(ASSISTANT, "Welc")], n_ctx=200)  # type: ignore[arg-type]
    assert alone.text == "[system]s[user]Welc"
    assert (alone.continued, len(alone.turn_tokens)) == (True, 2)
    assert sum(alone.turn_tokens) == len(alone.tokens)


def test_two_parts_of_a_begun_reply_go_on_as_one():
    turns = [Turn(USER, "Hi"), Turn(ASSISTANT, "One"), Turn(ASSISTANT, "Two")]
    prompt = build_prompt(FakeModel(WRITES, adds_bos=False), turns, n_ctx=200)  # type: ignore[arg-type]
    assert prompt.text == "[user]HiOne\n\nTwo"
    assert len(prompt.turn_tokens) == 3
    assert sum(prompt.turn_tokens) == len(prompt.tokens)


def test_what_a_template_drops_is_told():
    template = "{% for m in messages if m.role != 'tool' %}{{ m.content }};{% endfor %}"
    turns = [Turn(USER, "Hi"), Turn(ASSISTANT, "Hello"), Turn(USER, "a\n  b"), Turn(ASSISTANT, "c"), Turn(USER, "d")]
    assert build_prompt(FakeModel(template), turns, n_ctx=200).notes == ()  # type: ignore[arg-type]
    only_last = "{{ messages[-1].content }}"
    notes = build_prompt(FakeModel(only_last), turns[:3], n_ctx=200).notes  # type: ignore[arg-type]
    assert notes == (
        "The model's template leaves out a message of the user: “Hi”.",
        "The model's template leaves out a message of the assistant: “Hello”.",
    )


def test_a_template_that_drops_a_system_message_in_the_middle_gets_it_where_it_keeps_it():
    drops = "{% for m in messages %}{% if m.role != 'system' or loop.first %}BODY{% endif %}{% endfor %}"
    drops = drops.replace("BODY", "[{{ m.role }}]{{ m.content }}")
    prompt = build_prompt(FakeModel(drops, adds_bos=False), MIDDLE, n_ctx=200)  # type: ignore[arg-type]
    assert prompt.text == "[system]s\n\nzz[user]a[assistant]b[user]c"
    assert prompt.notes == ("“zz” is a system message: it was moved to the beginning.",)


@pytest.mark.parametrize("form", ["{{ m.content | tojson }}", "{{ m.content | trim | replace('\\n', ' ') }}"])
def test_what_is_written_in_another_way_is_not_lost(form: str):
    template = "{% for m in messages %}" + form + ";{% endfor %}"
    turn = Turn(USER, '  {"a": "ü\n\\"x\\""}\n')
    assert build_prompt(FakeModel(template), [turn], n_ctx=200).notes == ()  # type: ignore[arg-type]


@dataclass
class WithoutLlamas(FakeModel):
    """A vocabulary with one token for all that it has no other for; nobody writes that one."""

    chat_template: str | None = WRITES

    def is_control(self, token: int) -> bool:
        return token == 0

    def control_text(self, token: int) -> str:
        return "<unk>"

    def tokenize(self, text: str, *, add_special: bool = False, as_text: bool = False) -> list[int]:
        return [0 if letter == "🦙" else ord(letter) for letter in re.sub("<unk>", "🦙", text)]


def test_letters_that_a_vocabulary_does_not_have_are_read_as_unknown():
    prompt = build_prompt(WithoutLlamas(), [Turn(USER, "a 🦙 b")], n_ctx=200)  # type: ignore[arg-type]
    assert prompt.tokens[-5:] == [ord("a"), 32, 0, 32, ord("b")]
