"""HTTP as uvicorn speaks it, with an end to its patience: by itself it waits for ever, and for any length."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from localchat_ui.access.errors import AccessError
from localchat_ui.access.hardening.security_headers import HEADERS


class Connection(HttpToolsProtocol):
    """Hangs up on who takes too long to ask, asks in too many headers, or does not read the answer.

    Bodies have limits of their own, in `body.py`, where it is known who sends them.
    """

    seconds_to_ask = 10.0
    seconds_to_read = 120.0  # for the 48 kB between uvicorn's two marks of its buffer
    most_bytes = 65_536

    _asking: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _n_bytes = 0  # since the parser understood something last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        self._n_bytes += len(data)
        if self._asking is None and self.cycle is not None and self.cycle.response_complete:
            self._expect_request()
        super().data_received(data)
        if self._n_bytes > self.most_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers of the request are too large.")

    def on_headers_complete(self) -> None:
        self._n_bytes = 0
        self._asking = _cancel(self._asking)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._n_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._n_bytes = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(self.seconds_to_read, self.transport.abort)

    def resume_writing(self) -> None:
        self._reading = _cancel(self._reading)
        super().resume_writing()

    def shutdown(self) -> None:
        super().shutdown()
        if self.flow.write_paused:
            # Who does not read cannot be told of the end, and must not hold it up.
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._asking, self._reading = _cancel(self._asking), _cancel(self._reading)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _expect_request(self) -> None:
        self._asking = self.loop.call_later(self.seconds_to_ask, self.transport.close)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Before there is a request that our layers could answer."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps(AccessError(status, "bad_request", message).as_json()).encode()
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **HEADERS}.items())
            self.transport.write(STATUS_LINE[status] + lines.encode() + b"\r\n" + body)
        self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """What is left of it: nothing."""
    if timer is not None:
        timer.cancel()
    return None
