"""All that one person has written: when an account goes, it is erased or becomes somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from itertools import count

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from localchat_ui.conversation import PRESET_NAME_LENGTH
from localchat_ui.history.owner import OWNED
from localchat_ui.history.tables import (
    Base,
    ComparisonRow,
    ConversationRow,
    MessageRow,
    PreferenceRow,
    PresetRow,
    VoteRow,
    is_no_column,
)
from localchat_ui.text import Text, counted


@dataclass(frozen=True)
class UserData:
    """How many conversations stand in a person's list, how many system prompts are saved, and what was compared."""

    conversations: int = 0
    presets: int = 0
    comparisons: int = 0
    votes: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))

    def __str__(self) -> str:
        """In words: `3 conversations and 1 saved prompt`."""
        parts = [
            counted("{n} conversation", "{n} conversations", self.conversations),
            counted("{n} saved prompt", "{n} saved prompts", self.presets),
            counted("{n} comparison", "{n} comparisons", self.comparisons),
            counted("{n} vote", "{n} votes", self.votes),
        ]
        *most, last = [part for part in parts if part.values["n"]] or [Text("nothing")]
        return Text("{most} and {last}", most=Text.joined(", ", most), last=last) if most else last


async def user_data_of(session: AsyncSession, owner_id: str) -> UserData:
    said = exists().where(MessageRow.conversation_id == ConversationRow.id, MessageRow.deleted_with.is_(None))
    theirs = (ConversationRow.owner_id == owner_id, ConversationRow.deleted_at.is_(None), said, is_no_column())

    async def number(table: type[Base], *conditions: ColumnElement[bool]) -> int:
        return await session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

    return UserData(
        await number(ConversationRow, *theirs),
        await number(PresetRow, PresetRow.owner_id == owner_id),
        await number(ComparisonRow, ComparisonRow.owner_id == owner_id),
        await number(VoteRow, VoteRow.owner_id == owner_id),
    )


async def erase(session: AsyncSession, owner_id: str) -> None:
    """For good, what was never sent and what could still be restored included."""
    for table in OWNED:
        await session.execute(delete(table).where(table.owner_id == owner_id))
    await session.execute(delete(PresetRow).where(PresetRow.owner_id == owner_id))
    await _forget_preferences(session, owner_id)


async def hand_over(session: AsyncSession, owner_id: str, name: str, heir_id: str) -> None:
    """Everything becomes the heir's. A saved prompt whose name the heir has already gets the `name` behind its own."""
    for table in OWNED:
        await session.execute(update(table).where(table.owner_id == owner_id).values(owner_id=heir_id))
    taken = set(await session.scalars(select(PresetRow.name).where(PresetRow.owner_id == heir_id)))
    for preset in list(await session.scalars(select(PresetRow.name).where(PresetRow.owner_id == owner_id))):
        free = next(each for each in _names(preset, name) if each not in taken)
        taken.add(free)
        same = update(PresetRow).where(PresetRow.owner_id == owner_id, PresetRow.name == preset)
        await session.execute(same.values(owner_id=heir_id, name=free))
    await _forget_preferences(session, owner_id)


def _names(preset: str, owner: str) -> Iterator[str]:
    yield preset
    for number in count(1):
        hint = f" ({owner})" if number == 1 else f" ({owner} {number})"
        hint = hint[:PRESET_NAME_LENGTH]
        yield preset[: PRESET_NAME_LENGTH - len(hint)] + hint


async def _forget_preferences(session: AsyncSession, owner_id: str) -> None:
    theirs = PreferenceRow.key.endswith(f".{owner_id}", autoescape=True)
    await session.execute(delete(PreferenceRow).where(theirs))
