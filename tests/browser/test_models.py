"""Stories of swapping models from the page, with two real ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from localchat_ui.conversation import MessageState
from tests.library.tiny import write_kind

from .conftest import STEADY, Visit
from .server import Server, starter
from .visitor import LONG, SHORT, Visitor

SMOLLM = "SmolLM2-135M-Instruct"
GEMMA = "gemma-3-270m"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, gemma: Path) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), *STEADY, "--max-tokens", "100", "--model", starter().name)
    (server.models / gemma.name).symlink_to(gemma)
    (server.models / "zz-again.gguf").symlink_to(gemma)
    for name in ("embedding model", "LoRA", "mmproj", "vocabulary"):
        write_kind(server.models / f"{name}.gguf", name)
    with server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


@pytest.fixture
def anna(visit: Visit) -> Visitor:
    """Somebody at the page while the starter model is in use."""
    anna = visit().open()
    if not re.match(SMOLLM, anna.model.input_value()):
        anna.choose_model(SMOLLM)
    anna.see_model(SMOLLM)
    return anna


def test_the_dropdown_tells_models_apart(anna: Visitor) -> None:
    anna.model.click()

    expect(anna.page.get_by_role("option")).to_have_count(2)
    for name, details in ((SMOLLM, "135M · Q4_1 · 98 MB · 4k of 8k context"), (GEMMA, "Q4_K_M")):
        option = anna.page.get_by_role("option", name=name)
        expect(option).to_contain_text(details)
    expect(anna.page.get_by_role("option", selected=True)).to_contain_text(SMOLLM)
    anna.page.keyboard.press("Escape")
    expect(anna.page.get_by_role("option").first).to_be_hidden()


def test_another_model_goes_on_with_the_conversation(anna: Visitor, server: Server) -> None:
    anna.ask(SHORT)
    first = anna.reply()
    anna.box.fill("A draft")

    anna.choose_model(GEMMA)
    anna.see_model(GEMMA)

    expect(anna.replies.locator(".words")).to_have_text([first], use_inner_text=True)
    expect(anna.box).to_have_value("A draft")
    anna.ask("And now?")
    anna.reply()
    expect(anna.questions.locator(".words")).to_have_text([SHORT, "And now?"])
    expect(anna.replies).to_have_count(2)
    replies = server.messages(anna.conversation_id)[1::2]
    assert [reply.state for reply in replies] == [MessageState.COMPLETE] * 2
    assert [re.match(name, reply.model or "") is not None for name, reply in zip((SMOLLM, GEMMA), replies, strict=True)]


def test_the_model_in_use_is_the_same_in_every_browser(anna: Visitor, visit: Visit) -> None:
    ben = visit().open()
    ben.see_model(SMOLLM)

    anna.choose_model(GEMMA)

    ben.see_model(GEMMA)
    visit().open().see_model(GEMMA)


def test_a_reply_is_finished_by_the_model_that_began_it(anna: Visitor, server: Server) -> None:
    anna.ask(LONG)
    expect(anna.replies.last.locator(".words")).to_have_text(re.compile(r"\w+"))
    anna.choose_model(GEMMA)

    assert "Ended at the limit of 100 tokens" in anna.reply()
    anna.see_model(GEMMA)
    anna.ask("And then?")
    anna.reply()
    begun, after = server.messages(anna.conversation_id)[1::2]
    assert [begun.state, after.state] == [MessageState.COMPLETE] * 2
    assert (begun.model or "").startswith(SMOLLM)
    assert (after.model or "").startswith(GEMMA)


@pytest.fixture(params=["renamed", "truncated"])
def broken(request: pytest.FixtureRequest, server: Server) -> Iterator[Path]:
    """A file that came into the folder while the program ran, and that no program can load."""
    path = server.models / f"{request.param}.gguf"
    data = b"Dear diary, today I renamed a file." if path.stem == "renamed" else starter().read_bytes()[: 8 << 20]
    path.write_bytes(data)
    yield path
    path.unlink()


def test_a_broken_file_says_why_and_the_old_model_stays(anna: Visitor, server: Server, broken: Path) -> None:
    anna.choose_model(broken.stem)

    expect(anna.alert).to_contain_text(re.compile(rf"{broken.name} is (not a GGUF file|incomplete: it ends)"))
    anna.see_model(SMOLLM)
    anna.ask(SHORT)
    assert anna.reply()
    [reply] = server.messages(anna.conversation_id)[1::2]
    assert reply.state is MessageState.COMPLETE
    assert (reply.model or "").startswith(SMOLLM)


@pytest.mark.parametrize("broken", ["renamed"], indirect=True)
def test_the_reason_comes_again_each_time_and_goes_with_a_good_model(anna: Visitor, broken: Path) -> None:
    anna.choose_model(broken.stem)
    expect(anna.alert).to_contain_text(broken.name)
    anna.page.get_by_role("button", name="Dismiss").click()
    expect(anna.alert).to_be_hidden()

    anna.choose_model(broken.stem)
    expect(anna.alert).to_contain_text(broken.name)
    anna.choose_model(GEMMA)

    anna.see_model(GEMMA)
    expect(anna.alert).to_be_hidden()


def test_models_can_be_chosen_with_the_keyboard(anna: Visitor) -> None:
    anna.model.focus()
    anna.page.keyboard.press("ArrowDown")
    expect(anna.page.get_by_role("option")).to_have_count(2)

    for _ in range(4):
        if GEMMA in _highlighted(anna):
            break
        anna.page.keyboard.press("ArrowDown")
    anna.page.keyboard.press("Enter")

    anna.see_model(GEMMA)
    expect(anna.page.get_by_role("option").first).to_be_hidden()
    expect(anna.model).to_be_focused()

    # What is typed finds one, and what finds none changes nothing.
    anna.page.keyboard.press("ArrowDown")
    anna.page.keyboard.type("smollm2")
    expect(anna.page.get_by_role("option")).to_have_count(1)
    expect(anna.page.get_by_role("option")).to_contain_text("In memory, ")
    anna.page.keyboard.press("ArrowDown")
    anna.page.keyboard.press("Enter")
    anna.see_model(SMOLLM)
    anna.page.keyboard.press("ArrowDown")
    anna.page.keyboard.type("nothing of the kind")
    expect(anna.page.get_by_text("No model found.")).to_be_visible()
    anna.page.keyboard.press("Escape")
    anna.box.focus()
    anna.see_model(SMOLLM)


def test_the_model_is_loaded_otherwise_with_the_forecast_beside_it(anna: Visitor, server: Server) -> None:
    page = anna.page
    anna.ask(LONG)
    expect(anna.replies.last.locator(".words")).to_have_text(re.compile(r"\w+"))
    page.get_by_role("button", name="How the model is loaded").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=SMOLLM)
    context, forecast = dialog.get_by_role("spinbutton", name="Context"), dialog.get_by_role("status")
    expect(forecast).to_contain_text("Fits well")
    before = forecast.inner_text()
    context.fill("999999999")
    expect(dialog).to_contain_text("Must be 0, or from 256 to 16,777,216.")
    dialog.get_by_role("button", name="Reload with these").click()
    expect(dialog.get_by_role("alert").filter(has_text="out of range")).to_be_visible()
    context.fill("1024")
    dialog.get_by_role("combobox", name="KV type").select_option("q8_0")
    expect(forecast).to_contain_text("Fits well")
    assert forecast.inner_text() != before
    expect(dialog.get_by_role("button", name="Reset Context")).to_be_visible()
    dialog.get_by_role("button", name="Reload with these").click()

    expect(dialog).to_be_hidden()
    assert "Ended at the limit of 100 tokens" in anna.reply()
    anna.model.click()
    expect(page.get_by_role("option", name=SMOLLM)).to_contain_text("1k of 8k context")
    page.keyboard.press("Escape")
    anna.ask(SHORT)
    assert anna.reply()
    [begun, after] = server.messages(anna.conversation_id)[1::2]
    assert [begun.state, after.state] == [MessageState.COMPLETE] * 2

    page.get_by_role("button", name="How the model is loaded").click()
    dialog.get_by_role("button", name="Unload").click()
    expect(dialog).to_be_hidden()
    anna.model.click()
    expect(page.get_by_role("option", name=SMOLLM)).to_contain_text("In use, loads with the next message")
    page.keyboard.press("Escape")
    assert anna.ask("And now?").reply()
    page.get_by_role("button", name="How the model is loaded").click()
    dialog.get_by_role("button", name="Reset", exact=True).click()
    dialog.get_by_role("button", name="Reload with these").click()
    anna.model.click()
    expect(page.get_by_role("option", name=SMOLLM)).to_contain_text("4k of 8k context")


def _highlighted(person: Visitor) -> str:
    """What a screen reader would say of the option that the arrow keys have reached."""
    option = person.model.get_attribute("aria-activedescendant")
    return person.page.locator(f"[id='{option}']").inner_text() if option else ""
