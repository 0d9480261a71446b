"""Functions that a model may call, for models whose chat template says nothing of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from localchat_ui.conversation import Role
from localchat_ui.engine.base import Turn
from localchat_ui.engine.tool_support import ToolSupport

# The words most models were trained with (Hermes, Qwen).
INSTRUCTIONS = """You may call functions to help with the request. These are their signatures as JSON:
<tools>
{tools}
</tools>
To call one, answer with its name and arguments as JSON between these marks and nothing else:
<tool_call>
{{"name": "the function", "arguments": {{"an argument": "its value"}}}}
</tool_call>"""


def in_words(turns: Sequence[Turn], tools: object, support: ToolSupport) -> list[Turn]:
    """The same conversation, with text in place of what the template does not write of tools by itself."""
    plain: list[Turn] = []
    for given in turns:
        turn = given
        if turn.tool_calls and not support.writes_calls:
            written = support.format.write(turn.tool_calls)
            turn = replace(turn, text=f"{turn.text}\n{written}" if turn.text else written, tool_calls=())
        elif turn.role is Role.TOOL and not support.writes_results:
            # Adjacent ones become one turn with the others of the user.
            turn = Turn(Role.USER, f"<tool_response>\n{turn.text}\n</tool_response>")
        plain.append(turn)
    if tools and isinstance(tools, list) and not support.describes:
        lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        words = INSTRUCTIONS.format(tools=lines)
        if plain and plain[0].role is Role.SYSTEM:
            return [Turn(Role.SYSTEM, f"{plain[0].text}\n\n{words}"), *plain[1:]]
        return [Turn(Role.SYSTEM, words), *plain]
    return plain
