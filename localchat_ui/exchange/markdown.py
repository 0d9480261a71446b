"""A conversation as Markdown to read: the branch that is shown, a heading a turn."""

from __future__ import annotations

import re
from collections.abc import Sequence

from localchat_ui.conversation import DEFAULT_SYSTEM_PROMPT, Conversation, Message, MessageState, Role

_STATES = {
    MessageState.WRITING: "still being written",
    MessageState.STOPPED: "stopped",
    MessageState.INTERRUPTED: "interrupted",
    MessageState.FAILED: "failed",
}
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)$")


def write(conversation: Conversation, branch: Sequence[Message], *, with_thinking: bool = True) -> str:
    title = " ".join(conversation.title.split()) or "Conversation"
    blocks = [f"# {title}", f"*{conversation.created_at:%Y-%m-%d %H:%M} UTC*"]
    system_prompt = conversation.options.system_prompt.strip()
    if system_prompt and system_prompt != DEFAULT_SYSTEM_PROMPT:
        blocks += ["## System prompt", _closed(system_prompt)]
    for message in branch:
        blocks.append(f"## {_name_of(message)}")
        if message.thinking and with_thinking:
            thinking = re.sub(r"<(/?(?:details|summary))", r"&lt;\1", _closed(message.thinking), flags=re.IGNORECASE)
            blocks += ["<details>\n<summary>Thinking</summary>", thinking, "</details>"]
        if message.text:
            blocks.append(_closed(message.text))
        if message.state in _STATES:
            reason = f": {message.error}" if message.error else ""
            blocks.append(f"*({_STATES[message.state]}{reason})*")
    return "\n\n".join(blocks) + "\n"


def _name_of(message: Message) -> str:
    if message.role is Role.USER:
        return "You"
    return " ".join((message.model or "").split()) or message.role.value.capitalize()


def _closed(text: str) -> str:
    """The text; a block of code that was cut off would otherwise swallow all that follows."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return f"{text.strip(chr(10))}\n{fence}" if fence else text.strip("\n")
