"""Stories of the conversation list: find, name, leave, delete and bring back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from localchat_ui.conversation import Conversation, Message, Role
from localchat_ui.history.store import HistoryStore

from .conftest import STEADY, Visit
from .server import Server
from .visitor import LONG, SHORT

MANY = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), *STEADY, "--max-tokens", "100") as server:
        yield server
        print(server.output())  # noqa: T201 - shown by pytest when a test fails


@pytest.fixture(autouse=True)
def _empty_list(server: Server) -> None:
    async def delete_all(store: HistoryStore) -> None:
        for conversation in await store.conversations(limit=1000):
            await store.delete(conversation.id)

    server.stored(delete_all)


def talk(server: Server, *titles: str) -> list[str]:
    """Conversations of one question and its answer, the last one the newest; their ids."""

    async def keep(store: HistoryStore) -> list[str]:
        ids = []
        for title in titles:
            conversation = Conversation(title=title)
            await store.add_conversation(conversation)
            question = Message(conversation.id, Role.USER, f"Tell me of {title}.")
            await store.add_message(question)
            await store.add_message(Message(conversation.id, Role.ASSISTANT, f"{title}!", parent_id=question.id))
            ids.append(conversation.id)
        return ids

    return server.stored(keep)


def test_the_title_is_the_first_line_of_the_first_message(visit: Visit) -> None:
    anna = visit().open()

    anna.ask("Greetings to everybody\nand to you, too")
    anna.reply()
    anna.ask(SHORT)
    anna.reply()

    expect(anna.listed()).to_have_text(["Greetings to everybody"])
    expect(anna.page).to_have_title(re.compile("^Greetings to everybody"))


def test_a_fresh_browser_sees_the_same_list(visit: Visit, server: Server) -> None:
    talk(server, "Roses", "Tulips")

    for person in (visit().open(), visit().open()):
        expect(person.listed()).to_have_text(["Tulips", "Roses"])


def test_a_conversation_begun_in_one_browser_appears_in_another(visit: Visit) -> None:
    anna, ben = visit().open(), visit().open()
    expect(ben.listed()).to_have_count(0)

    anna.ask(SHORT)

    expect(ben.listed()).to_have_text([SHORT])
    anna.reply()


def test_opening_shows_the_messages_and_the_address_and_new_chat_is_empty(visit: Visit, server: Server) -> None:
    roses, tulips = talk(server, "Roses", "Tulips")
    anna = visit().open()

    anna.link("Roses").click()
    expect(anna.questions).to_have_text(["Tell me of Roses."])
    expect(anna.replies).to_have_text(["Roses!"])
    expect(anna.link("Roses")).to_have_attribute("aria-current", "page")
    anna.page.wait_for_url(f"**/c/{roses}")
    anna.link("Tulips").click()
    expect(anna.replies).to_have_text(["Tulips!"])
    anna.page.wait_for_url(f"**/c/{tulips}")
    expect(anna.link("Roses")).not_to_have_attribute("aria-current", "page")

    anna.new_chat.click()

    expect(anna.log.get_by_role("article")).to_have_count(0)
    expect(anna.box).to_be_focused()
    expect(anna.page).to_have_url(f"{server.url}/")


def test_back_and_forward_move_between_conversations(visit: Visit, server: Server) -> None:
    roses, tulips = talk(server, "Roses", "Tulips")
    anna = visit().open()
    anna.link("Roses").click()
    expect(anna.replies).to_have_text(["Roses!"])
    anna.link("Tulips").click()
    expect(anna.replies).to_have_text(["Tulips!"])

    anna.page.go_back()
    expect(anna.replies).to_have_text(["Roses!"])
    expect(anna.page).to_have_url(f"{server.url}/c/{roses}")
    anna.page.go_back()
    expect(anna.replies).to_have_count(0)
    expect(anna.page).to_have_url(f"{server.url}/")
    anna.page.go_forward()
    expect(anna.replies).to_have_text(["Roses!"])
    anna.page.go_forward()
    expect(anna.replies).to_have_text(["Tulips!"])
    expect(anna.page).to_have_url(f"{server.url}/c/{tulips}")
    expect(anna.link("Tulips")).to_have_attribute("aria-current", "page")


def test_back_leads_to_a_conversation_that_was_begun_here(visit: Visit) -> None:
    anna = visit().open()
    anna.ask("Say hello to the first.")
    anna.reply()
    anna.new_chat.click()
    expect(anna.questions).to_have_count(0)
    anna.ask("Say hello to the second.")
    anna.reply()

    anna.page.go_back()

    expect(anna.questions).to_have_text(["Say hello to the first."])


def test_renaming_with_enter_keeps_the_new_title_and_with_escape_the_old_one(visit: Visit, server: Server) -> None:
    [roses] = talk(server, "Roses")
    anna = visit().open(f"/c/{roses}")

    anna.act("Roses", "Rename")
    field = anna.conversations.get_by_role("textbox", name="Title of Roses")
    expect(field).to_be_focused()
    expect(field).to_have_value("Roses")
    anna.page.keyboard.type("Red <b>roses</b>")
    anna.page.keyboard.press("Enter")
    expect(anna.listed()).to_have_text(["Red <b>roses</b>"])
    expect(anna.page).to_have_title(re.compile("^Red <b>roses</b>"))

    anna.act("Red <b>roses</b>", "Rename")
    expect(anna.conversations.get_by_role("textbox", name="Title of Red <b>roses</b>")).to_be_focused()
    anna.page.keyboard.type("Something else")
    anna.page.keyboard.press("Escape")
    expect(anna.listed()).to_have_text(["Red <b>roses</b>"])
    anna.page.reload()
    expect(anna.listed()).to_have_text(["Red <b>roses</b>"])


def test_deleting_can_be_undone(visit: Visit, server: Server) -> None:
    roses, _ = talk(server, "Roses", "Tulips")
    anna = visit().open(f"/c/{roses}")

    anna.act("Roses", "Delete")
    expect(anna.listed()).to_have_text(["Tulips"])
    expect(anna.replies).to_have_count(0)
    anna.conversations.get_by_role("button", name="Undo").click()

    expect(anna.listed()).to_have_text(["Tulips", "Roses"])
    expect(anna.replies).to_have_text(["Roses!"])
    expect(anna.conversations.get_by_role("button", name="Undo")).to_be_hidden()


def test_deleting_another_conversation_leaves_the_open_one_alone(visit: Visit, server: Server) -> None:
    _, tulips = talk(server, "Roses", "Tulips")
    anna = visit().open(f"/c/{tulips}")
    anna.box.fill("A draft")

    anna.act("Roses", "Delete")

    expect(anna.listed()).to_have_text(["Tulips"])
    expect(anna.replies).to_have_text(["Tulips!"])
    expect(anna.box).to_have_value("A draft")


def test_a_conversation_deleted_in_mid_reply_comes_back_with_what_was_written(visit: Visit) -> None:
    anna = visit().open()
    anna.ask_long()
    before = anna.text()
    title = anna.listed().first.inner_text().strip()

    anna.act(title, "Delete")
    expect(anna.listed()).to_have_count(0)
    anna.conversations.get_by_role("button", name="Undo").click()

    expect(anna.questions).to_have_text([LONG])
    assert anna.reply().startswith(before[:-10])


@pytest.mark.parametrize("path", ["/c/nothing-like-this", "/c/%3Cb%3Ebold"])
def test_an_unknown_conversation_says_so(visit: Visit, path: str) -> None:
    anna = visit().open(path)

    expect(anna.alert).to_contain_text("no such conversation")
    assert anna.ask(SHORT).reply()
    expect(anna.alert).to_be_hidden()


def test_a_deleted_conversation_says_so(visit: Visit, server: Server) -> None:
    roses, _ = talk(server, "Roses", "Tulips")
    anna = visit().open(f"/c/{roses}")
    anna.link("Tulips").click()
    expect(anna.replies).to_have_text(["Tulips!"])
    anna.act("Roses", "Delete")
    expect(anna.listed()).to_have_count(1)

    expect(visit().open(f"/c/{roses}").alert).to_contain_text("no such conversation")
    anna.page.go_back()
    expect(anna.alert).to_contain_text("no such conversation")


def test_a_message_to_a_conversation_that_was_deleted_elsewhere_is_given_back(visit: Visit, server: Server) -> None:
    [roses] = talk(server, "Roses")
    anna, ben = visit().open(f"/c/{roses}"), visit().open()
    ben.act("Roses", "Delete")
    expect(anna.listed()).to_have_count(0)

    anna.box.fill(SHORT)
    anna.box.press("Enter")

    expect(anna.alert).to_contain_text("deleted")
    expect(anna.alert).not_to_contain_text("UNIQUE")
    expect(anna.box).to_have_value(SHORT)


def test_a_long_list_opens_piece_by_piece(visit: Visit, server: Server) -> None:
    talk(server, *(f"Flower {number:03}" for number in range(MANY)))
    anna = visit().open()
    expect(anna.listed()).to_have_count(50)

    for count in (100, MANY):
        anna.conversations.get_by_role("button", name="Show more").click()
        expect(anna.listed()).to_have_count(count)

    expect(anna.conversations.get_by_role("button", name="Show more")).to_have_count(0)
    anna.link("Flower 000").click()
    expect(anna.replies).to_have_text(["Flower 000!"])
