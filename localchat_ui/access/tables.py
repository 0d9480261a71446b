"""The tables of accounts and quotas. They are in the database of the history, and migrate with it."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from localchat_ui.history.tables import AnyText, Base, UtcDateTime


class UserRow(Base):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    is_admin: Mapped[bool] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SessionRow(Base):
    __tablename__ = "sessions"

    # The fingerprint of the secret in the cookie: whoever reads the database cannot log in with it.
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class ApiKeyRow(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(AnyText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class QuotaRow(Base):
    __tablename__ = "quotas"

    # EVERYBODY (empty) for all users: a primary key has no NULL.
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    # None: as the next wider rule says. 0: unlimited.
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    generations_per_user: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_day: Mapped[int | None] = mapped_column(BigInteger)


class UsageRow(Base):
    __tablename__ = "usage"

    # Visitor.usage_key: a user, or a network.
    person: Mapped[str] = mapped_column(String(200), primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    tokens: Mapped[int] = mapped_column(BigInteger)


def fingerprint(secret: str) -> str:
    """What is stored of a session's or key's secret. Secrets are random and long, so a slow hash is not needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
