"""Limits the size of request bodies and the time they take to arrive."""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localchat_ui.access.errors import AccessError

BODY_TIMEOUT = 30.0  # seconds for a body, and one more for every
BYTES_PER_SECOND = 4096


class BodyLimitMiddleware:
    """ASGI middleware: 413 for a body above the limit, 408 for one that is too slow, as soon as either is known.

    Starlette's own limit answers in plain text, and has no timeout.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout: float = BODY_TIMEOUT) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Request(self, scope, receive, send).run()
        else:
            await self.app(scope, receive, send)


class _Request:
    def __init__(self, limit: BodyLimitMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._limit = limit
        self._scope = scope
        self._receive = receive
        self._send = send
        self._size = 0
        self._waited = 0.0
        self._is_read = False
        self._has_started = False
        self._is_rejected = False

    async def run(self) -> None:
        length = Headers(scope=self._scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit.max_bytes:
            await self._reject(self._too_large())
            return
        try:
            await self._limit.app(self._scope, self._receive_limited, self._send_unless_rejected)
        except Exception:
            # The route was told that the client has disconnected; how it ends does not matter any more.
            if not self._is_rejected:
                raise

    async def _receive_limited(self) -> Message:
        if self._is_read:
            return await self._receive()
        if self._is_rejected:
            return {"type": "http.disconnect"}
        started = time.monotonic()
        timeout = self._limit.timeout + self._size / BYTES_PER_SECOND - self._waited
        try:
            message = await asyncio.wait_for(self._receive(), max(timeout, 0))
        except asyncio.TimeoutError:
            return await self._reject(AccessError(408, "too_slow", "The request took too long to arrive."))
        self._waited += time.monotonic() - started
        self._size += len(message.get("body", b""))
        if self._size > self._limit.max_bytes:
            return await self._reject(self._too_large())
        self._is_read = not message.get("more_body", False)
        return message

    async def _send_unless_rejected(self, message: Message) -> None:
        if not self._is_rejected:
            self._has_started = True
            await self._send(message)

    async def _reject(self, error: AccessError) -> Message:
        self._is_rejected = True
        if not self._has_started:
            error.headers["Connection"] = "close"  # nobody reads the rest
            await error(self._scope, self._receive, self._send)
        return {"type": "http.disconnect"}

    def _too_large(self) -> AccessError:
        limit = self._limit.max_bytes / 1_000_000
        return AccessError(413, "too_large", f"The request is larger than {limit:g} MB (MAX_BODY_MB).")
