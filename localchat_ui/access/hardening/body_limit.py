"""How large a request may be, and how slowly it may come."""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localchat_ui.access.errors import AccessError

PATIENCE = 30.0  # seconds to wait for a body, and one more for each
BYTES_PER_SECOND = 4096


class BodyLimitMiddleware:
    """ASGI layer: 413 for a body above the limit, 408 for one that trickles, as soon as either is known.

    Starlette's limit answers in plain text, and lets a body take for ever.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, patience: float = PATIENCE) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.patience = patience

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
        self._is_refused = False

    async def run(self) -> None:
        length = Headers(scope=self._scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit.max_bytes:
            await self._refuse(self._too_large())
            return
        try:
            await self._limit.app(self._scope, self._receive_some, self._send_unless_refused)
        except Exception:
            # The route has been told that the client is gone; how it takes that is of no interest any more.
            if not self._is_refused:
                raise

    async def _receive_some(self) -> Message:
        if self._is_read:
            return await self._receive()
        if self._is_refused:
            return {"type": "http.disconnect"}
        begun = time.monotonic()
        patience = self._limit.patience + self._size / BYTES_PER_SECOND - self._waited
        try:
            message = await asyncio.wait_for(self._receive(), max(patience, 0))
        except asyncio.TimeoutError:
            return await self._refuse(AccessError(408, "too_slow", "The request took too long to arrive."))
        self._waited += time.monotonic() - begun
        self._size += len(message.get("body", b""))
        if self._size > self._limit.max_bytes:
            return await self._refuse(self._too_large())
        self._is_read = not message.get("more_body", False)
        return message

    async def _send_unless_refused(self, message: Message) -> None:
        if not self._is_refused:
            self._has_started = True
            await self._send(message)

    async def _refuse(self, refusal: AccessError) -> Message:
        self._is_refused = True
        if not self._has_started:
            refusal.headers["Connection"] = "close"  # nobody reads the rest
            await refusal(self._scope, self._receive, self._send)
        return {"type": "http.disconnect"}

    def _too_large(self) -> AccessError:
        limit = self._limit.max_bytes / 1_000_000
        return AccessError(413, "too_large", f"The request is larger than {limit:g} MB (MAX_BODY_MB).")
