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
from types import MappingProxyType

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
    folder: Path
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
    """As many threads as every side gets."""
    return min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0)))


@contextmanager
def ours(model: Model, app: Path, *flags: str, parallel: int = PARALLEL, n_ctx: int = N_CTX) -> Iterator[Server]:
    """`python -m localchat_ui` from the checkout `app`, as a user starts it, with an empty data folder."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "localchat_ui", "--model", str(model.path), "--parallel", str(parallel)]
        command += ["--n-ctx", str(n_ctx), "--open-browser", "false", "--data-dir", f"{folder}/data"]
        command += ["--models-dir", str(model.path.parent), *flags]
        with running(OURS, model, command, folder, health="/healthz?ready=1", environment=of_checkout(app)) as server:
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
def open_webui(command: Path, model: Model, model_url: str) -> Iterator[Server]:
    """In front of a llama-server. Nobody logs in, no other host is asked, and the model writes replies only."""
    extras = ("TITLE_GENERATION", "TAGS_GENERATION", "FOLLOW_UP_GENERATION", "AUTOCOMPLETE_GENERATION")
    unwanted = [f"ENABLE_{name}" for name in (*extras, "VERSION_UPDATE_CHECK", "OLLAMA_API")]
    settings = dict.fromkeys([*unwanted, "WEBUI_AUTH", "ANONYMIZED_TELEMETRY"], "False")
    settings |= {"OFFLINE_MODE": "True", "RAG_EMBEDDING_ENGINE": "openai", "WEBUI_SECRET_KEY": "none"}
    settings |= {"OPENAI_API_BASE_URL": f"{model_url}/v1", "OPENAI_API_KEY": "none"}
    with TemporaryDirectory() as folder:
        settings["DATA_DIR"] = folder
        serve = [str(command.resolve()), "serve"]
        with running("Open WebUI", model, serve, folder, health="/health", environment=settings) as server:
            yield server


@contextmanager
def running(
    name: str,
    model: Model,
    command: Sequence[str],
    folder: str,
    *,
    health: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """Start a server on a free port of this machine, and stop it and its children at the end.

    Raises RuntimeError with the end of its log if `health` is not answered with 200 in time.
    """
    port, begun = free_port(), time.monotonic()
    log = Path(folder, "log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder, stdout=output, stderr=output, env={**clean_environment(), **environment},
            start_new_session=True,
        )  # fmt: skip
    try:
        while not _answers(f"http://127.0.0.1:{port}{health}"):
            if process.poll() is not None or time.monotonic() > begun + START_SECONDS:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield Server(name, model.chats, port, Path(folder), psutil.Process(process.pid), time.monotonic() - begun)
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


def of_checkout(app: Path) -> dict[str, str]:
    """What makes Python find the package of that checkout."""
    return {"PYTHONPATH": os.pathsep.join([str(app), os.environ.get("PYTHONPATH", "")])}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)
    return False
