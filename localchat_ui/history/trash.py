"""What was deleted and can still be restored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from localchat_ui.conversation import MessageState
from localchat_ui.history.database import rows_changed
from localchat_ui.history.owner import OWNER
from localchat_ui.history.tables import ConversationRow, MessageRow

RETENTION = timedelta(days=30)
EXCERPT_LENGTH = 160


@dataclass(frozen=True)
class Deleted:
    """A conversation; or with a `message_id`, that message of one that is still there, and what followed it.

    `excerpt` is the beginning of the message; `n_messages` is how many come back.
    """

    conversation_id: str
    title: str
    deleted_at: datetime
    n_messages: int
    message_id: str | None = None
    excerpt: str = ""


async def find_deleted(session: AsyncSession, limit: int) -> list[Deleted]:
    """The last deleted first."""
    conversations = (
        select(ConversationRow, func.count(MessageRow.id))
        .join(MessageRow, (MessageRow.conversation_id == ConversationRow.id) & MessageRow.deleted_with.is_(None))
        .where(ConversationRow.deleted_at.is_not(None))
        .group_by(ConversationRow.id)
        .order_by(ConversationRow.deleted_at.desc())
        .limit(limit)
    )
    # What a deletion hid has its id; what was taken back before it was sent stands in the box again.
    size = (
        select(MessageRow.deleted_with, func.count().label("n"))
        .where(MessageRow.deleted_with.is_not(None))
        .group_by(MessageRow.deleted_with)
        .subquery()
    )
    excerpt = func.substr(MessageRow.text, 1, EXCERPT_LENGTH)
    messages = (
        select(ConversationRow.id, ConversationRow.title, MessageRow.id, MessageRow.deleted_at, excerpt, size.c.n)
        .join(MessageRow, MessageRow.conversation_id == ConversationRow.id)
        .join(size, size.c.deleted_with == MessageRow.id)
        .where(ConversationRow.deleted_at.is_(None), MessageRow.deleted_with == MessageRow.id)
        .where(MessageRow.state != MessageState.QUEUED.value)
        .order_by(MessageRow.deleted_at.desc())
        .limit(limit)
    )
    found = [
        Deleted(row.id, row.title, row.deleted_at, n)
        for row, n in await session.execute(conversations)
        if row.deleted_at is not None
    ]
    found += [
        Deleted(conversation_id, title, deleted_at, n, message_id, text)
        for conversation_id, title, message_id, deleted_at, text, n in await session.execute(messages)
        if deleted_at is not None
    ]
    return sorted(found, key=lambda each: each.deleted_at, reverse=True)[:limit]


async def erase(session: AsyncSession, before: datetime) -> int:
    """Erase what was deleted until then, as far as this session sees it; returns the number of conversations."""
    conversations = delete(ConversationRow).where(ConversationRow.deleted_at <= before)
    messages = delete(MessageRow).where(MessageRow.deleted_at <= before)
    if OWNER in session.sync_session.info:
        owned = ConversationRow.owner_id == session.sync_session.info[OWNER]
        conversations = conversations.where(owned)
        messages = messages.where(MessageRow.conversation_id.in_(select(ConversationRow.id).where(owned)))
    erased = await rows_changed(session, conversations)
    await session.execute(messages)
    return erased
