"""Stories of a machine without any model: with no network, and with a slow one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.library.fake_hub import FakeHub

from .conftest import STEADY, Visit
from .server import NO_HUB, Server, starter, without_starter
from .visitor import SHORT

REPO = "Qwen/Qwen2.5-0.5B-Instruct-GGUF"
FILE = "qwen2.5-0.5b-instruct-q4_k_m.gguf"
NAME = "qwen2.5-0.5b-instruct"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A hub that hands out the starter model under the name of the suggested one."""
    hub = FakeHub()
    data = starter().read_bytes()
    hub.files[f"{REPO}/{FILE}"] = data
    hub.sha256[f"{REPO}/{FILE}"] = hashlib.sha256(data).hexdigest()
    yield hub
    hub.close()


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A program that finds no model, and the hub only where a story has one."""
    hub: FakeHub | None = request.getfixturevalue("hub") if "hub" in request.fixturenames else None
    environment = without_starter(tmp_path) | ({"HF_ENDPOINT": hub.endpoint} if hub else {})
    with Server(tmp_path / "server", *STEADY, "--max-tokens", "100", environment=environment) as server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


def test_without_network_and_model_the_page_says_what_to_do(visit: Visit, server: Server) -> None:
    anna = visit().open()
    card = anna.page.get_by_role("region", name="Model download")
    retry = card.get_by_role("button", name="Retry")

    expect(anna.alert).to_contain_text(f"No connection to {NO_HUB.removeprefix('http://')}")
    expect(retry).to_be_visible()
    expect(card).to_contain_text("Put a GGUF file into the models folder")
    expect(card).to_contain_text(FILE)
    expect(anna.status).to_contain_text("No model")

    anna.ask(SHORT)
    expect(anna.replies.last.get_by_role("alert")).to_contain_text("No model is loaded")
    expect(anna.send).to_be_visible()

    anna.new_chat.click()
    retry.click()
    expect(anna.alert).to_contain_text("No connection")

    (server.models / "mine.gguf").symlink_to(starter())
    anna.choose_model("mine")
    anna.see_model("mine")
    expect(card).to_be_hidden()
    expect(anna.alert).to_be_hidden()
    assert anna.ask(SHORT).reply()

    anna.link(SHORT).last.click()
    anna.replies.last.get_by_role("button", name="Retry").click()
    expect(anna.replies.last.get_by_role("alert")).to_have_count(0)
    assert anna.reply()


def test_a_slow_download_can_be_paused_and_goes_on_where_it_was(visit: Visit, hub: FakeHub, server: Server) -> None:
    hub.seconds_per_block = 0.02
    anna = visit().open()
    card = anna.page.get_by_role("region", name="Model download")
    bar = card.get_by_role("progressbar", name="Download")

    expect(card).to_contain_text(f"Downloading {FILE}")
    expect(card).to_contain_text(re.compile(r"\d+ MB of 98 MB · [\d.]+ [kM]B/s · \d+ (s|min) left"))
    expect(bar).to_have_attribute("aria-valuenow", re.compile("[1-9]"))
    # It is one of the downloads of the process.
    anna.page.goto(f"{server.url}/models")
    expect(anna.page.get_by_role("region", name="Downloads")).to_contain_text(FILE)
    anna.open()
    card.get_by_role("button", name="Pause").click()
    download = card.get_by_role("button", name="Resume")
    expect(download).to_be_visible()
    expect(bar).to_be_hidden()
    expect(anna.alert).to_be_hidden()
    [part] = server.models.glob("*.part")
    kept = part.stat().st_size
    assert kept

    hub.seconds_per_block = 0
    download.click()
    anna.see_model(NAME)

    assert hub.ranges()[-1] == f"bytes={kept}-"
    expect(card).to_be_hidden()
    assert anna.ask(SHORT).reply()
    assert [file.name for file in server.models.iterdir()] == [FILE]


def test_a_message_written_during_the_download_is_answered_after_it(visit: Visit, hub: FakeHub, server: Server) -> None:
    hub.seconds_per_block = 0.02
    anna = visit().open()
    expect(anna.page.get_by_role("progressbar", name="Download")).to_be_visible()

    anna.ask(SHORT)
    expect(anna.log).to_have_attribute("aria-busy", "true")
    anna.page.reload()
    expect(anna.questions.locator(".words")).to_have_text([SHORT])
    hub.seconds_per_block = 0

    expect(anna.replies.last.locator(".words")).to_have_text(re.compile(r"\w+"))
    assert anna.reply()
    anna.see_model(NAME)
