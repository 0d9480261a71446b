"""API keys: created, listed, revoked, and looked up by the requests that bring them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update

from localchat_ui.access.accounts.errors import AccountError
from localchat_ui.access.accounts.users import normalized, user_id_of, user_of_row
from localchat_ui.access.database import AccessDatabase, rows_changed
from localchat_ui.access.tables import ApiKeyRow, UserRow, fingerprint
from localchat_ui.access.visitor import User
from localchat_ui.conversation import new_id, utc_now
from localchat_ui.text import Text

KEY_PREFIX = "lc-"
MAX_LABEL_LENGTH = 80
MAX_KEYS_PER_USER = 20  # each has its own number of requests a minute


@dataclass(frozen=True)
class ApiKey:
    """Everything about a key but the key itself, which is not stored."""

    id: str
    label: str
    created_at: datetime
    last_used_at: datetime | None


class ApiKeys:
    """The keys of all users. Methods raise HistoryError when the database is unavailable."""

    def __init__(self, database: AccessDatabase) -> None:
        self._database = database

    async def create(self, user_name: str, label: str = "") -> str:
        """A new key; it cannot be read again later. Raises AccountError for an unknown user and for too many keys."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        row = ApiKeyRow(id=new_id(), hash=fingerprint(key), label=label.strip()[:MAX_LABEL_LENGTH])
        row.created_at = utc_now()
        async with self._database.begin(clear_cache=True) as session:
            row.user_id = await user_id_of(session, user_name)
            session.add(row)
            await session.flush()
            count = select(func.count()).where(ApiKeyRow.user_id == row.user_id)
            if (await session.scalar(count) or 0) > MAX_KEYS_PER_USER:
                raise AccountError(
                    Text(
                        "{n} keys are the most. Revoke one that is no longer needed.",
                        n=MAX_KEYS_PER_USER,
                    )
                )
        return key

    async def of(self, user_name: str) -> list[ApiKey]:
        """The keys of a user, oldest first."""
        statement = select(ApiKeyRow).join(UserRow, UserRow.id == ApiKeyRow.user_id)
        statement = statement.where(UserRow.name == normalized(user_name)).order_by(ApiKeyRow.created_at)
        async with self._database.begin() as session:
            rows = await session.scalars(statement)
            return [ApiKey(row.id, row.label, row.created_at, row.last_used_at) for row in rows]

    async def revoke(self, user_name: str, key_id: str) -> None:
        """Raises AccountError when this user has no such key."""
        user_id = select(UserRow.id).where(UserRow.name == normalized(user_name)).scalar_subquery()
        statement = delete(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.user_id == user_id)
        async with self._database.begin(clear_cache=True) as session:
            if not await rows_changed(session, statement):
                raise AccountError(Text("{user_name} has no key {key_id}.", user_name=user_name, key_id=key_id))

    async def exists(self, key_id: str) -> bool:
        """False once it is revoked."""
        async with self._database.begin() as session:
            return await session.get(ApiKeyRow, key_id) is not None

    async def authenticate(self, key: str) -> tuple[str, User] | None:
        """The id and the user of a key; None when it is wrong or revoked. Stores when it was used, to the minute."""
        hashed = fingerprint(key)
        return await self._database.cached(f"key {hashed}", lambda: self._find(hashed))

    async def _find(self, hashed: str) -> tuple[str, User] | None:
        statement = select(ApiKeyRow.id, UserRow).join(UserRow, UserRow.id == ApiKeyRow.user_id)
        async with self._database.begin() as session:
            row = (await session.execute(statement.where(ApiKeyRow.hash == hashed))).first()
            if row is None:
                return None
            now = utc_now()
            is_old = ApiKeyRow.last_used_at.is_(None) | (ApiKeyRow.last_used_at < now - timedelta(minutes=1))
            await session.execute(update(ApiKeyRow).where(ApiKeyRow.id == row[0], is_old).values(last_used_at=now))
            return str(row[0]), user_of_row(row[1])
