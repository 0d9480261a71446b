"""Brings the tables of a database up to date with Alembic.

After a change to tables.py, `python -m localchat_ui.history.migrate "what changed"` writes the next migration; read it
before you commit it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine

MIGRATIONS = Path(__file__).parent / "migrations"
UPGRADE_LOCK = 7_366_201_455  # any number that nobody else takes as an advisory lock in the same PostgreSQL database


def upgrade(connection: Connection) -> None:
    """Run the migrations the database lacks, all or none; raises CommandError for a database of a newer version."""
    script = ScriptDirectory.from_config(_config(connection))
    current = set(MigrationContext.configure(connection).get_current_heads())
    if current - {revision.revision for revision in script.walk_revisions()}:
        raise CommandError(
            "it was written by a newer version of localchat_ui; install that version or choose another DATABASE_URL"
        )
    if current != set(script.get_heads()):
        _upgrade_alone(connection)
    connection.rollback()


def is_table_of_ours(name: str | None, kind: str, _parents: object) -> bool:
    """False for the index of the search, which is no table of tables.py, and which Alembic would drop for that."""
    return kind != "table" or not (name or "").startswith("search_")


def write_migration(message: str) -> None:
    """Write the next file of migrations/versions: what tables.py has and the migrations before it do not."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        upgrade(connection)
        config = _config(connection)
        number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
    engine.dispose()


def _upgrade_alone(connection: Connection) -> None:
    """Upgrade while every other process that opens the same database waits, and then finds nothing left to do."""
    sqlite = connection.dialect.name == "sqlite"
    connection.rollback()
    if sqlite:
        # SQLite changes a table by copying and dropping it. With foreign keys on, dropping conversations would
        # delete all messages; and inside a transaction they cannot be switched off.
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
    command.upgrade(_config(connection), "head")
    connection.commit()
    if sqlite:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


if __name__ == "__main__":
    write_migration(" ".join(sys.argv[1:]))
