"""The queue of downloads: the real client in real children, against a hub on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from localchat_ui.library import queue as queue_module
from localchat_ui.library.download import Download
from localchat_ui.library.errors import DownloadError
from localchat_ui.library.queue import DownloadQueue, Job, JobFile, State
from tests.library.fake_hub import BLOCK, FakeHub
from tests.library.test_metadata import children, until

REPO = "someone/Tiny-GGUF"
DATA = random.Random(7).randbytes(40 * BLOCK + 123)
SECONDS = 60


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def opened(hub: FakeHub, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

    @asynccontextmanager
    async def opened(at_a_time: int = 4) -> AsyncIterator[DownloadQueue]:
        def new_download(job: Job, file: JobFile, folder: Path) -> Download:
            return Download(job.source, file.name, folder, environment={"HF_TOKEN": "hf_mine"})

        queue = DownloadQueue(models, tmp_path / "data" / "downloads.json", new_download, at_a_time=at_a_time)
        await queue.start()
        try:
            yield queue
        finally:
            await queue.close()

    return opened


@pytest.fixture
def fetching() -> Callable[[], bool]:
    """Whether a child of this test is there, running or left over; other tests' servers are no business of it."""
    before = children()
    return lambda: bool(children() - before)


def job(hub: FakeHub, *names: str, data: bytes = DATA) -> Job:
    for name in names:
        hub.files.setdefault(f"{REPO}/{name}", data)
    return Job(REPO, REPO, tuple(JobFile(name, len(hub.files[f"{REPO}/{name}"])) for name in names))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


async def reach(queue: DownloadQueue, state: State) -> Job:
    await until(lambda: queue.jobs[0].state is state, SECONDS)
    return queue.jobs[0]


async def halfway(queue: DownloadQueue, share: float = 0.4) -> int:
    await until(lambda: (p := queue.progress(queue.jobs[0])).done > share * (p.total or 0), SECONDS)
    return queue.progress(queue.jobs[0]).done


