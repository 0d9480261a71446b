"""The servers that are compared, each a process of its own with the same model, threads and context."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.models import Model
from benchmarks.programs import program

PARALLEL = 8
N_CTX = 4096
START_SECONDS = 120
OURS, LLAMA_SERVER = "localchat_ui", "llama-server"


@dataclass(frozen=True)
class Server:
    """A running one. `seconds` is how long it took until it could answer; its model `chats`, or continues texts."""

    name: str
    chats: bool
    port: int
    process: psutil.Process
    seconds: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> Memory:
        """What it holds now, its children included."""
        processes = [self.process, *self.process.children(recursive=True)]
        figures = [process.memory_full_info() for process in processes]
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        return Memory(sum(f.rss for f in figures), sum(f.pss for f in figures), 1024 * peak)


@dataclass(frozen=True)
class Memory:
    """In bytes: resident, resident with shared pages divided among those who share them, and the most of the first."""

    rss: int
    pss: int
    peak: int


def usable_cores() -> int:
    return min(psutil.cpu_count(logical=False) or 1, len(psutil.Process().cpu_affinity()))


@contextmanager
def ours(model: Model, app: Path, *flags: str, parallel: int = PARALLEL, n_ctx: int = N_CTX) -> Iterator[Server]:
    """`python -m localchat_ui` from the checkout `app`, as a user starts it, with an empty data folder."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "localchat_ui", "--model", str(model.path), "--parallel", str(parallel)]
        command += ["--n-ctx", str(n_ctx), "--open-browser", "false", "--data-dir", f"{folder}/data"]
        command += ["--models-dir", str(model.path.parent), *flags]
        path = os.pathsep.join([str(app), os.environ.get("PYTHONPATH", "")])
        with running(
            OURS, model, command, folder, health="/healthz?ready=1", environment={"PYTHONPATH": path}
        ) as server:
            yield server


@contextmanager
def llama_server(model: Model, *flags: str, parallel: int = PARALLEL, n_ctx: int = N_CTX) -> Iterator[Server]:
    """llama.cpp's server. It has to be told the context of all conversations together."""
    with TemporaryDirectory() as folder:
        command = [str(program("llama-server")), "--model", str(model.path), "--parallel", str(parallel), "--offline"]
        command += ["--ctx-size", str(parallel * n_ctx), "--threads", str(usable_cores()), *flags]
        with running(LLAMA_SERVER, model, command, folder, health="/health") as server:
            yield server


@contextmanager
def running(
    name: str,
    model: Model,
    command: Sequence[str],
    folder: str,
    *,
    health: str,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a server on a free port of this machine, and stop it and its children at the end.

    Raises RuntimeError with the end of its log if `health` is not answered with 200 in time.
    """
    port, begun = free_port(), time.monotonic()
    log = Path(folder, "log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder, stdout=output, stderr=output, env={**clean_environment(), **(environment or {})},
            start_new_session=True,
        )  # fmt: skip
    try:
        while not _answers(f"http://127.0.0.1:{port}{health}"):
            if process.poll() is not None or time.monotonic() > begun + START_SECONDS:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield Server(name, model.chats, port, psutil.Process(process.pid), time.monotonic() - begun)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def clean_environment() -> dict[str, str]:
    """This environment without settings of the programs and without a way to any hub."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LOCALCHAT_", "LLAMA_", "HF_"))},
        "NO_PROXY": "*",
        "HF_HUB_OFFLINE": "1",
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)
    return False
