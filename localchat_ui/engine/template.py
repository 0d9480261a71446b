"""Conversations in the words of a model: its chat template, or a plain fallback, then tokens.

What people write is text and nothing else. Should it contain what the model would read as one of its control tokens
(`<|im_end|>`), a mark that no text contains takes its place until the template is applied, and it is tokenized as the
letters it is made of.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from localchat_ui.conversation import Role
from localchat_ui.engine.base import EngineError, ToolCall, Turn
from localchat_ui.engine.jinja import TemplateTooLargeError, render_chat
from localchat_ui.engine.llama import Model
from localchat_ui.engine.roles import SystemPlace, excerpt, one_call_each, repaired
from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport, thinking_of
from localchat_ui.engine.tool_format import NAME_IN_ID
from localchat_ui.engine.tool_support import ToolSupport, support_of
from localchat_ui.engine.tools import in_words
from localchat_ui.text import Text

# For models whose file brings no template (base models). Plain enough for any of them to go on with.
FALLBACK_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n\n"
    "{% elif message.role == 'user' %}User: {{ message.content }}\n"
    "{% else %}Assistant: {{ message.content }}\n{% endif %}"
    "{% endfor %}Assistant:"
)
FALLBACK_STOP = ("\nUser:", "\nAssistant:")
# Unicode reserves this code point for the inside of programs: it is not a character.
MARK = "\ufdd0"
N_ID = 9
NO_LETTERS = re.compile(r"[\W_]+")


class Rendered(NamedTuple):
    """What a model reads, and what had to be done to what was said, for people."""

    text: str
    notes: tuple[str, ...] = ()


def render(model: Model, turns: Sequence[Turn], arguments: Mapping[str, object]) -> Rendered:
    """What a model reads of `quoted` turns, up to where its reply begins. Raises EngineError with the reason.

    System messages stay where they are if the template takes them there, and all roles are repaired; what the template
    leaves out all the same is told.
    """
    support = support_of_model(model)
    turns = in_words(turns, arguments.get("tools"), support)
    best: Rendered | None = None
    reason: Exception | None = None
    for place in SystemPlace:
        attempt, notes = repaired(turns, place)
        try:
            text = _apply(model, attempt, arguments, support)
        except TemplateTooLargeError as error:
            reason = error
            break
        except Exception as error:
            reason = error
            continue
        lost = _lost(text, attempt)
        if best is None:
            best = Rendered(text, (*notes, *lost))
        if not lost:
            return Rendered(text, tuple(notes))
    if best is None:
        raise EngineError(
            Text("The model's chat template could not be applied: {reason}", reason=str(reason))
        ) from reason
    return best


def support_of_model(model: Model) -> ToolSupport:
    """What the model's chat template does with tools."""
    return support_of(model.chat_template, model.bos, model.eos) if model.chat_template else ToolSupport()


def thinking_of_model(model: Model) -> ThinkingSupport:
    """What the model's chat template lets be chosen of its thinking."""
    return thinking_of(model.chat_template, model.bos, model.eos) if model.chat_template else NO_SUPPORT


def tokenize(model: Model, text: str, *, whole: bool = True) -> list[int]:
    """Tokens of a rendered text; one that is not the `whole` gets no beginning-of-text token."""
    tokens: list[int] = []
    for index, part in enumerate(re.split(f"{MARK}(\\d+){MARK}", text)):
        if index % 2:
            tokens += model.tokenize(model.control_text(int(part)), as_text=True)
        elif part:
            begins = whole and index == 0 and model.adds_bos and not text.startswith(model.bos)
            tokens += model.tokenize(part, add_special=begins)
    return tokens


def quoted(model: Model, turn: Turn) -> Turn:
    """The turn with marks in place of what would be read as control tokens."""
    calls = tuple(
        ToolCall(_quote(model, call.name), quoted_value(model, call.arguments), _quote(model, call.id))
        for call in turn.tool_calls
    )
    return replace(turn, text=_quote(model, turn.text), thinking=_quote(model, turn.thinking), tool_calls=calls)


