"""The migrations build the tables the program uses, and never lose what is in them."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, create_engine

from localchat_ui.history import migrate
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.tables import AnyText, Base

from .conftest import OpenStore, start_conversation

REBUILD = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    with op.batch_alter_table("conversations", recreate="always") as table:
        table.add_column(sa.Column("pinned", sa.Integer()))
    FAIL
"""


@pytest.fixture
def later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, to which a test adds what a later version brings; the path holds a % on purpose."""
    copy = tmp_path / "100%" / "migrations"
    shutil.copytree(migrate.MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate, "MIGRATIONS", copy)
    return copy / "versions"


def test_the_migrations_build_the_tables_of_the_program() -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        assert differences(connection), "an empty database must differ"
        migrate.upgrade(connection)
        assert differences(connection) == []
    engine.dispose()


async def test_an_up_to_date_database_is_opened_even_while_another_writes(
    store: HistoryStore, database: Path, open_store: OpenStore
) -> None:
    conversation, messages = await start_conversation(store, "Hi")
    blocker = sqlite3.connect(database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        again = await open_store()
        assert await again.branch(conversation.id) == messages
    finally:
        blocker.close()


async def test_rebuilding_a_table_keeps_the_messages_and_their_foreign_keys(
    store: HistoryStore, open_store: OpenStore, later_version: Path, database: Path
) -> None:
    conversation, messages = await start_conversation(store, "Hi", "Hello!")
    await store.close()
    (later_version / "0002_pinned.py").write_text(REBUILD.replace("FAIL", ""))

    later = await open_store()

    assert "pinned" in columns(database)
    assert await later.branch(conversation.id) == messages
    await later.delete(conversation.id)
    await later.purge(-messages[0].created_at.resolution)
    assert await later.message(messages[0].id) is None
    assert sqlite_rows(database, "SELECT count(*) FROM messages") == [(0,)]


async def test_a_migration_that_fails_changes_nothing(
    store: HistoryStore, open_store: OpenStore, later_version: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation, messages = await start_conversation(store, "Hi")
    await store.close()
    (later_version / "0002_pinned.py").write_text(REBUILD.replace("FAIL", 'op.execute("SELECT nonsense")'))

    with pytest.raises(HistoryError, match="nonsense"):
        await open_store()

    assert "pinned" not in columns(database)
    monkeypatch.undo()
    assert await (await open_store()).branch(conversation.id) == messages


async def test_a_database_of_a_newer_version_is_not_touched(
    store: HistoryStore, open_store: OpenStore, database: Path
) -> None:
    await store.close()
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(HistoryError, match="written by a newer version") as caught:
        await open_store()

    assert str(database) in str(caught.value)
    assert sqlite_rows(database, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_the_next_migration_is_written_from_the_tables(later_version: Path) -> None:
    extra = Column("note", AnyText)
    table = Base.metadata.tables["preferences"]
    table.append_column(extra)
    try:
        migrate.write_migration("Add notes")
    finally:
        table._columns.remove(extra)

    text = (later_version / "0002_add_notes.py").read_text()
    assert "sa.Column('note', sa.Text(), nullable=True)" in text
    assert "localchat_ui" not in text


def columns(database: Path) -> set[object]:
    return {row[1] for row in sqlite_rows(database, "PRAGMA table_info(conversations)")}


def sqlite_rows(database: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
