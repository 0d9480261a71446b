"""Stories of models that think, and of templates that insist on who speaks first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.engine.templated import EFFORT, THINKER, USER_FIRST, templated

from .conftest import STEADY, Visit
from .server import Server
from .test_conversations import import_
from .visitor import Visitor

WHEN = "2026-01-31T12:00:00Z"


@pytest.fixture(scope="module")
def server(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, *STEADY, "--max-tokens", "90", "--model", "thinker.gguf")
    for name, template in (("thinker", THINKER), ("effort", EFFORT), ("user-first", USER_FIRST)):
        templated(smollm, server.models, template, name)
    with server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


@pytest.fixture
def anna(visit: Visit) -> Visitor:
    return visit().open().open_settings()


def test_thinking_is_switched_off_and_limited_with_the_keyboard(anna: Visitor, visit: Visit) -> None:
    switch = anna.settings.get_by_role("switch", name="Thinking", exact=True)
    budget = anna.settings.get_by_role("spinbutton", name="Thinking budget", exact=True)
    expect(switch).to_be_checked()
    budget.fill("12")
    anna.ask("Why is the sky blue?")
    anna.reply()
    expect(anna.replies.last.locator("summary")).to_contain_text("Thought")
    assert anna.words()

    switch.focus()
    anna.page.keyboard.press("Space")
    expect(switch).not_to_be_checked()
    anna.ask("And the sea?")
    anna.reply()
    expect(anna.replies.last.locator("summary")).to_have_count(0)
    assert anna.words()

    again = visit().open(f"/c/{anna.conversation_id}").open_settings()
    expect(again.settings.get_by_role("switch", name="Thinking", exact=True)).not_to_be_checked()
    again.settings.get_by_role("switch", name="Thinking", exact=True).click()
    expect(again.settings.get_by_role("spinbutton", name="Thinking budget", exact=True)).to_have_value("12")


def test_the_settings_follow_the_model(anna: Visitor) -> None:
    switch = anna.settings.get_by_role("switch", name="Thinking", exact=True)
    effort = anna.settings.get_by_role("combobox", name="Reasoning effort", exact=True)
    anna.choose_model("effort")
    expect(effort).to_be_visible()
    expect(switch).to_have_count(0)
    effort.click()
    anna.page.get_by_role("option", name="High", exact=True).click()
    anna.choose_model("user-first")
    expect(effort).to_have_count(0)
    anna.choose_model("thinker")
    expect(switch).to_be_visible()


def test_a_conversation_that_the_assistant_began_goes_on(anna: Visitor, tmp_path: Path) -> None:
    anna.choose_model("user-first")
    anna.see_model("user-first")
    messages = [
        {"id": "a0", "parent": None, "role": "assistant", "text": "Hello, I am Ada.", "created_at": WHEN},
        {"id": "s1", "parent": "a0", "role": "system", "text": "Answer in French.", "created_at": WHEN},
    ]
    conversation = {"title": "Greeting first", "created_at": WHEN, "updated_at": WHEN, "options": {}, "head": "s1"}
    archive = {"format": "localchat_ui", "version": 1, "exported_at": WHEN}
    archive["conversations"] = [{**conversation, "messages": messages}]
    file = tmp_path / "greeting.json"
    file.write_text(json.dumps(archive))
    import_(anna, file)
    anna.link("Greeting first").click()
    expect(anna.replies.first).to_contain_text("Hello, I am Ada.")

    anna.ask("Who are you?")
    anna.reply()

    assert anna.words()
    anna.choose_action(anna.replies.last, "About this reply")
    told = anna.replies.last.get_by_role("list", name="What the model read differently")
    expect(told).to_contain_text("“Answer in French.” is a system message, which this model does not know")
