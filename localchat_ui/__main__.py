"""`python -m localchat_ui`: read the settings, create the app, run it."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys

from nicegui import ui

from localchat_ui.app import create_app
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.store import HistoryStore
from localchat_ui.settings import BadSettingError, Settings, load_settings


def main() -> None:
    try:
        settings = load_settings(sys.argv[1:])
        asyncio.run(_check_database(settings))
        _check_address(settings)
    except (BadSettingError, HistoryError, OSError) as error:
        sys.exit(f"localchat_ui: {error}")
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    create_app(settings)
    try:
        run(settings)
    except KeyboardInterrupt:
        # uvicorn has shut everything down by now and raises Ctrl+C once more.
        sys.exit(130)


async def _check_database(settings: Settings) -> None:
    """Open it once before the server starts, so that a problem is one line and not a failed start-up."""
    store = await HistoryStore(settings.resolved_database_url).open()
    await store.close()


def _check_address(settings: Settings) -> None:
    try:
        socket.create_server((settings.host, settings.port), family=_family(settings.host)).close()
    except OSError as error:
        raise BadSettingError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); another PORT may be free"
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM."""
    opens_browser = sys.stdout.isatty() if settings.open_browser is None else settings.open_browser
    ui.run(
        host=settings.host,
        port=settings.port,
        title="LocalChat",
        favicon="💬",
        dark=None,
        language="en-US",
        tailwind=False,
        reload=False,
        show=opens_browser,
        reconnect_timeout=30,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
