"""Conversations and messages in domain words; nobody outside this package knows SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, func, insert, literal, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from localchat_ui.conversation import (
    ChatOptions,
    Conversation,
    Message,
    MessageState,
    Version,
    fork_title,
    new_id,
    utc_now,
)
from localchat_ui.history import rows, trash, tree
from localchat_ui.history.database import Database, rows_changed
from localchat_ui.history.errors import UnknownConversationError, UnknownMessageError
from localchat_ui.history.journal import Journal
from localchat_ui.history.search import SearchHit, find
from localchat_ui.history.tables import ConversationRow, MessageRow, is_no_column
from localchat_ui.history.trash import Deleted


class HistoryStore:
    """What was said, kept in a database: the conversations of whoever asks.

    Every method may raise HistoryError when the database cannot be used; its text is for people. A deleted
    conversation is as good as unknown to all methods but `restore`, `purge` and `update_message`; so is a deleted
    message, with all that hangs below it, to all but `restore_message`, `purge` and `update_message`. Messages that are
    growing in the `journal` are read from there, whatever is stored of them.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.journal = Journal(database)

    # Conversations

    async def conversations(
        self, limit: int = 50, offset: int = 0, *, with_columns: bool = False
    ) -> list[Conversation]:
        """Those that have a message, the pinned first, then the newest-updated; columns of comparisons if asked for."""
        has_message = exists().where(
            MessageRow.conversation_id == ConversationRow.id, MessageRow.deleted_with.is_(None)
        )
        statement = (
            select(ConversationRow)
            .where(ConversationRow.deleted_at.is_(None), has_message, true() if with_columns else is_no_column())
            .order_by(ConversationRow.pinned.desc(), ConversationRow.updated_at.desc(), ConversationRow.id)
            .limit(limit)
            .offset(offset)
        )
        async with self.database.transaction() as session:
            return [rows.conversation_of(row) for row in await session.scalars(statement)]

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """The conversation, or None when it is unknown or deleted."""
        statement = select(ConversationRow).where(
            ConversationRow.id == conversation_id, ConversationRow.deleted_at.is_(None)
        )
        async with self.database.transaction() as session:
            row = await session.scalar(statement)
            return rows.conversation_of(row) if row else None

    async def add_conversation(self, conversation: Conversation) -> None:
        """Keep a new conversation; it is listed once it has a message. One that is kept already stays as it is.

        Raises UnknownConversationError when it was deleted.
        """
        async with self.database.transaction() as session:
            row = await session.get(ConversationRow, conversation.id)
            if row is None:
                session.add(rows.conversation_row(conversation, self.database.owner))
            elif row.deleted_at is not None:
                raise UnknownConversationError(conversation.id)

    async def rename(self, conversation_id: str, title: str, *, is_draft: bool = False) -> None:
        """Change the title, not the place in the list; raises UnknownConversationError."""
        async with self.database.transaction() as session:
            await _change_conversation(session, conversation_id, title=title, title_is_draft=is_draft)

    async def settle_title(self, conversation_id: str, title: str | None = None) -> bool:
        """Make the draft of a title final, or put this in its place; False where the title is no draft any more."""
        values = {"title_is_draft": False} | ({"title": title} if title else {})
        draft = update(ConversationRow).where(ConversationRow.id == conversation_id, ConversationRow.title_is_draft)
        async with self.database.transaction() as session:
            return bool(await rows_changed(session, draft.values(**values)))

    async def set_options(self, conversation_id: str, options: ChatOptions) -> None:
        """Change the options, not the place in the list; raises UnknownConversationError."""
        async with self.database.transaction() as session:
            await _change_conversation(session, conversation_id, options=rows.options_value(options))

    async def set_pinned(self, conversation_id: str, pinned: bool) -> None:
        """Keep the conversation at the top of the list, or no longer; raises UnknownConversationError."""
        async with self.database.transaction() as session:
            await _change_conversation(session, conversation_id, pinned=pinned)

    async def add_tree(self, conversation: Conversation, messages: Sequence[Message]) -> None:
        """Keep a new conversation with all its branches as it is, or nothing of it.

        A message comes after the one it hangs on. Raises UnknownMessageError for a parent or head that is not there.
        """
        known: set[str | None] = {None}
        for message in messages:
            if message.parent_id not in known or message.conversation_id != conversation.id:
                raise UnknownMessageError(message.parent_id or message.id)
            known.add(message.id)
        if conversation.head_id not in known:
            raise UnknownMessageError(str(conversation.head_id))
        async with self.database.transaction() as session:
            await self._insert_tree(session, conversation, messages)

    async def fork(self, conversation_id: str, message_id: str) -> Conversation:
        """A new conversation with copies of this message and those before it, and with the same options.

        Raises UnknownConversationError or UnknownMessageError.
        """
        async with self.database.transaction() as session:
            # Writes first, although nothing changes: see _change_conversation.
            await _change_conversation(session, conversation_id, head_id=ConversationRow.head_id)
            origin = await session.get_one(ConversationRow, conversation_id)
            branch = await tree.branch_to(session, conversation_id, message_id)
            if not branch:
                raise UnknownMessageError(message_id)
            taken = await session.scalars(select(ConversationRow.title).where(ConversationRow.deleted_at.is_(None)))
            copy = Conversation(fork_title(origin.title, set(taken)), rows.conversation_of(origin).options)
            copies = []
            for message in map(self.journal.newest, branch):
                state = MessageState.INTERRUPTED if message.state is MessageState.WRITING else message.state
                changed = replace(message, id=new_id(), conversation_id=copy.id, state=state, unsaved=None)
                copies.append(replace(changed, parent_id=copy.head_id))
                copy.head_id = copies[-1].id
            await self._insert_tree(session, copy, copies)
        return copy

    async def delete(self, conversation_id: str) -> None:
        """Hide the conversation until `restore` or `purge`; raises UnknownConversationError."""
        # Deleting again keeps the first moment, so that it does not put off the purge.
        deleted_at = func.coalesce(ConversationRow.deleted_at, literal(utc_now(), ConversationRow.deleted_at.type))
        async with self.database.transaction() as session:
            await _change_conversation(session, conversation_id, even_deleted=True, deleted_at=deleted_at)

    async def restore(self, conversation_id: str) -> None:
        """Undo `delete`; raises UnknownConversationError once it was purged."""
        async with self.database.transaction() as session:
            await _change_conversation(session, conversation_id, even_deleted=True, deleted_at=None)

    async def purge(self, older_than: timedelta) -> int:
        """Erase what was deleted at least so long ago, whoever owned it; returns the number of conversations."""
        async with self.database.transaction(of_all=True) as session:
            return await trash.erase(session, utc_now() - older_than)

    async def deleted(self, limit: int = 100) -> list[Deleted]:
        """What can be restored, the last deleted first."""
        async with self.database.transaction() as session:
            return await trash.find_deleted(session, limit)

    async def empty_trash(self) -> None:
        """Erase all of it now."""
        async with self.database.transaction() as session:
            await trash.erase(session, utc_now())

    async def search(self, query: str, limit: int = 20, offset: int = 0) -> list[SearchHit]:
        """Conversations whose title, or one of whose messages, contains all words of `query`; any text is safe.

        The last word may be the beginning of one. Case and, on SQLite, diacritics do not count. Matching titles come
        first, then the newest-updated; of each conversation the newest matching message is told, on whatever branch.
        """
        async with self.database.transaction() as session:
            return await find(session, query, limit, offset)

    # Messages

    async def add_message(self, *messages: Message, options: ChatOptions | None = None) -> None:
        """Keep new messages, all or none; the last becomes the head of its conversation, which moves to the top.

        The conversation has these `options` from then on, if any are given.

        Raises UnknownConversationError, or UnknownMessageError for a parent that is not in this conversation.
        """
        changed: dict[str, Any] = {"options": rows.options_value(options)} if options else {}
        async with self.database.transaction() as session:
            for message in messages:
                await _change_conversation(
                    session, message.conversation_id, head_id=message.id, updated_at=utc_now(), **changed
                )
                if message.parent_id:
                    await tree.require_message(session, message.conversation_id, message.parent_id)
                session.add(rows.message_row(message))
                await session.flush()

    async def update_message(self, message: Message) -> None:
        """Save whatever grows with a reply. Raises UnknownMessageError.

        Works in a deleted conversation, too: a reply that is still being written is whole after `restore`.
        """
        statement = update(MessageRow).where(MessageRow.id == message.id).values(**rows.growing_values(message))
        async with self.database.transaction() as session:
            if not await rows_changed(session, statement):
                raise UnknownMessageError(message.id)

    async def message(self, message_id: str) -> Message | None:
        """The message, or None when it is unknown, deleted, or in a deleted conversation."""
        statement = select(MessageRow).where(MessageRow.id == message_id, MessageRow.deleted_with.is_(None))
        async with self.database.transaction() as session:
            row = await session.scalar(statement.where(tree.in_live_conversation()))
            return self.journal.newest(rows.message_of(row)) if row else None

    async def messages(self, conversation_id: str) -> list[Message]:
        """All branches of a conversation, the oldest message first; empty when it is unknown."""
        statement = select(MessageRow).where(
            MessageRow.conversation_id == conversation_id,
            MessageRow.deleted_with.is_(None),
            tree.in_live_conversation(),
        )
        async with self.database.transaction() as session:
            found = await session.scalars(statement.order_by(MessageRow.created_at, MessageRow.id))
            return [self.journal.newest(rows.message_of(row)) for row in found]

    async def branch(self, conversation_id: str, limit: int | None = None, before: str | None = None) -> list[Message]:
        """The messages shown, from the first to the head; empty when the conversation is unknown.

        With `limit` only the last so many; with `before` those above the message of that id. There are more above
        as long as the first one has a parent.
        """
        async with self.database.transaction() as session:
            shown = await tree.shown_branch(session, conversation_id, limit, before)
        return [self.journal.newest(message) for message in shown]

    async def versions(self, messages: Sequence[Message]) -> dict[str, Version]:
        """Which of its siblings each of these messages of one conversation is, by id; asks the database once."""
        async with self.database.transaction() as session:
            return await tree.versions_of(session, messages)

    async def select_version(self, conversation_id: str, message_id: str) -> None:
        """Show the branch through this message, down to the leaf that was last shown below it.

        Raises UnknownConversationError or UnknownMessageError.
        """
        async with self.database.transaction() as session:
            # Writes first, although nothing changes: see _change_conversation.
            await _change_conversation(session, conversation_id, head_id=ConversationRow.head_id)
            await tree.require_message(session, conversation_id, message_id)
            await tree.show(session, conversation_id, await tree.leaf_below(session, conversation_id, message_id))

    async def delete_message(self, message_id: str) -> int:
        """Hide a message and all that hangs below it until `restore_message` or `purge`; returns their number.

        When the branch shown ran through it, the branch last shown beside it is shown instead, or ends above it.
        Raises UnknownMessageError.
        """
        async with self.database.transaction() as session:
            return await tree.hide(session, message_id)

    async def remove_message(self, message_id: str) -> None:
        """Hide one message until `purge`; what hangs on it hangs on the message above it from then on.

        Raises UnknownMessageError.
        """
        async with self.database.transaction() as session:
            await tree.remove(session, message_id)

    async def restore_message(self, message_id: str) -> int:
        """Undo `delete_message` and show that branch again; returns the number of messages that came back.

        When what it hangs on has been deleted since, it comes back with that. Raises UnknownMessageError for a message
        that was purged, or is hidden because of another one.
        """
        async with self.database.transaction() as session:
            return await tree.unhide(session, message_id)

    async def interrupt_unfinished(self) -> int:
        """Mark replies that a crash cut off; call it at the start, before anything is written. Returns their number."""
        unfinished = update(MessageRow).where(MessageRow.state == MessageState.WRITING.value)
        async with self.database.transaction() as session:
            return await rows_changed(session, unfinished.values(state=MessageState.INTERRUPTED.value))

    async def _insert_tree(
        self, session: AsyncSession, conversation: Conversation, messages: Sequence[Message]
    ) -> None:
        session.add(rows.conversation_row(conversation, self.database.owner))
        await session.flush()
        if messages:
            await session.execute(insert(MessageRow), [rows.message_values(message) for message in messages])
            await tree.show(session, conversation.id, conversation.head_id)


async def _change_conversation(
    session: AsyncSession, conversation_id: str, *, even_deleted: bool = False, **values: Any
) -> None:
    """The first statement of a transaction, because on SQLite only a first write waits for other writers."""
    statement = update(ConversationRow).where(ConversationRow.id == conversation_id).values(**values)
    if not even_deleted:
        statement = statement.where(ConversationRow.deleted_at.is_(None))
    if not await rows_changed(session, statement):
        raise UnknownConversationError(conversation_id)
