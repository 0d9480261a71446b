"""Nobody's words run a script, call another host, or change anything outside of where they stand.

The real program and a real Chromium; the model repeats what it is told. Every payload of the corpus goes through every
place where the page shows what people, models and files say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from localchat_ui.conversation import ChatOptions, Conversation, Message, Role, utc_now
from localchat_ui.history.presets import Presets
from localchat_ui.history.store import HistoryStore

from .conftest import Visit
from .parrot import FAIL
from .payloads import PAYLOADS, file_names, on_one_line
from .server import Server, starter
from .visitor import Visitor
from .witness import Witness, landmarks

ROOT = Path(__file__).parents[2]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CHUNK = 15
CHUNKS = [PAYLOADS[start : start + CHUNK] for start in range(0, len(PAYLOADS), CHUNK)]
FIRST, LAST = "Before all that", "After all that"
TITLES = on_one_line(200)
PRESETS = dict(list(zip(on_one_line(80), PAYLOADS, strict=True))[::18])
MODELS = file_names(".gguf")[:100:12]

Watched = Callable[..., tuple[Visitor, Witness]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program with a model that repeats what it is told, and files with the worst of names."""
    folder = tmp_path_factory.mktemp("parrot")
    server = Server(folder, program="tests.browser.parrot", environment={"PYTHONPATH": str(ROOT)})
    for number, name in enumerate(MODELS):
        if number % 2:
            (server.models / name).write_bytes(b"GGUF")
        else:
            (server.models / name).symlink_to(starter())
    with server:
        server.stored(_fill)
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


@pytest.fixture
def watched(visit: Visit, server: Server) -> Watched:
    """Somebody who comes in under the eyes of a witness."""

    def come_in(**options: Any) -> tuple[Visitor, Witness]:
        person = visit(**options)
        return person, Witness(person.page.context, server)

    return come_in


async def _fill(store: HistoryStore) -> None:
    for number, texts in enumerate([["Quite harmless."], *CHUNKS]):
        await store.add_tree(*_conversation(f"stored{number}", f"Stored {number}", [FIRST, *texts, LAST]))
    for name, text in PRESETS.items():
        await Presets(store.database).save(name, text)


def _conversation(identity: str, title: str, texts: Sequence[str]) -> tuple[Conversation, list[Message]]:
    """Somebody says each of these, and a model thinks and repeats it."""
    conversation = Conversation(title, ChatOptions(system_prompt=texts[-1]), id=identity)
    messages: list[Message] = []
    for text in texts:
        for role in (Role.USER, Role.ASSISTANT):
            is_reply = role is Role.ASSISTANT
            message = Message(identity, role, text, parent_id=messages[-1].id if messages else None)
            message.thinking, message.model = (text, text) if is_reply else ("", None)
            message.created_at = utc_now() - timedelta(seconds=1000 - len(messages))
            messages.append(message)
    messages[-1].error = texts[-1]
    conversation.head_id = messages[-1].id
    return conversation, messages


# Messages


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_messages_that_were_stored(watched: Watched, device: dict[str, Any]) -> None:
    anna, witness = watched(**device)
    anna.open("/c/stored0")
    expect(anna.replies).to_have_count(3)
    before = landmarks(anna, FIRST, LAST)
    for number, texts in enumerate(CHUNKS, 1):
        anna.open(f"/c/stored{number}")
        expect(anna.replies).to_have_count(len(texts) + 2)
        anna.log.evaluate("(log) => log.querySelectorAll('details').forEach((details) => (details.open = true))")
        witness.inspect(anna, at=f"stored {number}")
        assert sorted(before ^ landmarks(anna, FIRST, LAST)) == []


def test_messages_as_they_are_written_and_in_another_tab(watched: Watched) -> None:
    (anna, at_anna), (ben, at_ben) = watched(), watched(**PHONE)
    for start in range(0, len(PAYLOADS), CHUNK):
        anna.open().ask(FIRST).reply()
        ben.open(f"/c/{anna.conversation_id}")
        before = landmarks(anna, FIRST), landmarks(ben, FIRST)
        for n_said, text in enumerate(PAYLOADS[start : start + CHUNK], 2):
            anna.box.fill(text)
            anna.box.press("Enter")
            expect(anna.replies).to_have_count(n_said)
            anna.reply()
        expect(ben.replies).to_have_count(n_said)
        expect(ben.log).to_have_attribute("aria-busy", "false")
        at_anna.inspect(anna, at=f"written, from {start}")
        at_ben.inspect(ben, at=f"in another tab, from {start}")
        assert sorted(before[0] ^ landmarks(anna, FIRST)) == []
        assert sorted(before[1] ^ landmarks(ben, FIRST)) == []


def test_the_words_of_an_error(watched: Watched) -> None:
    anna, witness = watched()
    anna.open()
    for number, texts in enumerate(CHUNKS, 1):
        anna.ask(FAIL + "\n".join(texts))
        expect(anna.log.get_by_role("alert")).to_have_count(number)
        anna.reply()
    witness.inspect(anna)


