"""The library: listing 200 files of four programs, cold and warm, and the program's memory while four downloads run.

python -m benchmarks.library
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from localchat_ui.library.catalog import Catalog
from localchat_ui.library.queue import DownloadQueue, Job, JobFile
from localchat_ui.settings import OTHER_PROGRAMS
from tests.browser.server import Server
from tests.library.fake_hub import BLOCK, FakeHub
from tests.library.tiny import write_llama

N_FILES, N_DOWNLOADS, N_BYTES = 200, 4, 64 * 10**6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_list(Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))


async def _list(folder: Path) -> None:
    """A quarter of the files is ours, the others lie as the other programs lay theirs out."""
    os.environ["HOME"] = os.environ["XDG_CACHE_HOME"] = str(folder)
    small = write_llama(folder / "small.gguf").read_bytes()
    for number in range(N_FILES):
        _file(folder, number).write_bytes(small)
    times = []
    for programs in ((), OTHER_PROGRAMS):
        catalog = Catalog(folder / "models", folder / "cache.json", programs=programs)
        begun = time.perf_counter()
        n_listed = len(await catalog.refresh())
        cold = time.perf_counter() - begun
        for _ in range(10):
            begun = time.perf_counter()
            await catalog.refresh()
            times.append(time.perf_counter() - begun)
        again = Catalog(folder / "models", folder / "cache.json", programs=programs)
        begun = time.perf_counter()
        await again.refresh()
        started = time.perf_counter() - begun
        (folder / "cache.json").unlink()
        print(
            f"{n_listed} files, other programs {'on' if programs else 'off'}: cold {cold:.2f} s, after a start"
            f" {1000 * started:.0f} ms, warm {1000 * statistics.median(times[-10:]):.1f} ms"
        )


def _file(folder: Path, number: int) -> Path:
    digest = f"{number:064x}"
    match number % 4:
        case 0:
            file = folder / "models" / f"{number}.gguf"
        case 1:
            file = folder / ".ollama" / "models" / "blobs" / f"sha256-{digest}"
            layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
            tag = (
                folder / ".ollama" / "models" / "manifests" / "registry.ollama.ai" / "library" / str(number) / "latest"
            )
            tag.parent.mkdir(parents=True)
            tag.write_text(json.dumps({"layers": [layer]}))
        case 2:
            file = folder / ".lmstudio" / "models" / "someone" / str(number) / "model.gguf"
        case _:
            file = folder / "huggingface" / "hub" / f"models--a--{number}" / "snapshots" / "1" / "model.gguf"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _download(folder: Path) -> None:
    hub = FakeHub()
    data = random.Random(1).randbytes(N_BYTES)
    jobs = []
    for number in range(N_DOWNLOADS):
        repo, file = f"someone/{number}-GGUF", JobFile(f"{number}-Q4_K_M.gguf", N_BYTES)
        hub.files[f"{repo}/{file.name}"] = data
        jobs.append(Job(repo, repo, (file,)))
    # Slow enough to be looked at.
    hub.seconds_per_block = 20 * BLOCK / N_BYTES
    server = Server(folder, environment={"HF_ENDPOINT": hub.endpoint})
    with server:
        time.sleep(10)
        _tell("no download", server)
    _keep(server, jobs)
    with server:
        time.sleep(10)
        _tell(f"{N_DOWNLOADS} downloads", server)
    hub.close()


def _keep(server: Server, jobs: list[Job]) -> None:
    """As if the program had been ended in the middle of them."""
    queue = DownloadQueue(server.models, server.folder / "data" / "downloads.json", None)  # type: ignore[arg-type]
    queue.jobs = jobs
    queue._keep()


def _tell(what: str, server: Server) -> None:
    assert server.process is not None
    app = psutil.Process(server.process.pid)
    children = app.children(recursive=True)
    own, theirs = app.memory_full_info(), [child.memory_full_info() for child in children]
    print(
        f"{what}: {own.rss / 1e6:.0f} MB resident ({own.uss / 1e6:.0f} MB its own), {len(children)} children with"
        f" {sum(each.uss for each in theirs) / 1e6:.0f} MB of their own"
    )


if __name__ == "__main__":
    main()
