"""A small app behind the real checks, and the real program in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from localchat_ui.access import AccessControl, AccessDatabase, current_owner, current_user, current_visitor
from localchat_ui.access.accounts import Accounts
from localchat_ui.settings import Settings
from localchat_ui.ui import login_page
from tests.browser.server import Server

HERE = "http://localhost:8080"
PAGE = {"Accept": "text/html"}
TOKEN = "a-token-of-thirty-two-characters"


class Door:
    """The access control, and an app behind it that tells who came. Nothing is real but the checks."""

    def __init__(self, access: AccessControl) -> None:
        self.access = access
        self.accounts = access.accounts
        self.app = FastAPI()
        self.writing = asyncio.Event()
        self.may_finish = asyncio.Event()
        login_page.register(self.app, access)  # type: ignore[arg-type]
        self.app.get("/")(self._who)
        self.app.get("/secret")(self._who)
        self.app.get("/headers")(self._headers)
        self.app.post("/echo")(self._echo)
        self.app.post("/v1/chat/completions")(self._generate)
        self.app.get("/v1/models")(self._who)
        self.app.post("/_nicegui/client/1/upload/2")(self._echo)
        self.asgi = access.middleware(self.app)

    def browser(self, base_url: str = HERE, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """Somebody with cookies of their own."""
        transport = httpx.ASGITransport(self.asgi, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url=base_url)

    async def _who(self) -> dict[str, Any]:
        visitor, user = current_visitor(), current_user()
        assert visitor
        return {
            "way": visitor.auth_method,
            "address": visitor.address,
            "user": user.name if user else None,
            "owner": current_owner(),
        }

    async def _headers(self, request: Request) -> list[str]:
        return list(request.headers)

    async def _echo(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    async def _generate(self) -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            self.writing.set()
            yield "Once "
            await self.may_finish.wait()
            yield "upon a time"

        return StreamingResponse(words())


OpenDoor = Callable[..., Awaitable[Door]]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """tests/postgres has another."""
    return f"sqlite+aiosqlite:///{tmp_path}/localchat.sqlite3"


@pytest.fixture
async def open_door(database_url: str) -> AsyncIterator[OpenDoor]:
    """Opens a door with these settings, on one database for all doors of a test."""
    doors: list[Door] = []

    async def open_one(**settings: Any) -> Door:
        access = AccessControl(Settings(_env_file=None, database_url=database_url, **settings))
        access.accounts.passwords._hasher = PasswordHasher.from_parameters(CHEAPEST)
        await access.open()
        doors.append(Door(access))
        return doors[-1]

    yield open_one
    for door in doors:
        await door.access.close()


@pytest.fixture
async def door(open_door: OpenDoor) -> Door:
    """As it is by default: on loopback, nothing configured."""
    return await open_door()


@pytest.fixture
async def accounts(database_url: str) -> AsyncIterator[Accounts]:
    cheap = PasswordHasher.from_parameters(CHEAPEST)
    async with AccessDatabase(database_url) as database:
        accounts = Accounts(database, hasher=cheap)
        yield accounts
        accounts.passwords.close()


@asynccontextmanager
async def logged_in(
    door: Door, name: str = "alice", password: str = "correct horse"
) -> AsyncIterator[httpx.AsyncClient]:
    async with door.browser() as browser:
        assert (await log_in(browser, name, password)).status_code == 303
        yield browser


async def log_in(browser: httpx.AsyncClient, name: str, password: str, **more: str) -> httpx.Response:
    """As the form does it."""
    csrf = csrf_of((await browser.get("/login")).text)
    return await browser.post("/login", data={"csrf": csrf, "name": name, "password": password, **more})


def csrf_of(html: str) -> str:
    return html.partition('name="csrf" value="')[2].partition('"')[0]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real program as it starts by default."""
    with Server(tmp_path_factory.mktemp("program")) as server:
        yield server
