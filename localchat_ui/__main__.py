"""`python -m localchat_ui`: read the settings, create the app, run it."""

from __future__ import annotations

import logging
import sys

from nicegui import ui

from localchat_ui.app import create_app
from localchat_ui.settings import BadSettingError, Settings, load_settings


def main() -> None:
    try:
        settings = load_settings(sys.argv[1:])
    except BadSettingError as error:
        sys.exit(f"localchat_ui: {error}")
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    create_app(settings)
    run(settings)


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
