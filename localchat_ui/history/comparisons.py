"""Comparisons and the votes of blind duels, kept for whoever asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, exists, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from localchat_ui.comparison import Choice, Column, Comparison, Contestant, Vote
from localchat_ui.history import rows
from localchat_ui.history.database import Database, rows_changed
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.tables import ColumnRow, ComparisonRow, ConversationRow, VoteRow
from localchat_ui.text import Text


class ComparisonStore:
    """Methods may raise HistoryError when the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, comparison: Comparison) -> None:
        """Keep a comparison and the conversations of its columns; those that are kept already stay as they are."""
        owner = self._database.owner
        values = {"title": comparison.title, "blind": comparison.blind}
        async with self._database.transaction() as session:
            # A write first: see _change_conversation in store.py.
            known = update(ComparisonRow).where(ComparisonRow.id == comparison.id).values(values)
            if not await rows_changed(session, known):
                created_at = comparison.created_at
                session.add(ComparisonRow(id=comparison.id, owner_id=owner, created_at=created_at, **values))
            for column in comparison.columns:
                if await session.get(ConversationRow, column.conversation.id) is None:
                    session.add(rows.conversation_row(column.conversation, owner))
            await session.flush()
            for place, column in enumerate(comparison.columns):
                row = ColumnRow(conversation_id=column.conversation.id, comparison_id=comparison.id, place=place)
                row.model = column.model
                await session.merge(row)

    async def get(self, comparison_id: str) -> Comparison | None:
        async with self._database.transaction() as session:
            row = await session.get(ComparisonRow, comparison_id)
            return (await _comparisons(session, [row]))[0] if row else None

    async def recent(self, limit: int) -> list[Comparison]:
        """The newest first, without those in which nothing was asked."""
        statement = select(ComparisonRow).where(ComparisonRow.title != "").order_by(ComparisonRow.created_at.desc())
        async with self._database.transaction() as session:
            return await _comparisons(session, list(await session.scalars(statement.limit(limit))))

    async def delete(self, comparison_id: str) -> None:
        """With all that was said in it; the vote stays. One that is not there does no harm."""
        own = exists().where(ComparisonRow.id == comparison_id, ComparisonRow.owner_id == self._database.owner)
        columns = select(ColumnRow.conversation_id).where(ColumnRow.comparison_id == comparison_id, own)
        async with self._database.transaction() as session:
            await session.execute(delete(ConversationRow).where(ConversationRow.id.in_(columns)))
            theirs = (ComparisonRow.id == comparison_id, ComparisonRow.owner_id == self._database.owner)
            await session.execute(delete(ComparisonRow).where(*theirs))

    async def vote(self, vote: Vote) -> None:
        """Raises HistoryError when there is a vote on this comparison already."""
        row = VoteRow(
            comparison_id=vote.comparison_id,
            owner_id=self._database.owner,
            created_at=vote.created_at,
            choice=vote.choice.value,
            a=vote.a.name,
            b=vote.b.name,
            a_tokens_per_second=vote.a.tokens_per_second,
            b_tokens_per_second=vote.b.tokens_per_second,
            a_memory=vote.a.memory,
            b_memory=vote.b.memory,
        )
        async with self._database.transaction() as session:
            session.add(row)
            try:
                await session.flush()
            except IntegrityError:
                raise HistoryError(Text("This duel was voted on already, perhaps in another tab.")) from None

    async def votes(self) -> list[Vote]:
        """The oldest first."""
        async with self._database.transaction() as session:
            found = await session.scalars(select(VoteRow).order_by(VoteRow.created_at, VoteRow.comparison_id))
            return [_vote_of(row) for row in found]

    async def delete_votes(self) -> int:
        """All of whoever asks; returns their number."""
        async with self._database.transaction() as session:
            theirs = VoteRow.owner_id == self._database.owner
            return await rows_changed(session, delete(VoteRow).where(theirs))


async def _comparisons(session: AsyncSession, found: Sequence[ComparisonRow]) -> list[Comparison]:
    ids = [row.id for row in found]
    columns: dict[str, list[Column]] = {}
    statement = (
        select(ColumnRow, ConversationRow)
        .join(ConversationRow, ConversationRow.id == ColumnRow.conversation_id)
        .where(ColumnRow.comparison_id.in_(ids))
        .order_by(ColumnRow.place)
    )
    for column, conversation in await session.execute(statement):
        made = Column(column.model, rows.conversation_of(conversation))
        columns.setdefault(column.comparison_id, []).append(made)
    votes = await session.scalars(select(VoteRow).where(VoteRow.comparison_id.in_(ids)))
    choices = {row.comparison_id: Choice(row.choice) for row in votes}
    return [_comparison_of(row, columns.get(row.id, ()), choices.get(row.id)) for row in found]


def _comparison_of(row: ComparisonRow, columns: Iterable[Column], vote: Choice | None) -> Comparison:
    return Comparison(list(columns), row.title, row.blind, vote, row.id, row.created_at)


def _vote_of(row: VoteRow) -> Vote:
    return Vote(
        row.comparison_id,
        Choice(row.choice),
        Contestant(row.a, row.a_tokens_per_second, row.a_memory),
        Contestant(row.b, row.b_tokens_per_second, row.b_memory),
        row.created_at,
    )
