"""The database of this room: its transactions, and what is remembered of them for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import CursorResult
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from typing_extensions import Self

from localchat_ui.history.database import open_engine, parse_url, place_of
from localchat_ui.history.errors import explained

SECONDS_REMEMBERED = 1.0
ENTRIES_REMEMBERED = 10_000


class AccessDatabase:
    """What a request has to ask is remembered for a second, so that a page of thirty files asks once; whatever another
    process changes (`user remove`) holds a second later.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._place = "DATABASE_URL"
        self._engine: AsyncEngine | None = None
        self._opened = asyncio.Event()
        self._remembered: dict[str, tuple[float, Any]] = {}

    async def open(self) -> Self:
        """Open the database, create or upgrade its tables. Raises HistoryError. Returns itself."""
        try:
            with explained("DATABASE_URL"):
                url = parse_url(self._url)
            self._place = place_of(url)
            with explained(self._place):
                self._engine = await open_engine(url)
        finally:
            self._opened.set()
        return self

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction. Raises HistoryError when the database cannot be used."""
        with explained(self._place):
            # The very first requests may come before the database is open.
            await self._opened.wait()
            if self._engine is None:
                raise ConnectionError("the database is not open")
            async with AsyncSession(self._engine) as session, session.begin():
                yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction after which nothing that was remembered counts any more."""
        async with self.reading() as session:
            yield session
        self._remembered.clear()

    def recall(self, question: str) -> tuple[bool, Any]:
        """Whether the answer is still known, and the answer."""
        until, answer = self._remembered.get(question, (0.0, None))
        return time.monotonic() < until, answer

    def remember(self, question: str, answer: Any) -> Any:
        """Keep an answer for a moment; returns it."""
        if len(self._remembered) >= ENTRIES_REMEMBERED:
            self._remembered.clear()
        self._remembered[question] = (time.monotonic() + SECONDS_REMEMBERED, answer)
        return answer


async def n_changed(session: AsyncSession, statement: Any) -> int:
    """Execute an UPDATE or DELETE; how many rows it has met."""
    result = await session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount
