"""Alembic runs this for every command; migrate.py hands in the connection and owns its transaction."""

from typing import Any, Literal

from alembic import context
from sqlalchemy.types import TypeDecorator

import localchat_ui.access.tables  # noqa: F401 - they belong to the same database
from localchat_ui.history.migrate import is_table_of_ours
from localchat_ui.history.tables import Base


def render_plain(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Write sa.Text() for AnyText(): a migration must not change because the program's own types do."""
    return f"sa.{item.impl!r}" if kind == "type" and isinstance(item, TypeDecorator) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_item=render_plain,
    include_name=is_table_of_ours,
    render_as_batch=True,  # SQLite changes a table by copying it
)
context.run_migrations()
