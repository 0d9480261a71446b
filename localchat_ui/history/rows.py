"""Rows to domain words and back. Options and statistics are read leniently: one bad value must not hide a chat."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from localchat_ui.conversation import (
    Attachment,
    ChatOptions,
    Conversation,
    GenerationStats,
    Message,
    MessageState,
    Role,
)
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.tables import ConversationRow, MessageRow
from localchat_ui.text import Text

Model = TypeVar("Model", bound=BaseModel)
Attachments = TypeAdapter(tuple[Attachment, ...])


def conversation_of(row: ConversationRow) -> Conversation:
    return Conversation(
        id=row.id,
        title=row.title,
        options=options_of(row.options),
        head_id=row.head_id,
        pinned=row.pinned,
        title_is_draft=row.title_is_draft,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def conversation_row(conversation: Conversation, owner_id: str | None) -> ConversationRow:
    return ConversationRow(
        id=conversation.id,
        owner_id=owner_id,
        title=conversation.title,
        options=options_value(conversation.options),
        head_id=conversation.head_id,
        pinned=conversation.pinned,
        title_is_draft=conversation.title_is_draft,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def message_of(row: MessageRow) -> Message:
    """The message; raises HistoryError for a role or state that this version does not know."""
    try:
        role, state = Role(row.role), MessageState(row.state)
    except ValueError as error:
        raise HistoryError(
            Text("Message {id} needs a newer version of localchat_ui: {reason}.", id=row.id, reason=error)
        ) from None
    return Message(
        id=row.id,
        conversation_id=row.conversation_id,
        parent_id=row.parent_id,
        role=role,
        text=row.text,
        thinking=row.thinking,
        state=state,
        model=row.model,
        error=row.error,
        stats=_stats_of(row.stats),
        created_at=row.created_at,
        attachments=_attachments_of(row.attachments),
    )


def message_row(message: Message) -> MessageRow:
    return MessageRow(**message_values(message))


def message_values(message: Message) -> dict[str, Any]:
    """All columns of a new message."""
    return {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "parent_id": message.parent_id,
        "role": message.role.value,
        "created_at": message.created_at,
        "attachments": Attachments.dump_python(message.attachments, mode="json") or None,
        **growing_values(message),
    }


def growing_values(message: Message) -> dict[str, Any]:
    """The columns that change while a reply is written."""
    return {
        "text": message.text,
        "thinking": message.thinking,
        "state": message.state.value,
        "model": message.model,
        "error": message.error,
        "stats": message.stats.model_dump(mode="json") if message.stats else None,
    }


def options_value(options: ChatOptions) -> dict[str, Any]:
    return options.model_dump(mode="json")


def options_of(stored: object) -> ChatOptions:
    """What is valid in `stored`, and the defaults for the rest."""
    return _valid_part(ChatOptions, stored) if isinstance(stored, dict) else ChatOptions()


def _stats_of(stored: object) -> GenerationStats | None:
    return _valid_part(GenerationStats, stored) if isinstance(stored, dict) else None


def _attachments_of(stored: object) -> tuple[Attachment, ...]:
    try:
        return Attachments.validate_python(stored or ())
    except ValidationError:
        return ()


def _valid_part(model: type[Model], stored: dict[str, Any]) -> Model:
    try:
        return model.model_validate(stored)
    except ValidationError as error:
        bad = {item["loc"][0] for item in error.errors()}
        return model.model_validate({name: value for name, value in stored.items() if name not in bad})
