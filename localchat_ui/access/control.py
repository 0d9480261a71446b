"""The whole way in. Every request and socket passes these layers before it reaches any route."""

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
from localchat_ui.access.hardening import (
    BodyLimitMiddleware,
    ForwardedHeadersMiddleware,
    OriginMiddleware,
    SecurityHeadersMiddleware,
)
from localchat_ui.access.quotas import Quotas, RateLimitMiddleware
from localchat_ui.access.visitor import Visitor
from localchat_ui.settings import Settings


class AccessControl:
    """Built once for a program. Between `open` and `close` it knows the accounts; before, requests wait."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accounts = Accounts(settings.resolved_database_url, settings.session_days)
        self.authenticator = Authenticator(settings, self.accounts)
        self.quotas = Quotas(settings, self.accounts)
        self._page_sessions = PageSessions(self.authenticator)
        self.until_access_ends = self._page_sessions.until_access_ends
        end_pages = self._page_sessions.end_what_is_over
        self.own_account = OwnAccount(self.accounts, self.authenticator.attempts, end_pages)
        self.administration = Administration(self.accounts, self.quotas, end_pages)

    def layers(self, app: ASGIApp) -> ASGIApp:
        """The app behind all checks; read from the bottom up, as a request does."""
        app = BodyLimitMiddleware(app, int(self.settings.max_body_mb * 1_000_000))
        app = PageOwnerMiddleware(app)
        app = RateLimitMiddleware(app, self.quotas)
        app = AuthenticationMiddleware(app, self.authenticator)
        if self.settings.cors_origin_list:
            app = CORSMiddleware(
                app, self.settings.cors_origin_list, ["GET", "POST", "DELETE"], ["Authorization", "Content-Type"]
            )
        app = OriginMiddleware(app, self.settings)
        app = ForwardedHeadersMiddleware(app, self.settings.trusted_proxy_list)
        return SecurityHeadersMiddleware(app)

    def protect(self, app: App) -> None:
        """Stand before all that the app has and will have: routes, mounts, and what NiceGUI itself adds later."""
        # Not add_middleware, because ui.run() puts more around whatever was added before.
        app.build_middleware_stack = lambda: self.layers(type(app).build_middleware_stack(app))  # type: ignore[method-assign]
        self._page_sessions.bind()

    async def open(self) -> None:
        """Raises HistoryError when the database cannot be used."""
        self.quotas.open()
        await self.accounts.open()
        self._page_sessions.start()

    async def close(self) -> None:
        await self._page_sessions.stop()
        await self.quotas.close()
        await self.accounts.close()

    async def log_out(self, visitor: Visitor) -> None:
        """End the session, and all its live pages with it."""
        await self.authenticator.log_out(visitor)
        await self._page_sessions.end(visitor)
