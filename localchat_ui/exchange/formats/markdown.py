"""Markdown for people: the branch that is shown of each conversation, with a heading for each message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from localchat_ui.conversation import DEFAULT_SYSTEM_PROMPT, Message, MessageState, Role
from localchat_ui.exchange.trees import Format, Tree

_STATES = {
    MessageState.WRITING: "still being written",
    MessageState.STOPPED: "stopped",
    MessageState.INTERRUPTED: "interrupted",
    MessageState.FAILED: "failed",
}
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)$")


def write(trees: Sequence[Tree]) -> str:
    return "\n---\n\n".join(_conversation(tree) for tree in trees)


def _conversation(tree: Tree) -> str:
    conversation = tree.conversation
    title = " ".join(conversation.title.split()) or "Conversation"
    blocks = [f"# {title}", f"*{conversation.created_at:%Y-%m-%d %H:%M} UTC*"]
    system_prompt = conversation.options.system_prompt.strip()
    if system_prompt and system_prompt != DEFAULT_SYSTEM_PROMPT:
        blocks += ["## System prompt", _closed(system_prompt)]
    for message in tree.branch:
        blocks += [f"## {name_of(message)}", f"*{_when(message)}*"]
        if message.thinking:
            thinking = re.sub(r"<(/?(?:details|summary))", r"&lt;\1", _closed(message.thinking), flags=re.IGNORECASE)
            blocks += ["<details>\n<summary>Thinking</summary>", thinking, "</details>"]
        if message.text:
            blocks.append(_closed(message.text))
        for file in message.attachments:
            name = escape(" ".join(file.name.split()))
            blocks += [f"<details>\n<summary>Attached: {name}</summary>", file.block, "</details>"]
        if ending := ending_of(message):
            blocks.append(f"*({ending})*")
    return "\n\n".join(blocks) + "\n"


def ending_of(message: Message) -> str:
    """How it ended, if not well."""
    if message.state not in _STATES:
        return ""
    return _STATES[message.state] + (f": {message.error}" if message.error else "")


def speed_of(message: Message) -> str:
    """How fast it was written, if anybody measured."""
    speed = message.stats.tokens_per_second if message.stats else 0
    return f"{speed:.0f} tokens/s" if speed else ""


def _when(message: Message) -> str:
    return " · ".join(filter(None, (f"{message.created_at:%Y-%m-%d %H:%M} UTC", speed_of(message))))


def name_of(message: Message) -> str:
    """Who said it: the person, or the model."""
    if message.role is Role.USER:
        return "You"
    return " ".join((message.model or "").split()) or message.role.value.capitalize()


def _closed(text: str) -> str:
    """The text with its last code block closed, which would otherwise contain all that follows."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return f"{text.strip(chr(10))}\n{fence}" if fence else text.strip("\n")


FORMAT = Format(label="Markdown", extension="md", media_type="text/markdown; charset=utf-8", write=write)
