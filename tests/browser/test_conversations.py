"""Stories of the conversation list: find, search, name, pin, leave, delete and bring back, take out and in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from localchat_ui.conversation import TITLE_LENGTH, Conversation, Message, Role
from localchat_ui.history.store import HistoryStore

from .conftest import STEADY, Visit
from .server import Server
from .visitor import LONG, SHORT, Visitor

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


def test_a_conversation_opens_in_a_tab_of_its_own(visit: Visit, server: Server) -> None:
    talk(server, "Roses")
    anna = visit().open()

    with anna.page.context.expect_page() as opened:
        anna.link("Roses").click(button="middle")

    ben = Visitor(opened.value, server)
    expect(ben.questions.locator(".words")).to_have_text(["Tell me of Roses."])


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
    expect(anna.questions.locator(".words")).to_have_text(["Tell me of Roses."])
    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])
    expect(anna.link("Roses")).to_have_attribute("aria-current", "page")
    anna.page.wait_for_url(f"**/c/{roses}")
    anna.link("Tulips").click()
    expect(anna.replies.locator(".words")).to_have_text(["Tulips!"])
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
    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])
    anna.link("Tulips").click()
    expect(anna.replies.locator(".words")).to_have_text(["Tulips!"])

    anna.page.go_back()
    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])
    expect(anna.page).to_have_url(f"{server.url}/c/{roses}")
    anna.page.go_back()
    expect(anna.replies).to_have_count(0)
    expect(anna.page).to_have_url(f"{server.url}/")
    anna.page.go_forward()
    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])
    anna.page.go_forward()
    expect(anna.replies.locator(".words")).to_have_text(["Tulips!"])
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

    expect(anna.questions.locator(".words")).to_have_text(["Say hello to the first."])


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


def test_a_title_is_as_long_as_one_may_type_and_a_longer_one_stays_whole(visit: Visit, server: Server) -> None:
    long = "Roses " * 20 + "and thorns"
    talk(server, long)
    anna = visit().open()

    anna.act(long, "Rename")
    field = anna.conversations.get_by_role("textbox", name=f"Title of {long}")
    expect(field).to_be_focused()
    anna.page.keyboard.press("Enter")
    expect(anna.listed()).to_have_text([long])

    anna.act(long, "Rename")
    expect(field).to_be_focused()
    anna.page.keyboard.type("T" * 100)
    anna.page.keyboard.press("Enter")
    expect(anna.listed()).to_have_text(["T" * TITLE_LENGTH])
    assert server.stored(lambda store: store.conversations())[0].title == "T" * TITLE_LENGTH


def test_what_was_searched_for_is_marked_in_the_conversation(visit: Visit, server: Server) -> None:
    talk(server, "Roses", "Tülips")
    anna = visit().open()
    box = anna.page.get_by_role("searchbox", name="Search conversations")
    box.fill("tulip")
    anna.page.get_by_role("list", name="Found conversations").get_by_role("link").click()
    expect(anna.replies).to_have_count(1)
    marked = "() => [...CSS.highlights.get('found') ?? []].map(String)"
    anna.page.wait_for_function(f"({marked})().length === 2")
    assert anna.page.evaluate(marked) == ["Tülip", "Tülip"]
    anna.page.get_by_role("button", name="Clear search").click()
    assert anna.page.evaluate(marked) == []


def test_deleting_can_be_undone(visit: Visit, server: Server) -> None:
    roses, _ = talk(server, "Roses", "Tulips")
    anna = visit().open(f"/c/{roses}")

    anna.act("Roses", "Delete")
    expect(anna.listed()).to_have_text(["Tulips"])
    expect(anna.replies).to_have_count(0)
    anna.page.get_by_role("button", name="Undo").click()

    expect(anna.listed()).to_have_text(["Tulips", "Roses"])
    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])
    expect(anna.page.get_by_role("button", name="Undo")).to_be_hidden()


def test_deleting_another_conversation_leaves_the_open_one_alone(visit: Visit, server: Server) -> None:
    _, tulips = talk(server, "Roses", "Tulips")
    anna = visit().open(f"/c/{tulips}")
    anna.box.fill("A draft")

    anna.act("Roses", "Delete")

    expect(anna.listed()).to_have_text(["Tulips"])
    expect(anna.replies.locator(".words")).to_have_text(["Tulips!"])
    expect(anna.box).to_have_value("A draft")


def test_a_conversation_deleted_in_mid_reply_comes_back_with_what_was_written(visit: Visit) -> None:
    anna = visit().open()
    anna.ask_long()
    before = anna.text()
    title = anna.listed().first.inner_text().strip()

    anna.act(title, "Delete")
    expect(anna.listed()).to_have_count(0)
    anna.page.get_by_role("button", name="Undo").click()

    expect(anna.questions.locator(".words")).to_have_text([LONG])
    assert anna.reply().startswith(before[:-10])


@pytest.mark.parametrize("path", ["/c/nothing-like-this", "/c/%3Cb%3Ebold"])
def test_an_unknown_conversation_says_so(visit: Visit, path: str) -> None:
    anna = visit().open(path)

    expect(anna.alert).to_contain_text("This conversation was not found")
    assert anna.ask(SHORT).reply()
    expect(anna.alert).to_be_hidden()


def test_a_deleted_conversation_says_so(visit: Visit, server: Server) -> None:
    roses, _ = talk(server, "Roses", "Tulips")
    anna = visit().open(f"/c/{roses}")
    anna.link("Tulips").click()
    expect(anna.replies.locator(".words")).to_have_text(["Tulips!"])
    anna.act("Roses", "Delete")
    expect(anna.listed()).to_have_count(1)

    expect(visit().open(f"/c/{roses}").alert).to_contain_text("This conversation was not found")
    anna.page.go_back()
    expect(anna.alert).to_contain_text("This conversation was not found")


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


def test_a_long_list_goes_on_when_its_end_comes_near(visit: Visit, server: Server) -> None:
    talk(server, *(f"Flower {number:03}" for number in range(MANY)))
    anna = visit().open()
    expect(anna.listed()).to_have_count(50)

    anna.listed().last.hover()
    for count in (100, MANY):
        anna.page.mouse.wheel(0, 5000)
        expect(anna.listed()).to_have_count(count)

    expect(anna.conversations.get_by_role("button", name="Show more")).to_be_hidden()
    anna.link("Flower 000").click()
    expect(anna.replies.locator(".words")).to_have_text(["Flower 000!"])


def test_a_long_list_goes_on_with_the_keyboard_alone(visit: Visit, server: Server) -> None:
    talk(server, *(f"Flower {number:03}" for number in range(MANY)))
    anna = visit().open()
    expect(anna.listed()).to_have_count(50)

    anna.link("Flower 119").focus()
    for _ in range(30):
        anna.page.keyboard.press("End")
        if anna.listed().count() == MANY:
            break
        anna.page.wait_for_timeout(100)
    anna.page.keyboard.press("End")

    expect(anna.link("Flower 000")).to_be_focused()


def test_search_finds_as_one_types_and_leads_to_the_message(visit: Visit, server: Server) -> None:
    ids = talk(server, "Roses", "Tulips", "<img src=x onerror=alert(1)>")
    anna = visit().open()
    box = anna.conversations.get_by_role("searchbox", name="Search conversations")
    hits = anna.conversations.get_by_role("list", name="Found conversations").get_by_role("link")

    box.click()
    anna.page.keyboard.type("tell ros")
    expect(anna.conversations.get_by_text("1 conversation found")).to_be_visible()
    expect(hits).to_have_count(1)
    expect(hits.locator("mark")).to_have_text(["Ros", "Tell", "Ros"])
    expect(anna.link("Tulips")).to_be_hidden()
    anna.page.keyboard.press("ArrowDown")
    expect(hits).to_be_focused()
    anna.page.keyboard.press("ArrowUp")
    expect(box).to_be_focused()
    anna.page.keyboard.press("Enter")
    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])
    anna.page.wait_for_url(f"**/c/{ids[0]}")

    box.fill("img onerror")
    expect(hits).to_contain_text(["<img src=x onerror=alert(1)>"])
    box.fill("nobody wrote this")
    expect(anna.conversations.get_by_text("Nothing found")).to_be_visible()
    expect(hits).to_have_count(0)
    anna.page.keyboard.press("Escape")
    expect(box).to_have_value("")
    expect(box).to_be_focused()
    expect(anna.listed()).to_have_count(3)


def test_only_the_answer_to_the_last_thing_typed_is_shown(visit: Visit, server: Server) -> None:
    talk(server, "Roses", "Tulips")
    anna = visit().open()
    box = anna.conversations.get_by_role("searchbox", name="Search conversations")

    box.press_sequentially("roses", delay=200)
    expect(anna.conversations.get_by_role("list", name="Found conversations").get_by_role("link")).to_have_count(1)
    box.fill("tul")
    box.fill("")

    expect(anna.listed()).to_have_text(["Tulips", "Roses"])
    anna.page.wait_for_timeout(500)
    expect(anna.listed()).to_have_text(["Tulips", "Roses"])


def test_pinned_conversations_stand_under_a_heading_of_their_own(visit: Visit, server: Server) -> None:
    talk(server, "Roses", "Tulips")
    anna, ben = visit().open(), visit().open()

    anna.act("Roses", "Pin")
    for person in (anna, ben):
        expect(person.conversations.get_by_role("heading")).to_have_text(["Pinned", "Today"])
        expect(person.conversations.get_by_role("region", name="Pinned").get_by_role("link")).to_have_text(["Roses"])
        expect(person.listed()).to_have_text(["Roses", "Tulips"])
    expect(anna.conversations.get_by_role("button", name="Actions for Roses")).to_be_focused()

    anna.act("Roses", "Unpin")
    for person in (anna, ben):
        expect(person.conversations.get_by_role("heading")).to_have_text(["Today"])
        expect(person.listed()).to_have_text(["Tulips", "Roses"])


def test_what_somebody_else_does_leaves_focus_menu_and_half_a_title_alone(visit: Visit, server: Server) -> None:
    talk(server, "Roses", "Tulips", "Lilies")
    anna, ben = visit().open(), visit().open()

    def ben_talks(title: str) -> None:
        """Which moves that conversation to the top of the list."""
        ben.link(title).click()
        expect(ben.replies.first.locator(".words")).to_have_text(f"{title}!")
        ben.ask(SHORT)
        ben.reply()
        expect(anna.listed().first).to_have_text(title)

    anna.link("Tulips").focus()
    ben_talks("Tulips")
    expect(anna.link("Tulips")).to_be_focused()

    anna.act("Roses", "Rename")
    field = anna.conversations.get_by_role("textbox", name="Title of Roses")
    expect(field).to_be_focused()
    anna.page.keyboard.type("Half a ti")
    ben_talks("Lilies")
    expect(field).to_be_focused()
    anna.page.keyboard.type("tle")
    anna.page.keyboard.press("Enter")
    expect(ben.listed()).to_have_text(["Lilies", "Tulips", "Half a title"])
    expect(anna.link("Half a title")).to_be_focused()

    anna.conversations.get_by_role("button", name="Actions for Half a title").click()
    expect(anna.page.get_by_role("menu")).to_be_visible()
    ben_talks("Tulips")
    expect(anna.page.get_by_role("menu")).to_be_visible()
    ben.act("Half a title", "Delete")
    expect(anna.page.get_by_role("menu")).to_be_hidden()


def test_the_menu_with_the_keyboard_alone(visit: Visit, server: Server) -> None:
    talk(server, "Roses")
    anna = visit().open()
    anna.link("Roses").focus()
    anna.page.keyboard.press("Tab")
    button = anna.conversations.get_by_role("button", name="Actions for Roses")
    expect(button).to_be_focused()

    anna.page.keyboard.press("Enter")
    expect(anna.page.get_by_role("menuitem", name="Pin")).to_be_focused()
    anna.page.keyboard.press("Escape")
    expect(anna.page.get_by_role("menu")).to_be_hidden()
    expect(button).to_be_focused()
    anna.page.keyboard.press("Enter")
    expect(anna.page.get_by_role("menuitem", name="Pin")).to_be_focused()
    anna.page.keyboard.press("End")
    anna.page.keyboard.press("Enter")

    undo = anna.page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    anna.page.keyboard.press("Enter")
    expect(anna.listed()).to_have_text(["Roses"])


def test_conversations_leave_as_files_and_come_back(visit: Visit, server: Server, tmp_path: Path) -> None:
    talk(server, "Roses", "../<b>Tulips</b>")
    anna = visit().open()

    with anna.page.expect_download() as download:
        anna.act("../<b>Tulips</b>", "Export as Markdown")
    assert download.value.suggested_filename == "b Tulips b.md"
    assert "Tell me of ../<b>Tulips</b>." in download.value.path().read_text()
    with anna.page.expect_download() as download:
        exchange(anna, "Export all as JSON")
    download.value.save_as(tmp_path / "conversations.json")

    anna.act("Roses", "Delete")
    anna.act("../<b>Tulips</b>", "Delete")
    expect(anna.listed()).to_have_count(0)
    expect(anna.conversations.get_by_text("Your conversations appear here.")).to_be_visible()
    import_(anna, tmp_path / "conversations.json")

    expect(anna.page.get_by_text("2 of 2 conversations imported.")).to_be_visible()
    expect(anna.listed()).to_have_text(["../<b>Tulips</b>", "Roses"])
    anna.link("Roses").click()
    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])


def test_a_file_that_holds_no_conversations_says_so_in_the_list(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text('{"hello": 1}')
    anna = visit().open()

    import_(anna, tmp_path / "wrong.json")

    alert = anna.page.get_by_role("alert")
    expect(alert).to_contain_text("neither an export of localchat_ui nor")
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_hidden()


def test_a_deleted_conversation_comes_back_on_a_phone_too(visit: Visit, server: Server) -> None:
    roses, _ = talk(server, "Roses", "Tulips")
    anna = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).open(f"/c/{roses}")
    anna.page.get_by_role("button", name="Conversation list").tap()

    button = anna.conversations.get_by_role("button", name="Actions for Roses")
    for place in (button, anna.link("Roses"), anna.new_chat):
        box = place.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 40
    button.tap()
    anna.page.get_by_role("menuitem", name="Delete").tap()
    expect(anna.listed()).to_have_text(["Tulips"])
    expect(anna.replies).to_have_count(0)
    anna.page.get_by_role("button", name="Undo").tap()

    expect(anna.replies.locator(".words")).to_have_text(["Roses!"])
    expect(anna.conversations).to_be_hidden()


def exchange(person: Visitor, item: str) -> None:
    person.conversations.get_by_role("button", name="Export and import").click()
    person.page.get_by_role("menu").get_by_text(item, exact=True).click()


def import_(person: Visitor, path: Path) -> None:
    with person.page.expect_file_chooser() as chooser:
        exchange(person, "Import…")
    chooser.value.set_files(path)
