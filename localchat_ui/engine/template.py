"""Conversations in the words of a model: its chat template, or a plain fallback, then tokens.

What people write is text and nothing else. Should it contain what the model would read as one of its control tokens
(`<|im_end|>`), a mark that no text contains takes its place until the template is applied, and it is tokenized as the
letters it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from localchat_ui.conversation import Role
from localchat_ui.engine.base import EngineError, ToolCall, Turn
from localchat_ui.engine.llama import Model, render_chat
from localchat_ui.engine.tools import in_words, knows_tools

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


def render(model: Model, turns: Sequence[Turn], arguments: Mapping[str, object]) -> str:
    """What a model reads of `quoted` turns, up to where its reply begins. Raises EngineError with the reason."""
    if not knows_tools(model.chat_template):
        turns = in_words(turns, arguments.get("tools"))
    attempts: list[Sequence[Turn]] = [turns]
    if len(turns) > 1 and turns[0].role is Role.SYSTEM:
        # Some templates refuse a system turn; its words then lead the first question.
        attempts.append([Turn(turns[1].role, f"{turns[0].text}\n\n{turns[1].text}"), *turns[2:]])
    for attempt in attempts:
        try:
            return _apply(model, attempt, arguments)
        except Exception as error:
            reason = error
    raise EngineError(f"The model's chat template could not be applied: {reason}") from reason


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
        for token in sorted(controls, key=lambda token: -len(model.control_text(token))):
            text = text.replace(model.control_text(token), f"{MARK}{token}{MARK}")
    return text


def _apply(model: Model, turns: Sequence[Turn], arguments: Mapping[str, object]) -> str:
    messages = [_message(turn) for turn in turns]
    template = model.chat_template or FALLBACK_TEMPLATE
    return render_chat(template, messages, bos=model.bos, eos=model.eos, arguments=arguments)


def _message(turn: Turn) -> dict[str, object]:
    """A turn under the names that templates agreed upon."""
    message: dict[str, object] = {"role": turn.role.value, "content": turn.text}
    if turn.thinking:
        message["reasoning_content"] = turn.thinking
    if turn.tool_calls:
        # Arguments as values, not as the JSON of OpenAI's protocol: templates write the JSON themselves.
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    return message
