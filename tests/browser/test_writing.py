"""What lives in the browser of writing: drafts, files, and messages that are lost on their way."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, WebSocketRoute, expect

from .conftest import STEADY, Visit
from .server import Server
from .visitor import PATIENCE, SHORT, Visitor


def test_the_arrow_up_in_an_empty_box_edits_the_last_message(visit: Visit) -> None:
    anna = visit().open()
    anna.box.press("ArrowUp")
    anna.ask(SHORT)
    anna.reply()
    anna.box.fill("Something else")
    anna.box.press("ArrowUp")
    expect(anna.box).to_have_value("Something else")
    expect(anna.page.get_by_role("textbox", name="Edit message")).to_have_count(0)

    anna.box.fill("")
    anna.box.press("ArrowUp")

    editor = anna.page.get_by_role("textbox", name="Edit message")
    expect(editor).to_be_focused()
    expect(editor).to_have_value(SHORT)
    editor.press("Escape")
    expect(editor).to_have_count(0)
    expect(anna.box).to_be_focused()


def test_what_is_sent_before_the_page_is_connected_arrives_in_its_order(visit: Visit) -> None:
    anna = visit()
    sockets: list[WebSocketRoute] = []
    anna.page.route_web_socket("**", lambda socket: sockets.append(socket))  # noqa: PLW0108 - a method cannot be marked
    anna.open()
    texts = [f"Say {number}." for number in range(6)]
    for text in texts:
        anna.box.fill(text)
        anna.box.press("Enter")

    sockets[0].connect_to_server()

    expect(anna.questions.locator(".words")).to_have_text(texts)


def test_a_draft_stays_with_its_conversation(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT)
    anna.reply()
    anna.box.fill("A draft for later")
    anna.new_chat.click()
    expect(anna.questions).to_have_count(0)
    expect(anna.box).to_have_value("")
    anna.box.fill("Another")
    anna.page.go_back()
    expect(anna.questions).to_have_count(1)
    expect(anna.box).to_have_value("A draft for later")
    anna.page.reload()
    expect(anna.box).to_have_value("A draft for later")


def test_the_text_of_a_file_joins_the_message(visit: Visit) -> None:
    anna = visit().open()
    notes = {"name": "notes.md", "mimeType": "text/plain", "buffer": "Grüße 🦙\n```code```\n".encode()}
    anna.page.set_input_files("input[type=file][multiple]", files=[notes])
    files = anna.page.get_by_role("list", name="Attached files")
    expect(files).to_contain_text(re.compile(r"notes\.md.*\d+ tokens"))
    anna.box.fill("What does it say?")
    anna.box.press("Enter")
    expect(anna.questions).to_have_count(1)
    expect(anna.questions.last.locator(".words")).to_have_text("What does it say?")
    anna.reply()
    anna.page.reload()
    chip = anna.questions.last.get_by_role("button", name=re.compile(r"notes\.md.*\d+ tokens"))
    chip.click()
    sheet = anna.page.get_by_role("dialog", name="notes.md")
    expect(sheet.locator("pre")).to_have_text("Grüße 🦙\n```code```\n", use_inner_text=True)
    anna.page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(chip).to_be_focused()
    # It goes with the question, whatever becomes of that.
    anna.replies.last.get_by_role("button", name="Regenerate").click()
    expect(anna.replies.last).to_contain_text("2 / 2")
    anna.reply()
    anna.questions.last.get_by_role("button", name="Edit").click()
    anna.page.get_by_role("textbox", name="Edit message").fill("And what not?")
    anna.page.keyboard.press("Control+Enter")
    expect(anna.questions.last.locator(".words")).to_have_text("And what not?")
    expect(chip).to_be_visible()
    anna.reply()
    [*_, question, _] = anna.server.messages(anna.conversation_id)
    assert [(file.name, file.text) for file in question.attachments] == [("notes.md", "Grüße 🦙\n```code```\n")]


@pytest.mark.parametrize(
    ("name", "data", "refusal"),
    [
        ("photo.png", b"\x89PNG\r\n\x1a\n\x00\x00", "photo.png is not a text file."),
        ("huge.txt", b"word " * 70_000, "huge.txt is too long: 350,000 characters, and 300,000 are the most."),
        ("empty.txt", b"", "empty.txt is empty."),
        ("paper.pdf", b"%PDF-1.7\nno", "paper.pdf is damaged, or no PDF file."),
        ("long.txt", b"word " * 9_000, "tokens and the context holds 4,096"),
    ],
)
def test_what_cannot_join_a_message_is_refused_with_the_reason(
    visit: Visit, name: str, data: bytes, refusal: str
) -> None:
    anna = visit().open()
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    anna.page.set_input_files("input[type=file][multiple]", files=[file])
    expect(anna.alert.filter(has_text=refusal)).to_be_visible()
    expect(anna.page.get_by_role("list", name="Attached files").get_by_role("listitem")).to_have_count(0)


def test_files_stay_with_the_conversation_they_were_attached_in(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT)
    anna.reply()
    notes = {"name": "notes.md", "mimeType": "text/plain", "buffer": b"Some notes"}
    anna.page.set_input_files("input[type=file][multiple]", files=[notes])
    files = anna.page.get_by_role("list", name="Attached files").get_by_role("listitem")
    expect(files).to_contain_text(["notes.md"])
    anna.new_chat.click()
    expect(anna.questions).to_have_count(0)
    expect(files).to_have_count(0)
    anna.page.go_back()
    expect(files).to_contain_text(["notes.md"])
    anna.page.reload()
    expect(files).to_contain_text(["notes.md"])
    files.get_by_role("button", name="Remove notes.md").click()
    anna.page.reload()
    expect(anna.questions).to_have_count(1)
    expect(files).to_have_count(0)


def test_what_came_back_into_the_box_can_be_undone(visit: Visit) -> None:
    anna = visit().open()
    anna.page.evaluate("localchat.composer.suggest('Make this clearer:', false)")
    expect(anna.box).to_have_value("Make this clearer:")
    anna.box.press("Control+z")
    expect(anna.box).to_have_value("")


def test_a_message_whose_connection_is_dead_comes_back_into_the_box(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, *STEADY) as server, browser.new_context() as context:
        context.set_default_timeout(PATIENCE)
        anna = Visitor(context.new_page(), server).open()
        expect(anna.status).to_have_text("Ready")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        anna.box.fill("A precious question")
        anna.box.press("Enter")
        expect(anna.box).to_have_value("")
        expect(anna.page.get_by_role("status", name="Sending")).to_contain_text("A precious question")
        server.kill()
        server.start()
        expect(anna.box).to_have_value("A precious question")
        expect(anna.alert.filter(has_text="It is back in the box")).to_be_visible()
        anna.box.press("Enter")
        expect(anna.questions.locator(".words")).to_have_text(["A precious question"])
        anna.reply()
        anna.page.reload()
        expect(anna.questions).to_have_count(1)
        expect(anna.box).to_have_value("")


def test_a_lost_connection_is_told_beside_the_box_and_the_status_says_nothing(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, *STEADY) as server, browser.new_context(viewport={"width": 390, "height": 844}) as context:
        context.set_default_timeout(PATIENCE)
        anna = Visitor(context.new_page(), server).open()
        expect(anna.status).to_have_text("Ready")
        server.kill()
        notice = anna.page.locator("#popup")
        expect(notice).to_be_visible()
        expect(anna.page.get_by_role("status", name="Status")).not_to_be_visible()
        expect(anna.page.get_by_role("status").filter(has_text="Connection lost.")).to_be_attached()
        told, written = notice.bounding_box(), anna.page.locator(".composer").bounding_box()
        assert told is not None
        assert written is not None
        assert told["y"] + told["height"] <= written["y"]


def test_a_message_that_arrived_does_not_come_back(visit: Visit) -> None:
    # Sent as soon as the page stands, and so before its connection does.
    anna = visit().open().ask(SHORT)
    anna.page.wait_for_function("sessionStorage.getItem('localchat.sent:') === '[]'")
    expect(anna.page.get_by_role("status", name="Sending")).to_be_hidden()
    anna.reply()
    expect(anna.box).to_have_value("")


def test_a_conversation_that_is_deleted_in_another_tab_says_so(visit: Visit) -> None:
    anna, ben = visit().open(), visit()
    anna.ask("Delete me, please.")
    anna.reply()
    ben.open(f"/c/{anna.conversation_id}")
    anna.act("Delete me, please.", "Delete")
    expect(ben.alert.filter(has_text="was deleted elsewhere")).to_be_visible()
    expect(ben.questions.locator(".words")).to_have_text(["Delete me, please."])
    anna.page.get_by_role("button", name="Undo").click()
    expect(ben.alert.filter(has_text="was deleted elsewhere")).to_be_hidden()
    assert anna.alert.filter(has_text="was deleted elsewhere").count() == 0


def test_what_is_attached_and_sent_while_the_first_model_loads_is_answered(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, *STEADY, "--max-tokens", "20") as server, browser.new_context() as context:
        context.set_default_timeout(PATIENCE)
        anna = Visitor(context.new_page(), server).open()
        notes = {"name": "notes.md", "mimeType": "text/plain", "buffer": b"Some notes"}
        anna.page.set_input_files("input[type=file][multiple]", files=[notes])
        anna.box.fill(SHORT)
        anna.box.press("Enter")
        expect(anna.questions).to_have_count(1)
        expect(anna.questions.last.get_by_role("button", name=re.compile("notes"))).to_be_visible()
        assert anna.reply()
        expect(anna.page.get_by_text("No model is loaded")).to_have_count(0)


def test_an_upload_that_fails_says_so(browser: Browser, tmp_path: Path) -> None:
    flags = (*STEADY, "--max-body-mb", "0.1")
    with Server(tmp_path, *flags) as server, browser.new_context() as context:
        context.set_default_timeout(PATIENCE)
        anna = Visitor(context.new_page(), server).open()
        large = {"name": "large.json", "mimeType": "application/json", "buffer": b" " * 200_000}
        anna.page.set_input_files("input[type=file][accept^='.json']", files=[large])
        told = "large.json is too large: 0.1 MB are the most (MAX_BODY_MB)."
        expect(anna.alert.filter(has_text=told)).to_be_visible()
        anna.page.get_by_role("button", name="Dismiss").click()
        anna.page.set_input_files("input[type=file][multiple]", files=[large])
        expect(anna.alert.filter(has_text=told)).to_be_visible()
        anna.page.get_by_role("button", name="Dismiss").click()
        # Whatever answers with something else, or not at all.
        anna.page.route("**/upload/**", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
        small = {"name": "small.json", "mimeType": "application/json", "buffer": b"[]"}
        anna.page.set_input_files("input[type=file][accept^='.json']", files=[small])
        expect(anna.alert.filter(has_text="small.json did not arrive: the server answers 502.")).to_be_visible()
        anna.page.unroute("**/upload/**")
        anna.page.route("**/upload/**", lambda route: route.abort())
        anna.page.set_input_files("input[type=file][multiple]", files=[small])
        expect(anna.alert.filter(has_text="the connection broke")).to_be_visible()
