"""The real client of the hub against a hub on loopback."""

from __future__ import annotations

import errno
import hashlib
import random
import re
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from localchat_ui.library import fetch as fetch_module
from localchat_ui.library import partial as partial_module
from localchat_ui.library.download import Report
from localchat_ui.library.errors import DownloadError
from localchat_ui.library.fetch import Fetch
from localchat_ui.library.partial import PartialFile
from tests.library.fake_hub import BLOCK, FakeHub, Fault

REPO = "someone/Tiny-GGUF"
FILE = "tiny-q4_k_m.gguf"
DATA = random.Random(7).randbytes(30 * BLOCK + 123)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def reports() -> list[Report]:
    return []


@pytest.fixture
def fetch(hub: FakeHub, models: Path, reports: list[Report]) -> Callable[..., Path]:
    hub.files[f"{REPO}/{FILE}"] = DATA

    def run(repo: str = REPO, file: str = FILE, endpoint: str = hub.endpoint) -> Path:
        Fetch(repo, file, models, reports.append, endpoint).run()
        return models / file

    return run


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "PAUSES", (0.01, 0.02))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_tells_how_far_it_is(
    hub: FakeHub, fetch, models: Path, reports: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "REPORT_EVERY", 0)
    assert fetch().read_bytes() == DATA
    assert files(models) == [FILE]
    assert reports[0] == Report("connecting")
    assert reports[-1] == Report("done", len(DATA), len(DATA))
    stages = [report.stage for report in reports]
    assert list(dict.fromkeys(stages)) == ["connecting", "downloading", "verifying", "done"]
    for stage in ("downloading", "verifying"):
        done = [report.done for report in reports if report.stage == stage]
        assert done == sorted(done)
        assert done[-1] == len(DATA)
        assert {report.total for report in reports if report.stage == stage} == {len(DATA)}
    assert stages.count("downloading") > 5


def test_the_bytes_come_from_the_commit_whose_checksum_was_read(hub: FakeHub, fetch) -> None:
    fetch()
    commit = hub.commit()
    assert [(method, path) for method, path, _ in hub.requests] == [
        ("HEAD", f"/{REPO}/resolve/main/{FILE}"),
        ("GET", f"/{REPO}/resolve/{commit}/{FILE}"),
        ("GET", f"/storage/{commit}/{REPO}/{FILE}"),
    ]


def test_a_file_that_changes_on_the_hub_meanwhile_arrives_as_it_was(
    hub: FakeHub, fetch, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fetch_module.get_hf_file_metadata

    def then_replace(*arguments: object, **keywords: object) -> object:
        found = asked(*arguments, **keywords)
        hub.files[f"{REPO}/{FILE}"] = DATA[::-1]
        return found

    monkeypatch.setattr(fetch_module, "get_hf_file_metadata", then_replace)
    assert fetch().read_bytes() == DATA


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: FakeHub, fetch) -> None:
    fetch()
    tokens = [headers.get("authorization") for _, _, headers in hub.requests]
    assert tokens == ["Bearer secret", "Bearer secret", None]


