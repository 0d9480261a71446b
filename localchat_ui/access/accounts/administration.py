"""What administrators do. Every method looks first whether whoever acts is one at this moment, and is written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

from localchat_ui.access.accounts.accounts import AccountError, Accounts
from localchat_ui.access.accounts.own_account import session_of_page
from localchat_ui.access.audit import audit
from localchat_ui.access.quotas import EVERYBODY, Quota, Quotas
from localchat_ui.access.visitor import User
from localchat_ui.history.user_data import UserData


class NotAdminError(AccountError):
    """Only administrators may do this."""


class Administration:
    """All methods raise AccountError with words for people, and HistoryError. None of them reads a conversation."""

    def __init__(self, accounts: Accounts, quotas: Quotas, end_pages: Callable[[], Awaitable[None]]) -> None:
        self._accounts = accounts
        self._quotas = quotas
        self._end_pages = end_pages

    async def require(self) -> User:
        """Who administrates here. Raises NotAdminError for anybody else."""
        visitor, user = await session_of_page(self._accounts)
        if not user.is_admin:
            audit("administration refused", user=user.name, address=visitor.address)
            raise NotAdminError("Only administrators may do this.")
        return user

    @asynccontextmanager
    async def acting(self, event: str, **details: object) -> AsyncIterator[None]:
        """Something only administrators may do; it is written down when it was done."""
        admin = await self.require()
        yield
        audit(event, by=admin.name, **details)

    async def users(self) -> list[User]:
        """All of them, by name."""
        await self.require()
        return await self._accounts.users()

    async def add_user(self, name: str, password: str, *, is_admin: bool = False) -> User:
        async with self.acting("user added", user=name, admin=is_admin):
            return await self._accounts.add(name, password, is_admin=is_admin)

    async def set_admin(self, name: str, is_admin: bool) -> None:
        """The pages of that person load again. The last administrator stays one."""
        async with self.acting("user made admin" if is_admin else "user no longer admin", user=name):
            await self._accounts.set_admin(name, is_admin)
        await self._end_pages()

    async def set_password(self, name: str, password: str) -> None:
        """Ends all sessions of that person."""
        async with self.acting("user password set", user=name):
            await self._accounts.set_password(name, password)
        await self._end_pages()

    async def user_data(self, name: str) -> UserData:
        """How much somebody has written; never what."""
        await self.require()
        return await self._accounts.user_data(name)

    async def remove_user(self, name: str, *, give_to: str | None = None, erase: bool = False) -> UserData:
        """What is written goes to somebody else, or is erased: it has to be said. The last administrator stays."""
        async with self.acting("user removed", user=name, given_to=give_to or "nobody"):
            went = await self._accounts.remove(name, give_to=give_to, erase=erase, keep_an_admin=True)
        await self._end_pages()
        return went

    async def quotas(self) -> dict[str, Quota]:
        """What was set here, by the id of the user, or for EVERYBODY."""
        await self.require()
        return await self._quotas.stored()

    @property
    def otherwise(self) -> Quota:
        """What holds for people with an account while nothing is set here."""
        return self._quotas.configured.over(self._quotas.built_in)

    async def set_quota(self, quota: Quota, user: User | None = None) -> None:
        """For one person, or for everybody; it outranks the settings."""
        async with self.acting("limits set", user=user.name if user else "everybody", **asdict(quota)):
            await self._quotas.store(quota, user.id if user else EVERYBODY)
