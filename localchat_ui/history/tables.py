"""The tables of the history. A change here needs a migration: see migrate.py.

The index of the search is not here, because only SQLite has it: see migrations/versions/0002 and search.py.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    exists,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite drops the time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(timezone.utc) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc) if value else None


class AnyText(TypeDecorator[str]):
    """Text from people and models, who also produce what databases refuse: NUL and halves of surrogate pairs."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")


class Base(DeclarativeBase):
    # Named constraints, because a later migration can only change what it can name.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ConversationRow(Base):
    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner_id: Mapped[str | None] = mapped_column(String(64))
    # No foreign key: it would make the two tables depend on each other in a circle.
    head_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    title: Mapped[str] = mapped_column(AnyText)
    options: Mapped[Any] = mapped_column(JSON)
    pinned: Mapped[bool] = mapped_column(server_default=false())
    title_is_draft: Mapped[bool] = mapped_column(server_default=false())

    __table_args__ = (Index(None, "deleted_at", "pinned", "updated_at"),)


class MessageRow(Base):
    __tablename__ = "messages"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    # Indexed, because without it every deleted message makes the foreign key scan the whole table; and without a
    # cascade of its own, because SQLite cascades only a thousand levels deep.
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("messages.id"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    model: Mapped[str | None] = mapped_column(AnyText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(AnyText)
    stats: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    # A deleted message, and everything below it, holds the id of the message whose deletion hid it.
    deleted_with: Mapped[str | None] = mapped_column(String(64))
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    # When it last became the head again; what was shown but once was shown when it was made.
    shown_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The long ones come last: SQLite would have to read past them to get at the others.
    text: Mapped[str] = mapped_column(AnyText)
    thinking: Mapped[str] = mapped_column(AnyText, server_default="")
    attachments: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (Index(None, "conversation_id", "parent_id"),)


class PresetRow(Base):
    __tablename__ = "presets"

    # Empty for nobody: a primary key has no NULL.
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    text: Mapped[str] = mapped_column(AnyText)


class PreferenceRow(Base):
    __tablename__ = "preferences"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class ComparisonRow(Base):
    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    title: Mapped[str] = mapped_column(AnyText)
    blind: Mapped[bool] = mapped_column(server_default=false())

    __table_args__ = (Index(None, "owner_id", "created_at"),)


class ColumnRow(Base):
    """Makes a conversation a column of a comparison: it stands in no list then."""

    __tablename__ = "comparison_columns"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id", ondelete="CASCADE"), index=True)
    place: Mapped[int] = mapped_column()
    model: Mapped[str] = mapped_column(AnyText)


class VoteRow(Base):
    __tablename__ = "votes"

    # No foreign key: a vote outlives the comparison it was given in.
    comparison_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner_id: Mapped[str | None] = mapped_column(String(64), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    choice: Mapped[str] = mapped_column(String(8))
    a: Mapped[str] = mapped_column(AnyText)
    b: Mapped[str] = mapped_column(AnyText)
    a_tokens_per_second: Mapped[float | None] = mapped_column(Float)
    b_tokens_per_second: Mapped[float | None] = mapped_column(Float)
    a_memory: Mapped[int | None] = mapped_column(BigInteger)
    b_memory: Mapped[int | None] = mapped_column(BigInteger)


def is_no_column() -> ColumnElement[bool]:
    """Of conversations: those that belong to no comparison."""
    return ~exists().where(ColumnRow.conversation_id == ConversationRow.id)
