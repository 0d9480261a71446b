"""Clients that ask and do not read, beside those that do; and the end of the program with all of them connected."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.exceptions import ConnectionClosed

from tests.access.live import Browser
from tests.api.conftest import FLAGS, wait_until_ready
from tests.api.events import events_in
from tests.api.test_clients import LONG, wait_until_idle
from tests.browser.server import Server

# Events with twenty likely tokens each: what the buffers of both ends take is soon full.
WORDY: Any = {"messages": LONG, "stream": True, "max_tokens": 400, "logprobs": True, "top_logprobs": 20}
N_STALLED = 2


@contextmanager
def stalled(server: Server, body: Any) -> Iterator[socket.socket]:
    """Somebody who asks, and reads no byte of the answer."""
    with socket.socket() as client:
        # Small packets make for small buffers in the kernel on both sides: megabytes otherwise.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
        client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
        yield client


def test_clients_that_do_not_read_take_little_and_hold_up_nobody(tmp_path: Path) -> None:
    with Server(tmp_path, *FLAGS) as server, ExitStack() as stack:
        wait_until_ready(server)
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        httpx.post(f"{server.url}/v1/chat/completions", json={**WORDY, "stream": False, "max_tokens": 50}, timeout=60)
        before = process.memory_info().rss
        for _ in range(N_STALLED):
            stack.enter_context(stalled(server, WORDY))

        answer = httpx.post(f"{server.url}/chat/stream", json={"user_input": "Hello", "max_tokens": 8}, timeout=60)
        assert list(events_in(answer.text.split("\n")))[-1].name == "done"
        wait_until_idle(server, seconds=120)
        grown = (process.memory_info().rss - before) / 1e6
        print(f"{N_STALLED} stalled clients, 400 tokens with 20 likely ones each: {grown:.0f} MB more")  # noqa: T201
        assert grown < 100

        with Browser(server) as me, me.socket(me.page()) as page:
            follower = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
            body = {"user_input": LONG[0]["content"], "max_tokens": 1800}
            with follower.stream("POST", "/chat/stream", json=body) as response:
                events = events_in(response.iter_lines())
                next(events), next(events)
                seconds = server.stop()
                *_, last = events
            assert last.data["error"]["code"] == "shutting_down"
            assert _close_code(page) == 1012, "service restart: the page comes back by itself"
    assert seconds < 3
    assert "Traceback" not in server.output()
    assert "ERROR" not in server.output()
    assert not server.has_left_processes()


def _close_code(page: Any) -> int | None:
    """How the socket of a page was closed."""
    try:
        while True:
            page.receive()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
