"""A conversation that goes from the model in this process to one on a server beside it, and back."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import expect

from .conftest import STEADY, Visit
from .server import Server, free_port, starter
from .visitor import LONG, SHORT


@contextmanager
def llama_server() -> Iterator[str]:
    """The address of llama.cpp's own server, where LLAMA_SERVER names the program."""
    port = free_port()
    command = [os.environ["LLAMA_SERVER"], "-m", str(starter()), "--port", str(port), "-c", "2048", "-t", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                        break
                except httpx.HTTPError:
                    pass
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp's server if there is one, else another of this program, which speaks the same protocol."""
    if "LLAMA_SERVER" in os.environ:
        with llama_server() as url:
            yield url
    else:
        with Server(tmp_path_factory.mktemp("elsewhere"), *STEADY) as other:
            other.wait_for_health()
            yield f"{other.url}/v1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, elsewhere: str) -> Iterator[Server]:
    engines = json.dumps([{"name": "box", "url": elsewhere}])
    folder = tmp_path_factory.mktemp("server")
    with Server(folder, *STEADY, "--max-tokens", "60", "--engines", engines) as server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


def test_a_conversation_changes_to_a_model_elsewhere_and_back(visit: Visit, server: Server, elsewhere: str) -> None:
    anna = visit().open()
    [remote] = [card for card in httpx.get(f"{server.url}/v1/models").json()["data"] if card["owned_by"] == "box"]
    name = remote["id"].removeprefix("box/")
    anna.ask(SHORT)
    assert anna.reply()
    anna.model.click()
    expect(anna.page.get_by_role("option").filter(has_text="on box")).to_contain_text("on this machine")
    anna.page.get_by_role("option").filter(has_text="on box").click()
    anna.see_model(name)
    anna.ask("And why is that so?")
    assert len(anna.reply()) > 10
    anna.ask(LONG).see_growing(40)
    anna.stop.click()
    anna.reply()
    anna.page.get_by_role("button", name="Context").click()
    sheet = anna.page.get_by_role("dialog")
    expect(sheet).to_contain_text("The next reply will start after")
    anna.page.keyboard.press("Escape")
    anna.model.click()
    anna.page.get_by_role("option").filter(has_not_text="on box").first.click()
    expect(anna.status).not_to_contain_text("Loading")
    anna.ask("Say it again.")
    assert anna.reply()
    conversation = httpx.get(f"{server.url}/conversations/{anna.conversation_id}").json()
    writers = [message["model"] for message in conversation["messages"] if message["role"] == "assistant"]
    assert writers == [writers[0], remote["id"], remote["id"], writers[0]]
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        json={"model": remote["id"], "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5},
        timeout=60,
    ).json()
    assert answer["usage"]["completion_tokens"] <= 5
    assert answer["model"] == remote["id"]
