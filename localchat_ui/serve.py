"""Serving the app until it is told to end: what is checked before, what is said, and how NiceGUI is asked to run."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys

from nicegui import ui

from localchat_ui import logs
from localchat_ui.access import AccessDatabase
from localchat_ui.access.accounts import Accounts, needs_token
from localchat_ui.access.hardening import BoundedHttpProtocol
from localchat_ui.app import create_app
from localchat_ui.history.database import check
from localchat_ui.settings import BadSettingError, Settings, load_settings
from localchat_ui.ui.install import ICON


def serve(arguments: list[str]) -> None:
    """Run until SIGINT or SIGTERM. Raises PlainError or OSError when it cannot begin."""
    settings = load_settings(arguments)
    has_accounts = asyncio.run(_check_database(settings))
    _check_certificate(settings)
    _check_address(settings)
    logs.set_up(settings.log_level, settings.log_format)
    makes_token = needs_token(settings) and not settings.access_token
    if makes_token:
        settings = settings.model_copy(update={"access_token": secrets.token_urlsafe(32)})
    app = create_app(settings)
    try:
        run(settings, with_token=bool(settings.access_token) and not has_accounts, prints_token=makes_token)
    except KeyboardInterrupt:
        # uvicorn has shut everything down by now and raises Ctrl+C once more.
        sys.exit(130)
    if startup_error := getattr(app.state, "startup_error", None):
        sys.exit(f"localchat_ui: {startup_error}")


async def _check_database(settings: Settings) -> bool:
    """Look into it and open it once before the server starts, so that a problem is one line and no failed start-up.

    Returns whether there are accounts.
    """
    check(settings.resolved_database_url)
    async with AccessDatabase(settings.resolved_database_url) as database:
        return await Accounts(database).users.exist()


def _check_certificate(settings: Settings) -> None:
    if (settings.ssl_certfile is None) != (settings.ssl_keyfile is None):
        raise BadSettingError("SSL_CERTFILE and SSL_KEYFILE are only of use together")
    for name, path in (("SSL_CERTFILE", settings.ssl_certfile), ("SSL_KEYFILE", settings.ssl_keyfile)):
        if path is not None and not path.is_file():
            raise BadSettingError(f"{name}='{path}' is not allowed: there is no such file")


def _check_address(settings: Settings) -> None:
    try:
        socket.create_server((settings.host, settings.port), family=_family(settings.host)).close()
    except OSError as error:
        raise BadSettingError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); another PORT may be free"
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def run(settings: Settings, *, with_token: bool = False, prints_token: bool = False) -> None:
    """Serve until SIGINT or SIGTERM. What is printed may be kept in a log: a token that somebody chose is not."""
    opens_browser = sys.stdout.isatty() if settings.open_browser is None else settings.open_browser
    path = f"/?token={settings.access_token}" if with_token else "/"
    if with_token:
        what = "the token" if prints_token else "ACCESS_TOKEN"
        sys.stdout.write(f"Open one of these; {what} is needed once in each browser.\n")
        sys.stdout.writelines(f"    {url}{path if prints_token else '/'}\n" for url in _urls(settings))
        sys.stdout.flush()
    ui.run(
        host=settings.host,
        port=settings.port,
        title="LocalChat",
        favicon=ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        reload=False,
        show=path if opens_browser else False,
        reconnect_timeout=30,
        timeout_graceful_shutdown=2,
        http=BoundedHttpProtocol,
        # localchat_ui/access believes proxies that are listed, uvicorn would believe any on this machine.
        proxy_headers=False,
        server_header=False,
        log_config=None,  # uvicorn's records look like ours
        root_path=settings.root_path,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
    )


def _urls(settings: Settings) -> list[str]:
    """Where people can open the page: here, and from elsewhere."""
    scheme = "https" if settings.ssl_certfile else "http"
    hosts = [settings.host]
    if settings.host in ("0.0.0.0", "::"):  # noqa: S104 - that is what is asked
        hosts = ["127.0.0.1", socket.gethostname()]
    return [f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}" for host in hosts]