def quoted_value(model: Model, value: object) -> object:
    """What JSON can hold, with every text in it quoted."""
    if isinstance(value, str):
        return _quote(model, value)
    if isinstance(value, Mapping):
        return {_quote(model, str(key)): quoted_value(model, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [quoted_value(model, item) for item in value]
    return value


def unquoted(model: Model, text: str) -> str:
    """A rendered text as people read it."""
    return re.sub(f"{MARK}(\\d+){MARK}", lambda mark: model.control_text(int(mark[1])), text)


def _quote(model: Model, text: str) -> str:
    text = text.replace(MARK, "\N{REPLACEMENT CHARACTER}")
    # Taking one out may put the letters of another together.
    while controls := {token for token in model.tokenize(text) if model.is_control(token)}:
        quoted = text
        for token in sorted(controls, key=lambda token: -len(model.control_text(token))):
            if written := model.control_text(token):
                quoted = quoted.replace(written, f"{MARK}{token}{MARK}")
        if quoted == text:
            # They stand for what the vocabulary has no token for, and nobody wrote them.
            break
        text = quoted
    return text


def _apply(model: Model, turns: Sequence[Turn], arguments: Mapping[str, object], support: ToolSupport) -> str:
    if not support.several and any(len(turn.tool_calls) > 1 for turn in turns):
        turns = one_call_each(turns)
    names = {call.id: call.name for turn in turns for call in turn.tool_calls}
    messages = [_message(turn, names, support) for turn in turns]
    template = model.chat_template or FALLBACK_TEMPLATE
    return render_chat(template, messages, bos=model.bos, eos=model.eos, arguments=arguments)


def _message(turn: Turn, names: Mapping[str, str], support: ToolSupport) -> dict[str, object]:
    """A turn under the names that templates agreed upon."""
    message: dict[str, object] = {"role": turn.role.value, "content": turn.text}
    if turn.thinking:
        message["reasoning_content"] = message["thinking"] = turn.thinking
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": _id(call.id, names, support),
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments, support)},
            }
            for call in turn.tool_calls
        ]
    if turn.role is Role.TOOL:
        message["tool_call_id"] = _id(turn.tool_call_id, names, support)
        if turn.tool_call_id in names:
            message["name"] = names[turn.tool_call_id]
    return message


def _arguments(value: object, support: ToolSupport) -> object:
    """Values, unless the template puts JSON together itself and wants it as text."""
    return json.dumps(value, ensure_ascii=False) if support.as_text else value


def _id(given: str, names: Mapping[str, str], support: ToolSupport) -> str:
    """An id that every template takes: some insist on nine letters and digits, Kimi's on the function's name."""
    if support.format.between == NAME_IN_ID and given in names:
        return f"functions.{names[given]}:{list(names).index(given)}"
    if len(given) == N_ID and given.isascii() and given.isalnum():
        return given
    return hashlib.sha256(given.encode(errors="replace")).hexdigest()[:N_ID]


def _lost(text: str, turns: Sequence[Turn]) -> list[str]:
    """Which messages the template has left out, for people."""
    lost = []
    letters = None
    position = 0
    for turn in turns:
        words = turn.text.strip()
        # In their order, so that a short one is not found in another; system messages may stand anywhere.
        found = text.find(words, 0 if turn.role is Role.SYSTEM else position)
        if found >= 0:
            position = position if turn.role is Role.SYSTEM else found + len(words)
            continue
        # Templates may write what a tool says as JSON, or put its lines together in another way.
        letters = letters or NO_LETTERS.sub("", text)
        if not any(NO_LETTERS.sub("", form) in letters for form in (words, json.dumps(words, ensure_ascii=False))):
            lost.append(f"The model's template leaves out a message of the {turn.role.value}: {excerpt(turn)}.")
    return lost
