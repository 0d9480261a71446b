"""Puts the checks of this room in front of an app, in their order, and holds what they share."""

from __future__ import annotations

from nicegui import App
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from localchat_ui.access.accounts import (
    Accounts,
    Administration,
    AuthenticationMiddleware,
    Authenticator,
    OwnAccount,
    PageOwnerMiddleware,
    PageSessions,
)
from localchat_ui.access.database import AccessDatabase
from localchat_ui.access.hardening import (
    BodyLimitMiddleware,
    ForwardedHeadersMiddleware,
    OriginMiddleware,
    SecurityHeadersMiddleware,
)
from localchat_ui.access.quotas import Quotas, RateLimitMiddleware
from localchat_ui.access.visitor import Visitor
from localchat_ui.settings import Settings

CORS_HEADERS = ["Authorization", "Content-Type", "X-Api-Key", "Anthropic-Version", "Anthropic-Beta"]


class AccessControl:
    """One for each process. Requests that come before `open` wait for it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._database = AccessDatabase(settings.resolved_database_url)
        self.accounts = Accounts(self._database, settings.session_days)
        self.quotas = Quotas(settings, self._database)
        self.authenticator = Authenticator(settings, self.accounts)
        self.page_sessions = PageSessions(self.authenticator)
        end_expired = self.page_sessions.end_expired
        self.own_account = OwnAccount(self.accounts, self.authenticator.attempts, end_expired)
        self.administration = Administration(self.accounts, self.quotas, end_expired)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """The app behind all checks. A request passes them from the last line to the first."""
        app = BodyLimitMiddleware(app, int(self.settings.max_body_mb * 1_000_000))
        app = PageOwnerMiddleware(app)
        app = RateLimitMiddleware(app, self.quotas)
        app = AuthenticationMiddleware(app, self.authenticator)
        if self.settings.cors_origin_list:
            methods = ["GET", "POST", "DELETE"]
            app = CORSMiddleware(app, self.settings.cors_origin_list, methods, CORS_HEADERS)
        app = OriginMiddleware(app, self.settings)
        app = ForwardedHeadersMiddleware(app, self.settings.trusted_proxy_list)
        return SecurityHeadersMiddleware(app)

    def protect(self, app: App) -> None:
        """Put the checks before every route and socket that the app has or gets, those that NiceGUI adds included."""
        # Not add_middleware, because ui.run() puts more around whatever was added before.
        app.build_middleware_stack = lambda: self.middleware(type(app).build_middleware_stack(app))  # type: ignore[method-assign]
        self.page_sessions.install()

    async def open(self) -> None:
        """Raises HistoryError when the database is unavailable."""
        self.quotas.open()
        await self._database.open()
        self.page_sessions.start()

    async def close(self) -> None:
        await self.page_sessions.stop()
        await self.quotas.close()
        self.accounts.passwords.close()
        await self._database.close()

    async def log_out(self, visitor: Visitor) -> None:
        """End the session and its open pages."""
        await self.authenticator.log_out(visitor)
        await self.page_sessions.end(visitor)
