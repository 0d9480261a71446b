"""Who sent this request, or opened this page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from nicegui import Client
from nicegui.slot import Slot

from localchat_ui.access.hardening import network_of

# `open`: nothing was needed. `anonymous`: not authenticated, on one of the few paths that are public.
AuthMethod = Literal["open", "token", "session", "key", "anonymous"]


@dataclass(frozen=True)
class User:
    id: str
    name: str
    is_admin: bool = False

    @property
    def usage_key(self) -> str:
        return f"user {self.id}"


@dataclass(frozen=True)
class Visitor:
    """`session_id` identifies the session or the API key. It is a fingerprint or an id, never the secret itself."""

    auth_method: AuthMethod
    address: str = ""
    session_id: str = ""
    user: User | None = None

    @property
    def usage_key(self) -> str:
        """Whose replies and tokens are counted together: a user with all keys, or everybody in a network."""
        return self.user.usage_key if self.user else f"address {network_of(self.address)}"

    @property
    def rate_limit_key(self) -> str:
        """Whose requests are counted together: one API key, a user's sessions, or everybody in a network."""
        return f"key {self.session_id}" if self.auth_method == "key" else self.usage_key

    def is_same_session(self, other: Visitor | None) -> bool:
        return other is not None and (self.auth_method, self.session_id) == (other.auth_method, other.session_id)


VISITOR: ContextVar[Visitor | None] = ContextVar("visitor", default=None)


def current_visitor() -> Visitor | None:
    """Who sent the current request, or opened the current page; None outside of both.

    A page that handles an event which somebody else caused acts for whoever opened the page.
    """
    for slot in reversed(Slot.get_stack()):
        return visitor_of_page(slot.parent.client)
    return VISITOR.get()


@contextmanager
def acting_as(visitor: Visitor | None) -> Iterator[None]:
    """Within this block, and in tasks created in it for as long as they run, `visitor` is the current one."""
    token = VISITOR.set(visitor)
    try:
        yield
    finally:
        VISITOR.reset(token)


def current_user() -> User | None:
    """None while there are no accounts."""
    visitor = current_visitor()
    return visitor.user if visitor else None


def current_owner() -> str | None:
    """The `owner_id` of the conversations that the current visitor sees and creates.

    None is an owner like any other: of what was written while there were no accounts. So always filter by it
    (`owner_id IS NULL` for None), and never read it as "all conversations".
    """
    user = current_user()
    return user.id if user else None


def current_is_admin() -> bool:
    """Whether the current visitor may decide for everybody: an administrator, or anybody while there are no accounts.

    It is as it was when the page was opened. A page whose user has other rights since is closed within two seconds.
    """
    user = current_user()
    return user is None or user.is_admin


def visitor_of_page(client: Client) -> Visitor | None:
    return client.request.scope.get("state", {}).get("visitor") if client._request else None


def visitor_of_scope(scope: Any) -> Visitor | None:
    """Of an ASGI scope that has passed AuthenticationMiddleware."""
    found: Visitor | None = scope.get("state", {}).get("visitor")
    return found
