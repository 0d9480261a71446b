"""The database: opened with its tables brought up to date, used in transactions of one owner, closed in peace."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, AsyncAdaptedQueuePool, CursorResult, Delete, Update, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from localchat_ui.history.errors import HistoryError, explained
from localchat_ui.history.integrity import problem_in
from localchat_ui.history.migrate import upgrade
from localchat_ui.history.owner import OWNER, OwnedSession
from localchat_ui.text import Text

BUSY_SECONDS = 5
SQLITE_CONNECTIONS = 3
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
CLOSING_SECONDS = 2.0
CHECK_SECONDS = 3.0


class Database:
    """What the stores of this package share."""

    def __init__(self, url: str, *, current_owner: Callable[[], str | None] = lambda: None) -> None:
        """Conversations and presets are those of `current_owner()`, where None is an owner like any other."""
        self._url = url
        self._current_owner = current_owner
        self._place = "DATABASE_URL"
        self._engine: AsyncEngine | None = None
        self._under_way: set[asyncio.Future[None]] = set()
        self._closed = False

    @property
    def owner(self) -> str | None:
        """Whose conversations are seen and made right now."""
        return self._current_owner()

    @property
    def path(self) -> Path | None:
        """The SQLite file, if it is one."""
        return sqlite_file(self._url)

    async def open(self) -> Database:
        """Open the database, create or upgrade its tables; raises HistoryError. Returns itself."""
        with explained("DATABASE_URL"):
            url = parse_url(self._url)
        self._place = place_of(url)
        with explained(self._place):
            self._engine = await open_engine(url)
        return self

    async def close(self) -> None:
        """Let what is under way end, and close all connections; closing twice does no harm."""
        self._closed = True
        if self._under_way:
            # A connection that is closed under its query is an error that nobody could do anything about.
            await asyncio.wait(self._under_way, timeout=CLOSING_SECONDS)
        if self._engine is not None:
            await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, *, of_all: bool = False) -> AsyncIterator[AsyncSession]:
        """All or nothing; the one place where errors of the database become a HistoryError.

        Only the owner's conversations are there for it, unless it is `of_all`.
        """
        if self._closed or self._engine is None:
            raise HistoryError(
                Text("The program is shutting down.") if self._closed else Text("The program is starting.")
            )
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(ended)
        try:
            with explained(self._place):
                owner = {} if of_all else {OWNER: self.owner}
                async with (
                    AsyncSession(self._engine, sync_session_class=OwnedSession, info=owner) as session,
                    session.begin(),
                ):
                    yield session
        finally:
            self._under_way.discard(ended)
            ended.set_result(None)


async def rows_changed(session: AsyncSession, statement: Update | Delete) -> int:
    """How many rows the statement changed."""
    result = await session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def check(database_url: str) -> None:
    """Look for a few seconds whether a SQLite file is whole; raises HistoryError when it is not."""
    with explained("DATABASE_URL"):
        path = sqlite_file(database_url)
    if path is not None and path.is_file():
        with explained(str(path)):
            if problem_in(path, CHECK_SECONDS):
                raise sqlite3.DatabaseError("malformed")


async def open_engine(url: URL) -> AsyncEngine:
    """An engine whose tables are up to date; raises what errors.explained() explains."""
    _create_file(url)
    # hide_parameters keeps what people write out of error messages and logs.
    engine = create_async_engine(url, hide_parameters=True, json_deserializer=_lenient_json, **_pool_options(url))
    event.listen(engine.sync_engine, "do_connect", _connect)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
    except BaseException:
        await engine.dispose()
        raise
    return engine


def parse_url(database_url: str) -> URL:
    """The URL with the driver we are tested with where it names none; raises SQLAlchemyError."""
    url = make_url(database_url)
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def sqlite_file(database_url: str) -> Path | None:
    """The file of a SQLite database; None for any other, and for one in memory. Raises SQLAlchemyError."""
    path = _sqlite_path(parse_url(database_url))
    return Path(path) if path else None


def place_of(url: URL) -> str:
    """Where the database is, for people: a path, or a URL without its password."""
    return _sqlite_path(url) or url.render_as_string(hide_password=True)


def _create_file(url: URL) -> None:
    """Conversations are private: a folder or file made here is closed to the other users of the machine."""
    path = Path(_sqlite_path(url))
    if path.name:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Found out here, because aiosqlite leaves a thread behind when it cannot open a file.
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        # Does not open a file that is there: closing it would let go of all locks this process has on it.
        path.touch(mode=0o600)


def _sqlite_path(url: URL) -> str:
    database = url.database or ""
    is_file = url.get_backend_name() == "sqlite" and not database.startswith((":memory:", "file:"))
    return database if is_file else ""


def _pool_options(url: URL) -> dict[str, Any]:
    """Few connections to SQLite: its writers poll for the one lock, while our pool lets them in in order.

    A database in memory belongs to one connection, which transactions must not share.
    """
    if url.get_backend_name() != "sqlite":
        return {}
    size = SQLITE_CONNECTIONS if _sqlite_path(url) else 1
    return {"poolclass": AsyncAdaptedQueuePool, "pool_size": size, "max_overflow": 0}


def _connect(dialect: Any, _record: object, arguments: Any, options: Any) -> Any:
    """Connect; a driver's own error (asyncpg: wrong password, server starting) becomes one that callers know."""
    try:
        return dialect.connect(*arguments, **options)
    except (dialect.loaded_dbapi.Error, OSError):
        raise
    except Exception as error:
        raise ConnectionError(str(error) or type(error).__name__) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    switch_to_wal(connection, cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def switch_to_wal(connection: Any, cursor: Any) -> None:
    """Readers and a writer no longer wait for each other.

    When two programs meet on a new file, SQLite refuses one of them at once, whatever the busy time-out: so try again.
    """
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
        connection.run_async(lambda _: asyncio.sleep(0.02))


def _lenient_json(text: str) -> Any:
    """A damaged value reads as None, because one of them must not hide the whole list."""
    try:
        return json.loads(text)
    except ValueError:
        return None
