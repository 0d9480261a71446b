"""What the history does when the machine lets it down, and when somebody else uses the same file."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import Pool, event

from localchat_ui.conversation import Message, MessageState, Role
from localchat_ui.history.database import Database, switch_to_wal
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore

from .conftest import OpenStore, start_conversation, url_of

WRITE_AND_DIE = """
import asyncio, os, signal, sys
from localchat_ui.conversation import Conversation, Message, MessageState, Role
from localchat_ui.history.database import Database
from localchat_ui.history.store import HistoryStore

async def main():
    store = HistoryStore(await Database(sys.argv[1]).open())
    await store.add_conversation(Conversation(id="c"))
    await store.add_message(Message("c", Role.USER, "Count", id="question"))
    reply = Message("c", Role.ASSISTANT, "", id="reply", parent_id="question", state=MessageState.WRITING)
    await store.add_message(reply)
    for number in range(5):
        reply.text += f"{number} "
        await store.update_message(reply)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_reply_cut_off_by_a_kill_keeps_its_text_and_is_marked(database: Path, open_store: OpenStore) -> None:
    command = [sys.executable, "-c", WRITE_AND_DIE, url_of(database)]
    killed = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()

    store = await open_store()

    assert await store.interrupt_unfinished() == 1
    states = [(message.text, message.state) for message in await store.branch("c")]
    assert states == [("Count", MessageState.COMPLETE), ("0 1 2 3 4 ", MessageState.INTERRUPTED)]
    assert await store.interrupt_unfinished() == 0


async def test_every_connection_is_set_up_for_sharing(store: HistoryStore) -> None:
    seen = {}

    def look(connection: Any, *_: object) -> None:
        seen[id(connection)] = [read(connection, f"PRAGMA {name}") for name in expected]

    expected = {"journal_mode": "wal", "busy_timeout": 5000, "foreign_keys": 1, "synchronous": 1}
    with on_checkout(look):
        await asyncio.gather(*(store.conversations() for _ in range(4)))

    assert len(seen) > 1, "one connection does not tell what the others do"
    assert all(settings == list(expected.values()) for settings in seen.values())


async def test_stores_that_meet_on_a_new_file_all_see_what_two_of_them_write(open_store: OpenStore) -> None:
    stores = await asyncio.gather(*(open_store() for _ in range(4)))
    conversation, _ = await start_conversation(stores[0], "Hi")

    messages = [Message(conversation.id, Role.USER, str(n)) for n in range(40)]
    await asyncio.gather(*(stores[n % 2].add_message(message) for n, message in enumerate(messages)))

    for store in stores:
        assert len(await store.messages(conversation.id)) == 41


def test_a_refused_switch_to_wal_is_tried_again() -> None:
    """The race of the test above comes too seldom to rely on, so here is the refusal itself."""
    connection, cursor = Mock(), Mock()
    cursor.execute.side_effect = [sqlite3.OperationalError("database is locked")] * 2 + [None]
    switch_to_wal(connection, cursor)
    assert connection.run_async.call_count == 2

    cursor.execute.side_effect = sqlite3.OperationalError("disk I/O error")
    with pytest.raises(sqlite3.OperationalError):
        switch_to_wal(connection, cursor)


async def test_a_database_in_memory_keeps_transactions_apart() -> None:
    store = HistoryStore(await Database("sqlite://").open())
    conversation, [first] = await start_conversation(store, "Hi")
    messages = [Message(conversation.id, Role.USER, str(n), parent_id=first.id) for n in range(20)]
    refused = [Message(conversation.id, Role.USER, "?", parent_id="nobody") for _ in messages]
    mixed = [message for pair in zip(messages, refused, strict=True) for message in pair]

    results = await asyncio.gather(*(store.add_message(message) for message in mixed), return_exceptions=True)

    assert [result is None for result in results] == [True, False] * len(messages)
    assert len(await store.messages(conversation.id)) == 1 + len(messages)
    await store.database.close()


async def test_a_reader_is_not_held_up_by_a_writer(store: HistoryStore, database: Path) -> None:
    conversation, messages = await start_conversation(store, "Hi")

    with write_lock(database):
        assert await asyncio.wait_for(store.branch(conversation.id), timeout=1) == messages


