"""The tree of a conversation's messages: the branch that is shown, its siblings, and what is hidden.

Two things always hold. Whatever hangs below a hidden message is hidden, too; and the head, if there is one, is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, exists, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from localchat_ui.conversation import Message, Version, utc_now
from localchat_ui.history import rows
from localchat_ui.history.errors import UnknownMessageError
from localchat_ui.history.tables import ConversationRow, MessageRow

# Databases allow some 32,000 parameters in a statement; above this, reading all siblings is the faster way as well.
MAX_PARAMETERS = 5_000


async def shown_branch(
    session: AsyncSession, conversation_id: str, limit: int | None, before: str | None
) -> list[Message]:
    if before is None:
        last = ConversationRow.head_id
    else:
        child = aliased(MessageRow)
        last = select(child.parent_id).where(child.id == before).scalar_subquery()  # type: ignore[assignment]
    return await branch_to(session, conversation_id, last, limit)


async def branch_to(session: AsyncSession, conversation_id: str, last: Any, limit: int | None = None) -> list[Message]:
    """At most `limit` messages down to the one with the id `last`, oldest first; empty when it cannot be seen."""
    bottom = (
        select(MessageRow.id, MessageRow.parent_id, literal(1).label("length"))
        .join(ConversationRow, ConversationRow.id == MessageRow.conversation_id)
        .where(ConversationRow.id == conversation_id, ConversationRow.deleted_at.is_(None))
        .where(MessageRow.id == last, MessageRow.deleted_with.is_(None))
        .cte("branch", recursive=True)
    )
    above = select(MessageRow.id, MessageRow.parent_id, bottom.c.length + 1).where(MessageRow.id == bottom.c.parent_id)
    path = bottom.union_all(above if limit is None else above.where(bottom.c.length < limit))
    statement = select(MessageRow).join(path, MessageRow.id == path.c.id).order_by(path.c.length.desc())
    return [rows.message_of(row) for row in await session.scalars(statement)] if limit is None or limit > 0 else []


async def versions_of(session: AsyncSession, messages: Sequence[Message]) -> dict[str, Version]:
    if not messages:
        return {}
    parents = {message.parent_id for message in messages}
    siblings = select(MessageRow.id, MessageRow.parent_id).where(
        MessageRow.conversation_id == messages[0].conversation_id, MessageRow.deleted_with.is_(None)
    )
    if len(parents) <= MAX_PARAMETERS:
        same_parent: ColumnElement[bool] = MessageRow.parent_id.in_(parents - {None})
        siblings = siblings.where(or_(same_parent, MessageRow.parent_id.is_(None)) if None in parents else same_parent)
    families: dict[str | None, list[str]] = defaultdict(list)
    for message_id, parent_id in await session.execute(siblings.order_by(MessageRow.created_at, MessageRow.id)):
        families[parent_id].append(message_id)
    wanted = {message.id for message in messages}
    return {
        message_id: Version(
            number=place + 1,
            count=len(family),
            previous_id=family[place - 1] if place else None,
            next_id=family[place + 1] if place + 1 < len(family) else None,
        )
        for family in families.values()
        for place, message_id in enumerate(family)
        if message_id in wanted
    }


async def leaf_below(session: AsyncSession, conversation_id: str, message_id: str | None) -> str | None:
    """The leaf last shown at or below a message, or with None in the whole conversation; None when all is hidden."""
    top = MessageRow.parent_id.is_(None) if message_id is None else MessageRow.id == message_id
    visible = _visible_below(
        select(MessageRow.id).where(
            MessageRow.conversation_id == conversation_id, MessageRow.deleted_with.is_(None), top
        )
    )
    child = aliased(MessageRow)
    is_head = (
        MessageRow.id == select(ConversationRow.head_id).where(ConversationRow.id == conversation_id).scalar_subquery()
    )
    statement = (
        select(MessageRow.id)
        .join(visible, visible.c.id == MessageRow.id)
        .where(~exists().where(child.parent_id == MessageRow.id, child.deleted_with.is_(None)))
        .order_by(is_head.desc(), func.coalesce(MessageRow.shown_at, MessageRow.created_at).desc(), MessageRow.id)
        .limit(1)
    )
    return await session.scalar(statement)


async def show(session: AsyncSession, conversation_id: str, head_id: str | None) -> None:
    """Make a message the head, and remember that it was shown."""
    await session.execute(update(ConversationRow).where(ConversationRow.id == conversation_id).values(head_id=head_id))
    await session.execute(update(MessageRow).where(MessageRow.id == head_id).values(shown_at=utc_now()))


async def hide(session: AsyncSession, message_id: str) -> int:
    """Hide a message and what hangs below it; returns how many. Raises UnknownMessageError."""
    conversation_id, head_id = await _locked_conversation_of(session, message_id)
    hidden = await _mark_visible_below(session, message_id, message_id, utc_now())
    if not hidden:
        raise UnknownMessageError(message_id)
    if head_id in hidden:
        parent_id = await session.scalar(select(MessageRow.parent_id).where(MessageRow.id == message_id))
        await show(session, conversation_id, await leaf_below(session, conversation_id, parent_id))
    return len(hidden)


async def remove(session: AsyncSession, message_id: str) -> None:
    """Hide a message alone: what hangs on it moves up. Raises UnknownMessageError."""
    conversation_id, head_id = await _locked_conversation_of(session, message_id)
    await require_message(session, conversation_id, message_id)
    parent_id = await session.scalar(select(MessageRow.parent_id).where(MessageRow.id == message_id))
    await session.execute(
        update(MessageRow).where(MessageRow.parent_id == message_id).values(parent_id=parent_id),
        execution_options=_IN_SQL,
    )
    await _mark_visible_below(session, message_id, message_id, utc_now())
    if head_id == message_id:
        await show(session, conversation_id, await leaf_below(session, conversation_id, parent_id))


async def unhide(session: AsyncSession, message_id: str) -> int:
    """Undo `hide` and show the branch again; returns how many came back. Raises UnknownMessageError."""
    conversation_id, _ = await _locked_conversation_of(session, message_id)
    come_back = (
        update(MessageRow)
        .where(MessageRow.conversation_id == conversation_id, MessageRow.deleted_with == message_id)
        .values(deleted_with=None, deleted_at=None)
        .returning(MessageRow.id)
    )
    restored = (await session.scalars(come_back, execution_options=_IN_SQL)).all()
    await require_message(session, conversation_id, message_id)
    if not restored:
        return 0  # somebody was quicker
    parent = aliased(MessageRow)
    above = select(parent.deleted_with, parent.deleted_at).join(MessageRow, MessageRow.parent_id == parent.id)
    hidden_above = (
        await session.execute(above.where(MessageRow.id == message_id, parent.deleted_with.is_not(None)))
    ).one_or_none()
    if hidden_above:
        # What it hangs on was deleted later, and will bring it back.
        await _mark_visible_below(session, message_id, *hidden_above)
        return 0
    await show(session, conversation_id, await leaf_below(session, conversation_id, message_id))
    return len(restored)


async def require_message(session: AsyncSession, conversation_id: str, message_id: str) -> None:
    """Raises UnknownMessageError for one that is hidden or in another conversation."""
    statement = select(MessageRow.id).where(
        MessageRow.id == message_id,
        MessageRow.conversation_id == conversation_id,
        MessageRow.deleted_with.is_(None),
    )
    if await session.scalar(statement) is None:
        raise UnknownMessageError(message_id)


def in_live_conversation() -> ColumnElement[bool]:
    return exists().where(ConversationRow.id == MessageRow.conversation_id, ConversationRow.deleted_at.is_(None))


# SQLAlchemy would otherwise try to repeat an UPDATE on the objects it holds; ours are read after it.
_IN_SQL = {"synchronize_session": False}


async def _locked_conversation_of(session: AsyncSession, message_id: str) -> tuple[str, str | None]:
    """Id and head. Writes, although nothing changes: whoever adds a message writes to the same row, and has to wait."""
    of_message = select(MessageRow.conversation_id).where(MessageRow.id == message_id).scalar_subquery()
    lock = (
        update(ConversationRow)
        .where(ConversationRow.id == of_message, ConversationRow.deleted_at.is_(None))
        .values(head_id=ConversationRow.head_id)
        .returning(ConversationRow.id, ConversationRow.head_id)
    )
    found = (await session.execute(lock, execution_options=_IN_SQL)).one_or_none()
    if found is None:
        raise UnknownMessageError(message_id)
    return found[0], found[1]


async def _mark_visible_below(
    session: AsyncSession, message_id: str, deleted_with: str | None, deleted_at: datetime | None
) -> set[str]:
    """The ids of what was marked: the message, if it could be seen, and all that could be seen below it."""
    visible = _visible_below(
        select(MessageRow.id).where(MessageRow.id == message_id, MessageRow.deleted_with.is_(None))
    )
    marked = update(MessageRow).where(MessageRow.id.in_(select(visible.c.id)))
    marking = marked.values(deleted_with=deleted_with, deleted_at=deleted_at).returning(MessageRow.id)
    # Counted by what comes back: Python's sqlite3 does not count the rows of a statement that begins with WITH.
    return set(await session.scalars(marking, execution_options=_IN_SQL))


def _visible_below(top: Select[Any]) -> CTE:
    """The messages selected and all that can be seen below them."""
    below = top.cte("below", recursive=True)
    return below.union_all(
        select(MessageRow.id).where(MessageRow.parent_id == below.c.id, MessageRow.deleted_with.is_(None))
    )