def test_a_file_in_a_folder_keeps_its_folder(hub: FakeHub, fetch, models: Path) -> None:
    hub.files[f"{REPO}/Q8/big.gguf"] = b"GGUF"
    assert fetch(file="Q8/big.gguf").read_bytes() == b"GGUF"
    assert (models / "Q8" / "big.gguf").is_file()


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(5 * BLOCK), Fault(7 * BLOCK)],
        [Fault(5 * BLOCK, "reset"), Fault(7 * BLOCK, "reset")],
        [Fault(5 * BLOCK, "stall"), Fault(7 * BLOCK, "stall")],
        [Fault(5 * BLOCK), Fault(status=503), Fault(7 * BLOCK)],
        [Fault(5 * BLOCK), Fault(status=429, headers={"Retry-After": "1"}), Fault(7 * BLOCK)],
    ],
    ids=["cut", "reset", "stalled", "broken meanwhile", "busy meanwhile"],
)
def test_a_connection_that_breaks_is_taken_up_again(
    hub: FakeHub, fetch, reports: list[Report], faults: list[Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "TIMEOUT", 0.5)
    hub.faults = faults
    assert fetch().read_bytes() == DATA
    asked = [int(range_.removeprefix("bytes=").removesuffix("-")) for range_ in hub.ranges()]
    # After a reset, what the kernel still held is lost.
    assert asked == sorted(asked)
    assert 0 < asked[-1] <= 12 * BLOCK
    assert Report("waiting", asked[-1], len(DATA)) in reports
    assert hub.bytes_sent < 1.5 * len(DATA)


def test_what_arrived_before_a_cut_is_not_fetched_again(hub: FakeHub, fetch) -> None:
    hub.faults = [Fault(5 * BLOCK), Fault(7 * BLOCK)]
    fetch()
    assert hub.ranges() == ["bytes=0-", f"bytes={5 * BLOCK}-", f"bytes={12 * BLOCK}-"]
    assert hub.bytes_sent == len(DATA)


def test_a_server_that_dies_is_named_and_a_retry_finishes(hub: FakeHub, fetch, models: Path) -> None:
    hub.faults = [Fault(5 * BLOCK), *[Fault(0)] * 3]
    with pytest.raises(DownloadError, match=r"No connection to 127.* start again\. 328 kB of 2 MB are kept"):
        fetch()
    assert len(files(models)) == 1
    assert len(hub.ranges()) == 1 + len(fetch_module.PAUSES)
    hub.faults.clear()
    assert fetch().read_bytes() == DATA
    assert hub.ranges()[-1] == f"bytes={5 * BLOCK}-"


def test_a_server_that_ignores_ranges_does_not_spoil_the_file(hub: FakeHub, fetch) -> None:
    hub.ignores_range = True
    hub.faults = [Fault(5 * BLOCK), Fault(3 * BLOCK)]
    assert fetch().read_bytes() == DATA


def test_a_server_that_falls_silent_is_given_up(hub: FakeHub, fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "TIMEOUT", 0.3)
    hub.silent_after = 1
    with pytest.raises(DownloadError, match=r"No connection to 127.*timed out.*Check the network"):
        fetch()


def test_a_refused_connection_is_one_attempt_and_a_plain_message(fetch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(DownloadError, match=r"No connection to 127.0.0.1:\d+ .*refused.*Check the network"):
            fetch(endpoint=endpoint)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((404, "RepoNotFound"), r"no repository someone/Other\. Check its name; if it is private, set HF_TOKEN"),
        ((401, "GatedRepo"), r"terms accepted first\. Accept them at http://\S+/someone/Other, set HF_TOKEN"),
        ((403, "GatedRepo"), r"terms accepted first"),
        ((401, ""), r"refuses access to someone/Other.*set HF_TOKEN to a token from http"),
        ((403, ""), r"refuses access to someone/Other.*set HF_TOKEN to a token from http"),
        ((429, ""), r"busy or broken \(HTTP 429\)\. Try again in a few minutes"),
        ((500, ""), r"busy or broken \(HTTP 500\)\. Try again in a few minutes"),
        ((503, ""), r"busy or broken \(HTTP 503\)\. Try again in a few minutes"),
    ],
)
def test_refusals_say_what_to_do(hub: FakeHub, fetch, models: Path, refusal: tuple[int, str], message: str) -> None:
    hub.refusals["someone/Other"] = refusal
    with pytest.raises(DownloadError, match=message):
        fetch(repo="someone/Other")
    assert len(hub.requests) == 1
    assert not models.exists()


def test_a_repository_nobody_has_heard_of(fetch) -> None:
    with pytest.raises(DownloadError, match="shows no repository no-one/nothing"):
        fetch(repo="no-one/nothing")


def test_a_file_that_is_not_in_the_repository(hub: FakeHub, fetch) -> None:
    with pytest.raises(DownloadError, match=rf"{REPO} has no file absent\.gguf\. See http\S+/{REPO}/tree/main"):
        fetch(file="absent.gguf")


def test_a_repository_name_that_cannot_be(fetch) -> None:
    with pytest.raises(DownloadError, match="It looks like owner/name"):
        fetch(repo="not a name")


