"""What people do with their own account. Every method looks first whether the session of the page still holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from localchat_ui.access.accounts.accounts import AccountError, Accounts, ApiKey
from localchat_ui.access.audit import audit
from localchat_ui.access.errors import AccessError
from localchat_ui.access.quotas import LoginAttempts
from localchat_ui.access.visitor import User, Visitor, current_visitor


class LoggedOutError(AccountError):
    """The session of this page has ended, or never was one of a person."""


class OwnAccount:
    """All methods raise AccountError with words for people, and HistoryError."""

    def __init__(self, accounts: Accounts, attempts: LoginAttempts, end_pages: Callable[[], Awaitable[None]]) -> None:
        self._accounts = accounts
        self._attempts = attempts
        self._end_pages = end_pages

    async def session(self) -> tuple[Visitor, User]:
        """Whose page this is, as the database knows them now."""
        return await session_of_page(self._accounts)

    async def change_password(self, present: str, password: str) -> None:
        """Ends all other sessions. Who guesses the present password waits, as at the login."""
        visitor, user = await self.session()
        try:
            await self._attempts.check(visitor.address, user.name)
        except AccessError as refusal:
            raise AccountError(refusal.message) from None
        # Counted before the slow part, so that guesses at the same time do not slip through.
        await self._attempts.failed(visitor.address, user.name)
        if not await self._accounts.change_password(user, present, password, visitor.session_id):
            audit("password not changed", user=user.name, address=visitor.address)
            raise AccountError("That is not your present password.")
        audit("password changed", user=user.name, address=visitor.address)
        await self._end_pages()

    async def log_out_elsewhere(self) -> int:
        """End all other sessions, with their live pages; how many there were."""
        visitor, user = await self.session()
        ended = await self._accounts.log_out_elsewhere(user, visitor.session_id)
        audit("logout elsewhere", user=user.name, address=visitor.address, sessions=ended)
        await self._end_pages()
        return ended

    async def keys(self) -> list[ApiKey]:
        """The oldest first."""
        _, user = await self.session()
        return await self._accounts.keys(user.name)

    async def create_key(self, label: str) -> str:
        """A new API key, which cannot be read again later."""
        visitor, user = await self.session()
        key = await self._accounts.create_key(user.name, label)
        audit("key made", user=user.name, address=visitor.address, label=label)
        return key

    async def revoke_key(self, key_id: str) -> None:
        visitor, user = await self.session()
        await self._accounts.revoke_key(user.name, key_id)
        audit("key revoked", user=user.name, address=visitor.address, key=key_id)
        await self._end_pages()


async def session_of_page(accounts: Accounts) -> tuple[Visitor, User]:
    """Whoever acts on the page, if their login still holds; an API key is none. Raises LoggedOutError."""
    visitor = current_visitor()
    user = await accounts.user_of_session(visitor.session_id) if visitor and visitor.auth_method == "session" else None
    if visitor is None or user is None:
        raise LoggedOutError("You are logged out. Load the page again to log in.")
    return visitor, user
