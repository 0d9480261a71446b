"""The API twice: over a scripted engine in this process, and as the real program with a real model."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from nicegui import core

from tests.browser.server import Server
from tests.ui.conftest import Program, program, running, until

__all__ = ["program", "running"]

FLAGS = ("--temperature", "0", "--n-ctx", "2048")


@pytest.fixture
async def client(running: Program) -> AsyncIterator[httpx.AsyncClient]:
    """A program that talks to ours, whose engine is `running.engine`; the model is loaded."""
    await until(lambda: running.engine.model is not None)
    async with connected() as client:
        yield client


def connected() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(core.app), base_url="http://localhost")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real program with the real starter model, ready to answer; greedy, so that replies are what they are."""
    folder = tmp_path_factory.mktemp("api")
    with Server(folder, *FLAGS) as server:
        wait_until_ready(server)
        yield server
        assert "Traceback" not in server.output()


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + 60
    while httpx.get(f"{server.url}/healthz", params={"ready": "1"}).status_code != 200:
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.05)
