"""Stories of writing and reading, with a real model, a real server and a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from localchat_ui.conversation import MessageState

from .conftest import Visit
from .server import Server
from .visitor import LONG, SHORT, Step


def test_the_first_reply_grows_before_the_readers_eyes(visit: Visit) -> None:
    anna = visit().open()
    expect(anna.log).to_have_attribute("aria-busy", "false")
    anna.watch_growth()

    anna.ask_long()
    expect(anna.stop).to_be_visible()
    expect(anna.send).to_be_hidden()
    anna.reply()

    growth = anna.growth()
    assert len(growth) > 10
    assert all(step.busy for step in growth[:-1])
    assert growth[0].length < growth[-1].length / 4
    expect(anna.send).to_be_visible()
    expect(anna.stop).to_be_hidden()


def test_a_message_sent_before_the_connection_stands_arrives(visit: Visit) -> None:
    anna = visit()
    anna.page.add_init_script(
        """const hurry = () => {
          const box = document.querySelector('textarea[aria-label=Message]');
          if (!box) return setTimeout(hurry);
          box.value = 'Say hello.';
          box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
        };
        addEventListener('DOMContentLoaded', hurry);"""
    )

    anna.open()

    expect(anna.questions.locator(".words")).to_have_text([SHORT])
    assert anna.reply()


def test_stop_keeps_what_was_written_and_the_next_message_works(visit: Visit, server: Server) -> None:
    anna = visit().open()
    anna.ask_long()
    before = anna.text()

    anna.stop.click()

    anna.reply()
    stopped = anna.replies.last.locator(".words").inner_text()
    assert stopped.startswith(before)
    expect(anna.replies.last).to_contain_text("Stopped.")
    expect(anna.send).to_be_visible()
    anna.ask(SHORT)
    assert anna.reply()
    messages = server.messages(anna.conversation_id)
    assert [message.state for message in messages[1::2]] == [MessageState.STOPPED, MessageState.COMPLETE]
    expect(anna.replies.first.locator(".words")).to_have_text(stopped, use_inner_text=True)


def test_what_is_typed_right_after_enter_is_kept(visit: Visit) -> None:
    anna = visit().open()
    anna.box.focus()

    anna.page.keyboard.type(f"{SHORT}\nAnd then")

    expect(anna.questions.locator(".words")).to_have_text([SHORT])
    anna.reply()
    expect(anna.box).to_have_value("And then")
    expect(anna.box).to_be_focused()


def test_a_message_sent_meanwhile_waits_its_turn_and_is_answered(visit: Visit) -> None:
    anna = visit().open()
    anna.box.focus()

    anna.page.keyboard.type(f"{LONG}\n{SHORT}\n")

    expect(anna.questions).to_have_count(2)
    expect(anna.questions.last).to_contain_text("Waits for the reply above.")
    expect(anna.box).to_have_value("")
    anna.stop.click()
    expect(anna.replies).to_have_count(2)
    assert anna.reply()
    expect(anna.questions.last).not_to_contain_text("Waits")


def test_a_waiting_message_can_be_taken_back_into_the_box(visit: Visit) -> None:
    anna = visit().open()
    anna.ask_long()
    anna.ask(SHORT)

    anna.questions.last.get_by_role("button", name="Take back").click()

    expect(anna.questions).to_have_count(1)
    expect(anna.box).to_have_value(SHORT)
    anna.stop.click()
    anna.reply()
    expect(anna.questions).to_have_count(1)


def test_shift_enter_breaks_the_line(visit: Visit) -> None:
    anna = visit().open()
    anna.box.press_sequentially("One")
    height = anna.box.evaluate("box => box.clientHeight")

    anna.box.press("Shift+Enter")
    anna.box.press_sequentially("two")

    expect(anna.box).to_have_value("One\ntwo")
    assert anna.box.evaluate("box => box.clientHeight") > height
    expect(anna.questions).to_have_count(0)
    anna.box.press("Enter")
    expect(anna.questions.locator(".words")).to_have_text(["One\ntwo"], use_inner_text=True)
    expect(anna.box).to_have_value("")
    anna.stop.click()
    anna.reply()


def test_enter_that_ends_a_composition_does_not_send(visit: Visit) -> None:
    anna = visit().open()
    anna.box.fill("にほん")

    for marks in ({"isComposing": True}, {"keyCode": 229}):  # the second is Safari's way to say the same
        anna.box.evaluate(
            "(box, marks) => box.dispatchEvent("
            "new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...marks }))",
            marks,
        )
    anna.box.press_sequentially("ご")

    expect(anna.box).to_have_value("にほんご")
    anna.box.press("Enter")
    expect(anna.questions.locator(".words")).to_have_text(["にほんご"])
    anna.stop.click()
    anna.reply()


def test_pressing_enter_twice_sends_once(visit: Visit) -> None:
    anna = visit().open()
    anna.box.fill(SHORT)

    anna.page.keyboard.press("Enter")
    anna.page.keyboard.press("Enter")

    expect(anna.questions.locator(".words")).to_have_text([SHORT])
    anna.reply()
    expect(anna.replies).to_have_count(1)
    expect(anna.alert).to_be_hidden()


def test_a_double_click_on_send_sends_once_and_does_not_stop(visit: Visit) -> None:
    anna = visit().open()
    for pause in (0, 150):
        anna.new_chat.click()
        expect(anna.questions).to_have_count(0)
        anna.box.fill(LONG)
        place = anna.send.bounding_box()
        assert place
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2

        anna.page.mouse.click(x, y)
        anna.page.wait_for_timeout(pause)  # the second click of a quick and of a slow hand; nothing is waited for
        anna.page.mouse.click(x, y, click_count=2)

        anna.see_growing()
        expect(anna.questions.locator(".words")).to_have_text([LONG])
        anna.stop.click()
        anna.reply()


def test_an_empty_message_is_not_sent(visit: Visit) -> None:
    anna = visit().open()

    anna.box.fill("  \n ")
    anna.box.press("Enter")
    anna.send.click()
    anna.ask(SHORT)

    expect(anna.questions.locator(".words")).to_have_text([SHORT])
    anna.reply()


def test_a_reload_in_mid_reply_loses_nothing(visit: Visit, server: Server) -> None:
    anna = visit().open()
    anna.ask_long()
    before = anna.text()

    anna.page.reload()
    anna.see_growing()

    after = anna.text()
    assert len(after) >= len(before)
    assert after.startswith(before[:-10])  # the last characters may be an open mark of Markdown
    expect(anna.stop).to_be_visible()
    final = anna.reply()
    assert len(final) > len(after)
    [_, stored] = server.messages(anna.conversation_id)
    assert stored.state is MessageState.COMPLETE
    assert _words(final).startswith(_words(stored.text))


def test_a_second_browser_sees_the_same_reply_grow(visit: Visit) -> None:
    anna, ben = visit().open(), visit()
    anna.ask_long()

    ben.open(f"/c/{anna.conversation_id}")
    ben.see_growing()
    early = ben.text()

    final = anna.reply()
    assert ben.reply() == final
    assert len(early) < len(final)


def test_stop_pressed_in_one_browser_stops_the_reply_in_both(visit: Visit) -> None:
    anna, ben = visit().open(), visit()
    anna.ask_long()
    ben.open(f"/c/{anna.conversation_id}")
    ben.see_growing()

    ben.stop.click()

    assert anna.reply() == ben.reply()
    expect(anna.send).to_be_visible()


def test_two_browsers_at_once_both_stream_their_own_conversation(visit: Visit) -> None:
    anna, ben = visit().open(), visit().open()
    for person in (anna, ben):
        person.watch_growth()

    anna.ask(LONG)
    ben.ask("Tell me a very long story about the sea.")
    stories = [anna.reply(), ben.reply()]

    assert stories[0] != stories[1]
    assert anna.conversation_id != ben.conversation_id
    expect(anna.questions.locator(".words")).to_have_text([LONG])
    expect(ben.questions.locator(".words")).to_have_text(["Tell me a very long story about the sea."])
    assert _steps_during(anna.growth(), ben.growth()) > 5
    assert _steps_during(ben.growth(), anna.growth()) > 5


def test_a_reply_goes_on_while_another_conversation_is_looked_at(visit: Visit) -> None:
    anna = visit().open()
    anna.ask_long()
    story = anna.conversation_id

    anna.new_chat.click()
    expect(anna.questions).to_have_count(0)
    anna.ask(SHORT)
    assert anna.reply()

    anna.page.go_back()
    anna.page.wait_for_url(f"**/c/{story}")
    expect(anna.questions.locator(".words")).to_have_text([LONG])
    assert "Ended at the limit" in anna.reply()


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text))


def _steps_during(one: list[Step], other: list[Step]) -> int:
    """How often one reply grew while the other was being written."""
    return sum(other[0].at < step.at < other[-1].at for step in one)
