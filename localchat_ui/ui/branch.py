"""What a page draws of a conversation, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from localchat_ui.chat import ChatService, Reply
from localchat_ui.conversation import Message, Version
from localchat_ui.ui.components.message import prepare


class Branch(NamedTuple):
    """The end of the branch that is shown, which version each of its messages is, and the reply being written."""

    messages: Sequence[Message]
    versions: Mapping[str, Version]
    reply: Reply | None


async def read_branch(chat: ChatService, conversation_id: str, limit: int | None = None) -> Branch:
    # What is in motion is read last, so that nothing happens between the snapshot and following it.
    messages, reply = await chat.messages(conversation_id, limit)
    versions = await chat.versions(messages)
    await prepare([message for message in messages if reply is None or message.id != reply.message.id])
    messages, reply = await chat.messages(conversation_id, limit)
    return Branch(messages, versions, reply)
