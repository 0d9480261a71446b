"""Whose turn it is, repaired: chat templates refuse what they do not expect, or leave it out without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from localchat_ui.conversation import Role
from localchat_ui.engine.base import Turn
from localchat_ui.text import N_, Text

EXCERPT = 40


class SystemPlace(Enum):
    """Where system messages may stand: wherever they were said, at the beginning, or nowhere."""

    ANYWHERE = auto()
    FIRST = auto()
    NOWHERE = auto()


def repaired(turns: Sequence[Turn], place: SystemPlace) -> tuple[list[Turn], list[str]]:
    """The same words in turns that alternate, and what was done to that end, for people.

    Adjacent turns of one role merge with a blank line. A system message in the middle joins the first one, or is said
    by the user where there is `place` for none. An assistant that begins gets an empty question.
    """
    result: list[Turn] = []
    notes: list[str] = []
    n_leading = next((n for n, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))
    for number, given in enumerate(turns):
        turn = given
        if turn.role is Role.SYSTEM and place is SystemPlace.NOWHERE:
            turn = replace(turn, role=Role.USER)
            said = N_("{message} is a system message, which this model does not know: the user says it.")
            notes.append(Text(said, message=excerpt(turn)))
        elif turn.role is Role.SYSTEM and place is SystemPlace.FIRST and number >= n_leading:
            result = _with_system(result, turn)
            notes.append(Text("{message} is a system message: it was moved to the beginning.", message=excerpt(turn)))
            continue
        if turn.role is Role.ASSISTANT and all(before.role is Role.SYSTEM for before in result):
            result.append(Turn(Role.USER, ""))
            notes.append(Text("The assistant began: an empty question stands before it."))
        if result and _merge(result[-1], turn):
            result[-1] = merged(result[-1], turn)
            if number >= n_leading and turns[number - 1].role is turn.role and turn.text:
                notes.append(
                    Text(
                        "{message} follows another message of the {role}: the two were joined.",
                        message=excerpt(turn),
                        role=turn.role.value,
                    )
                )
        else:
            result.append(turn)
    return result, notes


def excerpt(turn: Turn) -> str:
    """The beginning of what was said, to name a message by."""
    words = " ".join(turn.text[: 4 * EXCERPT].split())
    return f"“{words}”" if len(words) <= EXCERPT else f"“{words[: EXCERPT - 1].rstrip()}…”"


def merged(first: Turn, second: Turn) -> Turn:
    """Two turns of one role as one."""
    return replace(
        first,
        text=_joined(first.text, second.text),
        thinking=_joined(first.thinking, second.thinking),
        tool_calls=(*first.tool_calls, *second.tool_calls),
        parts=(*_parts(first), *_parts(second)) if first.parts or second.parts else (),
    )


def one_call_each(turns: Sequence[Turn]) -> list[Turn]:
    """The same conversation for templates that can write one call a turn: each call is followed by its own answer."""
    result: list[Turn] = []
    for turn in turns:
        if turn.role is not Role.TOOL:
            result += [replace(turn, tool_calls=(call,)) for call in turn.tool_calls] or [turn]
            for index in range(len(result) - len(turn.tool_calls) + 1, len(result)):
                result[index] = replace(result[index], text="", thinking="")
            continue
        asked = [n for n, other in enumerate(result) if any(call.id == turn.tool_call_id for call in other.tool_calls)]
        place = asked[-1] + 1 if asked else len(result)
        while place < len(result) and result[place].role is Role.TOOL:
            place += 1
        result.insert(place, turn)
    return result


def _parts(turn: Turn) -> tuple[Mapping[str, object], ...]:
    return turn.parts or (({"type": "text", "text": turn.text},) if turn.text else ())


def _merge(before: Turn, turn: Turn) -> bool:
    return before.role is turn.role and turn.role is not Role.TOOL


def _with_system(turns: list[Turn], turn: Turn) -> list[Turn]:
    if turns and turns[0].role is Role.SYSTEM:
        return [merged(turns[0], turn), *turns[1:]]
    return [turn, *turns]


def _joined(first: str, second: str) -> str:
    return f"{first}\n\n{second}" if first and second else first or second
