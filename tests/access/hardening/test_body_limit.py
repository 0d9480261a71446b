"""How large a body may be, and how slowly it may come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from localchat_ui.access.hardening import BodyLimitMiddleware
from tests.access.conftest import OpenDoor


async def test_a_body_that_says_it_is_too_large_is_refused_unread(open_door: OpenDoor):
    door = await open_door(max_body_mb=0.001)
    async with door.browser() as me:
        answer = await me.post("/v1/chat/completions", json="x" * 1000)
        assert answer.status_code == 413
        assert "MAX_BODY_MB" in answer.json()["error"]["message"]
        assert (await me.post("/echo", json="x" * 998)).text == "1000"
        for length in ("-1", "x", "1e3"):
            headers = {"Content-Length": length, "Content-Type": "application/json"}
            assert (await me.post("/echo", content=b"{}", headers=headers)).status_code == 413


async def test_a_body_that_does_not_say_is_cut_while_it_streams(open_door: OpenDoor):
    door = await open_door(max_body_mb=0.001)
    taken = 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < 1000:
            taken += 1
            yield b"x" * 100

    async with door.browser() as me:
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        answer = await me.post("/echo", content=large(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert taken < 20


async def test_a_body_that_trickles_is_given_up():
    """Slowloris: many bodies that never end, each holding a connection."""

    async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive()).get("more_body"):
            pass
        assert message["type"] == "http.disconnect"
        raise ConnectionError("the client is gone")

    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    limited = BodyLimitMiddleware(reads_all, 1000, timeout=0.1)
    scope = {"type": "http", "path": "/v1/x", "method": "POST", "headers": []}
    await asyncio.wait_for(limited(scope, receive, send), 5)
    assert sent[0]["status"] == 408


async def test_a_stream_may_take_its_time_once_the_request_is_read():
    async def listens(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"

    messages = iter([{"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        message = next(messages)
        await asyncio.sleep(0.2 if message["type"] == "http.disconnect" else 0)
        return message

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await BodyLimitMiddleware(listens, 1000, timeout=0.05)({"type": "http", "headers": []}, receive, send)


async def test_an_error_of_a_route_is_not_hidden():
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    transport = httpx.ASGITransport(BodyLimitMiddleware(fails, 1000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with pytest.raises(ValueError, match="broken"):
            await client.get("/")
