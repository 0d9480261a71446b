"""What administrators do. Every method checks that the visitor is an administrator now, and writes to the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

from localchat_ui.access.accounts.accounts import Accounts
from localchat_ui.access.accounts.errors import NotAdminError
from localchat_ui.access.accounts.own_account import session_of_page
from localchat_ui.access.audit import audit
from localchat_ui.access.quotas import EVERYBODY, Quota, Quotas
from localchat_ui.access.visitor import User
from localchat_ui.history.user_data import UserData
from localchat_ui.text import Text


class Administration:
    """All methods raise AccountError, and HistoryError when the database is unavailable. None reads a conversation.

    `end_expired` closes the pages of sessions that have ended and of users whose rights have changed.
    """

    def __init__(self, accounts: Accounts, quotas: Quotas, end_expired: Callable[[], Awaitable[None]]) -> None:
        self._accounts = accounts
        self._quotas = quotas
        self._end_expired = end_expired

    async def require_admin(self) -> User:
        """The administrator of this page. Raises NotAdminError for anybody else."""
        visitor, user = await session_of_page(self._accounts)
        if not user.is_admin:
            audit("administration refused", user=user.name, address=visitor.address)
            raise NotAdminError(Text("Only administrators may do this."))
        return user

    @asynccontextmanager
    async def audited(self, event: str, **details: object) -> AsyncIterator[None]:
        """A block for administrators only. The event is logged when the block succeeds."""
        admin = await self.require_admin()
        yield
        audit(event, by=admin.name, **details)

    async def users(self) -> list[User]:
        """Sorted by name."""
        await self.require_admin()
        return await self._accounts.users.all()

    async def add_user(self, name: str, password: str, *, is_admin: bool = False) -> User:
        async with self.audited("user added", user=name, admin=is_admin):
            return await self._accounts.users.add(name, password, is_admin=is_admin)

    async def set_admin(self, name: str, is_admin: bool) -> None:
        """The open pages of that user reload. The last administrator stays one."""
        async with self.audited("user made admin" if is_admin else "user no longer admin", user=name):
            await self._accounts.users.set_admin(name, is_admin)
        await self._end_expired()

    async def set_password(self, name: str, password: str) -> None:
        """Ends all sessions of that user."""
        async with self.audited("user password set", user=name):
            await self._accounts.users.set_password(name, password)
        await self._end_expired()

    async def user_data(self, name: str) -> UserData:
        """How much a user has stored; never what."""
        await self.require_admin()
        return await self._accounts.users.data(name)

    async def remove_user(self, name: str, *, give_to: str | None = None, erase: bool = False) -> UserData:
        """Remove a user; the data is given away or erased as `Users.remove` says. The last administrator stays."""
        async with self.audited("user removed", user=name, given_to=give_to or "nobody"):
            data = await self._accounts.users.remove(name, give_to=give_to, erase=erase, keep_an_admin=True)
        await self._end_expired()
        return data

    async def quotas(self) -> dict[str, Quota]:
        """The quotas set by administrators, by user id, or EVERYBODY."""
        await self.require_admin()
        return await self._quotas.stored()

    @property
    def default_quota(self) -> Quota:
        """What applies to users while administrators have set nothing."""
        return self._quotas.default

    async def set_quota(self, quota: Quota, user: User | None = None) -> None:
        """For one user or for everybody. It overrides the settings."""
        async with self.audited("limits set", user=user.name if user else "everybody", **asdict(quota)):
            await self._quotas.store(quota, user.id if user else EVERYBODY)
