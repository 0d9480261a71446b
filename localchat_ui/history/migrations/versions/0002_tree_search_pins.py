"""Thinking, hidden branches, pins, presets, and an index to search in"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Scripts written without spaces between words, from Thai to Tibetan and from Hangul to the rarest Han.
_RANGES = [(0x0E00, 0x11FF), (0x1780, 0x17FF), (0x2E80, 0xA4CF), (0xAC00, 0xD7FF), (0xF900, 0xFAFF)]
_RANGES += [(0xFF66, 0xFFDC), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF)]
_UNSPACED = "'*[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _RANGES) + "]*'"

_INDEXED = "{row}.state <> 'writing' AND {row}.deleted_with IS NULL"

# An entry is either a message, or with no message_id the title of a conversation. Its id is the rowid in the index:
# messages have no number of their own that VACUUM or a rebuilt table would leave alone.
_TABLES = [
    "CREATE TABLE search_entries ("
    " id INTEGER PRIMARY KEY, conversation_id VARCHAR(64) NOT NULL, message_id VARCHAR(64), unspaced BOOLEAN NOT NULL)",
    "CREATE UNIQUE INDEX search_entries_message ON search_entries (message_id) WHERE message_id IS NOT NULL",
    "CREATE UNIQUE INDEX search_entries_title ON search_entries (conversation_id) WHERE message_id IS NULL",
    "CREATE INDEX search_entries_unspaced ON search_entries (message_id, conversation_id) WHERE unspaced",
    # Contentless: the texts are in their tables already. No sizes of columns, because nothing is ranked.
    "CREATE VIRTUAL TABLE search_index USING fts5("
    "text, content='', columnsize=0, prefix='1 2 3', tokenize='unicode61 remove_diacritics 2')",
]

_FILL = [
    "INSERT INTO search_entries (conversation_id, unspaced)"
    f" SELECT id, title GLOB {_UNSPACED} FROM conversations ORDER BY created_at",
    "INSERT INTO search_entries (conversation_id, message_id, unspaced)"
    f" SELECT conversation_id, id, text GLOB {_UNSPACED} FROM messages"
    f" WHERE {_INDEXED.format(row='messages')} ORDER BY created_at",
    "INSERT INTO search_index (rowid, text)"
    " SELECT search_entries.id, title FROM search_entries JOIN conversations"
    " ON conversations.id = conversation_id WHERE message_id IS NULL ORDER BY search_entries.id",
    "INSERT INTO search_index (rowid, text)"
    " SELECT search_entries.id, text FROM search_entries JOIN messages ON messages.id = message_id"
    " ORDER BY search_entries.id",
]

_THE_TITLE = "conversation_id = {row}.id AND message_id IS NULL"
_THE_MESSAGE = "message_id = {row}.id"


def _forget(entry: str, column: str) -> str:
    """A contentless index has to be told the text that it shall forget."""
    entry = entry.format(row="old")
    return (
        "INSERT INTO search_index (search_index, rowid, text)"
        f" SELECT 'delete', id, old.{column} FROM search_entries WHERE {entry};"
        f" DELETE FROM search_entries WHERE {entry};"
    )


def _enter_title() -> str:
    return (
        "INSERT INTO search_entries (conversation_id, unspaced)"
        f" VALUES (new.id, new.title GLOB {_UNSPACED});"
        " INSERT INTO search_index (rowid, text)"
        f" SELECT id, new.title FROM search_entries WHERE {_THE_TITLE.format(row='new')};"
    )


def _enter_message() -> str:
    return (
        "INSERT INTO search_entries (conversation_id, message_id, unspaced)"
        f" SELECT new.conversation_id, new.id, new.text GLOB {_UNSPACED} WHERE {_INDEXED.format(row='new')};"
        " INSERT INTO search_index (rowid, text)"
        f" SELECT id, new.text FROM search_entries WHERE {_THE_MESSAGE.format(row='new')};"
    )


_MESSAGE_CHANGED = (
    f"({_INDEXED.format(row='old')}) <> ({_INDEXED.format(row='new')})"
    f" OR (old.text <> new.text AND {_INDEXED.format(row='new')})"
)

_TRIGGERS = [
    f"CREATE TRIGGER search_title_added AFTER INSERT ON conversations BEGIN {_enter_title()} END",
    "CREATE TRIGGER search_title_changed AFTER UPDATE OF title ON conversations WHEN old.title <> new.title"
    f" BEGIN {_forget(_THE_TITLE, 'title')} {_enter_title()} END",
    f"CREATE TRIGGER search_title_removed AFTER DELETE ON conversations BEGIN {_forget(_THE_TITLE, 'title')} END",
    f"CREATE TRIGGER search_message_added AFTER INSERT ON messages BEGIN {_enter_message()} END",
    "CREATE TRIGGER search_message_changed AFTER UPDATE OF text, state, deleted_with ON messages"
    f" WHEN {_MESSAGE_CHANGED} BEGIN {_forget(_THE_MESSAGE, 'text')} {_enter_message()} END",
    f"CREATE TRIGGER search_message_removed AFTER DELETE ON messages BEGIN {_forget(_THE_MESSAGE, 'text')} END",
]


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    op.drop_index("ix_conversations_deleted_at_updated_at", "conversations")
    op.add_column("conversations", sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_conversations_deleted_at_pinned_updated_at", "conversations", ["deleted_at", "pinned", "updated_at"]
    )
    op.drop_index("ix_messages_conversation_id", "messages")
    # SQLite adds columns at the end, behind the long text; copying the table puts them in front of it.
    with op.batch_alter_table("messages", recreate="always" if sqlite else "never") as table:
        before: dict[str, Any] = {"insert_before": "text"} if sqlite else {}
        table.add_column(sa.Column("deleted_with", sa.String(length=64), nullable=True), **before)
        table.add_column(sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True), **before)
        table.add_column(sa.Column("shown_at", sa.DateTime(timezone=True), nullable=True), **before)
        table.add_column(sa.Column("thinking", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_messages_conversation_id_parent_id", "messages", ["conversation_id", "parent_id"])
    op.create_index("ix_messages_deleted_at", "messages", ["deleted_at"])
    op.create_table(
        "presets",
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "name", name="pk_presets"),
    )
    if sqlite:
        for statement in (*_TABLES, *_FILL, *_TRIGGERS):
            op.execute(statement)


def downgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    if sqlite:
        for trigger in _TRIGGERS:
            op.execute(f"DROP TRIGGER {trigger.split()[2]}")
        op.execute("DROP TABLE search_index")
        op.execute("DROP TABLE search_entries")
    op.drop_table("presets")
    op.drop_index("ix_messages_deleted_at", "messages")
    op.drop_index("ix_messages_conversation_id_parent_id", "messages")
    with op.batch_alter_table("messages", recreate="always" if sqlite else "never") as table:
        for column in ("thinking", "shown_at", "deleted_at", "deleted_with"):
            table.drop_column(column)
    op.create_index("ix_messages_conversation_id", "messages", ["conversation_id"])
    op.drop_index("ix_conversations_deleted_at_pinned_updated_at", "conversations")
    with op.batch_alter_table("conversations") as table:
        table.drop_column("pinned")
    op.create_index("ix_conversations_deleted_at_updated_at", "conversations", ["deleted_at", "updated_at"])
