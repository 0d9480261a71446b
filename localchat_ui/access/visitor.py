"""Who is at the door: the one question that pages and the API ask of this room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from nicegui import Client
from nicegui.slot import Slot

from localchat_ui.access.hardening.proxies import network_of

# What lets somebody in: nothing at all, the access token, a login, an API key; and nobody is at the login page.
AuthMethod = Literal["open", "token", "session", "key", "anonymous"]


@dataclass(frozen=True)
class User:
    id: str
    name: str
    is_admin: bool = False

    @property
    def usage_key(self) -> str:
        """Under which name tokens and replies are counted."""
        return f"user {self.id}"


@dataclass(frozen=True)
class Visitor:
    """Whoever sent a request. `session_id` is what pages are bound to; it is a hash, never the secret itself."""

    auth_method: AuthMethod
    address: str = ""
    session_id: str = ""
    user: User | None = None

    @property
    def rate_limit_key(self) -> str:
        """Whose requests are counted together: a key, a person, or everybody at an address."""
        if self.auth_method == "key":
            return f"key {self.session_id}"
        return f"user {self.user.id}" if self.user else f"address {self.address}"

    @property
    def usage_key(self) -> str:
        """Whose replies and tokens are counted together: a person with all keys, or everybody at an address."""
        return self.user.usage_key if self.user else f"address {network_of(self.address)}"

    def is_same_session(self, page: Visitor | None) -> bool:
        """Whether a page that `page` opened belongs to the same session."""
        return page is not None and (self.auth_method, self.session_id) == (page.auth_method, page.session_id)


VISITOR: ContextVar[Visitor | None] = ContextVar("visitor", default=None)


def current_visitor() -> Visitor | None:
    """Who opened the page, or sent the request, that is being worked for; None outside of both.

    What a page does for an event that somebody else caused is still done for whoever opened the page.
    """
    for slot in reversed(Slot.get_stack()):
        return visitor_of_page(slot.parent.client)
    return VISITOR.get()


@contextmanager
def acting_as(visitor: Visitor | None) -> Iterator[None]:
    """Tasks that are begun within this block work for that visitor for as long as they run."""
    token = VISITOR.set(visitor)
    try:
        yield
    finally:
        VISITOR.reset(token)


def current_user() -> User | None:
    """Who is logged in; None while nobody has to log in."""
    visitor = current_visitor()
    return visitor.user if visitor else None


def current_owner() -> str | None:
    """The `owner_id` of conversations that may be seen and are made now.

    None is an owner like any other: of what was written while nobody had to log in. So always filter by it
    (`owner_id IS NULL` for None) and never read it as "all conversations".
    """
    user = current_user()
    return user.id if user else None


def current_is_admin() -> bool:
    """Whether whoever acts may decide for all: an administrator, or whoever has come in while there are no accounts.

    As the page was opened; a page whose rights have changed is closed within two seconds.
    """
    user = current_user()
    return user is None or user.is_admin


def visitor_of_page(client: Client) -> Visitor | None:
    return client.request.scope.get("state", {}).get("visitor") if client._request else None


def visitor_of_scope(scope: Any) -> Visitor | None:
    """Of an ASGI scope that has passed the guard."""
    found: Visitor | None = scope.get("state", {}).get("visitor")
    return found
