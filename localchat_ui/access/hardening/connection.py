"""uvicorn's HTTP protocol with timeouts and a limit for headers, of which uvicorn has none."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening.security_headers import HEADERS


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is too slow or too large, or whose client does not read the response.

    Bodies are limited in `body_limit.py`, where it is known who sends them.
    """

    head_timeout = 10.0  # seconds
    read_timeout = 120.0  # seconds, for the 48 kB between the high and low water marks of uvicorn's buffer
    max_head_bytes = 65_536

    _head_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None
    _n_bytes = 0  # since the parser last recognized something

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        self._n_bytes += len(data)
        if self._head_timer is None and self.cycle is not None and self.cycle.response_complete:
            self._expect_request()
        super().data_received(data)
        if self._n_bytes > self.max_head_bytes:
            self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers of the request are too large.")

    def on_headers_complete(self) -> None:
        self._n_bytes = 0
        self._head_timer = _cancel(self._head_timer)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._n_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._n_bytes = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_timer = self.loop.call_later(self.read_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        self._read_timer = _cancel(self._read_timer)
        super().resume_writing()

    def shutdown(self) -> None:
        super().shutdown()
        if self.flow.write_paused:
            # A client that does not read must not delay the shutdown.
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer, self._read_timer = _cancel(self._head_timer), _cancel(self._read_timer)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._reject(HTTPStatus.BAD_REQUEST, msg)

    def _expect_request(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout, self.transport.close)

    def _reject(self, status: HTTPStatus, message: str) -> None:
        """Answer before there is a request that the app could answer."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps(AccessError(status, "bad_request", message).as_json()).encode()
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **HEADERS}.items())
            self.transport.write(STATUS_LINE[status] + lines.encode() + b"\r\n" + body)
        self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Returns None, for the variable that held the timer."""
    if timer is not None:
        timer.cancel()
    return None
