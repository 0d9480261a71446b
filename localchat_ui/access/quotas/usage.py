"""The tokens that each person has used of the day: written once with each reply, so that a restart forgets none."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, update

from localchat_ui.access.database import AccessDatabase, n_changed
from localchat_ui.access.tables import UsageRow
from localchat_ui.conversation import utc_now
from localchat_ui.history.errors import HistoryError

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)


@dataclass
class _Day:
    ends_at: datetime
    tokens: int = 0


class UsageCounter:
    """Counts from `open` to `close`. A person's day begins with its first reply.

    One process counts; what it knows is right, and the database is read after a start alone.
    """

    def __init__(self, database: AccessDatabase) -> None:
        self._database = database
        self._days: dict[str, _Day] = {}
        self._alone = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Wait until all is written."""
        await asyncio.sleep(0)  # for what the engine's thread has handed over
        self._loop = None
        await asyncio.gather(*self._tasks)

    def add(self, person: str, n_tokens: int) -> None:
        """Called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin, person, n_tokens)

    async def used_today(self, person: str) -> tuple[int, int]:
        """The tokens of this person's day, and the seconds that are left of it. Raises HistoryError."""
        day = await self._day(person)
        return day.tokens, max(1, math.ceil((day.ends_at - utc_now()).total_seconds()))

    def _begin(self, person: str, n_tokens: int) -> None:
        task = asyncio.create_task(self._write(person, n_tokens))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, person: str, n_tokens: int) -> None:
        async with self._alone:
            try:
                day = await self._day(person)
                day.tokens += n_tokens
                self._days[person] = day
                await self._store(person, day)
            except HistoryError as error:
                # What could be counted is written with the next reply.
                logger.warning("the tokens of a reply were not written down: %s", error)

    async def _day(self, person: str) -> _Day:
        """The day that is under way, or one that would begin now."""
        day, now = self._days.get(person), utc_now()
        if day is None:
            async with self._database.reading() as session:
                row = await session.get(UsageRow, person)
                day = _Day(row.ends_at, row.tokens) if row else None
        return day if day and day.ends_at > now else _Day(now + DAY)

    async def _store(self, person: str, day: _Day) -> None:
        now = utc_now()
        async with self._database.reading() as session:
            same = update(UsageRow).where(UsageRow.person == person)
            if await n_changed(session, same.values(ends_at=day.ends_at, tokens=day.tokens)):
                return
            # Somebody is new here today, which is seldom enough to look for who has not been here since.
            await session.execute(delete(UsageRow).where(UsageRow.ends_at <= now))
            session.add(UsageRow(person=person, ends_at=day.ends_at, tokens=day.tokens))
        self._days = {each: known for each, known in self._days.items() if known.ends_at > now}
