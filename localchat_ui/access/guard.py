"""The whole way in. Every request and socket passes these layers before it reaches any route."""

from __future__ import annotations

from nicegui import App
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from localchat_ui.access.accounts import Accounts
from localchat_ui.access.administration import Administration
from localchat_ui.access.body import BodyLimit
from localchat_ui.access.entrance import Doorkeeper, Entrance
from localchat_ui.access.forwarded import Forwarded
from localchat_ui.access.headers import SecurityHeaders
from localchat_ui.access.limits import Limits
from localchat_ui.access.origins import Origins
from localchat_ui.access.own_account import OwnAccount
from localchat_ui.access.quotas import Quotas
from localchat_ui.access.sockets import OwnPages, Sockets
from localchat_ui.access.visitor import Visitor
from localchat_ui.settings import Settings


class Guard:
    """Built once for a program. Between `open` and `close` it knows the accounts; before, requests wait."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accounts = Accounts(settings.resolved_database_url, settings.session_days)
        self.doorkeeper = Doorkeeper(settings, self.accounts)
        self.quotas = Quotas(settings, self.accounts)
        self._sockets = Sockets(self.doorkeeper)
        self.until_out = self._sockets.until_out
        end_pages = self._sockets.end_what_is_over
        self.own_account = OwnAccount(self.accounts, self.doorkeeper.guesses, end_pages)
        self.administration = Administration(self.accounts, self.quotas, end_pages)

    def layers(self, app: ASGIApp) -> ASGIApp:
        """The app behind all checks; read from the bottom up, as a request does."""
        app = BodyLimit(app, int(self.settings.max_body_mb * 1_000_000))
        app = OwnPages(app)
        app = Limits(app, self.quotas)
        app = Entrance(app, self.doorkeeper)
        if self.settings.cors_origin_list:
            app = CORSMiddleware(
                app, self.settings.cors_origin_list, ["GET", "POST", "DELETE"], ["Authorization", "Content-Type"]
            )
        app = Origins(app, self.settings)
        app = Forwarded(app, self.settings.trusted_proxy_list)
        return SecurityHeaders(app)

    def protect(self, app: App) -> None:
        """Stand before all that the app has and will have: routes, mounts, and what NiceGUI itself adds later."""
        # Not add_middleware, because ui.run() puts more around whatever was added before.
        app.build_middleware_stack = lambda: self.layers(type(app).build_middleware_stack(app))  # type: ignore[method-assign]
        self._sockets.bind()

    async def open(self) -> None:
        """Raises HistoryError when the database cannot be used."""
        self.quotas.open()
        await self.accounts.open()
        self._sockets.start()

    async def close(self) -> None:
        await self._sockets.stop()
        await self.quotas.close()
        await self.accounts.close()

    async def log_out(self, visitor: Visitor) -> None:
        """End the session, and all its live pages with it."""
        await self.doorkeeper.log_out(visitor)
        await self._sockets.end(visitor)
