"""Stories of the page Models: from nothing to a first reply, and back to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.library.fake_hub import FakeHub
from tests.library.tiny import write_kind

from .conftest import STEADY, Visit
from .server import Server, starter, without_starter
from .visitor import SHORT

REPO = "someone/Small-GGUF"
FILE = "small-Q4_1.gguf"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    hub.files[f"{REPO}/{FILE}"] = starter().read_bytes()
    hub.files[f"{REPO}/small-Q8_0.gguf"] = b"GGUF"
    hub.files["another/Thing-GGUF/thing-Q4_K_M.gguf"] = b"GGUF"
    hub.about[REPO] = {"downloads": 1200, "likes": 3, "tags": ["gguf", "license:apache-2.0"]}
    yield hub
    hub.close()


@pytest.fixture
def server(tmp_path: Path, hub: FakeHub) -> Iterator[Server]:
    environment = without_starter(tmp_path) | {"HF_ENDPOINT": hub.endpoint}
    with Server(tmp_path / "server", *STEADY, "--max-tokens", "60", environment=environment) as server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


def search(page: Page, words: str) -> None:
    page.get_by_role("searchbox", name="Find a model").fill(words)
    page.get_by_role("button", name="Search", exact=True).click()


def test_from_nothing_to_a_reply_and_back(visit: Visit, hub: FakeHub, server: Server) -> None:
    anna = visit().open()
    page = anna.page
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    expect(page.get_by_text("There are none yet.")).to_be_visible()
    expect(page.get_by_role("button", name="Download: Qwen3 8B")).to_be_visible()

    search(page, "small")
    expect(page.get_by_text("1K downloads · 3 likes · licence apache-2.0")).to_be_visible()
    expect(page.get_by_text("another/Thing-GGUF")).to_have_count(0)
    page.get_by_role("button", name=f"Choose a file: {REPO}").click()
    hub.seconds_per_block = 0.01
    page.get_by_role("button", name="Download: Q4_1").click()

    bar = page.get_by_role("progressbar", name=FILE)
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"[1-9]"))
    downloads = page.get_by_role("region", name="Downloads")
    expect(downloads).to_contain_text(re.compile(r"MB of 98 MB · [\d.]+ [kM]B/s · \d+ (s|min) left"))
    page.get_by_role("button", name=f"Pause {FILE}").click()
    expect(downloads).to_contain_text("Paused · ")

    # The queue is the process's, not the tab's, nor the run's.
    page.goto("about:blank")
    server.kill()
    server.start()
    page.goto(f"{server.url}/models")
    expect(downloads).to_contain_text("Paused · ")
    hub.seconds_per_block = 0
    page.get_by_role("button", name=f"Resume {FILE}").click()
    expect(downloads).to_contain_text("98 MB · complete")
    here = page.get_by_role("region", name="On this machine")
    expect(here).to_contain_text("In use")

    page.get_by_role("link", name="Back to the chat").click()
    anna.see_model("small")
    assert anna.ask(SHORT).reply()

    page.goto(f"{server.url}/models")
    expect(here).to_contain_text(re.compile(r"about [\d.–]+ tokens per second"))
    page.get_by_role("button", name="Details of small").click()
    expect(page.get_by_role("dialog")).to_contain_text("Licenceapache-2.0")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove small").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="is gone")).to_contain_text("small is gone; 98 MB are free.")
    expect(page.get_by_text("There are none yet.")).to_be_visible()
    assert not list(server.models.rglob("*.gguf"))
    page.get_by_role("link", name="System check").click()
    expect(page.get_by_role("region", name="Problems")).to_contain_text("No model can chat here. Get one:")
    expect(page.get_by_role("region", name="Speed")).to_contain_text("tokens per second")


def test_files_that_come_and_go_are_seen_at_once(visit: Visit, server: Server) -> None:
    page = visit().open().page
    page.goto(f"{server.url}/models")
    expect(page.get_by_text("There are none yet.")).to_be_visible()
    eyes = write_kind(server.models / "eyes.gguf", "mmproj")
    here = page.get_by_role("region", name="On this machine")
    expect(here).to_contain_text("projector of another model (mmproj)")
    eyes.unlink()
    expect(page.get_by_text("There are none yet.")).to_be_visible()


def test_failures_say_what_it_is_and_the_token_is_never_shown(visit: Visit, hub: FakeHub, server: Server) -> None:
    page = visit().open().page
    page.goto(f"{server.url}/models")
    page.get_by_role("textbox", name="Token").fill("hf_very_secret")
    page.get_by_role("button", name="Save token").click()
    expect(page.get_by_text("One is saved.")).to_be_visible()

    hub.refusals[REPO] = (403, "GatedRepo")
    search(page, REPO)
    expect(page.get_by_role("alert").filter(has_text="wants its terms accepted first")).to_be_visible()
    assert hub.requests[-1][2]["authorization"] == "Bearer hf_very_secret"
    search(page, "https://127.0.0.1:1/secret.gguf")
    expect(page.get_by_role("region", name="Downloads")).to_contain_text("is in a private network")

    page.reload()
    expect(page.get_by_text("One is saved.")).to_be_visible()
    assert "hf_very_secret" not in page.content() + server.output()
    page.get_by_role("button", name="Remove token").click()
    expect(page.get_by_text("None is saved.")).to_be_visible()
