"""The database of accounts and quotas: its transactions, and a cache of one second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import CursorResult
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from typing_extensions import Self

from localchat_ui.history.database import open_engine, parse_url, place_of
from localchat_ui.history.errors import explained

T = TypeVar("T")

CACHE_SECONDS = 1.0
CACHE_ENTRIES = 10_000


class AccessDatabase:
    """Opened by `open` or `async with`. Every method that queries raises HistoryError when the database is unavailable.

    What every request asks is cached for a second, so that a page of thirty files queries once. A change by this
    process clears the cache; a change by another one (`user remove`) is seen within that second.
    """

    def __init__(self, database_url: str) -> None:
        self.url = database_url
        self._place = "DATABASE_URL"
        self._engine: AsyncEngine | None = None
        self._opened = asyncio.Event()
        self._cache: dict[str, tuple[float, Any]] = {}
        self._n_changes = 0

    async def open(self) -> Self:
        """Connect, create or upgrade the tables, and return itself. Raises HistoryError."""
        try:
            with explained("DATABASE_URL"):
                url = parse_url(self.url)
            self._place = place_of(url)
            with explained(self._place):
                self._engine = await open_engine(url)
        finally:
            self._opened.set()
        return self

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def begin(self, *, clear_cache: bool = False) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that is committed at the end of the block.

        `clear_cache` belongs to every change of something that is cached.
        """
        with explained(self._place):
            # The first requests may come before the database is open.
            await self._opened.wait()
            if self._engine is None:
                raise ConnectionError("the database is not open")
            async with AsyncSession(self._engine) as session, session.begin():
                yield session
        if clear_cache:
            self._n_changes += 1
            self._cache.clear()

    async def cached(self, key: str, load: Callable[[], Awaitable[T]]) -> T:
        """The value that `load` returned within the last second, or returns now."""
        until, value = self._cache.get(key, (0.0, None))
        if time.monotonic() < until:
            return value  # type: ignore[no-any-return]
        n_changes = self._n_changes
        loaded = await load()
        if n_changes == self._n_changes:  # else it may have been read before the change
            if len(self._cache) >= CACHE_ENTRIES:
                self._cache.clear()
            self._cache[key] = (time.monotonic() + CACHE_SECONDS, loaded)
        return loaded


async def rows_changed(session: AsyncSession, statement: Any) -> int:
    """Execute an UPDATE or DELETE and return the number of rows it matched."""
    result = await session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount
