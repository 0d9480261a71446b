"""The tokens each user has used of the day, stored after every reply, so that a restart does not reset them."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, update

from localchat_ui.access.database import AccessDatabase, rows_changed
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
    """Counts from `open` to `close`. The day of a user begins with its first reply.

    Only this process counts, so what it has in memory is right; the database is read once after a start.
    """

    def __init__(self, database: AccessDatabase) -> None:
        self._database = database
        self._days: dict[str, _Day] = {}
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Return when everything is stored."""
        await asyncio.sleep(0)  # for what the engine's thread has handed over
        self._loop = None
        await asyncio.gather(*self._tasks)

    def add(self, usage_key: str, n_tokens: int) -> None:
        """May be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin, usage_key, n_tokens)

    async def used_today(self, usage_key: str) -> tuple[int, int]:
        """The tokens of this day, and the seconds left of it. Raises HistoryError."""
        day = await self._day(usage_key)
        return day.tokens, max(1, math.ceil((day.ends_at - utc_now()).total_seconds()))

    def _begin(self, usage_key: str, n_tokens: int) -> None:
        task = asyncio.create_task(self._add(usage_key, n_tokens))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _add(self, usage_key: str, n_tokens: int) -> None:
        async with self._lock:
            try:
                day = await self._day(usage_key)
                day.tokens += n_tokens
                self._days[usage_key] = day
                await self._store(usage_key, day)
            # What was counted in memory is stored with the next reply.
            except HistoryError as error:
                logger.warning("the tokens of a reply were not stored: %s", error)
            except Exception:
                logger.exception("the tokens of a reply were not stored")

    async def _day(self, usage_key: str) -> _Day:
        """The current day, or one that would begin now."""
        day, now = self._days.get(usage_key), utc_now()
        if day is None:
            async with self._database.begin() as session:
                row = await session.get(UsageRow, usage_key)
                day = _Day(row.ends_at, row.tokens) if row else None
        return day if day and day.ends_at > now else _Day(now + DAY)

    async def _store(self, usage_key: str, day: _Day) -> None:
        now = utc_now()
        async with self._database.begin() as session:
            statement = update(UsageRow).where(UsageRow.person == usage_key)
            if await rows_changed(session, statement.values(ends_at=day.ends_at, tokens=day.tokens)):
                return
            # A first reply of the day is rare enough to delete the days that are over.
            await session.execute(delete(UsageRow).where(UsageRow.ends_at <= now))
            session.add(UsageRow(person=usage_key, ends_at=day.ends_at, tokens=day.tokens))
        self._days = {each: known for each, known in self._days.items() if known.ends_at > now}
