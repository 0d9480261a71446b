"""Rows to domain words and back. Options and statistics are read leniently: one bad value must not hide a chat."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from localchat_ui.conversation import ChatOptions, Conversation, GenerationStats, Message, MessageState, Role
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.tables import ConversationRow, MessageRow


def conversation_of(row: ConversationRow) -> Conversation:
    return Conversation(
        id=row.id,
        title=row.title,
        options=_options_of(row.options),
        head_id=row.head_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def conversation_row(conversation: Conversation) -> ConversationRow:
    return ConversationRow(
        id=conversation.id,
        title=conversation.title,
        options=options_value(conversation.options),
        head_id=conversation.head_id,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def message_of(row: MessageRow) -> Message:
    """The message; raises HistoryError for a role or state that this version does not know."""
    try:
        role, state = Role(row.role), MessageState(row.state)
    except ValueError as error:
        raise HistoryError(f"Message {row.id} needs a newer version of localchat_ui: {error}.") from None
    return Message(
        id=row.id,
        conversation_id=row.conversation_id,
        parent_id=row.parent_id,
        role=role,
        text=row.text,
        state=state,
        model=row.model,
        error=row.error,
        stats=_stats_of(row.stats),
        created_at=row.created_at,
    )


def message_row(message: Message) -> MessageRow:
    return MessageRow(
        id=message.id,
        conversation_id=message.conversation_id,
        parent_id=message.parent_id,
        role=message.role.value,
        created_at=message.created_at,
        **growing_values(message),
    )


def growing_values(message: Message) -> dict[str, Any]:
    """The columns that change while a reply is written."""
    return {
        "text": message.text,
        "state": message.state.value,
        "model": message.model,
        "error": message.error,
        "stats": message.stats.model_dump(mode="json") if message.stats else None,
    }


def options_value(options: ChatOptions) -> dict[str, Any]:
    return options.model_dump(mode="json")


def _options_of(stored: object) -> ChatOptions:
    """What is valid in `stored`, and the defaults for the rest."""
    if not isinstance(stored, dict):
        return ChatOptions()
    try:
        return ChatOptions.model_validate(stored)
    except ValidationError as error:
        bad = {item["loc"][0] for item in error.errors()}
        return ChatOptions.model_validate({name: value for name, value in stored.items() if name not in bad})


def _stats_of(stored: object) -> GenerationStats | None:
    try:
        return GenerationStats.model_validate(stored) if stored is not None else None
    except ValidationError:
        return None
