"""The real client of the hub against a hub on loopback."""

from __future__ import annotations

import errno
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from localchat_ui.library import hub as hub_module
from localchat_ui.library import partial as partial_module
from localchat_ui.library.hub import Download, DownloadCancelledError, DownloadError
from tests.library.fake_hub import BLOCK, COMMIT, FakeHub

REPO = "someone/Tiny-GGUF"
FILE = "tiny-q4_k_m.gguf"
DATA = random.Random(7).randbytes(30 * BLOCK + 123)


@pytest.fixture
def in_thread(hub: FakeHub) -> Iterator[Callable[[Download], Future[Path]]]:
    with ThreadPoolExecutor() as threads:
        yield lambda download: threads.submit(download.run)
        hub.awake.set()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def download(hub: FakeHub, models: Path) -> Callable[..., Download]:
    hub.files[f"{REPO}/{FILE}"] = DATA
    return lambda repo=REPO, file=FILE: Download(repo, file, models, endpoint=hub.endpoint)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "RECONNECT_AFTER", 0.05)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_only_then_has_its_name(hub: FakeHub, download, in_thread, models: Path) -> None:
    hub.seconds_per_block = 0.02
    it = download()
    assert it.progress == hub_module.Progress("connecting", 0, None, 0.0)

    running = in_thread(it)
    seen = []
    while not running.done():
        moment = it.progress
        if moment.stage == "downloading":
            assert FILE not in files(models)
            seen.append(moment)
        time.sleep(0.005)

    assert running.result() == models / FILE
    assert (models / FILE).read_bytes() == DATA
    assert files(models) == [FILE]
    assert [moment.done for moment in seen] == sorted(moment.done for moment in seen)
    assert len({moment.done for moment in seen}) > 5
    assert {moment.total for moment in seen} == {len(DATA)}
    timed = [moment for moment in seen if moment.speed]
    assert timed
    assert all(0 < moment.speed < BLOCK / 0.02 * 1.5 for moment in timed)
    assert timed[-1].seconds_left == (len(DATA) - timed[-1].done) / timed[-1].speed
    assert (it.progress.stage, it.progress.done, it.progress.seconds_left) == ("done", len(DATA), None)


def test_the_bytes_come_from_the_commit_whose_checksum_was_read(hub: FakeHub, download) -> None:
    download().run()
    assert [(method, path) for method, path, _ in hub.requests] == [
        ("HEAD", f"/{REPO}/resolve/main/{FILE}"),
        ("GET", f"/{REPO}/resolve/{COMMIT}/{FILE}"),
        ("GET", f"/storage/{REPO}/{FILE}"),
    ]


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: FakeHub, download) -> None:
    download().run()
    tokens = [headers.get("authorization") for _, _, headers in hub.requests]
    assert tokens == ["Bearer secret", "Bearer secret", None]


def test_a_file_in_a_folder_keeps_its_folder(hub: FakeHub, download, models: Path) -> None:
    hub.files[f"{REPO}/Q8/big.gguf"] = b"GGUF"
    assert download(file="Q8/big.gguf").run().read_bytes() == b"GGUF"
    assert (models / "Q8" / "big.gguf").is_file()


def test_cancel_leaves_a_part_and_the_next_download_asks_for_the_rest(
    hub: FakeHub, download, in_thread, models: Path
) -> None:
    hub.seconds_per_block = 0.05
    it = download()
    running = in_thread(it)
    until(lambda: it.progress.done > 2 * BLOCK)
    cancelled_at = time.monotonic()
    it.cancel()
    with pytest.raises(DownloadCancelledError, match=r"cancelled\. .* of 2 MB are kept"):
        running.result(timeout=5)
    assert time.monotonic() - cancelled_at < 2
    [part] = models.iterdir()
    size = part.stat().st_size
    assert part.name.startswith(f"{FILE}.")
    assert part.suffix == ".part"
    assert 2 * BLOCK < size < len(DATA)

    hub.seconds_per_block = 0
    assert download().run().read_bytes() == DATA
    assert hub.ranges() == ["bytes=0-", f"bytes={size}-"]
    assert files(models) == [FILE]


