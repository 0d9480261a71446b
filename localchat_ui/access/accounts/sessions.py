"""Login sessions: begun with a password, looked up by the cookies of requests, ended by time and by logout."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, select, update

from localchat_ui.access.accounts.passwords import Passwords
from localchat_ui.access.accounts.users import normalized, user_of_row
from localchat_ui.access.database import AccessDatabase, rows_changed
from localchat_ui.access.tables import SessionRow, UserRow, fingerprint
from localchat_ui.access.visitor import User
from localchat_ui.conversation import utc_now


class Sessions:
    """A session's id is the `fingerprint` of its secret. Methods raise HistoryError if the database is unavailable."""

    def __init__(self, database: AccessDatabase, passwords: Passwords, lifetime: timedelta) -> None:
        self._database = database
        self._passwords = passwords
        self._lifetime = lifetime

    async def log_in(self, name: str, password: str, old_secret: str = "") -> tuple[User, str] | None:
        """The user and the secret of a new session, which replaces the old one; None for a wrong name or password.

        A wrong name takes as long as a wrong password.
        """
        async with self._database.begin() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == normalized(name)))
            user, hashed = (user_of_row(row), row.password_hash) if row else (None, None)
        is_right = await self._passwords.verify(password, hashed)
        if user is None or hashed is None or not is_right:
            return None
        rehashed = await self._passwords.rehash_if_needed(password, hashed)
        secret, now = secrets.token_urlsafe(32), utc_now()
        async with self._database.begin(clear_cache=True) as session:
            # Unless the password was changed while this one was verified.
            unchanged = (UserRow.id == user.id) & (UserRow.password_hash == hashed)
            if not await rows_changed(session, update(UserRow).where(unchanged).values(password_hash=rehashed)):
                return None
            ended = (SessionRow.expires_at <= now) | (SessionRow.id == fingerprint(old_secret))
            await session.execute(delete(SessionRow).where(ended))
            expires_at = now + self._lifetime
            session.add(SessionRow(id=fingerprint(secret), user_id=user.id, created_at=now, expires_at=expires_at))
        return user, secret

    async def user(self, session_id: str) -> User | None:
        """Whose session this is; None when it has ended."""
        return await self._database.cached(f"session {session_id}", lambda: self._find(session_id))

    async def end(self, session_id: str) -> None:
        """Does nothing when it has ended already."""
        async with self._database.begin(clear_cache=True) as session:
            await session.execute(delete(SessionRow).where(SessionRow.id == session_id))

    async def end_others(self, user: User, session_id: str) -> int:
        """End all sessions of a user but this one, and return how many there were."""
        others = delete(SessionRow).where(SessionRow.user_id == user.id, SessionRow.id != session_id)
        async with self._database.begin(clear_cache=True) as session:
            return await rows_changed(session, others)

    async def _find(self, session_id: str) -> User | None:
        statement = select(UserRow).join(SessionRow, SessionRow.user_id == UserRow.id)
        statement = statement.where(SessionRow.id == session_id, SessionRow.expires_at > utc_now())
        async with self._database.begin() as session:
            row = await session.scalar(statement)
            return user_of_row(row) if row else None
