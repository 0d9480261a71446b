"""Stories of hands that stay on the keyboard: every shortcut does its work, and no other key is taken away."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from .conftest import Visit
from .visitor import SHORT, Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
MAC = """
Object.defineProperty(navigator, "platform", { get: () => "MacIntel" });
Object.defineProperty(navigator, "userAgentData", { get: () => undefined });
"""

# Tells whether the page took a key that is pressed with these properties.
TAKES = """(init) => {
  const event = new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init });
  if (init.keyCode) Object.defineProperty(event, "keyCode", { get: () => init.keyCode });
  document.activeElement.dispatchEvent(event);
  return event.defaultPrevented;
}"""


@pytest.fixture
def anna(visit: Visit) -> Visitor:
    return visit().open()


def shortcuts(person: Visitor) -> Locator:
    return person.page.get_by_role("dialog", name="Keyboard shortcuts", exact=True)


def test_a_new_chat(anna: Visitor) -> None:
    anna.ask(SHORT)
    anna.reply()

    anna.page.keyboard.press("Control+Shift+O")

    expect(anna.questions).to_have_count(0)
    expect(anna.box).to_be_focused()
    assert anna.page.url == f"{anna.server.url}/"


def test_the_list_hides_and_comes_back(anna: Visitor) -> None:
    anna.page.keyboard.press("Control+B")
    expect(anna.conversations).to_be_hidden()

    anna.page.keyboard.press("Control+B")
    expect(anna.conversations).to_be_visible()


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desk", "phone"])
def test_searching_opens_the_list_when_it_is_closed(visit: Visit, device: dict[str, object]) -> None:
    anna = visit(**device).open()
    if not device:
        anna.page.keyboard.press("Control+B")
    expect(anna.conversations).to_be_hidden()

    anna.page.keyboard.press("Control+K")

    expect(anna.conversations).to_be_visible()
    expect(anna.page.locator("[aria-label='Search conversations']")).to_be_focused()


def test_escape_stops_the_reply_from_wherever_the_focus_is(anna: Visitor) -> None:
    for place in (anna.box, anna.settings_button):
        anna.ask_long()
        place.focus()
        anna.page.keyboard.press("Escape")
        anna.reply()
        expect(anna.replies.last).to_contain_text("Stopped.")


def test_escape_closes_what_is_open_before_it_stops_the_reply(visit: Visit) -> None:
    anna = visit(viewport={"width": 700, "height": 800}).open()
    anna.open_settings().number("Max tokens").fill("4000")
    anna.page.keyboard.press("Escape")
    anna.ask_long()
    anna.settings_button.click()
    anna.page.keyboard.press("Control+/")
    expect(shortcuts(anna)).to_be_visible()

    anna.page.keyboard.press("Escape")
    expect(shortcuts(anna)).to_be_hidden()
    expect(anna.settings).to_be_visible()
    anna.page.keyboard.press("Escape")
    expect(anna.settings).to_be_hidden()
    anna.model.click()
    expect(anna.page.get_by_role("listbox")).to_be_visible()
    anna.page.keyboard.press("Escape")
    expect(anna.page.get_by_role("listbox")).to_be_hidden()
    expect(anna.log).to_have_attribute("aria-busy", "true")

    anna.page.keyboard.press("Escape")
    anna.reply()
    expect(anna.replies.last).to_contain_text("Stopped.")


def test_escape_in_a_field_of_its_own_leaves_the_reply_alone(anna: Visitor) -> None:
    anna.open_settings()
    anna.ask_long()

    anna.settings.get_by_role("textbox", name="System prompt").press("Escape")

    anna.see_growing(at_least=100)
    anna.box.press("Escape")
    anna.reply()


@pytest.mark.parametrize(("back", "forth"), [("ArrowLeft", "ArrowRight"), ("Enter", "Enter")], ids=["arrows", "enter"])
def test_versions_keep_the_focus_at_each_step(anna: Visitor, back: str, forth: str) -> None:
    anna.ask(SHORT).reply()
    for count in (2, 3):
        anna.replies.last.get_by_role("button", name="Regenerate").click()
        expect(anna.replies.last).to_contain_text(f"{count} / {count}")
        anna.reply()
    previous = anna.replies.last.get_by_role("button", name="Previous version")
    following = anna.replies.last.get_by_role("button", name="Next version")
    previous.focus()

    anna.page.keyboard.press(back)
    expect(anna.replies.last).to_contain_text("2 / 3")
    expect(previous).to_be_focused()
    anna.page.keyboard.press(back)
    expect(anna.replies.last).to_contain_text("1 / 3")
    expect(following).to_be_focused()  # there is none before
    anna.page.keyboard.press(forth)
    expect(anna.replies.last).to_contain_text("2 / 3")
    expect(following).to_be_focused()
    anna.page.keyboard.press(forth)
    expect(anna.replies.last).to_contain_text("3 / 3")
    expect(previous).to_be_focused()


def test_arrows_in_the_box_move_in_the_text(anna: Visitor) -> None:
    anna.box.fill("ac")

    anna.page.keyboard.press("ArrowLeft")
    anna.page.keyboard.type("b")

    expect(anna.box).to_have_value("abc")


def test_letters_typed_right_after_the_key_of_the_search_are_searched_for(visit: Visit) -> None:
    anna = visit(**PHONE).open()

    # In one go, as fast hands do: nothing is drawn in between.
    anna.page.evaluate(
        """(init) => {
          document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, ...init }));
          document.execCommand("insertText", false, "harbour");
        }""",
        {"key": "k", "ctrlKey": True},
    )

    expect(anna.page.get_by_role("searchbox", name="Search conversations")).to_have_value("harbour")
    expect(anna.box).to_have_value("")


def test_escape_closes_the_settings_on_a_desk(anna: Visitor) -> None:
    for place in (anna.settings.get_by_role("button", name="Close settings"), anna.number("Top k"), anna.box):
        anna.open_settings()
        place.focus()
        anna.page.keyboard.press("Escape")
        expect(anna.settings).to_be_hidden()


def test_a_link_leads_past_the_list_to_the_box(anna: Visitor) -> None:
    anna.ask(SHORT).reply()
    anna.page.evaluate("document.body.tabIndex = -1; document.body.focus()")
    anna.page.keyboard.press("Tab")
    expect(anna.page.get_by_role("link", name="Skip to the message box")).to_be_focused()

    anna.page.keyboard.press("Enter")

    expect(anna.box).to_be_focused()
    expect(anna.questions).to_have_count(1)


def test_one_message_is_edited_at_a_time_and_nothing_typed_is_lost(anna: Visitor) -> None:
    anna.ask(SHORT).reply()
    editor = anna.page.get_by_role("textbox", name="Edit message")
    anna.replies.last.get_by_role("button", name="Edit").click()
    editor.fill("Half a thought")
    expect(anna.replies.last).to_contain_text("Ctrl+Enter to save")

    anna.questions.last.hover()
    anna.questions.last.get_by_role("button", name="Edit").click()

    expect(editor).to_have_count(1)
    expect(editor).to_have_value(SHORT)
    anna.replies.last.get_by_role("button", name="Edit").click()
    expect(editor).to_have_count(1)
    expect(editor).to_have_value("Half a thought")


def test_the_menu_of_a_message_with_the_keyboard(anna: Visitor) -> None:
    anna.ask(SHORT).reply()
    more = anna.replies.last.get_by_role("button", name="More actions")
    more.press("Enter")
    items = anna.page.get_by_role("menuitem")
    expect(items.first).to_be_focused()
    anna.page.keyboard.press("End")
    expect(anna.page.get_by_role("menuitem", name="Delete")).to_be_focused()
    anna.page.keyboard.press("Escape")
    expect(more).to_be_focused()
    expect(items).to_have_count(0)


def test_the_help_lists_the_keys_and_gives_the_focus_back(anna: Visitor) -> None:
    anna.box.focus()
    anna.page.keyboard.press("Control+/")

    expect(shortcuts(anna)).to_be_visible()
    expect(shortcuts(anna)).to_contain_text("Search conversations")
    expect(shortcuts(anna).get_by_text("Ctrl").first).to_be_visible()
    expect(shortcuts(anna).get_by_text("⌘").first).to_be_hidden()
    for _ in range(4):
        anna.page.keyboard.press("Tab")
        assert anna.page.evaluate("!document.activeElement.closest('.page > :not(:has(dialog[open]))')")
    anna.page.keyboard.press("Escape")

    expect(shortcuts(anna)).to_be_hidden()
    expect(anna.box).to_be_focused()


def test_the_help_has_a_button_and_closes_in_every_usual_way(anna: Visitor) -> None:
    button = anna.page.get_by_role("button", name="Keyboard shortcuts", exact=True)
    for close in (
        lambda: anna.page.keyboard.press("Control+/"),
        lambda: anna.page.get_by_role("button", name="Close keyboard shortcuts").click(),
        lambda: anna.page.mouse.click(20, 400),
    ):
        button.click()
        expect(shortcuts(anna)).to_be_visible()
        close()
        expect(shortcuts(anna)).to_be_hidden()
        expect(button).to_be_focused()


def test_what_is_read_in_the_help_can_be_tried_at_once(anna: Visitor) -> None:
    anna.page.keyboard.press("Control+/")

    anna.page.keyboard.press("Control+B")

    expect(shortcuts(anna)).to_be_hidden()
    expect(anna.conversations).to_be_hidden()


def test_no_other_key_is_taken(anna: Visitor) -> None:
    anna.box.focus()
    for init in (
        {"key": "k", "ctrlKey": True, "isComposing": True},
        {"key": "k", "ctrlKey": True, "keyCode": 229},
        {"key": "k", "ctrlKey": True, "shiftKey": True},
        {"key": "k", "ctrlKey": True, "altKey": True},  # AltGr on Windows
        {"key": "k", "metaKey": True},
        {"key": "o", "ctrlKey": True},
        {"key": "b"},
        {"key": "/"},
        {"key": "f", "ctrlKey": True},
        {"key": "Escape"},
        {"key": "ArrowLeft"},
    ):
        assert not anna.page.evaluate(TAKES, init), init
    expect(anna.conversations).to_be_visible()
    expect(anna.box).to_be_focused()

    assert anna.page.evaluate(TAKES, {"key": "k", "ctrlKey": True})


def test_a_keyboard_without_latin_letters_has_the_keys_in_the_same_place(anna: Visitor) -> None:
    assert anna.page.evaluate(TAKES, {"key": "и", "code": "KeyB", "ctrlKey": True})
    expect(anna.conversations).to_be_hidden()
    assert anna.page.evaluate(TAKES, {"key": "/", "code": "Digit7", "ctrlKey": True, "shiftKey": True})
    expect(shortcuts(anna)).to_be_visible()


def test_a_mac_has_its_own_keys(visit: Visit) -> None:
    anna = visit()
    anna.page.add_init_script(MAC)
    anna.open()

    assert not anna.page.evaluate(TAKES, {"key": "b", "ctrlKey": True}), "that moves the cursor there"
    anna.page.keyboard.press("Meta+B")
    expect(anna.conversations).to_be_hidden()
    anna.page.keyboard.press("Meta+/")
    expect(shortcuts(anna).get_by_text("⌘").first).to_be_visible()
    expect(shortcuts(anna).get_by_text("Ctrl").first).to_be_hidden()


def test_suggestions_make_way_for_a_draft(anna: Visitor) -> None:
    suggestions = anna.page.get_by_role("group", name="Suggestions")
    expect(suggestions.get_by_role("button")).to_have_count(4)

    anna.box.fill("A draft")
    expect(suggestions).to_be_hidden()

    anna.box.fill("")
    suggestions.get_by_role("button", name="Improve a text").click()
    expect(anna.box).to_be_focused()
    expect(suggestions).to_be_hidden()
    anna.box.fill("")
    suggestions.get_by_role("button", name="Explain something").click()
    expect(anna.questions.locator(".words")).to_have_text(["Explain in a few sentences why the sky is blue."])


def test_a_suggestion_is_sent_or_waits_for_its_words(anna: Visitor) -> None:
    anna.page.evaluate("localchat.composer.suggest('Make this clearer:\\n\\n', false)")
    expect(anna.box).to_have_value("Make this clearer:\n\n")
    expect(anna.box).to_be_focused()
    expect(anna.questions).to_have_count(0)

    anna.page.evaluate(f"localchat.composer.suggest({SHORT!r}, true)")
    expect(anna.questions.locator(".words")).to_have_text([SHORT])
    expect(anna.box).to_have_value("")