def test_everything_that_can_be_done_to_a_message(watched: Watched) -> None:
    anna, witness = watched()
    anna.open("/c/stored1")
    before = landmarks(anna, FIRST)
    for index in range(1, CHUNK):
        for article in (anna.questions.nth(index), anna.replies.nth(index)):
            article.hover()
            article.get_by_role("button", name="Edit", exact=True).click()
            expect(anna.page.get_by_role("textbox", name="Edit message")).to_be_focused()
            anna.page.keyboard.press("Escape")
            expect(anna.page.get_by_role("textbox", name="Edit message")).to_have_count(0)
    witness.inspect(anna)
    assert sorted(before ^ landmarks(anna, FIRST)) == []


# Conversations


@pytest.mark.parametrize("kind", ["ours", "chatgpt"])
def test_conversations_that_are_imported(watched: Watched, kind: str) -> None:
    anna, witness = watched()
    anna.open("/c/stored0")
    before = landmarks(anna, FIRST, LAST)
    content = _archive(kind) if kind == "ours" else _of_chatgpt(kind)
    name = file_names(".json")[4]
    file = {"name": name, "mimeType": "application/json", "buffer": json.dumps(content).encode()}
    anna.page.set_input_files("input[type=file][accept^='.json']", files=[file])
    expect(anna.page.get_by_role("status", name="Notices").filter(has_text="imported.")).to_be_visible()
    listed = anna.conversations.get_by_role("link").filter(has_text=f"needle of {kind}")
    listed.first.hover()
    while listed.count() < len(PAYLOADS):
        anna.page.mouse.wheel(0, 10_000)
    witness.inspect(anna, at="in the list")
    for number in (0, 4, 61, 112):
        link = listed.filter(has_text=re.compile(f"^{number} needle of {kind}"))
        link.scroll_into_view_if_needed()
        link.click()
        expect(anna.replies).to_have_count(1)
        witness.inspect(anna, at=f"{number} opened")
        link.hover()
        link.locator("xpath=..").get_by_role("button").click()
        anna.page.get_by_role("menuitem", name="Rename").click()
        anna.page.keyboard.press("Enter")
        link.hover()
        link.locator("xpath=..").get_by_role("button").click()
        witness.inspect(anna, at=f"the menu of {number}")
        anna.page.get_by_role("menuitem", name="Delete").click()
        expect(anna.page.get_by_role("status", name="Notices").filter(has_text="Moved to the Trash")).to_be_visible()
        witness.inspect(anna, at=f"{number} deleted")
    anna.open("/c/stored0")
    assert sorted(before ^ landmarks(anna, FIRST, LAST)) == []


def test_files_that_cannot_be_imported(watched: Watched) -> None:
    anna, witness = watched()
    for name, title, text in list(zip(file_names(".json"), TITLES, PAYLOADS, strict=True))[::9]:
        anna.open()
        content = {
            "format": "localchat_ui",
            "version": 1,
            "conversations": [{"title": title, "head": text, text: text}],
        }
        file = {"name": name, "mimeType": "application/json", "buffer": json.dumps(content).encode()}
        anna.page.set_input_files("input[type=file][accept^='.json']", files=[file])
        expect(anna.page.get_by_role("status", name="Notices").get_by_role("alert")).to_contain_text("was skipped")
        witness.inspect(anna, at=name)


def test_what_is_searched_and_found(watched: Watched) -> None:
    anna, witness = watched()
    anna.open()
    search = anna.page.get_by_role("searchbox", name="Search conversations")
    for query in ("alert", "script", "evil", "img src", *PAYLOADS[::12]):
        search.fill(query)
        search.press("Enter")
        expect(anna.conversations.get_by_role("status").first).to_contain_text(re.compile("found"))
        witness.inspect(anna, at=query[:80])


def _archive(kind: str) -> dict[str, Any]:
    """A file of ours: each payload is the title, the instructions and all the words of a conversation."""
    now = utc_now().isoformat()

    def conversation(number: int, text: str) -> dict[str, Any]:
        message = {"text": text, "thinking": text, "model": text, "created_at": now}
        messages = [
            {**message, "id": "1", "parent": None, "role": "user"},
            {**message, "id": "2", "parent": "1", "role": "assistant", "error": text, "state": "failed"},
        ]
        title = f"{number} needle of {kind} {TITLES[number]}"
        common = {"title": title, "created_at": now, "updated_at": now, "options": {"system_prompt": text}}
        return {**common, "head": "2", "messages": messages}

    conversations = [conversation(number, text) for number, text in enumerate(PAYLOADS)]
    return {"format": "localchat_ui", "version": 1, "conversations": conversations}


