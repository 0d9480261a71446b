"""Speaks to the real program as a browser does, and as an attacker does who writes every byte."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import uuid
from contextlib import ExitStack
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.browser.server import Server

PAGE = {"Accept": "text/html"}


class Page:
    """What a browser knows of a page it has loaded."""

    def __init__(self, html: str) -> None:
        match = re.search(r"'client_id': '([0-9a-f-]+)'", html)
        assert match, html[:500]
        self.client_id = match[1]
        self.tab_id = str(uuid.uuid4())

    def handshake(self) -> dict[str, Any]:
        ids = {"client_id": self.client_id, "tab_id": self.tab_id, "old_tab_id": ""}
        return ids | {"document_id": str(uuid.uuid4()), "next_message_id": 0}


class Socket:
    """NiceGUI's socket, spoken by hand: Engine.IO 4 and Socket.IO 5 over a websocket."""

    def __init__(self, server: Server, page: Page, *, implicit: bool = True, **headers: str) -> None:
        query = page.handshake() | {"implicit_handshake": str(implicit).lower(), "EIO": 4, "transport": "websocket"}
        url = f"ws://127.0.0.1:{server.port}/_nicegui_ws/socket.io/?{urlencode(query)}"
        origin = headers.pop("origin", server.url)
        self._stack = ExitStack()
        connection = connect(url, origin=Origin(origin), additional_headers=headers, proxy=None)
        self._connection: ClientConnection = self._stack.enter_context(connection)
        assert self.receive().startswith("0{")
        self._connection.send("40")
        self.welcome = self.receive()

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def is_welcome(self) -> bool:
        return self.welcome.startswith("40{")

    def receive(self, seconds: float = 10) -> str:
        """The next packet that is more than a ping."""
        while (packet := str(self._connection.recv(seconds))) == "2":
            self._connection.send("3")
        return packet

    def emit(self, event: str, data: dict[str, Any]) -> None:
        self._connection.send(f"42{json.dumps([event, data])}")

    def ask(self, event: str, data: dict[str, Any]) -> Any:
        """Emit, and wait for the answer."""
        self._connection.send(f"421{json.dumps([event, data])}")
        while not (packet := self.receive()).startswith("431"):
            pass
        return json.loads(packet[3:])[0]


class Browser(httpx.Client):
    def __init__(self, server: Server) -> None:
        super().__init__(base_url=server.url, trust_env=False, headers=PAGE)
        self._server = server

    def page(self, path: str = "/") -> Page:
        answer = self.get(path, follow_redirects=True)
        assert answer.status_code == 200
        return Page(answer.text)

    def socket(self, page: Page, *, implicit: bool = True, **headers: str) -> Socket:
        cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies.jar)
        return Socket(self._server, page, implicit=implicit, **({"Cookie": cookie} if cookie else {}), **headers)

    def log_in(self, name: str, password: str) -> None:
        csrf = self.get("/login").text.partition('name="csrf" value="')[2].partition('"')[0]
        data = {"csrf": csrf, "name": name, "password": password}
        answer = self.post("/login", data=data, headers={"Origin": self._server.url})
        assert answer.status_code == 303, answer.text


def send_bytes(server: Server, data: bytes) -> bytes:
    """The answer to exactly these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def user(server: Server, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m localchat_ui user …` on the database of this program."""
    command = [sys.executable, "-m", "localchat_ui", "user", *arguments, "--data-dir", str(server.folder / "data")]
    return subprocess.run(
        command,
        input=password + "\n",
        cwd=server.folder,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