@pytest.mark.parametrize("requests", [1, 2, 3, 4], ids=["metadata", "redirect", "storage", "bytes"])
def test_cancel_does_not_wait_for_a_silent_network(hub: FakeHub, download, in_thread, requests: int) -> None:
    it = download()
    hub.seconds_per_block = 5
    hub.silent_after = requests
    running = in_thread(it)
    until(lambda: len(hub.requests) == min(requests, 3))
    cancelled_at = time.monotonic()
    it.cancel()
    with pytest.raises(DownloadCancelledError):
        running.result(timeout=5)
    assert time.monotonic() - cancelled_at < 2


def test_cancelled_before_it_began(hub: FakeHub, download) -> None:
    it = download()
    it.cancel()
    with pytest.raises(DownloadCancelledError, match=r"^The download was cancelled\.$"):
        it.run()


def test_a_connection_that_breaks_is_taken_up_again(hub: FakeHub, download) -> None:
    hub.breaks_after = [5 * BLOCK, 7 * BLOCK]
    assert download().run().read_bytes() == DATA
    assert hub.ranges() == ["bytes=0-", f"bytes={5 * BLOCK}-", f"bytes={12 * BLOCK}-"]


def test_a_server_that_dies_is_named_and_a_retry_finishes(hub: FakeHub, download, models: Path) -> None:
    hub.breaks_after = [5 * BLOCK, 0]
    with pytest.raises(DownloadError, match=r"No connection to 127.* start again\. 328 kB of 2 MB are kept"):
        download().run()
    assert len(files(models)) == 1
    assert download().run().read_bytes() == DATA
    assert hub.ranges()[-1] == f"bytes={5 * BLOCK}-"


def test_a_server_that_ignores_ranges_does_not_spoil_the_file(hub: FakeHub, download) -> None:
    hub.ignores_range = True
    hub.breaks_after = [5 * BLOCK]
    assert download().run().read_bytes() == DATA


def test_a_server_that_falls_silent_is_given_up(hub: FakeHub, download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PATIENCE", 0.3)
    hub.silent_after = 1
    with pytest.raises(DownloadError, match=r"No connection to 127.*nothing arrived for.*Check the network"):
        download().run()


def test_nothing_in_it_waits_for_minutes() -> None:
    assert 10 <= hub_module.PATIENCE <= 20
    assert hub_module.TIMEOUT <= hub_module.PATIENCE


def test_a_refused_connection_is_one_attempt_and_a_plain_message(models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(DownloadError, match=r"No connection to 127.0.0.1:\d+ .*refused.*Check the network"):
            Download(REPO, FILE, models, endpoint=endpoint).run()
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((404, "RepoNotFound"), r"no repository someone/Other\. Check its name; if it is private, set HF_TOKEN"),
        ((401, "GatedRepo"), r"terms accepted first\. Accept them at http://\S+/someone/Other, set HF_TOKEN"),
        ((403, "GatedRepo"), r"terms accepted first"),
        ((401, ""), r"refuses access to someone/Other.*set HF_TOKEN to a token from http"),
        ((429, ""), r"busy or broken \(HTTP 429\)\. Try again in a few minutes"),
        ((503, ""), r"busy or broken \(HTTP 503\)\. Try again in a few minutes"),
    ],
)
def test_refusals_say_what_to_do(hub: FakeHub, download, models: Path, refusal: tuple[int, str], message: str) -> None:
    hub.refusals["someone/Other"] = refusal
    with pytest.raises(DownloadError, match=message):
        download(repo="someone/Other").run()
    assert len(hub.requests) == 1
    assert not models.exists()


def test_a_repository_nobody_has_heard_of(download) -> None:
    with pytest.raises(DownloadError, match="shows no repository no-one/nothing"):
        download(repo="no-one/nothing").run()


def test_a_file_that_is_not_in_the_repository(hub: FakeHub, download) -> None:
    with pytest.raises(DownloadError, match=rf"{REPO} has no file absent\.gguf\. See http\S+/{REPO}/tree/main"):
        download(file="absent.gguf").run()


def test_a_repository_name_that_cannot_be(download) -> None:
    with pytest.raises(DownloadError, match="It looks like owner/name"):
        download(repo="not a name").run()