async def test_what_is_only_together_a_model_comes_together(opened, hub: FakeHub, models: Path) -> None:
    arrived: list[Path] = []
    wanted = job(hub, "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "mmproj-F16.gguf")
    async with opened() as queue:
        queue.arrived.subscribe(arrived.append)
        await queue.add(wanted)
        await reach(queue, State.DONE)
        assert queue.progress(queue.jobs[0]).done == queue.progress(queue.jobs[0]).total == 3 * len(DATA)
    assert names(models / REPO) == [file.name for file in wanted.files]
    assert arrived == [models / REPO / "m-00001-of-00002.gguf"]
    tokens = {headers.get("authorization") for _, path, headers in hub.requests if "resolve" in path}
    assert tokens == {"Bearer hf_mine"}
    async with opened() as queue:
        assert queue.jobs == []


async def test_pause_holds_it_and_resume_goes_on_from_there(
    opened, hub: FakeHub, models: Path, fetching: Callable[[], bool]
) -> None:
    hub.seconds_per_block = 0.02
    async with opened() as queue:
        added = await queue.add(job(hub, "m.gguf"))
        await halfway(queue)
        queue.pause(added.id)
        assert fetching()
        await until(lambda: not fetching(), SECONDS)
        kept = queue.progress(queue.find(added.id)).done
        assert kept > 0.4 * len(DATA)
        await asyncio.sleep(0.2)
        assert queue.find(added.id).state is State.PAUSED
    async with opened() as queue:
        await asyncio.sleep(0.2)
        assert queue.progress(queue.jobs[0]).done == kept, "a restart must not wake it"
        queue.resume(added.id)
        await reach(queue, State.DONE)
    assert (models / REPO / "m.gguf").read_bytes() == DATA
    assert hub.ranges()[-1] == f"bytes={kept}-"


async def test_after_a_kill_it_goes_on_by_itself(opened, hub: FakeHub, models: Path, tmp_path: Path) -> None:
    hub.seconds_per_block = 0.02
    wanted = job(hub, "m.gguf")
    code = f"""
import asyncio, pathlib
from localchat_ui.library.download import Download
from localchat_ui.library.queue import DownloadQueue, Job, JobFile
async def main():
    queue = DownloadQueue(pathlib.Path({str(models)!r}), pathlib.Path({str(tmp_path / "data" / "downloads.json")!r}),
                          lambda job, file, folder: Download(job.source, file.name, folder))
    await queue.start()
    await queue.add(Job({REPO!r}, {REPO!r}, (JobFile("m.gguf", {len(DATA)}),)))
    await asyncio.sleep(60)
asyncio.run(main())
"""
    app = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=dict(os.environ))
    await until(lambda: hub.bytes_sent > len(DATA) // 2, SECONDS)
    os.kill(app.pid, signal.SIGKILL)
    await app.wait()
    hub.seconds_per_block = 0
    async with opened() as queue:
        assert queue.jobs[0].files == wanted.files
        await reach(queue, State.DONE)
    assert (models / REPO / "m.gguf").read_bytes() == DATA
    resumed = int(hub.ranges()[-1].removeprefix("bytes=").removesuffix("-"))
    assert resumed > 0.45 * len(DATA)


async def test_cancel_leaves_nothing_behind_but_what_was_there(
    opened, hub: FakeHub, models: Path, fetching: Callable[[], bool]
) -> None:
    hub.seconds_per_block = 0.02
    wanted = job(hub, "mine.gguf", "one.gguf", "two.gguf")
    (models / REPO).mkdir(parents=True)
    (models / REPO / "mine.gguf").write_bytes(DATA)
    async with opened() as queue:
        added = await queue.add(wanted)
        await halfway(queue, 0.8)
        assert "one.gguf" in names(models / REPO)
        await queue.cancel(added.id)
        assert names(models) == [f"{REPO}/mine.gguf"]
        assert queue.jobs == []
        assert not fetching()

        await queue.add(job(hub, "other.gguf"))
        (models / REPO / "mine.gguf").unlink()
        await halfway(queue, 0.1)
        await queue.cancel(queue.jobs[0].id)
        assert is_empty(models)
        with pytest.raises(DownloadError, match="not there any more"):
            await queue.cancel(added.id)


async def test_a_hub_that_is_down_is_asked_again(opened, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "RETRY_SECONDS", 0.1)
    hub.refusals[REPO] = (503, "")
    async with opened() as queue:
        await queue.add(job(hub, "m.gguf"))
        await until(lambda: "busy or broken" in queue.jobs[0].error, SECONDS)
        assert queue.jobs[0].state is State.RUNNING
        del hub.refusals[REPO]
        done = await reach(queue, State.DONE)
        assert done.error == ""


async def test_what_waiting_cannot_mend_fails_and_can_be_tried_again(opened, hub: FakeHub, models: Path) -> None:
    hub.sha256[f"{REPO}/m.gguf"] = hashlib.sha256(b"other").hexdigest()
    async with opened() as queue:
        added = await queue.add(job(hub, "m.gguf"))
        assert "arrived damaged (wrong checksum)" in (await reach(queue, State.FAILED)).error
        assert names(models) == []
    async with opened() as queue:
        assert queue.jobs[0].state is State.FAILED
        hub.sha256.clear()
        again = await queue.add(job(hub, "m.gguf"))
        assert again.id == added.id
        await reach(queue, State.DONE)


async def test_so_many_run_at_a_time_and_the_others_in_turn(opened, hub: FakeHub, models: Path) -> None:
    hub.seconds_per_block = 0.005
    async with opened(at_a_time=2) as queue:
        for name in ("a.gguf", "b.gguf", "c.gguf", "d.gguf"):
            await queue.add(job(hub, name))
        with pytest.raises(DownloadError, match=r"b\.gguf is being downloaded already"):
            await queue.add(job(hub, "b.gguf"))
        seen = set()
        while any(each.is_open for each in queue.jobs):
            seen.add(sum(each.state is State.RUNNING for each in queue.jobs))
            await asyncio.sleep(0.01)
        assert {each.state for each in queue.jobs} == {State.DONE}
        assert max(seen) == 2
    assert names(models / REPO) == ["a.gguf", "b.gguf", "c.gguf", "d.gguf"]


async def test_the_disk_has_to_have_room_for_all(opened, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "_free", lambda folder: 1.5 * len(DATA))
    hub.seconds_per_block = 0.05
    async with opened() as queue:
        await queue.add(job(hub, "a.gguf"))
        with pytest.raises(DownloadError, match=r"disk is too full: b\.gguf needs 2\.6 MB|3 MB"):
            await queue.add(job(hub, "b.gguf"))
        assert len(queue.jobs) == 1


@pytest.mark.parametrize("journal", [b"", b"[{}]", b"\xff", b"null", b'[{"source": 1}]'])
async def test_a_journal_that_cannot_be_read_is_none(opened, tmp_path: Path, journal: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "downloads.json").write_bytes(journal)
    async with opened() as queue:
        assert queue.jobs == []
