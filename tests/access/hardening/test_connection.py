"""Connections that mean no good: slow to ask, endless to ask, slow to read. On real sockets, with less patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from localchat_ui.access.hardening import BoundedHttpProtocol

FOREVER = 3600.0
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class App:
    """Reads the request, then answers as much as it can get rid of."""

    def __init__(self, answer: int = 2) -> None:
        self.answer = answer
        self.sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while self.sent < self.answer and not self.ended.is_set():
            await send({"type": "http.response.body", "body": b"x" * min(8192, self.answer), "more_body": True})
            self.sent += 8192
        await send({"type": "http.response.body", "body": b""})
        self.ended.set()


@asynccontextmanager
async def serving(app: App, **patience: float) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    limits = {"head_timeout": FOREVER, "read_timeout": FOREVER, **patience}
    config = uvicorn.Config(
        app, port=0, http=type("Impatient", (BoundedHttpProtocol,), limits), log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield server, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await asyncio.wait_for(task, 10)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("beginning", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"\r\n"])
async def test_who_never_gets_round_to_asking_is_hung_up_on(beginning: bytes):
    async with serving(App(), head_timeout=0.2) as (_, port), connected(port) as (reader, writer):
        writer.write(beginning)
        assert await all_of(reader) == b""


async def test_a_second_request_may_not_trickle_either():
    """uvicorn forgets the end of its keep-alive with the first byte."""
    async with serving(App(), head_timeout=0.2) as (_, port), connected(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"\r\n")
        assert await all_of(reader) == b""


async def test_who_has_asked_may_wait_for_long():
    app = App(answer=20_000)
    async with serving(app, head_timeout=0.1) as (_, port), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.3)  # longer than asking may take
        writer.write(b"cd")
        assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"x" * 1000),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
        (b"GET /", b"x" * 1000),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 1000),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 1000),
    ],
    ids=["one header", "many headers", "address", "chunk extension", "trailer"],
)
async def test_a_head_without_end_is_cut(head: bytes, more: bytes):
    """uvicorn keeps all of it, before anybody has been asked who they are."""
    async with serving(App()) as (server, port), connected(port) as (reader, writer):
        writer.write(head)
        answering = asyncio.create_task(all_of(reader))
        sent = 0
        while not answering.done() and sent < 10_000_000:
            try:
                writer.write(more)
                await writer.drain()
            except ConnectionError:
                break
            sent += len(more)
            await asyncio.sleep(0)
        answer = await answering
        await until(lambda: not server.server_state.connections)
    assert sent < 5_000_000
    assert answer.startswith(b"HTTP/1.1 431 ") or not answer
    assert not answer or b"frame-ancestors 'none'" in answer


async def until(condition: Callable[[], object]) -> None:
    async def look() -> None:
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 10)


async def test_an_answer_that_nobody_reads_takes_no_more_memory_and_ends():
    app = App(answer=200_000_000)
    async with serving(app, read_timeout=0.3) as (server, port), connected(port) as (_, writer):
        writer.write(GET)
        protocol = await first_paused(server)
        # What the kernel's buffers on both sides took, and 64 kB of ours.
        assert app.sent < 20_000_000
        assert protocol.transport.get_write_buffer_size() < 200_000
        await until(lambda: not server.server_state.connections)
        app.ended.set()


async def test_an_answer_that_is_read_slowly_is_read_to_its_end():
    app = App(answer=8_000_000)
    async with serving(app, read_timeout=5) as (_, port), connected(port) as (reader, writer):
        writer.write(GET)
        read = 0
        while piece := await reader.read(100_000):
            read += len(piece)
            await asyncio.sleep(0.005)
            if piece.endswith(b"0\r\n\r\n"):
                break
    assert read > 8_000_000


async def test_who_does_not_read_does_not_hold_up_the_end():
    app = App(answer=200_000_000)
    async with serving(app) as (server, port), connected(port) as (_, writer):
        writer.write(GET)
        protocol = await first_paused(server)
        server.should_exit = True
        await until(lambda: not server.server_state.connections)
        app.ended.set()
        assert protocol.transport.is_closing()


async def first_paused(server: uvicorn.Server) -> BoundedHttpProtocol:
    await until(lambda: any(each.flow.write_paused for each in server.server_state.connections))
    [protocol] = server.server_state.connections
    assert isinstance(protocol, BoundedHttpProtocol)
    return protocol