def _of_chatgpt(kind: str) -> list[dict[str, Any]]:
    def conversation(number: int, text: str) -> dict[str, Any]:
        def node(identity: str, parent: str | None, role: str) -> dict[str, Any]:
            content = {"content_type": "text", "parts": [text]}
            message = {"author": {"role": role, "name": text}, "content": content, "metadata": {"model_slug": text}}
            return {"id": identity, "parent": parent, "children": [], "message": message}

        nodes = [node("1", None, "user"), node("2", "1", "assistant")]
        mapping = {node["id"]: node for node in nodes}
        return {"title": f"{number} needle of {kind} {TITLES[number]}", "mapping": mapping, "current_node": "2"}

    return [conversation(number, text) for number, text in enumerate(PAYLOADS)]


# Files, models, instructions, addresses


def test_the_names_and_texts_of_attached_files(watched: Watched) -> None:
    anna, witness = watched()
    anna.open()
    attached = anna.page.get_by_role("list", name="Attached files")
    names = file_names(".txt")
    for start in range(0, len(names), 34):
        files = [
            {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
            for name, text in zip(names[start : start + 34], PAYLOADS[start : start + 34], strict=True)
            if "\0" not in text
        ]
        anna.page.set_input_files("input[type=file][multiple]", files=files)
        expect(attached.get_by_role("listitem")).to_have_count(len(files))
        expect(attached.get_by_text("tokens")).to_have_count(len(files))
        witness.inspect(anna, at=f"attached from {start}")
        anna.box.press("Enter")
        expect(attached.get_by_role("listitem")).to_have_count(0)
        anna.reply()
        witness.inspect(anna, at=f"sent from {start}")
    for name in names[::4]:
        file = {"name": name, "mimeType": "text/plain", "buffer": b"\0"}
        anna.page.set_input_files("input[type=file][multiple]", files=[file])
        expect(anna.alert.filter(has_text=name)).to_be_visible()
        witness.inspect(anna, at=f"refused {name}")


def test_the_names_of_models(watched: Watched) -> None:
    anna, witness = watched()
    anna.open()
    before = landmarks(anna)
    options = anna.page.get_by_role("option")
    for place in (1, -1, 2, -2):
        anna.model.click()
        expect(options.nth(3)).to_be_visible()
        witness.inspect(anna, at="the list of models")
        options.nth(place).click()
        expect(options).to_have_count(0)
        expect(anna.status).not_to_contain_text("Loading")
        witness.inspect(anna, at="a model that was chosen")
        anna.ask(FIRST).reply()
        anna.choose_action(anna.replies.last, "About this reply")
        expect(anna.replies.last).to_contain_text("Context used")
        witness.inspect(anna, at="a model in use")
    anna.open()
    assert [change for change in before ^ landmarks(anna) if change[0].startswith(("page", "list"))] == []


def test_instructions_and_their_names(watched: Watched) -> None:
    anna, witness = watched()
    anna.open().open_settings()
    anna.ask(FIRST).reply()
    preset = anna.settings.get_by_role("combobox", name="Preset")
    prompt = anna.settings.get_by_role("textbox", name="System prompt")
    for name, text in list(PRESETS.items())[:4]:
        preset.click()
        option = anna.page.get_by_role("option", name=name, exact=True)
        option.scroll_into_view_if_needed()
        witness.inspect(anna, at="the list of presets")
        option.click()
        expect(prompt).to_have_value(text)
        anna.settings.get_by_role("button", name="Delete preset").click()
        expect(anna.settings.get_by_role("status").filter(has_text="was deleted")).to_be_visible()
        witness.inspect(anna, at=name)
        anna.settings.get_by_role("button", name="Undo").click()
        anna.page.get_by_role("button", name=re.compile("^Context")).click()
        sheet = anna.page.get_by_role("dialog")
        sheet.get_by_text("The exact prompt").click()
        witness.inspect(anna, at=f"the exact prompt with {name}")
        anna.page.keyboard.press("Escape")
        expect(sheet).to_be_hidden()


def test_addresses(watched: Watched, server: Server) -> None:
    anna, witness = watched()
    for text in PAYLOADS[::16]:
        for place in ("/c/{}", "/?token={}&next={}#{}"):
            anna.page.goto(server.url + place.replace("{}", quote(text[:500].replace("/", ""), safe="")))
            expect(anna.box).to_be_visible()
            witness.inspect(anna, at=text[:80])
    assert not witness.accusations


def test_addresses_where_nothing_is(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    page, witness = context.new_page(), Witness(context, server)
    for place in (
        "/{}",
        "/v1/models/{}",
        "/conversations/{}",
        "/login?next={}",
        "/login?next=//evil.test",
        "/docs#/{}",
    ):
        for text in PAYLOADS[::40]:
            answer = page.goto(server.url + place.replace("{}", quote(text[:500], safe="")))
            assert answer is None or answer.status < 500
            page.wait_for_load_state()
            assert page.url.startswith(server.url)
    assert not witness.accusations
    context.close()
