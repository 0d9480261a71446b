"""The migrations build the tables the program uses, and never lose what is in them."""

from __future__ import annotations

import importlib.util
import io
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, Connection, create_engine

from localchat_ui.history import migrate
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore
from localchat_ui.history.tables import AnyText, Base

from .conftest import OpenStore, start_conversation

REBUILD = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0009", "0008"


def upgrade():
    with op.batch_alter_table("conversations", recreate="always") as table:
        table.add_column(sa.Column("mood", sa.Integer()))
    FAIL
"""


FIRST_DATA = """
INSERT INTO conversations (id, head_id, created_at, updated_at, deleted_at, title, options) VALUES
    ('c', 'a', '2024-02-29 08:30:00.000000', '2024-02-29 08:31:00.000000', NULL, 'Mountains', '{"top_k": 3}'),
    ('d', 'x', '2024-02-29 08:30:00.000000', '2024-02-29 08:31:00.000000', '2024-03-01 00:00:00.000000', 'Gone', '{}');
INSERT INTO messages (id, conversation_id, parent_id, role, state, model, created_at, error, stats, text) VALUES
    ('q', 'c', NULL, 'user', 'complete', NULL, '2024-02-29 08:30:00.000000', NULL, NULL, 'How high is Mont Blanc?'),
    ('a', 'c', 'q', 'assistant', 'complete', 'tiny.gguf', '2024-02-29 08:30:01.000000', NULL,
     '{"prompt_tokens": 12, "reply_tokens": 4, "finish_reason": "stop"}', '4806 m, in the Alps'),
    ('w', 'c', 'q', 'assistant', 'writing', 'tiny.gguf', '2024-02-29 08:30:02.000000', NULL, NULL, 'unfinished'),
    ('x', 'd', NULL, 'user', 'complete', NULL, '2024-02-29 08:30:00.000000', NULL, NULL, 'Long gone');
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
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": migrate.is_table_of_ours}
        )
        return list(compare_metadata(context, Base.metadata))

    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        assert differences(connection), "an empty database must differ"
        migrate.upgrade(connection)
        assert differences(connection) == []
    engine.dispose()


async def test_a_database_of_the_first_version_keeps_everything_and_can_be_searched(
    database: Path, open_store: OpenStore, later_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_0001(database, later_version, monkeypatch)

    store = await open_store()

    [found] = await store.conversations()
    question, answer = await store.branch("c")
    assert (found.title, found.pinned, found.options.top_k) == ("Mountains", False, 3)
    assert (question.text, question.thinking, question.stats) == ("How high is Mont Blanc?", "", None)
    assert (answer.parent_id, answer.text, answer.model) == ("q", "4806 m, in the Alps", "tiny.gguf")
    assert answer.stats
    assert (answer.stats.reply_tokens, answer.stats.sampling, answer.stats.thinking_seconds) == (4, None, 0.0)
    assert [hit.message_id for hit in await store.search("alps")] == ["a"]
    assert [hit.message_id for hit in await store.search("mountains")] == [None]
    assert await store.search("gone") == []
    assert await store.interrupt_unfinished() == 1
    assert [hit.message_id for hit in await store.search("unfinished")] == ["w"]
    assert sqlite_rows(database, "PRAGMA integrity_check") == [("ok",)]
    assert sqlite_rows(database, "PRAGMA foreign_key_check") == []


def test_the_second_migration_can_be_taken_back(
    database: Path, later_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_0001(database, later_version, monkeypatch)
    before = sqlite_rows(database, "SELECT * FROM messages ORDER BY id")
    schema = "SELECT name FROM sqlite_master ORDER BY name"
    names = sqlite_rows(database, schema)
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        migrate.upgrade(connection)
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        command.downgrade(migrate._config(connection), "0001")
        connection.commit()
    engine.dispose()

    assert sqlite_rows(database, "SELECT * FROM messages ORDER BY id") == before
    assert sqlite_rows(database, schema) == names


def test_postgresql_gets_the_same_tables_without_the_index_of_sqlite() -> None:
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written, "literal_binds": True}
    )
    with Operations.context(context):
        for path in sorted((migrate.MIGRATIONS / "versions").glob("*.py")):
            upgrade_of(path)()

    sql = written.getvalue()
    assert "ALTER TABLE conversations ADD COLUMN pinned BOOLEAN DEFAULT false NOT NULL" in sql
    assert "ALTER TABLE messages ADD COLUMN thinking TEXT DEFAULT '' NOT NULL" in sql
    assert "CREATE TABLE presets" in sql
    assert "search_" not in sql
    assert "DROP TABLE" not in sql


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
    await store.database.close()
    (later_version / "0006_mood.py").write_text(REBUILD.replace("FAIL", ""))

    later = await open_store()

    assert "mood" in columns(database)
    assert await later.branch(conversation.id) == messages
    await later.delete(conversation.id)
    await later.purge(-messages[0].created_at.resolution)
    assert await later.message(messages[0].id) is None
    assert sqlite_rows(database, "SELECT count(*) FROM messages") == [(0,)]


async def test_a_migration_that_fails_changes_nothing(
    store: HistoryStore, open_store: OpenStore, later_version: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation, messages = await start_conversation(store, "Hi")
    await store.database.close()
    (later_version / "0006_mood.py").write_text(REBUILD.replace("FAIL", 'op.execute("SELECT nonsense")'))

    with pytest.raises(HistoryError, match="nonsense"):
        await open_store()

    assert "mood" not in columns(database)
    monkeypatch.undo()
    assert await (await open_store()).branch(conversation.id) == messages


async def test_a_database_of_a_newer_version_is_not_touched(
    store: HistoryStore, open_store: OpenStore, database: Path
) -> None:
    await store.database.close()
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

    text = (later_version / "0009_add_notes.py").read_text()
    assert "sa.Column('note', sa.Text(), nullable=True)" in text
    assert "localchat_ui" not in text


def made_by_0001(database: Path, versions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as the first version of the program left it."""
    with monkeypatch.context() as first_version:
        first_version.setattr(migrate, "MIGRATIONS", versions.parent.parent / "first")
        keep_out = shutil.ignore_patterns("__pycache__", "000[2-9]*")
        shutil.copytree(versions.parent, migrate.MIGRATIONS, ignore=keep_out)
        database.parent.mkdir(parents=True)
        engine = create_engine(f"sqlite:///{database}")
        with engine.connect() as connection:
            migrate.upgrade(connection)
        engine.dispose()
    connection = sqlite3.connect(database)
    with connection:
        connection.executescript(FIRST_DATA)
    connection.close()


def upgrade_of(path: Path) -> Callable[[], None]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    upgrade: Callable[[], None] = module.upgrade
    return upgrade


def columns(database: Path) -> set[object]:
    return {row[1] for row in sqlite_rows(database, "PRAGMA table_info(conversations)")}


def sqlite_rows(database: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
