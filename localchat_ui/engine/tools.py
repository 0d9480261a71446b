"""Functions that a model may call, for models whose chat template says nothing of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from localchat_ui.conversation import Role
from localchat_ui.engine.base import ToolCall, Turn

# The words most models were trained with (Hermes, Qwen).
INSTRUCTIONS = """You may call functions to help with the request. These are their signatures as JSON:
<tools>
{tools}
</tools>
To call one, answer with its name and arguments as JSON between these marks and nothing else:
<tool_call>
{{"name": "the function", "arguments": {{"an argument": "its value"}}}}
</tool_call>"""


def knows_tools(chat_template: str | None) -> bool:
    """Whether a chat template has its own way to write tools."""
    return "tools" in (chat_template or "")


def in_words(turns: Sequence[Turn], tools: object) -> list[Turn]:
    """The same conversation for a template without tools: what they can do leads it, calls and answers are text."""
    plain: list[Turn] = []
    for turn in turns:
        if turn.role is not Role.TOOL:
            plain.append(replace(turn, text=_with_calls(turn), tool_calls=()) if turn.tool_calls else turn)
            continue
        text = f"<tool_response>\n{turn.text}\n</tool_response>"
        if plain and plain[-1].role is Role.USER:
            # Many templates insist on roles that alternate.
            text = f"{plain.pop().text}\n{text}"
        plain.append(Turn(Role.USER, text))
    if tools and isinstance(tools, list):
        lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        words = INSTRUCTIONS.format(tools=lines)
        if plain and plain[0].role is Role.SYSTEM:
            return [Turn(Role.SYSTEM, f"{plain[0].text}\n\n{words}"), *plain[1:]]
        return [Turn(Role.SYSTEM, words), *plain]
    return plain


def _with_calls(turn: Turn) -> str:
    return "\n".join([*([turn.text] if turn.text else []), *map(_call, turn.tool_calls)])


def _call(call: ToolCall) -> str:
    inner = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"<tool_call>\n{inner}\n</tool_call>"
