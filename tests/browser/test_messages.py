"""What lives in the browser of reading: copying, branches, scrolling, long conversations."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from localchat_ui.conversation import Conversation, Message, Role, utc_now
from localchat_ui.history.store import HistoryStore
from localchat_ui.ui.components.transcript import PAGE_SIZE

from .conftest import Visit
from .server import Server
from .visitor import LONG, SHORT, Visitor

N_MESSAGES = 1000


@pytest.fixture(scope="module")
def endless(server: Server) -> str:
    """The address of a conversation of a thousand messages."""

    async def fill(store: HistoryStore) -> None:
        conversation = Conversation(title="Endless", id="endless")
        messages: list[Message] = []
        for number in range(N_MESSAGES):
            role = (Role.USER, Role.ASSISTANT)[number % 2]
            text = f"Message {number}.\n\n" + "Some *words* to read. " * 12
            parent = messages[-1].id if messages else None
            created = utc_now() - timedelta(seconds=N_MESSAGES - number)
            messages.append(Message("endless", role, text, parent_id=parent, created_at=created))
        conversation.head_id = messages[-1].id
        await store.add_tree(conversation, messages)

    server.stored(fill)
    return "/c/endless"


# Copying


def test_a_reply_is_copied_as_it_was_written(visit: Visit, server: Server) -> None:
    anna = visit(permissions=["clipboard-read", "clipboard-write"]).open()
    anna.ask("Write one word in bold.")
    anna.reply()
    anna.replies.last.get_by_role("button", name="Copy", exact=True).click()
    expect(anna.replies.last.locator('[data-action="copied"]')).to_be_visible()
    assert anna.page.evaluate("navigator.clipboard.readText()") == server.messages(anna.conversation_id)[1].text


def test_copying_works_without_https_too(visit: Visit, server: Server) -> None:
    anna = visit(permissions=["clipboard-read", "clipboard-write"])
    # What a browser offers to a page that came over plain HTTP from another machine: nothing.
    anna.page.add_init_script("const real = navigator.clipboard; window.readClipboard = () => real.readText();")
    anna.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined });")
    anna.open()
    anna.ask(SHORT)
    anna.reply()
    anna.questions.last.hover()
    anna.questions.last.get_by_role("button", name="Copy", exact=True).click()
    expect(anna.questions.last.locator('[data-action="copied"]')).to_be_visible()
    assert anna.page.evaluate("window.readClipboard()") == SHORT
    expect(anna.page.locator("#said")).to_have_text("Copied")


# Branches


def test_another_answer_and_another_question_are_versions_that_can_be_walked(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT)
    anna.reply()
    anna.replies.last.get_by_role("button", name="Regenerate").click()
    expect(anna.replies.last).to_contain_text("2 / 2")
    anna.questions.last.hover()
    anna.questions.last.get_by_role("button", name="Edit").click()
    box = anna.page.get_by_role("textbox", name="Edit message")
    expect(box).to_be_focused()
    expect(box).to_have_value(SHORT)
    box.fill("Say goodbye.")
    box.press("Control+Enter")
    expect(anna.questions).to_have_count(1)
    expect(anna.questions.last).to_contain_text("Say goodbye.")
    anna.reply()
    expect(anna.questions.last).to_contain_text("2 / 2")
    anna.questions.last.get_by_role("button", name="Previous version").click()
    expect(anna.questions.last).to_contain_text(SHORT)
    expect(anna.replies.last).to_contain_text("2 / 2")
    anna.replies.last.get_by_role("button", name="Previous version").click()
    expect(anna.replies.last).to_contain_text("1 / 2")


def test_two_tabs_stay_in_step(visit: Visit) -> None:
    anna, ben = visit().open(), visit()
    anna.ask(SHORT)
    anna.reply()
    ben.open(f"/c/{anna.conversation_id}")
    anna.replies.last.get_by_role("button", name="Regenerate").click()
    expect(ben.replies.last).to_contain_text("2 / 2")
    ben.replies.last.get_by_role("button", name="Previous version").click()
    expect(anna.replies.last).to_contain_text("1 / 2")
    anna.choose_action(anna.replies.last, "Delete")
    expect(ben.replies.last).not_to_contain_text("/ 2")
    anna.page.get_by_role("button", name="Undo").click()
    expect(ben.replies.last).to_contain_text("1 / 2")


def test_a_stopped_reply_goes_on_where_it_was(visit: Visit) -> None:
    anna = visit().open()
    anna.ask_long()
    anna.stop.click()
    expect(anna.replies.last).to_contain_text("Stopped.")
    before = anna.words()
    anna.replies.last.get_by_role("button", name="Continue").click()
    anna.see_growing(at_least=len(before) + 40)
    assert anna.words().startswith(before)
    anna.stop.click()
    anna.reply()
    expect(anna.replies).to_have_count(1)


def test_an_unfinished_edit_survives_another_version_and_a_reload(visit: Visit) -> None:
    anna, ben = visit().open(), visit()
    anna.ask(SHORT)
    anna.reply()
    ben.open(f"/c/{anna.conversation_id}")
    ben.replies.last.get_by_role("button", name="Edit").click()
    box = ben.page.get_by_role("textbox", name="Edit message")
    box.fill("In my own words")
    anna.replies.last.get_by_role("button", name="Regenerate").click()
    expect(ben.replies.last).to_contain_text("2 / 2")
    expect(ben.alert.filter(has_text="Your unfinished edit is saved")).to_be_visible()
    anna.reply()
    ben.page.reload()
    ben.replies.last.get_by_role("button", name="Previous version").click()
    expect(ben.replies.last).to_contain_text("1 / 2")
    ben.replies.last.get_by_role("button", name="Edit").click()
    expect(box).to_have_value("In my own words")
    # Escape keeps it, too; Cancel does not, and can be undone.
    box.press("Escape")
    expect(ben.page.get_by_text("Your edit is kept as a draft.")).to_be_visible()
    ben.replies.last.get_by_role("button", name="Edit").click()
    expect(box).to_have_value("In my own words")
    ben.page.get_by_role("button", name="Cancel").click()
    ben.page.get_by_role("button", name="Undo").click()
    expect(box).to_have_value("In my own words")
    ben.page.get_by_role("button", name="Cancel").click()
    ben.replies.last.get_by_role("button", name="Edit").click()
    expect(box).not_to_have_value("In my own words")


def test_what_was_deleted_is_restored_from_the_trash(visit: Visit) -> None:
    anna = visit().open()
    anna.ask("Say something to be deleted.")
    before = anna.reply()
    anna.choose_action(anna.replies.last, "Delete")
    expect(anna.replies).to_have_count(0)
    anna.page.get_by_role("button", name="Dismiss").click()
    trash = anna.page.get_by_role("dialog", name="Trash", exact=True)
    anna.page.get_by_role("button", name="Trash", exact=True).click()
    expect(trash).to_contain_text("From “Say something to be deleted.”")
    trash.get_by_role("button", name="Restore").first.click()
    expect(trash).to_be_hidden()
    expect(anna.replies).to_have_count(1)
    assert anna.text() == before
    # A question without its reply can be asked again.
    anna.choose_action(anna.replies.last, "Delete")
    anna.questions.last.get_by_role("button", name="Regenerate").click()
    expect(anna.replies).to_have_count(1)
    anna.reply()
    anna.page.get_by_role("button", name="Trash", exact=True).click()
    trash.get_by_role("button", name="Empty Trash").click()
    anna.page.get_by_role("dialog", name="Empty the Trash?").get_by_role("button", name="Erase all").click()
    expect(trash).to_contain_text("The Trash is empty.")
    anna.page.keyboard.press("Escape")
    expect(anna.replies).to_have_count(1)


def test_an_edit_left_with_escape_changes_nothing_and_gives_the_focus_back(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT)
    said = anna.reply()
    anna.replies.last.get_by_role("button", name="Edit").click()
    anna.page.get_by_role("textbox", name="Edit message").fill("Nothing.")
    anna.page.keyboard.press("Escape")
    expect(anna.page.get_by_role("textbox", name="Edit message")).to_have_count(0)
    assert anna.text() == said
    assert anna.page.evaluate("document.activeElement !== document.body")


# Reading


def test_the_view_follows_the_text_until_the_reader_goes_up(visit: Visit) -> None:
    anna = visit(viewport={"width": 800, "height": 400}).open()
    anna.ask(LONG)
    anna.see_growing(at_least=500)
    assert _distance_to_end(anna) < 30
    anna.page.mouse.move(400, 150)
    anna.page.mouse.wheel(0, -300)
    anna.page.wait_for_function("document.body.dataset.away === 'true'")
    place = anna.page.evaluate("document.querySelector('.scroller').scrollTop")
    anna.see_growing(at_least=800)
    assert anna.page.evaluate("document.querySelector('.scroller').scrollTop") == place
    anna.page.get_by_role("button", name="Jump to latest").click()
    anna.page.wait_for_function("document.body.dataset.away !== 'true'")
    assert _distance_to_end(anna) < 30
    anna.stop.click()
    anna.reply()


def test_nothing_jumps_when_a_reply_ends(visit: Visit) -> None:
    anna = visit(viewport={"width": 800, "height": 400}).open()
    anna.ask(LONG)
    anna.see_growing(at_least=600)
    anna.page.mouse.move(400, 150)
    anna.page.mouse.wheel(0, -250)
    anna.page.wait_for_function("document.body.dataset.away === 'true'")
    first = anna.replies.last.locator(".words")
    before = first.bounding_box()
    anna.stop.click()
    anna.reply()
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] == before["y"]


def test_a_long_conversation_opens_at_its_end_and_shows_more_on_the_way_up(visit: Visit, endless: str) -> None:
    anna = visit().open(endless)
    expect(anna.replies.last).to_be_in_viewport()
    expect(anna.replies.last).to_contain_text(f"Message {N_MESSAGES - 1}.")
    assert anna.questions.count() + anna.replies.count() == PAGE_SIZE
    assert _distance_to_end(anna) < 30

    anna.page.mouse.move(600, 300)
    reading = anna.log.get_by_text(f"Message {N_MESSAGES - PAGE_SIZE}.", exact=False).first
    while not reading.evaluate("e => { const r = e.getBoundingClientRect(); return r.bottom > 60 && r.top < 700 }"):
        anna.page.mouse.wheel(0, -600)
        anna.page.wait_for_timeout(60)
    anna.page.wait_for_function(f"document.querySelectorAll('[role=log] article').length > {PAGE_SIZE}")
    anna.page.wait_for_timeout(300)
    assert reading.evaluate("e => { const r = e.getBoundingClientRect(); return r.bottom > 0 && r.top < 800 }"), (
        "what was being read is still in sight"
    )


def test_a_hit_far_up_in_a_long_conversation_is_reached(visit: Visit, endless: str) -> None:
    anna = visit().open()
    anna.page.get_by_role("searchbox", name="Search conversations").fill('"Message 700"')
    anna.conversations.get_by_role("link", name=re.compile("Endless")).first.click()
    hit = anna.log.get_by_text("Message 700.", exact=False).first
    expect(hit).to_be_in_viewport()
    assert anna.log.get_by_role("article").count() >= 300


def test_the_page_has_one_main_part(visit: Visit) -> None:
    expect(visit().open().page.get_by_role("main")).to_have_count(1)


def test_one_talks_on_in_a_long_conversation(visit: Visit, endless: str) -> None:
    anna = visit().open(endless)
    anna.box.fill(SHORT)
    anna.box.press("Enter")
    expect(anna.questions.last).to_contain_text(SHORT)
    assert anna.reply()
    expect(anna.page.get_by_text("The model no longer sees anything above this line.")).to_be_visible()
    anna.page.get_by_role("button", name=re.compile("^Context")).click()
    sheet = anna.page.get_by_role("dialog")
    expect(sheet).to_contain_text("will not be read")
    anna.page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_the_exact_prompt_is_opened_and_put_away_with_the_mouse(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT)
    anna.reply()
    anna.page.get_by_role("button", name=re.compile("^Context")).click()
    sheet = anna.page.get_by_role("dialog")
    sheet.get_by_text("The exact prompt").click()
    expect(sheet.get_by_text(f"<|im_start|>user\n{SHORT}")).to_be_visible()
    sheet.get_by_role("button", name="Close").click()
    expect(sheet).to_be_hidden()


def _distance_to_end(person: Visitor) -> float:
    return float(
        person.page.evaluate(
            "(s => s.scrollHeight - s.clientHeight - s.scrollTop)(document.querySelector('.scroller'))"
        )
    )


# Beside the reading


def test_plain_text_is_copied_without_marks(visit: Visit, server: Server) -> None:
    async def fill(store: HistoryStore) -> None:
        await store.add_conversation(Conversation(title="Marks", id="marks"))
        question = Message("marks", Role.USER, "Marks?")
        await store.add_message(question)
        await store.add_message(Message("marks", Role.ASSISTANT, "1. **one**\n2. `two`", parent_id=question.id))

    server.stored(fill)
    anna = visit(permissions=["clipboard-read", "clipboard-write"]).open("/c/marks")

    anna.choose_action(anna.replies.last, "Copy as plain text")

    expect(anna.replies.last.locator('[data-action="copied"]')).to_be_visible()
    assert anna.page.evaluate("navigator.clipboard.readText()") == "1. one\n2. two"
    anna.page.emulate_media(media="print")
    expect(anna.page.get_by_role("heading", name="Marks")).to_be_visible()
    for part in (anna.conversations, anna.box, anna.model, anna.replies.last.get_by_role("button", name="Copy")):
        expect(part).to_be_hidden()


def test_the_time_of_a_message_is_told_as_people_say_it_there(visit: Visit) -> None:
    anna = visit(locale="en-GB", timezone_id="Asia/Tokyo").open()
    anna.ask(SHORT).reply()
    time = anna.questions.last.locator("time")
    now = anna.page.evaluate("new Date().toLocaleTimeString('en-GB', { hour: '2-digit' })")
    shown = time.text_content()
    assert shown
    assert re.fullmatch(r"\d\d?:\d\d", shown)
    assert int(now[:2]) - int(shown.split(":")[0]) in (0, 1, -23)


def test_a_reply_that_ends_unseen_marks_the_title_until_somebody_looks(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT)
    # Chromium without a window shows all its tabs at once.
    see = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); "
    see += "document.dispatchEvent(new Event('visibilitychange')); }"
    anna.page.evaluate(see, True)
    anna.reply()

    expect(anna.page).to_have_title(re.compile("^● "))
    anna.page.evaluate(see, False)
    expect(anna.page).not_to_have_title(re.compile("^● "))


def test_speech_is_offered_only_where_it_stays_on_the_machine(visit: Visit) -> None:
    anna = visit().open()
    anna.ask(SHORT).reply()
    local = anna.page.evaluate("speechSynthesis.getVoices().some((voice) => voice.localService)")
    anna.replies.last.get_by_role("button", name="More actions").click()
    expect(anna.page.get_by_role("menuitem", name="Read aloud")).to_have_count(int(local))
    expect(anna.page.get_by_role("button", name="Dictate")).to_have_count(0)
