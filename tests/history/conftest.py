"""A real SQLite file per test, and stores on it that are closed whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from localchat_ui.conversation import Conversation, Message, Role
from localchat_ui.history.database import Database
from localchat_ui.history.store import HistoryStore

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""

OpenStore = Callable[[], Awaitable[HistoryStore]]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chat.sqlite3"


@pytest.fixture
def database_url(database: Path) -> str:
    """tests/postgres has another."""
    return url_of(database)


@pytest.fixture
async def open_store(database_url: str) -> AsyncIterator[OpenStore]:
    """Opens one more store on the same database."""
    async with AsyncExitStack() as stack:

        async def open_one() -> HistoryStore:
            store = HistoryStore(await Database(database_url).open())
            stack.push_async_callback(store.database.close)
            return store

        yield open_one


@pytest.fixture
async def store(open_store: OpenStore) -> HistoryStore:
    return await open_store()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def url_of(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


async def start_conversation(store: HistoryStore, *texts: str, title: str = "") -> tuple[Conversation, list[Message]]:
    """A conversation in which each text answers the one before."""
    conversation = Conversation(title=title)
    await store.add_conversation(conversation)
    messages: list[Message] = []
    for text in texts:
        role = Role.ASSISTANT if len(messages) % 2 else Role.USER
        parent = messages[-1].id if messages else None
        messages.append(Message(conversation.id, role, text, parent_id=parent))
        await store.add_message(messages[-1])
    return conversation, messages


def fill(folder: Path) -> None:
    """Leave no room on this disk."""
    with (folder / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


class locked:  # noqa: N801 - used as a context
    """Another program that locks the file until the end of the block."""

    def __init__(self, database: Path) -> None:
        self._command = [sys.executable, "-c", LOCK, str(database)]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        assert self._process.stdout.readline() == b"locked\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