async def test_a_lock_that_is_never_let_go_is_explained(store: HistoryStore, database: Path) -> None:
    conversation, _ = await start_conversation(store, "Hi")

    impatient = on_checkout(pragma("busy_timeout = 50"))
    with write_lock(database), impatient, pytest.raises(HistoryError, match="another program is writing"):
        await store.rename(conversation.id, "x")

    await store.rename(conversation.id, "y")


async def test_a_full_disk_is_explained_and_loses_nothing(store: HistoryStore) -> None:
    conversation, messages = await start_conversation(store, "Hi", "Hello!")
    long = Message(conversation.id, Role.USER, "secret " * 100_000, parent_id=messages[-1].id)

    with on_checkout(pragma("max_page_count = 30")), pytest.raises(HistoryError, match="disk is full") as caught:
        await store.add_message(long)

    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
    assert await store.branch(conversation.id) == messages
    with on_checkout(pragma("max_page_count = 100000")):
        await store.add_message(long)
    assert await store.branch(conversation.id) == [*messages, long]


async def test_a_cancelled_write_leaves_all_or_nothing(store: HistoryStore) -> None:
    conversation, _ = await start_conversation(store, "Hi")
    for turns in range(12):
        message = Message(conversation.id, Role.USER, "?", id=f"cancelled{turns}")
        task = asyncio.create_task(store.add_message(message))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.wait([task])

        found = await store.conversation(conversation.id)
        assert found
        assert (await store.message(message.id) is not None) == (found.head_id == message.id)


@pytest.mark.parametrize(
    ("place", "reason"),
    [("a file/x.sqlite3", "exists"), ("a file/below/x.sqlite3", "Not a directory"), ("", "Is a directory")],
)
async def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "a file").write_text("in the way")

    with pytest.raises(HistoryError, match=reason) as caught:
        await Database(url_of(tmp_path / place)).open()
    assert str(tmp_path / place) in str(caught.value)


async def test_other_users_of_the_machine_cannot_read_it(store: HistoryStore, database: Path) -> None:
    await start_conversation(store, "Hi")

    private = [database.parent, *database.parent.iterdir()]

    assert len(private) == 4, "the folder, the file, its write-ahead log and that log's index"
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear reader, " * 1000)

    with pytest.raises(HistoryError, match="not a SQLite database"):
        await Database(url_of(file)).open()
    assert file.read_text().startswith("Dear reader")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "DATABASE_URL.*parse"),
        ("nosuch://host/db", "nosuch"),
        ("mysql+nosuchdriver://me:s3cret@host/db", "nosuchdriver"),
        ("postgresql+asyncpg://me:s3cret@host/db", "asyncpg"),
    ],
)
async def test_a_bad_url_is_explained_without_its_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)  # not installed

    with pytest.raises(HistoryError, match=reason) as caught:
        await Database(url).open()
    assert "s3cret" not in str(caught.value)


async def test_an_error_only_the_driver_knows_is_explained(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch, open_store: OpenStore
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("The server is starting up.")

    monkeypatch.setattr("aiosqlite.connect", refuse)

    with pytest.raises(HistoryError, match=r"The server is starting up\.$"):
        await open_store()


async def test_a_url_without_a_driver_means_the_one_we_ship(tmp_path: Path) -> None:
    store = HistoryStore(await Database(f"sqlite:///{tmp_path / 'plain.sqlite3'}").open())
    await store.database.close()
    await store.database.close()
    assert (tmp_path / "plain.sqlite3").exists()


def read(connection: Any, statement: str) -> object:
    cursor = connection.cursor()
    cursor.execute(statement)
    [value] = cursor.fetchone()
    cursor.close()
    return value


def pragma(setting: str) -> Callable[..., None]:
    def apply(connection: Any, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    return apply


@contextmanager
def on_checkout(listener: Callable[..., None]) -> Iterator[None]:
    """Let `listener` see every connection that is about to be used."""
    event.listen(Pool, "checkout", listener)
    try:
        yield
    finally:
        event.remove(Pool, "checkout", listener)


@contextmanager
def write_lock(database: Path) -> Iterator[None]:
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()
