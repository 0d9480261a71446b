"""What can be read of a damaged SQLite file, in a new one."""

# ruff: noqa: S608 - names of tables and columns are those of our own migrations
from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import create_engine

from localchat_ui.conversation import MessageState, Role
from localchat_ui.history.errors import HistoryError, explained
from localchat_ui.history.migrate import upgrade
from localchat_ui.history.pages import Pages

OURS = ("alembic_version", "search_", "sqlite_")

# Where a message or its conversation is lost, what is left of it is put where a reader finds it.
REPAIRS = """
INSERT INTO conversations (id, created_at, updated_at, title, options)
    SELECT conversation_id, min(created_at), max(created_at), 'Recovered conversation', '{}' FROM messages
    WHERE conversation_id NOT IN (SELECT id FROM conversations) GROUP BY conversation_id;
UPDATE messages SET parent_id = (
    SELECT above.id FROM messages AS above WHERE above.conversation_id = messages.conversation_id
    AND above.created_at < messages.created_at AND above.deleted_with IS NULL ORDER BY above.created_at DESC LIMIT 1)
    WHERE parent_id IS NOT NULL AND parent_id NOT IN (SELECT id FROM messages);
UPDATE conversations SET head_id = (
    SELECT id FROM messages WHERE conversation_id = conversations.id AND deleted_with IS NULL
    ORDER BY created_at DESC LIMIT 1)
    WHERE head_id IS NULL OR head_id NOT IN (SELECT id FROM messages WHERE deleted_with IS NULL);
"""


def recover(damaged: Path, target: Path) -> dict[str, int]:
    """Write what can be read of `damaged`, which is left as it is, to the new file `target`; rows by table.

    Raises HistoryError, also when there is something at `target` already.
    """
    if target.exists():
        raise HistoryError(f"There is a file {target} already; move it away or name another.")
    with explained(str(target)), TemporaryDirectory(dir=target.parent) as folder:
        # Opening a database may change it.
        copy, made = Path(folder) / "copy.sqlite3", Path(folder) / "made.sqlite3"
        shutil.copyfile(damaged, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{damaged}-wal", f"{copy}-wal")
        engine = create_engine(f"sqlite:///{made}")
        with engine.connect() as connection:
            upgrade(connection)
        engine.dispose()
        with closing(sqlite3.connect(made)) as new:
            counts = _fill(new, copy)
        made.chmod(0o600)
        made.rename(target)
    return counts


def _fill(new: sqlite3.Connection, copy: Path) -> dict[str, int]:
    names = [name for [name] in new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables = [name for name in names if not name.startswith(OURS)]
    is_whole = True
    with closing(sqlite3.connect(copy)) as old:
        old.text_factory = lambda data: data.decode("utf-8", "replace")
        with suppress(sqlite3.DatabaseError):
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for table in tables:
            columns = [name for name in _columns(old, table) if name in _columns(new, table)]
            is_whole &= bool(columns)
            for row in _readable(old, table, columns) if columns else ():
                if row is None:
                    is_whole = False
                else:
                    _insert(new, table, columns, row)
    if not is_whole:
        _insert_from_pages(new, copy)
    new.executescript(REPAIRS)
    while broken := new.execute("PRAGMA foreign_key_check").fetchall():
        for table, rowid, *_ in broken:
            new.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))
    new.commit()
    return {table: new.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    try:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    except sqlite3.DatabaseError:
        return []


def _readable(old: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[tuple[Any, ...] | None]:
    """The rows from the first one on and, when one cannot be read, None and those from the last one back."""
    for direction in ("ASC", "DESC"):
        try:
            yield from old.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid {direction}")
            return
        except sqlite3.DatabaseError:
            yield None


def _insert_from_pages(new: sqlite3.Connection, copy: Path) -> None:
    """Conversations and messages that no walk through the tables finds any more, told by what is in them."""
    columns = {table: _columns(new, table) for table in ("conversations", "messages")}
    roles, states = {role.value for role in Role}, {state.value for state in MessageState}
    for values in Pages(copy).rows():
        message = dict(zip(columns["messages"], values, strict=False))
        conversation = dict(zip(columns["conversations"], values, strict=False))
        if message.get("role") in roles and message.get("state") in states and isinstance(message.get("text"), str):
            _insert(new, "messages", list(message), list(message.values()))
        elif isinstance(conversation.get("options"), str) and conversation["options"].startswith("{"):
            _insert(new, "conversations", list(conversation), list(conversation.values()))


def _insert(new: sqlite3.Connection, table: str, columns: list[str], row: Sequence[Any]) -> None:
    """What is there already, or cannot be in such a table, is left out."""
    places = ", ".join("?" * len(columns))
    with suppress(sqlite3.Error):
        new.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({places})", row)
