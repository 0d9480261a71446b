"""People, what they log in with, and the keys of their programs, kept in the database."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from localchat_ui.access.database import AccessDatabase, n_changed
from localchat_ui.access.tables import ApiKeyRow, QuotaRow, SessionRow, UsageRow, UserRow
from localchat_ui.access.visitor import User
from localchat_ui.conversation import new_id, utc_now
from localchat_ui.history import user_data
from localchat_ui.history.user_data import UserData

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}", re.ASCII)
SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024  # longer ones would only make the hash slow
KEY_PREFIX = "lc-"
LONGEST_LABEL = 80
MOST_KEYS = 20  # each has its own number of requests a minute
HASHES_AT_A_TIME = 2  # each takes 64 MiB and all of a core


class AccountError(Exception):
    """Something cannot be done with an account; its text can be shown as it is."""


class UserDataError(AccountError):
    """Somebody has written something, and nobody has said what becomes of it."""


@dataclass(frozen=True)
class ApiKey:
    """All there is to know of a key, except the key."""

    id: str
    label: str
    created_at: datetime
    last_used_at: datetime | None


class Accounts(AccessDatabase):
    """Every method may raise HistoryError when the database cannot be used."""

    def __init__(self, database_url: str, session_days: float = 30, hasher: PasswordHasher | None = None) -> None:
        super().__init__(database_url)
        self._lifetime = timedelta(days=session_days)
        self._hasher = hasher or PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_A_TIME)
        self._nobodys_hash = ""

    # People

    async def has_users(self) -> bool:
        """Whether anybody has an account, so that everybody must log in."""
        known, answer = self.recall("has users")
        if not known:
            async with self.reading() as session:
                answer = self.remember("has users", bool(await session.scalar(select(exists(select(UserRow.id))))))
        return bool(answer)

    async def users(self) -> list[User]:
        """All of them, by name."""
        async with self.reading() as session:
            return [_user_of(row) for row in await session.scalars(select(UserRow).order_by(UserRow.name))]

    async def add(self, name: str, password: str, *, is_admin: bool = False) -> User:
        """Raises AccountError for a name that is taken or not allowed, and for a bad password."""
        name = clean_name(name)
        if not NAME.fullmatch(name):
            raise AccountError("A name has up to 64 letters, digits or . _ @ -, and begins with a letter or digit.")
        row = UserRow(id=new_id(), name=name, is_admin=is_admin, created_at=utc_now())
        row.password_hash = await self._hash(password)
        async with self.writing() as session:
            session.add(row)
            try:
                await session.flush()
            except IntegrityError:
                raise AccountError(f"There is a user {name} already.") from None
            return _user_of(row)

    async def user_data(self, name: str) -> UserData:
        """What a person has written; raises AccountError."""
        async with self.reading() as session:
            return await user_data.user_data_of(session, await _id_of(session, name))

    async def remove(
        self, name: str, *, give_to: str | None = None, erase: bool = False, keep_an_admin: bool = False
    ) -> UserData:
        """Forget a person, with all sessions, keys and limits; what there was of conversations and saved prompts.

        They go to `give_to`, or are erased for good. Raises AccountError; UserDataError when neither is said and
        there are some.
        """
        async with self.writing() as session:
            user_id = await session.scalar(
                delete(UserRow).where(UserRow.name == clean_name(name)).returning(UserRow.id)
            )
            if user_id is None:
                raise _unknown(name)
            if keep_an_admin:
                await _require_an_admin(session)
            await session.execute(delete(QuotaRow).where(QuotaRow.user_id == user_id))
            await session.execute(delete(UsageRow).where(UsageRow.person == User(user_id, "").usage_key))
            theirs = await user_data.user_data_of(session, user_id)
            if give_to is not None:
                await user_data.hand_over(session, user_id, clean_name(name), await _id_of(session, give_to))
            elif erase or not theirs:
                await user_data.erase(session, user_id)
            else:
                raise UserDataError(f"{clean_name(name)} has {theirs}. Erase them, or give them to somebody.")
            return theirs

    async def set_admin(self, name: str, is_admin: bool) -> None:
        """Raises AccountError for the last one who may administrate."""
        async with self.writing() as session:
            same = UserRow.name == clean_name(name)
            if not await n_changed(session, update(UserRow).where(same).values(is_admin=is_admin)):
                raise _unknown(name)
            await _require_an_admin(session)

    async def set_password(self, name: str, password: str) -> None:
        """Ends all sessions of that person; raises AccountError."""
        hashed = await self._hash(password)
        async with self.writing() as session:
            same = UserRow.name == clean_name(name)
            if not await n_changed(session, update(UserRow).where(same).values(password_hash=hashed)):
                raise _unknown(name)
            user_id = select(UserRow.id).where(same).scalar_subquery()
            await session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))

    async def change_password(self, user: User, present: str, password: str, session_id: str) -> bool:
        """Of somebody who is logged in, and stays so in this session alone; False when the present one is wrong.

        Raises AccountError for a new one that is not allowed.
        """
        check_password(password)
        async with self.reading() as session:
            before = await session.scalar(select(UserRow.password_hash).where(UserRow.id == user.id))
        if before is None or not await self._in_thread(self._verify, before, present[:LONGEST_PASSWORD]):
            return False
        hashed = await self._hash(password)
        async with self.writing() as session:
            same = (UserRow.id == user.id) & (UserRow.password_hash == before)
            if not await n_changed(session, update(UserRow).where(same).values(password_hash=hashed)):
                return False
            await session.execute(_others(user, session_id))
        return True

    # Sessions

    async def log_in(self, name: str, password: str, old_secret: str = "") -> tuple[User, str] | None:
        """Who it is, and the secret of a new session in place of the old one; None when name or password is wrong.

        A wrong name takes as long as a wrong password.
        """
        self._nobodys_hash = self._nobodys_hash or await self._in_thread(self._hasher.hash, secrets.token_hex())
        async with self.reading() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == clean_name(name)))
            user = _user_of(row) if row else None
            hashed = row.password_hash if row else self._nobodys_hash
        is_right = await self._in_thread(self._verify, hashed, password[:LONGEST_PASSWORD])
        if user is None or not is_right:
            return None
        rehashed = hashed
        if self._hasher.check_needs_rehash(hashed):
            rehashed = await self._in_thread(self._hasher.hash, password)
        secret, now = secrets.token_urlsafe(32), utc_now()
        async with self.writing() as session:
            # Another password may have been set while this one was looked at.
            same = (UserRow.id == user.id) & (UserRow.password_hash == hashed)
            if not await n_changed(session, update(UserRow).where(same).values(password_hash=rehashed)):
                return None
            over = (SessionRow.expires_at <= now) | (SessionRow.id == fingerprint(old_secret))
            await session.execute(delete(SessionRow).where(over))
            expires_at = now + self._lifetime
            session.add(SessionRow(id=fingerprint(secret), user_id=user.id, created_at=now, expires_at=expires_at))
        return user, secret

    async def user_of_session(self, session_id: str) -> User | None:
        """Whose session this is; None when it has ended. The id is the `fingerprint` of the secret."""
        known, user = self.recall(f"session {session_id}")
        if not known:
            statement = select(UserRow).join(SessionRow, SessionRow.user_id == UserRow.id)
            statement = statement.where(SessionRow.id == session_id, SessionRow.expires_at > utc_now())
            async with self.reading() as session:
                row = await session.scalar(statement)
                user = self.remember(f"session {session_id}", _user_of(row) if row else None)
        return user if isinstance(user, User) else None

    async def log_out(self, session_id: str) -> None:
        """End a session; one that has ended does no harm."""
        async with self.writing() as session:
            await session.execute(delete(SessionRow).where(SessionRow.id == session_id))

    async def log_out_elsewhere(self, user: User, session_id: str) -> int:
        """End all sessions of a person but one; how many there were."""
        async with self.writing() as session:
            return await n_changed(session, _others(user, session_id))

    # Keys of programs

    async def create_key(self, name: str, label: str = "") -> str:
        """A new API key, which cannot be read again later; raises AccountError."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        async with self.reading() as session:
            user_id = await _id_of(session, name)
        label = label.strip()[:LONGEST_LABEL]
        async with self.writing() as session:
            session.add(
                ApiKeyRow(id=new_id(), user_id=user_id, hash=fingerprint(key), label=label, created_at=utc_now())
            )
            await session.flush()
            theirs = select(func.count()).where(ApiKeyRow.user_id == user_id)
            if (await session.scalar(theirs) or 0) > MOST_KEYS:
                raise AccountError(f"{MOST_KEYS} keys are the most. Revoke one that is no longer needed.")
        return key

    async def keys(self, name: str) -> list[ApiKey]:
        """The oldest first."""
        statement = select(ApiKeyRow).join(UserRow, UserRow.id == ApiKeyRow.user_id)
        statement = statement.where(UserRow.name == clean_name(name)).order_by(ApiKeyRow.created_at)
        async with self.reading() as session:
            rows = await session.scalars(statement)
            return [ApiKey(row.id, row.label, row.created_at, row.last_used_at) for row in rows]

    async def revoke_key(self, name: str, key_id: str) -> None:
        """Raises AccountError when that person has no such key."""
        user_id = select(UserRow.id).where(UserRow.name == clean_name(name)).scalar_subquery()
        async with self.writing() as session:
            statement = delete(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.user_id == user_id)
            if not await n_changed(session, statement):
                raise AccountError(f"{name} has no key {key_id}.")

    async def has_key(self, key_id: str) -> bool:
        """Whether it was not revoked."""
        async with self.reading() as session:
            return await session.get(ApiKeyRow, key_id) is not None

    async def user_of_key(self, key: str) -> tuple[str, User] | None:
        """The id of the key and whose it is; None when it is wrong or revoked. Notes the minute of its use."""
        hashed = fingerprint(key)
        known, found = self.recall(f"key {hashed}")
        if known:
            return found if isinstance(found, tuple) else None
        statement = select(ApiKeyRow.id, UserRow).join(UserRow, UserRow.id == ApiKeyRow.user_id)
        async with self.reading() as session:
            row = (await session.execute(statement.where(ApiKeyRow.hash == hashed))).first()
            answer = (str(row[0]), _user_of(row[1])) if row else None
        if answer:
            now = utc_now()
            is_old = ApiKeyRow.last_used_at.is_(None) | (ApiKeyRow.last_used_at < now - timedelta(minutes=1))
            async with self.reading() as session:
                used = update(ApiKeyRow).where(ApiKeyRow.id == answer[0], is_old)
                await session.execute(used.values(last_used_at=now))
        self.remember(f"key {hashed}", answer)
        return answer

    async def _hash(self, password: str) -> str:
        check_password(password)
        return str(await self._in_thread(self._hasher.hash, password))

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Any, *arguments: str) -> Any:
        async with self._hashing:
            return await asyncio.to_thread(work, *arguments)


def fingerprint(secret: str) -> str:
    """What is kept of a session's or key's secret. They are random and long, so no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_password(password: str) -> None:
    """Raises AccountError for one that is not allowed."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise AccountError(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")


def clean_name(name: str) -> str:
    return name.strip().lower()


def _user_of(row: UserRow) -> User:
    return User(row.id, row.name, row.is_admin)


def _unknown(name: str) -> AccountError:
    return AccountError(f"There is no user {clean_name(name)}.")


async def _id_of(session: AsyncSession, name: str) -> str:
    user_id = await session.scalar(select(UserRow.id).where(UserRow.name == clean_name(name)))
    if user_id is None:
        raise _unknown(name)
    return user_id


def _others(user: User, session_id: str) -> Any:
    return delete(SessionRow).where(SessionRow.user_id == user.id, SessionRow.id != session_id)


async def _require_an_admin(session: AsyncSession) -> None:
    """Called after the change, which is undone with the transaction. Two admins cannot take it from each other."""
    if not (await session.scalars(select(UserRow.id).where(UserRow.is_admin).with_for_update())).first():
        raise AccountError("The last administrator has to stay one.")
