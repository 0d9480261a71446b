"""What users do with their own account. Every method checks first whether the session of the page is still valid."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from localchat_ui.access.accounts.accounts import Accounts
from localchat_ui.access.accounts.api_keys import ApiKey
from localchat_ui.access.accounts.errors import AccountError, LoggedOutError
from localchat_ui.access.audit import audit
from localchat_ui.access.errors import AccessError
from localchat_ui.access.quotas import LoginAttempts
from localchat_ui.access.visitor import User, Visitor, current_visitor
from localchat_ui.text import Text


class OwnAccount:
    """All methods raise AccountError, and HistoryError when the database is unavailable.

    `end_expired` closes the pages of sessions that have ended.
    """

    def __init__(self, accounts: Accounts, attempts: LoginAttempts, end_expired: Callable[[], Awaitable[None]]) -> None:
        self._accounts = accounts
        self._attempts = attempts
        self._end_expired = end_expired

    async def session(self) -> tuple[Visitor, User]:
        """The visitor and user of this page, as the database has them now."""
        return await session_of_page(self._accounts)

    async def change_password(self, current: str, password: str) -> None:
        """Ends all other sessions. Wrong current passwords are limited as at the login."""
        visitor, user = await self.session()
        try:
            changed = await self._attempts.limit(
                lambda: self._accounts.users.change_password(user, current, password, visitor.session_id),
                visitor.address,
                user.name,
            )
        except AccessError as error:
            raise AccountError(error.message) from None
        if not changed:
            audit("password not changed", user=user.name, address=visitor.address)
            raise AccountError(Text("That is not your current password."))
        audit("password changed", user=user.name, address=visitor.address)
        await self._end_expired()

    async def log_out_elsewhere(self) -> int:
        """End all other sessions with their open pages, and return how many there were."""
        visitor, user = await self.session()
        ended = await self._accounts.sessions.end_others(user, visitor.session_id)
        audit("logout elsewhere", user=user.name, address=visitor.address, sessions=ended)
        await self._end_expired()
        return ended

    async def keys(self) -> list[ApiKey]:
        """Oldest first."""
        _, user = await self.session()
        return await self._accounts.api_keys.of(user.name)

    async def create_key(self, label: str) -> str:
        """A new API key; it cannot be read again later."""
        visitor, user = await self.session()
        key = await self._accounts.api_keys.create(user.name, label)
        audit("key created", user=user.name, address=visitor.address, label=label)
        return key

    async def revoke_key(self, key_id: str) -> None:
        visitor, user = await self.session()
        await self._accounts.api_keys.revoke(user.name, key_id)
        audit("key revoked", user=user.name, address=visitor.address, key=key_id)
        await self._end_expired()


async def session_of_page(accounts: Accounts) -> tuple[Visitor, User]:
    """Whoever acts on the page, if logged in with a password. Raises LoggedOutError."""
    visitor = current_visitor()
    if visitor is not None and visitor.auth_method == "session":
        user = await accounts.sessions.user(visitor.session_id)
        if user is not None:
            return visitor, user
    raise LoggedOutError(Text("You are logged out. Load the page again to log in."))
