"""Drafts of titles, and the text of attached files in the index to search in"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_RANGES = [(0x0E00, 0x11FF), (0x1780, 0x17FF), (0x2E80, 0xA4CF), (0xAC00, 0xD7FF), (0xF900, 0xFAFF)]
_RANGES += [(0xFF66, 0xFFDC), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF)]
_UNSPACED = "'*[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _RANGES) + "]*'"
_INDEXED = "{row}.state <> 'writing' AND {row}.deleted_with IS NULL"

_WORDS = "{row}.text"
# The words, then each file's name and text.
_WORDS_AND_FILES = (
    "({row}.text || coalesce((SELECT group_concat(char(10) || json_extract(value, '$.name')"
    " || char(10) || json_extract(value, '$.text'), '') FROM json_each({row}.attachments)), ''))"
)


def _forget(text: str) -> str:
    """A contentless index has to be told the text that it shall forget."""
    return (
        "INSERT INTO search_index (search_index, rowid, text)"
        f" SELECT 'delete', id, {text.format(row='old')} FROM search_entries WHERE message_id = old.id;"
        " DELETE FROM search_entries WHERE message_id = old.id;"
    )


def _enter(text: str) -> str:
    text = text.format(row="new")
    return (
        "INSERT INTO search_entries (conversation_id, message_id, unspaced)"
        f" SELECT new.conversation_id, new.id, {text} GLOB {_UNSPACED} WHERE {_INDEXED.format(row='new')};"
        " INSERT INTO search_index (rowid, text)"
        f" SELECT id, {text} FROM search_entries WHERE message_id = new.id;"
    )


_CHANGED = (
    f"({_INDEXED.format(row='old')}) <> ({_INDEXED.format(row='new')})"
    f" OR (old.text <> new.text AND {_INDEXED.format(row='new')})"
)


def _index(text: str, before: str) -> None:
    """Index this of each message, in place of what was indexed `before`."""
    for change in ("added", "changed", "removed"):
        op.execute(f"DROP TRIGGER search_message_{change}")
    entries = "search_entries JOIN messages ON messages.id = message_id WHERE messages.attachments IS NOT NULL"
    old, new = before.format(row="messages"), text.format(row="messages")
    op.execute(
        f"INSERT INTO search_index (search_index, rowid, text) SELECT 'delete', search_entries.id, {old} FROM {entries}"
    )
    op.execute(f"INSERT INTO search_index (rowid, text) SELECT search_entries.id, {new} FROM {entries}")
    op.execute(
        f"UPDATE search_entries SET unspaced = (SELECT {new} GLOB {_UNSPACED} FROM messages WHERE id = message_id)"
        " WHERE message_id IN (SELECT id FROM messages WHERE attachments IS NOT NULL)"
    )
    op.execute(f"CREATE TRIGGER search_message_added AFTER INSERT ON messages BEGIN {_enter(text)} END")
    op.execute(
        "CREATE TRIGGER search_message_changed AFTER UPDATE OF text, state, deleted_with ON messages"
        f" WHEN {_CHANGED} BEGIN {_forget(text)} {_enter(text)} END"
    )
    op.execute(f"CREATE TRIGGER search_message_removed AFTER DELETE ON messages BEGIN {_forget(text)} END")


def upgrade() -> None:
    op.add_column("conversations", sa.Column("title_is_draft", sa.Boolean(), nullable=False, server_default=sa.false()))
    if op.get_context().dialect.name == "sqlite":
        _index(_WORDS_AND_FILES, before=_WORDS)


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _index(_WORDS, before=_WORDS_AND_FILES)
    op.drop_column("conversations", "title_is_draft")
