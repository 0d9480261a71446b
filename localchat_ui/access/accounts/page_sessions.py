"""Binds NiceGUI's pages to the session that opened them, and closes them when it ends.

NiceGUI (3.18) accepts a page's events from any socket that knows the page's id, and requests for its files from
anybody. So both are checked here. A test fails when a later version names its handlers differently.

Streamed responses end with the session or key that requested them, as pages do.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

from nicegui import Client, core
from socketio.exceptions import ConnectionRefusedError as SocketRefusedError  # type: ignore[import-untyped]
from starlette.types import ASGIApp, Receive, Scope, Send

from localchat_ui.access.accounts.authentication import Authenticator
from localchat_ui.access.audit import audit
from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening import path_of
from localchat_ui.access.visitor import Visitor, current_visitor, visitor_of_page, visitor_of_scope
from localchat_ui.history.errors import HistoryError

PAGE_PATH = re.compile("/_nicegui/client/([^/]+)/")
PAGE_EVENTS = ("event", "javascript_response", "ack", "log")
SWEEP_SECONDS = 2.0

logger = logging.getLogger(__name__)


class PageSessions:
    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._sweeping: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._waiting: dict[Visitor, set[asyncio.Event]] = {}

    def install(self) -> None:
        """Wrap NiceGUI's socket handlers with the checks. Doing so again replaces them."""
        # OriginMiddleware checks origins. python-engineio would allow all of them, and say so in headers.
        core.sio.eio.cors_allowed_origins = []
        connect, handshake = _unchecked("connect"), _unchecked("handshake")

        async def checked_connect(sid: str, environ: dict[str, Any], auth: object = None) -> Any:
            query = parse_qs(environ.get("QUERY_STRING", ""))
            # On exactly this message the page reloads, and so comes to the login.
            if "client_id" in query and not _is_own_page(environ["asgi.scope"], query["client_id"][0]):
                raise SocketRefusedError("Implicit handshake failed")
            return await connect(sid, environ, auth)

        async def checked_handshake(sid: str, data: dict[str, Any]) -> Any:
            if not _is_own_page(core.sio.get_environ(sid)["asgi.scope"], str(data.get("client_id"))):
                return False
            return await handshake(sid, data)

        _replace("connect", checked_connect, connect)
        _replace("handshake", checked_handshake, handshake)
        for name in PAGE_EVENTS:
            _replace(name, _from_own_socket(_unchecked(name)), _unchecked(name))

    def start(self) -> None:
        """Begin to look for sessions that ended by time or in another process (`user remove`)."""
        self._sweeping = asyncio.create_task(self._sweep(), name="end pages of ended sessions")

    async def stop(self) -> None:
        # Not cancelled: in the middle of a query that would leave a connection behind.
        self._stopping.set()
        if self._sweeping:
            await self._sweeping

    async def until_access_ends(self) -> None:
        """Return when the current visitor would no longer be authenticated."""
        visitor, ended = current_visitor(), asyncio.Event()
        if visitor is None:
            await ended.wait()
            return
        self._waiting.setdefault(visitor, set()).add(ended)
        try:
            await ended.wait()
        finally:
            self._waiting[visitor].discard(ended)
            if not self._waiting[visitor]:
                del self._waiting[visitor]

    async def end(self, visitor: Visitor) -> None:
        """Close all open pages and streamed responses of a session. The pages reload, and so come to the login."""
        for other, events in self._waiting.items():
            if visitor.is_same_session(other):
                for ended in events:
                    ended.set()
        for client in list(Client.instances.values()):
            if visitor.is_same_session(visitor_of_page(client)):
                with _errors_logged():
                    await _close(client)

    async def end_expired(self) -> None:
        """`end` for all sessions that are not valid any more, or whose user has other rights than before.

        Raises HistoryError. Any other error keeps only the page or session open that caused it.
        """
        visitors = {visitor_of_page(client) for client in list(Client.instances.values())} | set(self._waiting)
        for visitor in visitors:
            with _errors_logged():
                if visitor and visitor.auth_method != "anonymous" and not await self._authenticator.is_valid(visitor):
                    audit("access ended", user=visitor.user.name if visitor.user else "", address=visitor.address)
                    await self.end(visitor)

    async def _sweep(self) -> None:
        while not self._stopping.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SWEEP_SECONDS)
                return
            try:
                await self.end_expired()
            except HistoryError as error:
                logger.warning("Sessions could not be looked up: %s", error)
            except Exception:
                logger.exception("Sessions could not be looked up")


class PageOwnerMiddleware:
    """ASGI middleware: 403 for the files of a page that another session has opened."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = PAGE_PATH.match(path_of(scope)) if scope["type"] == "http" else None
        if match and match[1] in Client.instances and not _is_own_page(scope, match[1]):
            await AccessError(403, "foreign_page", "This page belongs to another session.")(scope, receive, send)
            return
        await self.app(scope, receive, send)


@contextmanager
def _errors_logged() -> Iterator[None]:
    try:
        yield
    except HistoryError:
        raise
    except Exception:
        logger.exception("A session could not be ended")


def _from_own_socket(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, for events of pages that their socket has shaken hands for."""

    # Not a coroutine, so that events keep their order.
    def checked(sid: str, message: Any) -> None:
        client_id = message.get("client_id") if isinstance(message, dict) else None
        # The handshake puts a socket into the room of its page.
        if isinstance(client_id, str) and client_id in core.sio.rooms(sid):
            handler(sid, message)

    return checked


def _is_own_page(scope: Any, client_id: str) -> bool:
    client, visitor = Client.instances.get(client_id), visitor_of_scope(scope)
    return client is not None and visitor is not None and visitor.is_same_session(visitor_of_page(client))


def _unchecked(event: str) -> Callable[..., Any]:
    handler: Callable[..., Any] = core.sio.handlers["/"][event]
    original: Callable[..., Any] = getattr(handler, "unchecked", handler)
    return original


def _replace(event: str, checked: Any, original: Callable[..., Any]) -> None:
    checked.unchecked = original
    core.sio.on(event, handler=checked)


async def _close(client: Client) -> None:
    await core.sio.emit("run_javascript", {"code": "window.location.reload()"}, room=client.id)
    sockets = list(core.sio.manager.get_participants("/", client.id))
    if client.id in Client.instances:
        # Otherwise it would be deleted once more when its time to reconnect is over.
        for document_id in list(client._delete_tasks):
            client._cancel_delete_task(document_id)
        client.delete()
    for sid, connection in sockets:
        await core.sio.disconnect(sid)
        await core.sio.eio.disconnect(connection)
