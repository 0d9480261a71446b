"""How much, how large and how slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from localchat_ui.access.body import BodyLimit
from localchat_ui.access.forwarded import network_of

from .conftest import TOKEN, Door, OpenDoor

BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_requests_a_minute_are_limited_for_each_address(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN, requests_per_minute=3)
    async with door.browser() as me, door.browser(address="127.0.0.2") as other:
        answers = [await me.get("/v1/models", headers=BEARER) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        error = answers[-1].json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "rate_limit_exceeded", None)
        assert "3 requests a minute" in error["message"]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert "<h1" in (await me.get("/", headers={**BEARER, "Accept": "text/html"})).text
        # Neither the files of the page nor anybody else has to suffer for it.
        assert (await me.get("/_nicegui/x.js", headers=BEARER)).status_code == 404
        assert (await other.get("/v1/models", headers=BEARER)).status_code == 200


async def test_each_person_and_each_key_counts_for_itself(open_door: OpenDoor):
    door = await open_door(requests_per_minute=1)
    await door.accounts.add("alice", "correct horse")
    keys = [await door.accounts.make_key("alice") for _ in range(2)]
    async with door.browser() as me:
        for key in keys:
            headers = {"Authorization": f"Bearer {key}"}
            assert [(await me.get("/", headers=headers)).status_code for _ in range(2)] == [200, 429]


async def test_a_person_alone_on_this_machine_is_not_limited(door: Door):
    async with door.browser() as me:
        assert {(await me.get("/")).status_code for _ in range(350)} == {200}


async def test_replies_at_a_time_are_limited_over_the_api(open_door: OpenDoor):
    door = await open_door(access_token=TOKEN, generations_per_user=1)
    async with door.browser() as me, door.browser(address="127.0.0.2") as other:
        post = {"url": "/v1/chat/completions", "json": {}, "headers": BEARER}
        first = asyncio.create_task(me.post(**post))
        await asyncio.wait_for(door.writing.wait(), 5)
        second = await asyncio.wait_for(me.post(**post), 5)
        assert second.status_code == 429
        assert second.json()["error"]["code"] == "too_many_generations"
        assert second.headers["retry-after"]
        door.may_finish.set()
        assert (await first).text == "Once upon a time"
        assert (await me.post(**post)).status_code == 200
        assert (await other.post(**post)).status_code == 200


def test_a_whole_ipv6_network_is_one_address():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("unix") == "unix"


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

    limited = BodyLimit(reads_all, 1000, patience=0.1)
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

    await BodyLimit(listens, 1000, patience=0.05)({"type": "http", "headers": []}, receive, send)


async def test_an_error_of_a_route_is_not_hidden():
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    transport = httpx.ASGITransport(BodyLimit(fails, 1000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with pytest.raises(ValueError, match="broken"):
            await client.get("/")
