"""One Chromium for all stories, one real server a file, and a fresh browser profile for everybody who comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, WebSocket

from tests.browser.server import Server
from tests.browser.visitor import PATIENCE, Visitor, open_browser

Visit = Callable[..., Visitor]
# The same words each time; and one thread, because two that wait for each other suffer most from a busy machine.
STEADY = ("--temperature", "0", "--n-threads", "1")
DESKTOP = {"viewport": {"width": 1280, "height": 800}, "locale": "en-US"}


# Not the session's: while Playwright runs, no asynchronous test can.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program with the starter model, which says the same each time it is asked the same."""
    with Server(tmp_path_factory.mktemp("server"), *STEADY, "--max-tokens", "240") as server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    """Somebody comes in with a fresh profile. Afterwards their pages must not have complained, nor called anywhere."""
    complaints = Complaints(server)
    with ExitStack() as stack:

        def come_in(**options: Any) -> Visitor:
            context = stack.enter_context(browser.new_context(**{**DESKTOP, **options}))
            context.set_default_timeout(PATIENCE)
            context.on("page", complaints.listen)
            return Visitor(context.new_page(), server)

        yield come_in
    assert not complaints.heard


class Complaints:
    """Console errors, uncaught errors, and requests to anything but the server."""

    def __init__(self, server: Server) -> None:
        self.heard: list[str] = []
        self._host = urlsplit(server.url).netloc

    def listen(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.heard.append(f"uncaught: {error}"))
        page.on("request", self._on_address)
        page.on("websocket", self._on_address)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.heard.append(f"console: {message.text} at {message.location}")

    def _on_address(self, request: Request | WebSocket) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc != self._host:
            self.heard.append(f"request to another host: {request.url}")
