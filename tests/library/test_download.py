"""A download in its child process: the real one against a hub on loopback, and children that misbehave."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from localchat_ui.library import download as download_module
from localchat_ui.library.download import Download, Progress, Report
from localchat_ui.library.errors import DownloadError
from tests.library.fake_hub import BLOCK, FakeHub
from tests.library.test_metadata import children, until

REPO = "someone/Tiny-GGUF"
FILE = "tiny-q4_k_m.gguf"
DATA = random.Random(7).randbytes(160 * BLOCK + 123)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def download(hub: FakeHub, models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Download]:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.files[f"{REPO}/{FILE}"] = DATA
    return lambda: Download(REPO, FILE, models)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def cancel(run: asyncio.Task[Path]) -> None:
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_file_arrives_and_only_then_has_its_name(hub: FakeHub, download, models: Path) -> None:
    hub.seconds_per_block = 0.005
    it = download()
    assert it.progress == Progress("connecting", 0, None, 0.0)

    run = asyncio.create_task(it.run())
    seen = []
    while not run.done():
        moment = it.progress
        if moment.stage == "downloading":
            assert not (models / FILE).exists()
            seen.append(moment)
        await asyncio.sleep(0.02)

    assert (await run).read_bytes() == DATA
    assert names(models) == [FILE]
    assert [moment.done for moment in seen] == sorted(moment.done for moment in seen)
    assert len({moment.done for moment in seen}) > 3
    assert {moment.total for moment in seen} == {len(DATA)}
    timed = [moment for moment in seen if moment.speed]
    assert all(0 < moment.speed < BLOCK / 0.005 * 1.5 for moment in timed)
    assert timed[-1].seconds_left == (len(DATA) - timed[-1].done) / timed[-1].speed
    assert (it.progress.stage, it.progress.done, it.progress.seconds_left) == ("done", len(DATA), None)


@pytest.mark.parametrize("how", ["cancelled", "killed"])
async def test_nothing_on_disk_is_fetched_again_after_an_end_in_mid_file(
    hub: FakeHub, download, models: Path, how: str
) -> None:
    before = children()
    hub.seconds_per_block = 0.01
    it = download()
    run = asyncio.create_task(it.run())
    await until(lambda: it.progress.done > len(DATA) / 2)
    if how == "cancelled":
        await cancel(run)
    else:
        [child] = children() - before
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(DownloadError, match=rf"The download of {FILE} stopped \(SIGKILL\)\. Start it again"):
            await run
    assert children() <= before
    [part] = names(models)
    size = (models / part).stat().st_size
    assert part.startswith(f"{FILE}.")
    assert part.endswith(".part")
    assert it.progress.done <= size < len(DATA)

    hub.seconds_per_block = 0
    it = download()
    assert (await it.run()).read_bytes() == DATA
    assert hub.ranges() == ["bytes=0-", f"bytes={size}-"]
    assert names(models) == [FILE]


@pytest.mark.parametrize("requests", [1, 2, 3], ids=["metadata", "redirect", "storage"])
async def test_cancel_does_not_wait_for_a_silent_network(hub: FakeHub, download, requests: int) -> None:
    hub.silent_after = requests
    run = asyncio.create_task(download().run())
    await until(lambda: len(hub.requests) == requests)
    began = time.monotonic()
    await cancel(run)
    assert time.monotonic() - began < 2


async def test_errors_of_the_child_are_told_as_they_are(hub: FakeHub, download) -> None:
    hub.refusals[REPO] = (401, "GatedRepo")
    with pytest.raises(DownloadError, match=rf"^{REPO} wants its terms accepted first\."):
        await download().run()


async def test_two_processes_do_not_write_one_file(hub: FakeHub, download) -> None:
    hub.seconds_per_block = 0.2
    it = download()
    first = asyncio.create_task(it.run())
    await until(lambda: it.progress.done > 0)
    with pytest.raises(DownloadError, match="is being downloaded already"):
        await download().run()
    await cancel(first)
    hub.seconds_per_block = 0
    assert (await download().run()).read_bytes() == DATA


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("raise SystemExit(3)", r"exit code 3"),
        ("print(flush=True); import os; os.abort()", "SIGABRT"),
        ("print(flush=True); import time; time.sleep(60)", "it hangs"),
        ("print(flush=True); print('rubbish', flush=True)", "it said something strange"),
        ('print(flush=True); print(\'{"stage": 1, "strange": 2}\', flush=True)', "it said something strange"),
    ],
)
async def test_a_child_that_misbehaves_is_told(
    models: Path, monkeypatch: pytest.MonkeyPatch, code: str, trouble: str
) -> None:
    monkeypatch.setattr(download_module, "SECONDS_OF_SILENCE", 0.5)
    before = children()
    command = (sys.executable, "-c", f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); {code}")
    with pytest.raises(DownloadError, match=rf"stopped \({trouble}\)\. Start it again"):
        await Download(REPO, FILE, models, command=command).run()
    assert children() <= before


async def test_the_child_ends_with_an_app_that_is_killed(hub: FakeHub, models: Path) -> None:
    hub.files[f"{REPO}/{FILE}"] = DATA
    hub.silent_after = 1
    code = (
        "import asyncio, pathlib, sys; from localchat_ui.library.download import Download;"
        "asyncio.run(Download(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])).run())"
    )
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint}
    app = await asyncio.create_subprocess_exec(sys.executable, "-c", code, REPO, FILE, str(models), env=environment)
    await until(lambda: bool(hub.requests))
    [child] = psutil.Process(app.pid).children()
    app.kill()
    await app.wait()
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


# Speed


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(download_module, "time", clock)
    return clock


@pytest.fixture
def played(models: Path) -> Download:
    return Download(REPO, FILE, models)


def test_speed_counts_only_what_came_in_this_attempt(clock: Clock, played: Download) -> None:
    played._take(Report("downloading", 5_000, 10_000))
    assert played.progress.speed == 0
    for number in range(1, 11):
        clock.now += 0.2
        played._take(Report("downloading", 5_000 + 100 * number, 10_000))
    progress = played.progress
    assert (progress.stage, progress.done, progress.total) == ("downloading", 6_000, 10_000)
    assert progress.speed == pytest.approx(500)
    assert progress.seconds_left == pytest.approx(8)


def test_speed_follows_the_last_seconds(clock: Clock, played: Download) -> None:
    done = 0
    for size in [1_000] * 100 + [10] * 100:
        played._take(Report("downloading", done, 1_000_000))
        clock.now += 0.1
        done += size
    assert played.progress.speed == pytest.approx(100, rel=0.05)


def test_a_stalled_download_slows_down(clock: Clock, played: Download) -> None:
    played._take(Report("downloading", 0, 10_000))
    clock.now += 1
    played._take(Report("downloading", 1_000, 10_000))
    speeds = []
    for _ in range(4):
        speeds.append(played.progress.speed)
        clock.now += 2
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[0] == pytest.approx(1_000)
    assert speeds[-1] == 0
    assert played.progress.seconds_left is None


def test_only_a_download_has_seconds_left(clock: Clock, played: Download) -> None:
    assert played.progress.seconds_left is None
    played._take(Report("downloading", 0, 10))
    clock.now += 1
    played._take(Report("downloading", 5, 10))
    assert played.progress.seconds_left == 1
    for stage in ("waiting", "verifying"):
        played._take(Report(stage, 5, 10))
        assert (played.progress.done, played.progress.speed, played.progress.seconds_left) == (5, 0, None)
