"""People with accounts, who come in by the login page or with a session that they have already."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

from playwright.sync_api import Browser, BrowserContext, expect

from localchat_ui.access import AccessDatabase
from localchat_ui.access.accounts import Accounts
from tests.access.live import user
from tests.browser.conftest import DESKTOP, Complaints
from tests.browser.server import Server
from tests.browser.visitor import PATIENCE, Visitor

PASSWORD = "correct horse"
# What a browser says of a page that is a refusal.
REFUSED = re.compile(r"the server responded with a status of (401|403|429)")

T = TypeVar("T")


class People:
    """Alice is an administrator, Bob is not. Each browser has a profile of its own."""

    def __init__(self, browser: Browser, server: Server, stack: ExitStack) -> None:
        self.server = server
        self._browser = browser
        self._stack = stack
        self._complaints = Complaints(server)

    def stranger(self, **options: Any) -> Visitor:
        """Somebody who has not logged in."""
        context: BrowserContext = self._stack.enter_context(self._browser.new_context(**{**DESKTOP, **options}))
        context.set_default_timeout(PATIENCE)
        context.on("page", self._complaints.listen)
        return Visitor(context.new_page(), self.server)

    def person(self, name: str, **options: Any) -> Visitor:
        """Somebody with a session, which was not made at the login page: that one slows down who comes too often."""
        visitor = self.stranger(**options)
        # Whoever has logged in before has the cookie of the form.
        visitor.page.context.request.get(f"{self.server.url}/login")
        secret = with_accounts(self.server, lambda accounts: accounts.sessions.log_in(name, PASSWORD))
        assert secret
        cookie = {"name": f"localchat_{self.server.port}", "value": secret[1], "url": self.server.url}
        visitor.page.context.add_cookies([cookie])  # type: ignore[list-item]
        return visitor

    def key(self, name: str) -> dict[str, str]:
        """The headers of a program that acts for somebody."""
        key = with_accounts(self.server, lambda accounts: accounts.api_keys.create(name))
        return {"Authorization": f"Bearer {key}"}

    @property
    def complaints(self) -> list[str]:
        return [complaint for complaint in self._complaints.heard if not REFUSED.search(complaint)]


def make_people(server: Server) -> None:
    """The running program gets its first accounts."""
    assert user(server, "add", "alice", "--admin", password=PASSWORD).returncode == 0
    assert user(server, "add", "bob", password=PASSWORD).returncode == 0


def with_accounts(server: Server, use: Callable[[Accounts], Awaitable[T]]) -> T:
    """Read or write the accounts from outside, while the program runs."""

    async def with_open() -> T:
        async with AccessDatabase(server.database_url) as database:
            return await use(Accounts(database))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, with_open()).result()


def log_in(visitor: Visitor, name: str, password: str = PASSWORD) -> None:
    """At the login page, where the visitor is, with the keyboard alone."""
    page = visitor.page
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def see_login(visitor: Visitor) -> None:
    expect(visitor.page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
