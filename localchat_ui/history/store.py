"""Conversations, messages and preferences in domain words; nobody outside this package knows SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Delete, Update, delete, exists, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from localchat_ui.conversation import ChatOptions, Conversation, Message, MessageState, utc_now
from localchat_ui.history import rows
from localchat_ui.history.database import open_engine, parse_url, place_of
from localchat_ui.history.errors import UnknownConversationError, UnknownMessageError, explained
from localchat_ui.history.tables import ConversationRow, MessageRow, PreferenceRow


class HistoryStore:
    """What was said, kept in a database.

    Every method may raise HistoryError when the database cannot be used; its text is for people. A deleted
    conversation is as good as unknown to all methods but `restore`, `purge` and `update_message`.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._place = "DATABASE_URL"
        self._engine: AsyncEngine

    async def open(self) -> HistoryStore:
        """Open the database, create or upgrade its tables; raises HistoryError. Returns itself."""
        with explained("DATABASE_URL"):
            url = parse_url(self._url)
        self._place = place_of(url)
        with explained(self._place):
            self._engine = await open_engine(url)
        return self

    async def close(self) -> None:
        """Close all connections; closing twice does no harm."""
        await self._engine.dispose()

    # Conversations

    async def conversations(self, limit: int = 50, offset: int = 0) -> list[Conversation]:
        """Those that have a message, the newest-updated first."""
        statement = (
            select(ConversationRow)
            .where(ConversationRow.deleted_at.is_(None))
            .where(exists().where(MessageRow.conversation_id == ConversationRow.id))
            .order_by(ConversationRow.updated_at.desc(), ConversationRow.id)
            .limit(limit)
            .offset(offset)
        )
        async with self._transaction() as session:
            return [rows.conversation_of(row) for row in await session.scalars(statement)]

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """The conversation, or None when it is unknown or deleted."""
        statement = select(ConversationRow).where(
            ConversationRow.id == conversation_id, ConversationRow.deleted_at.is_(None)
        )
        async with self._transaction() as session:
            row = await session.scalar(statement)
            return rows.conversation_of(row) if row else None

    async def add_conversation(self, conversation: Conversation) -> None:
        """Keep a new conversation; it is listed once it has a message. One that is kept already stays as it is.

        Raises UnknownConversationError when it was deleted.
        """
        async with self._transaction() as session:
            row = await session.get(ConversationRow, conversation.id)
            if row is None:
                session.add(rows.conversation_row(conversation))
            elif row.deleted_at is not None:
                raise UnknownConversationError(conversation.id)

    async def rename(self, conversation_id: str, title: str) -> None:
        """Change the title, not the place in the list; raises UnknownConversationError."""
        async with self._transaction() as session:
            await _change_conversation(session, conversation_id, title=title)

    async def set_options(self, conversation_id: str, options: ChatOptions) -> None:
        """Change the options, not the place in the list; raises UnknownConversationError."""
        async with self._transaction() as session:
            await _change_conversation(session, conversation_id, options=rows.options_value(options))

    async def set_head(self, conversation_id: str, message_id: str) -> None:
        """Show the branch that ends in this message; raises UnknownConversationError or UnknownMessageError."""
        async with self._transaction() as session:
            await _change_conversation(session, conversation_id, head_id=message_id)
            await _require_message(session, conversation_id, message_id)

    async def delete(self, conversation_id: str) -> None:
        """Hide the conversation until `restore` or `purge`; raises UnknownConversationError."""
        # Deleting again keeps the first moment, so that it does not put off the purge.
        deleted_at = func.coalesce(ConversationRow.deleted_at, literal(utc_now(), ConversationRow.deleted_at.type))
        async with self._transaction() as session:
            await _change_conversation(session, conversation_id, even_deleted=True, deleted_at=deleted_at)

    async def restore(self, conversation_id: str) -> None:
        """Undo `delete`; raises UnknownConversationError once it was purged."""
        async with self._transaction() as session:
            await _change_conversation(session, conversation_id, even_deleted=True, deleted_at=None)

    async def purge(self, older_than: timedelta) -> int:
        """Erase what was deleted at least so long ago, messages as well; returns the number of conversations."""
        statement = delete(ConversationRow).where(ConversationRow.deleted_at <= utc_now() - older_than)
        async with self._transaction() as session:
            return await _rows_changed(session, statement)

    # Messages

    async def add_message(self, *messages: Message) -> None:
        """Keep new messages, all or none; the last becomes the head of its conversation, which moves to the top.

        Raises UnknownConversationError, or UnknownMessageError for a parent that is not in this conversation.
        """
        async with self._transaction() as session:
            for message in messages:
                await _change_conversation(session, message.conversation_id, head_id=message.id, updated_at=utc_now())
                if message.parent_id:
                    await _require_message(session, message.conversation_id, message.parent_id)
                session.add(rows.message_row(message))
                await session.flush()

    async def update_message(self, message: Message, *, touch: bool = False) -> None:
        """Save text, state, model, error and stats; `touch` also moves the conversation to the top of the list.

        Works in a deleted conversation, too: a reply that is still being written is whole after `restore`.
        Raises UnknownMessageError.
        """
        statement = update(MessageRow).where(MessageRow.id == message.id).values(**rows.growing_values(message))
        touched = update(ConversationRow).where(ConversationRow.id == message.conversation_id)
        async with self._transaction() as session:
            if not await _rows_changed(session, statement):
                raise UnknownMessageError(message.id)
            if touch:
                await session.execute(touched.values(updated_at=utc_now()))

    async def message(self, message_id: str) -> Message | None:
        """The message, or None when it is unknown or in a deleted conversation."""
        statement = select(MessageRow).where(MessageRow.id == message_id, _in_live_conversation())
        async with self._transaction() as session:
            row = await session.scalar(statement)
            return rows.message_of(row) if row else None

    async def messages(self, conversation_id: str) -> list[Message]:
        """All branches of a conversation, the oldest message first; empty when it is unknown."""
        statement = select(MessageRow).where(MessageRow.conversation_id == conversation_id, _in_live_conversation())
        async with self._transaction() as session:
            found = await session.scalars(statement.order_by(MessageRow.created_at, MessageRow.id))
            return [rows.message_of(row) for row in found]

    async def branch(self, conversation_id: str) -> list[Message]:
        """The messages shown, from the first to the head; empty when the conversation is unknown."""
        head = (
            select(MessageRow.id, MessageRow.parent_id, literal(0).label("above"))
            .join(ConversationRow, ConversationRow.head_id == MessageRow.id)
            .where(ConversationRow.id == conversation_id, ConversationRow.deleted_at.is_(None))
            .cte("branch", recursive=True)
        )
        parent = select(MessageRow.id, MessageRow.parent_id, head.c.above + 1).where(MessageRow.id == head.c.parent_id)
        path = head.union_all(parent)
        statement = select(MessageRow).join(path, MessageRow.id == path.c.id).order_by(path.c.above.desc())
        async with self._transaction() as session:
            return [rows.message_of(row) for row in await session.scalars(statement)]

    async def interrupt_unfinished(self) -> int:
        """Mark replies that a crash cut off; call it at the start, before anything is written. Returns their number."""
        unfinished = update(MessageRow).where(MessageRow.state == MessageState.WRITING.value)
        async with self._transaction() as session:
            return await _rows_changed(session, unfinished.values(state=MessageState.INTERRUPTED.value))

    # Preferences

    async def preference(self, key: str, default: Any = None) -> Any:
        """The JSON value kept under this key; `default` when there is none, or it is None."""
        async with self._transaction() as session:
            value = await session.scalar(select(PreferenceRow.value).where(PreferenceRow.key == key))
            return default if value is None else value

    async def set_preference(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        async with self._transaction() as session:
            changed = update(PreferenceRow).where(PreferenceRow.key == key).values(value=value)
            if not await _rows_changed(session, changed):
                session.add(PreferenceRow(key=key, value=value))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        """All or nothing; the one place where errors of the database become a HistoryError."""
        with explained(self._place):
            async with AsyncSession(self._engine) as session, session.begin():
                yield session


async def _change_conversation(
    session: AsyncSession, conversation_id: str, *, even_deleted: bool = False, **values: Any
) -> None:
    """The first statement of a transaction, because on SQLite only a first write waits for other writers."""
    statement = update(ConversationRow).where(ConversationRow.id == conversation_id).values(**values)
    if not even_deleted:
        statement = statement.where(ConversationRow.deleted_at.is_(None))
    if not await _rows_changed(session, statement):
        raise UnknownConversationError(conversation_id)


async def _require_message(session: AsyncSession, conversation_id: str, message_id: str) -> None:
    statement = select(MessageRow.id).where(MessageRow.id == message_id, MessageRow.conversation_id == conversation_id)
    if await session.scalar(statement) is None:
        raise UnknownMessageError(message_id)


async def _rows_changed(session: AsyncSession, statement: Update | Delete) -> int:
    result = await session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def _in_live_conversation() -> ColumnElement[bool]:
    return exists().where(ConversationRow.id == MessageRow.conversation_id, ConversationRow.deleted_at.is_(None))
