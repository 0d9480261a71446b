"""Server-sent events: a response that keeps the line alive, and ends the work when its client has left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localchat_ui.api.errors import ApiError
from localchat_ui.api.routes import cancel, disconnected

PING_SECONDS = 5.0
PING = b": ping\n\n"
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    # nginx would gather the events otherwise.
    "X-Accel-Buffering": "no",
}


def event(data: object, name: str = "", event_id: str = "") -> bytes:
    """One event. `data` is what JSON can hold, or a text that is sent as it is."""
    payload = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = (f"event: {name}\n" if name else "") + (f"id: {event_id}\n" if event_id else "")
    return f"{head}data: {payload}\n\n".encode()


class EventStream(Response):
    """Sends what a generator yields, and a comment when it has been silent for a while.

    The generator is closed at once when the client leaves, and at an interruption, which is the last word then.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        interruption: Callable[[], Coroutine[Any, Any, ApiError]],
        farewell: Callable[[ApiError], bytes],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_end` is called once, however it ends: a generator that never began cannot clean up by itself."""
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers(HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._interruption = interruption
        self._farewell = farewell
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.ensure_future(disconnected(receive))
        ending = asyncio.ensure_future(self._interruption())
        sending = asyncio.ensure_future(self._send_all(send, ending))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self._on_end()
            await cancel(sending, leaving, ending)
            await self._events.aclose()

    async def _send_all(self, send: Send, ending: asyncio.Future[ApiError]) -> None:
        async def say(body: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while True:
            coming = asyncio.ensure_future(anext(self._events))
            try:
                while not coming.done():
                    waited: list[asyncio.Future[Any]] = [coming, ending]
                    await asyncio.wait(waited, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    if ending.done():
                        await say(self._farewell(ending.result()), more=False)
                        return
                    if not coming.done():
                        await say(PING)
                await say(coming.result())
            except StopAsyncIteration:
                await say(b"", more=False)
                return
            finally:
                await cancel(coming)