@pytest.mark.parametrize("name", ["../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "..\\evil.gguf", ""])
def test_a_file_name_cannot_leave_the_models_folder(hub: FakeHub, fetch, name: str) -> None:
    with pytest.raises(DownloadError, match="is not the name of a file"):
        fetch(file=name)
    assert not hub.requests


def test_a_login_page_is_not_a_hub(hub: FakeHub, fetch) -> None:
    hub.is_login_page = True
    with pytest.raises(DownloadError, match="does not answer like a model hub"):
        fetch()


def test_offline_mode_is_named(fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        fetch()


def test_a_wrong_checksum_removes_the_file(hub: FakeHub, fetch, models: Path) -> None:
    hub.sha256[f"{REPO}/{FILE}"] = "0" * 64
    with pytest.raises(DownloadError, match=r"damaged \(wrong checksum\) and was removed\. Download it again"):
        fetch()
    assert not files(models)


def test_a_server_that_does_not_stop_cannot_fill_the_disk(hub: FakeHub, fetch, models: Path) -> None:
    hub.sizes[f"{REPO}/{FILE}"] = 1000
    with pytest.raises(DownloadError, match=r"damaged \((\d+) bytes instead of 1000\) and was removed") as error:
        fetch()
    assert int(re.findall(r"\d+", str(error.value).partition("damaged")[2])[0]) < len(DATA) / 4
    assert not files(models)


def test_a_file_that_is_shorter_than_the_hub_says_is_removed(hub: FakeHub, fetch, models: Path) -> None:
    hub.sizes[f"{REPO}/{FILE}"] = len(DATA) + 1
    with pytest.raises(DownloadError, match=rf"damaged \(no more than {len(DATA)} bytes instead of {len(DATA) + 1}\)"):
        fetch()
    assert not files(models)


def test_the_part_of_an_older_version_is_not_continued(hub: FakeHub, fetch, models: Path) -> None:
    hub.faults = [Fault(5 * BLOCK), *[Fault(0)] * 3]
    with pytest.raises(DownloadError):
        fetch()
    hub.faults.clear()
    hub.files[f"{REPO}/{FILE}"] = newer = DATA[::-1]
    assert fetch().read_bytes() == newer
    assert hub.ranges()[-1] == "bytes=0-"
    assert files(models) == [FILE]


def test_a_file_that_is_there_is_not_fetched_again(hub: FakeHub, fetch) -> None:
    path = fetch()
    hub.requests.clear()
    assert fetch() == path
    assert [method for method, _, _ in hub.requests] == ["HEAD"]


def test_another_file_of_that_name_is_left_alone(fetch, models: Path) -> None:
    models.mkdir()
    (models / FILE).write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"exists and is another file\. Rename or delete it"):
        fetch()
    assert (models / FILE).read_bytes() == b"mine"


def test_two_downloads_of_one_file_do_not_mix(hub: FakeHub, fetch, models: Path) -> None:
    models.mkdir()
    hub.faults = [Fault(5 * BLOCK), *[Fault(0)] * 3]
    with pytest.raises(DownloadError):
        fetch()
    [part] = models.iterdir()
    before = part.read_bytes()
    etag = hashlib.sha256(DATA).hexdigest()
    with (
        PartialFile(models / FILE, len(DATA), etag).open(),
        pytest.raises(DownloadError, match="is being downloaded already"),
    ):
        fetch()
    assert part.read_bytes() == before
    hub.faults.clear()
    assert fetch().read_bytes() == DATA


def test_a_disk_too_small_is_noticed_before_the_start(
    hub: FakeHub, fetch, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DownloadError, match=rf"too full: {FILE} needs 2 MB, \S+ has 1 kB left\. Make room"):
        fetch()
    assert not hub.ranges()
    assert not files(models)


def test_what_is_there_already_needs_no_room(hub: FakeHub, fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.faults = [Fault(29 * BLOCK), *[Fault(0)] * 3]
    with pytest.raises(DownloadError):
        fetch()
    hub.faults.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 2 * BLOCK))
    assert fetch().read_bytes() == DATA


def test_a_disk_that_fills_up_meanwhile(fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partial_module.os, "fsync", full)
    with pytest.raises(DownloadError, match=r"The disk is full: .*Make room and start again"):
        fetch()


def test_a_folder_that_cannot_be_written_to(fetch, models: Path) -> None:
    models.write_text("not a folder")
    with pytest.raises(DownloadError, match=r"cannot be written to: .*set MODELS_DIR elsewhere"):
        fetch()


def test_nothing_is_printed(fetch, capfd: pytest.CaptureFixture[str]) -> None:
    fetch()
    assert capfd.readouterr() == ("", "")
