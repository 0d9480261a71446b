"""Users: added, listed, removed with everything that is theirs, made administrators, given passwords."""

from __future__ import annotations

import re

from sqlalchemy import delete, exists, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from localchat_ui.access.accounts.errors import AccountError, UserDataError
from localchat_ui.access.accounts.passwords import Passwords, check_password
from localchat_ui.access.database import AccessDatabase, rows_changed
from localchat_ui.access.tables import QuotaRow, SessionRow, UsageRow, UserRow
from localchat_ui.access.visitor import User
from localchat_ui.conversation import new_id, utc_now
from localchat_ui.history import user_data
from localchat_ui.history.user_data import UserData
from localchat_ui.text import Text

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}", re.ASCII)


class Users:
    """Methods raise AccountError, and HistoryError when the database is unavailable. Names ignore case."""

    def __init__(self, database: AccessDatabase, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def exist(self) -> bool:
        """Whether there is any user, so that everybody has to log in."""
        return await self._database.cached("users exist", self._any)

    async def all(self) -> list[User]:
        """Sorted by name."""
        async with self._database.begin() as session:
            return [user_of_row(row) for row in await session.scalars(select(UserRow).order_by(UserRow.name))]

    async def add(self, name: str, password: str, *, is_admin: bool = False) -> User:
        name = normalized(name)
        if not NAME.fullmatch(name):
            raise AccountError(
                Text("A name has up to 64 letters, digits or . _ @ -, and starts with a letter or digit.")
            )
        row = UserRow(id=new_id(), name=name, is_admin=is_admin, created_at=utc_now())
        row.password_hash = await self._passwords.hash(password)
        async with self._database.begin(clear_cache=True) as session:
            session.add(row)
            try:
                await session.flush()
            except IntegrityError:
                raise AccountError(Text("There is already a user {name}.", name=name)) from None
            return user_of_row(row)

    async def data(self, name: str) -> UserData:
        """How much a user has stored."""
        async with self._database.begin() as session:
            return await user_data.user_data_of(session, await user_id_of(session, name))

    async def remove(
        self, name: str, *, give_to: str | None = None, erase: bool = False, keep_an_admin: bool = False
    ) -> UserData:
        """Delete a user with all sessions, keys and limits; returns how much user data there was.

        The data goes to the user `give_to`, or is erased. Raises UserDataError when there is some and neither is asked
        for, and with `keep_an_admin` AccountError for the last administrator.
        """
        name = normalized(name)
        async with self._database.begin(clear_cache=True) as session:
            user_id = await session.scalar(delete(UserRow).where(UserRow.name == name).returning(UserRow.id))
            if user_id is None:
                raise _unknown(name)
            if keep_an_admin:
                await _require_an_admin(session)
            await session.execute(delete(QuotaRow).where(QuotaRow.user_id == user_id))
            await session.execute(delete(UsageRow).where(UsageRow.person == User(user_id, "").usage_key))
            data = await user_data.user_data_of(session, user_id)
            if give_to is not None:
                await user_data.hand_over(session, user_id, name, await user_id_of(session, give_to))
            elif erase or not data:
                await user_data.erase(session, user_id)
            else:
                raise UserDataError(
                    Text("{name} has {data}. Erase them, or give them to somebody.", name=name, data=data)
                )
            return data

    async def set_admin(self, name: str, is_admin: bool) -> None:
        """Raises AccountError for the last administrator."""
        async with self._database.begin(clear_cache=True) as session:
            statement = update(UserRow).where(UserRow.name == normalized(name)).values(is_admin=is_admin)
            if not await rows_changed(session, statement):
                raise _unknown(name)
            await _require_an_admin(session)

    async def set_password(self, name: str, password: str) -> None:
        """Ends all sessions of the user."""
        hashed = await self._passwords.hash(password)
        async with self._database.begin(clear_cache=True) as session:
            user_id = await user_id_of(session, name)
            await session.execute(update(UserRow).where(UserRow.id == user_id).values(password_hash=hashed))
            await session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))

    async def change_password(self, user: User, current: str, password: str, session_id: str) -> bool:
        """Ends all sessions of the user but this one. False when `current` is not the password."""
        check_password(password)
        async with self._database.begin() as session:
            before = await session.scalar(select(UserRow.password_hash).where(UserRow.id == user.id))
        if not await self._passwords.verify(current, before):
            return False
        hashed = await self._passwords.hash(password)
        async with self._database.begin(clear_cache=True) as session:
            unchanged = (UserRow.id == user.id) & (UserRow.password_hash == before)
            if not await rows_changed(session, update(UserRow).where(unchanged).values(password_hash=hashed)):
                return False
            others = delete(SessionRow).where(SessionRow.user_id == user.id, SessionRow.id != session_id)
            await session.execute(others)
        return True

    async def _any(self) -> bool:
        async with self._database.begin() as session:
            return bool(await session.scalar(select(exists(select(UserRow.id)))))


def normalized(name: str) -> str:
    return name.strip().lower()


def user_of_row(row: UserRow) -> User:
    return User(row.id, row.name, row.is_admin)


async def user_id_of(session: AsyncSession, name: str) -> str:
    """Raises AccountError for an unknown name."""
    user_id = await session.scalar(select(UserRow.id).where(UserRow.name == normalized(name)))
    if user_id is None:
        raise _unknown(name)
    return user_id


def _unknown(name: str) -> AccountError:
    return AccountError(Text("There is no user {name}.", name=normalized(name)))


async def _require_an_admin(session: AsyncSession) -> None:
    """Called after the change, which its transaction undoes. Two administrators cannot demote each other at once."""
    if not (await session.scalars(select(UserRow.id).where(UserRow.is_admin).with_for_update())).first():
        raise AccountError(Text("At least one administrator must remain."))