@pytest.mark.parametrize("name", ["../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "..\\evil.gguf", ""])
def test_a_file_name_cannot_leave_the_models_folder(hub: FakeHub, download, name: str) -> None:
    with pytest.raises(DownloadError, match="is not the name of a file"):
        download(file=name).run()
    assert not hub.requests


def test_a_login_page_is_not_a_hub(hub: FakeHub, download) -> None:
    hub.is_login_page = True
    with pytest.raises(DownloadError, match="does not answer like a model hub"):
        download().run()


def test_offline_mode_is_named(download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        download().run()


def test_a_wrong_checksum_removes_the_file(hub: FakeHub, download, models: Path) -> None:
    hub.sha256[f"{REPO}/{FILE}"] = "0" * 64
    with pytest.raises(DownloadError, match=r"damaged \(wrong checksum\) and was removed\. Download it again"):
        download().run()
    assert not files(models)


def test_a_server_that_does_not_stop_cannot_fill_the_disk(hub: FakeHub, download, models: Path) -> None:
    hub.sizes[f"{REPO}/{FILE}"] = 1000
    with pytest.raises(DownloadError, match=r"damaged \((\d+) bytes instead of 1000\) and was removed") as error:
        download().run()
    assert int(re.findall(r"\d+", str(error.value).partition("damaged")[2])[0]) < len(DATA) / 4
    assert not files(models)


def test_the_part_of_an_older_version_is_not_continued(hub: FakeHub, download, models: Path) -> None:
    hub.breaks_after = [5 * BLOCK, 0]
    with pytest.raises(DownloadError):
        download().run()
    hub.files[f"{REPO}/{FILE}"] = newer = DATA[::-1]
    assert download().run().read_bytes() == newer
    assert hub.ranges()[-1] == "bytes=0-"
    assert files(models) == [FILE]


def test_a_file_that_is_there_is_not_fetched_again(hub: FakeHub, download) -> None:
    path = download().run()
    hub.requests.clear()
    assert download().run() == path
    assert [method for method, _, _ in hub.requests] == ["HEAD"]


def test_another_file_of_that_name_is_left_alone(download, models: Path) -> None:
    models.mkdir()
    (models / FILE).write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"exists and is another file\. Rename or delete it"):
        download().run()
    assert (models / FILE).read_bytes() == b"mine"


def test_two_downloads_of_one_file_do_not_mix(hub: FakeHub, download, in_thread) -> None:
    hub.silent_after = 1
    first = in_thread(download())
    until(lambda: bool(hub.requests))
    with pytest.raises(DownloadError, match="is being downloaded already"):
        download().run()
    hub.awake.set()
    assert first.result().read_bytes() == DATA


def test_a_disk_too_small_is_noticed_before_the_start(
    hub: FakeHub, download, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DownloadError, match=rf"too full: {FILE} needs 2 MB, \S+ has 1 kB left\. Make room"):
        download().run()
    assert not hub.ranges()
    assert not files(models)


def test_what_is_there_already_needs_no_room(hub: FakeHub, download, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.breaks_after = [29 * BLOCK, 0]
    with pytest.raises(DownloadError):
        download().run()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 2 * BLOCK))
    assert download().run().read_bytes() == DATA


def test_a_disk_that_fills_up_meanwhile(download, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partial_module.os, "fsync", full)
    with pytest.raises(DownloadError, match=r"The disk is full: .*Make room and start again"):
        download().run()


def test_a_folder_that_cannot_be_written_to(download, models: Path) -> None:
    models.write_text("not a folder")
    with pytest.raises(DownloadError, match=r"cannot be written to: .*set MODELS_DIR elsewhere"):
        download().run()


def test_nothing_is_printed(download, capfd: pytest.CaptureFixture[str]) -> None:
    download().run()
    assert capfd.readouterr() == ("", "")


def test_no_thread_stays_behind(hub: FakeHub, download, in_thread) -> None:
    hub.seconds_per_block = 0.2
    before = set(threading.enumerate())
    it = download()
    running = in_thread(it)
    until(lambda: it.progress.done > 0)
    it.cancel()
    with pytest.raises(DownloadCancelledError):
        running.result()
    mine = [thread for thread in set(threading.enumerate()) - before if thread.name == "download"]
    until(lambda: not any(thread.is_alive() for thread in mine), seconds=3)
