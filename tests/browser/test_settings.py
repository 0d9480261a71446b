"""Stories of the settings panel: what is set applies, is kept, and belongs to its conversation."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import expect

from localchat_ui.history.presets import Presets

from .conftest import Visit
from .server import Server
from .visitor import LONG, SHORT, Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def anna(visit: Visit) -> Visitor:
    return visit().open().open_settings()


def test_a_slider_moves_with_the_keyboard_and_its_number_follows(anna: Visitor) -> None:
    for name, key, before, after in (
        ("Temperature", "ArrowRight", "0", "0.05"),
        ("Top p", "ArrowLeft", "0.95", "0.94"),
        ("Top k", "ArrowRight", "40", "41"),
        ("Min p", "ArrowRight", "0.05", "0.06"),
        ("Repeat penalty", "ArrowRight", "1", "1.05"),
        ("Max tokens", "ArrowRight", "240", "256"),
    ):
        expect(anna.number(name)).to_have_value(before)
        anna.reach_slider(name).press(key)
        expect(anna.number(name)).to_have_value(after)


def test_a_number_moves_its_slider(anna: Visitor) -> None:
    anna.number("Temperature").fill("1.5")

    expect(anna.slider("Temperature")).to_have_attribute("aria-valuenow", "1.5")


def test_settings_survive_a_reload_and_a_restart(anna: Visitor, visit: Visit, server: Server) -> None:
    anna.ask(SHORT)
    anna.reply()
    anna.reach_slider("Temperature").press("ArrowRight")
    anna.number("Top k").fill("12")
    anna.number("Seed").fill("7")
    anna.settings.get_by_role("textbox", name="System prompt").fill("You are a pirate.")
    changes = {"temperature": 0.05, "top_k": 12, "seed": 7, "system_prompt": "You are a pirate."}
    _wait_until_stored(server, anna.conversation_id, **changes)

    anna.page.reload()

    _see(anna, {"Temperature": "0.05", "Top k": "12", "Seed": "7"}, "You are a pirate.")
    path = f"/c/{anna.conversation_id}"
    anna.page.close()
    server.stop()
    server.start()
    _see(visit().open(path), {"Temperature": "0.05", "Top k": "12", "Seed": "7"}, "You are a pirate.")


def test_the_longest_reply_applies_to_the_next_message(anna: Visitor) -> None:
    anna.number("Max tokens").fill("16")
    anna.ask(LONG)
    assert "Ended at the limit of 16 tokens" in anna.reply()

    anna.number("Max tokens").fill("20")
    anna.ask(LONG)
    assert "Ended at the limit of 20 tokens" in anna.reply()


def test_a_message_sent_right_after_a_change_already_obeys_it(anna: Visitor) -> None:
    anna.number("Max tokens").fill("16")
    anna.box.fill(LONG)
    anna.box.press("Enter")

    expect(anna.replies).to_contain_text(["Ended at the limit of 16 tokens"])


def test_the_same_seed_gives_the_same_reply(anna: Visitor) -> None:
    replies = []
    for seed in ("7", "7", "8"):
        anna.new_chat.click()
        expect(anna.questions).to_have_count(0)
        anna.number("Temperature").fill("1.5")
        anna.number("Max tokens").fill("24")
        anna.number("Seed").fill(seed)
        replies.append(anna.ask(LONG).reply())

    assert replies[0] == replies[1]
    assert replies[0] != replies[2]


def test_the_system_prompt_reaches_the_model(anna: Visitor, server: Server) -> None:
    anna.settings.get_by_role("textbox", name="System prompt").fill("word " * 100)

    anna.ask(SHORT)
    anna.reply()

    [_, reply] = server.messages(anna.conversation_id)
    assert reply.stats
    assert reply.stats.prompt_tokens > 100


def test_reset_brings_the_defaults_back_and_keeps_them(anna: Visitor, server: Server) -> None:
    anna.ask(SHORT)
    anna.reply()
    prompt = anna.settings.get_by_role("textbox", name="System prompt")
    default = prompt.input_value()
    anna.number("Top k").fill("12")
    anna.number("Seed").fill("7")
    prompt.fill("You are a pirate.")
    _wait_until_stored(server, anna.conversation_id, system_prompt="You are a pirate.")

    anna.settings.get_by_role("button", name="Reset to defaults").click()

    _see(anna, {"Temperature": "0", "Top k": "40", "Seed": "", "Max tokens": "240"}, default)
    _wait_until_stored(server, anna.conversation_id, top_k=40, seed=None, system_prompt=default)
    anna.page.reload()
    _see(anna, {"Temperature": "0", "Top k": "40", "Seed": "", "Max tokens": "240"}, default)


def test_another_conversation_has_its_own_settings(anna: Visitor) -> None:
    anna.number("Top k").fill("12")
    anna.ask("Say hello to the first.")
    anna.reply()

    anna.new_chat.click()
    expect(anna.questions).to_have_count(0)
    expect(anna.number("Top k")).to_have_value("40")
    anna.number("Top k").fill("99")
    anna.ask("Say hello to the second.")
    anna.reply()

    anna.link("Say hello to the first.").click()
    expect(anna.number("Top k")).to_have_value("12")
    anna.link("Say hello to the second.").click()
    expect(anna.number("Top k")).to_have_value("99")


def test_settings_of_a_new_chat_survive_a_reload_before_anything_was_said(anna: Visitor) -> None:
    anna.number("Top k").fill("12")
    anna.conversation_id  # noqa: B018 - waits until the new chat has an address

    anna.page.reload()

    _see(anna, {"Top k": "12"})


def test_a_value_out_of_range_says_so_and_the_one_before_applies(anna: Visitor, server: Server) -> None:
    anna.number("Temperature").fill("9")
    anna.number("Temperature").blur()

    expect(anna.settings.get_by_role("alert")).to_have_text("Must be from 0 to 2.")
    expect(anna.number("Temperature")).to_have_value("9")
    anna.number("Top k").fill("12")
    anna.ask(SHORT).reply()
    [_, reply] = server.messages(anna.conversation_id)
    assert reply.stats
    assert reply.stats.sampling
    assert (reply.stats.sampling.temperature, reply.stats.sampling.top_k) == (0, 12)
    expect(anna.number("Temperature")).to_have_value("9")
    expect(anna.settings.get_by_role("alert")).to_have_text("Must be from 0 to 2.")


def test_an_emptied_number_does_not_keep_other_changes_from_being_saved(anna: Visitor, server: Server) -> None:
    anna.number("Top k").fill("")
    anna.number("Temperature").fill("1")
    anna.box.focus()

    _wait_until_stored(server, anna.conversation_id, temperature=1)


def test_two_browsers_show_the_same_settings(anna: Visitor, visit: Visit) -> None:
    anna.ask(SHORT)
    anna.reply()
    ben = visit().open(f"/c/{anna.conversation_id}").open_settings()

    anna.number("Top k").fill("12")

    expect(ben.number("Top k")).to_have_value("12")


# Presets and defaults


def test_a_preset_is_saved_chosen_and_deleted_with_the_keyboard_alone(anna: Visitor, visit: Visit) -> None:
    prompt = anna.settings.get_by_role("textbox", name="System prompt", exact=True)
    preset = anna.settings.get_by_role("combobox", name="Preset", exact=True)
    save = anna.settings.get_by_role("button", name="Save as preset…", exact=True)
    prompt.fill("You are a pirate.")
    keyboard = anna.page.keyboard
    keyboard.press("Tab")
    expect(save).to_be_focused()
    keyboard.press("Enter")
    expect(anna.page.get_by_role("textbox", name="Preset name", exact=True)).to_be_focused()
    keyboard.type("Pirate")
    keyboard.press("Enter")
    expect(anna.page.get_by_role("dialog")).to_be_hidden()
    expect(save).to_be_focused()
    expect(preset).to_have_value("Pirate")

    prompt.fill("Rhyme.")
    expect(preset).to_have_value("Choose a preset")
    preset.focus()
    keyboard.press("ArrowDown")
    expect(anna.page.get_by_role("option", name="Pirate")).to_be_visible()
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    expect(prompt).to_have_value("You are a pirate.")
    ben = visit().open().open_settings()
    ben.settings.get_by_role("combobox", name="Preset").click()
    expect(ben.page.get_by_role("option", name="Pirate")).to_be_visible()

    anna.settings.get_by_role("button", name="Delete preset").press("Enter")
    expect(anna.settings.get_by_role("status").filter(has_text="“Pirate” was deleted.")).to_be_visible()
    expect(save).to_be_focused()
    keyboard.press("Tab")
    expect(anna.settings.get_by_role("button", name="Undo")).to_be_focused()
    keyboard.press("Enter")
    expect(preset).to_have_value("Pirate")
    expect(save).to_be_focused()


def test_enter_that_ends_a_composition_does_not_save_a_preset(anna: Visitor) -> None:
    anna.settings.get_by_role("button", name="Save as preset…").click()
    name = anna.page.get_by_role("textbox", name="Preset name")
    name.fill("海賊")

    name.evaluate(
        "field => field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true }))"
    )
    name.press("Escape")

    expect(anna.page.get_by_role("dialog")).to_be_hidden()
    anna.settings.get_by_role("combobox", name="Preset").click()
    expect(anna.page.get_by_role("option", name="海賊")).to_have_count(0)


def test_a_name_that_is_refused_says_why_in_the_dialog(anna: Visitor) -> None:
    anna.settings.get_by_role("button", name="Save as preset…").click()

    anna.page.get_by_role("button", name="Save preset").click()

    expect(anna.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("needs a name")


def test_own_defaults_survive_a_restart_and_can_be_given_up(anna: Visitor, visit: Visit, server: Server) -> None:
    anna.number("Top k").fill("12")
    anna.settings.get_by_role("button", name="Make these my defaults").click()
    expect(anna.settings.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    anna.page.close()
    server.stop()
    server.start()

    ben = visit().open().open_settings()
    expect(ben.number("Top k")).to_have_value("12")
    ben.settings.get_by_role("button", name="Restore the original defaults").press("Enter")

    expect(ben.settings.get_by_role("status").filter(has_text="the original defaults")).to_be_visible()
    expect(ben.settings.get_by_role("button", name="Make these my defaults")).to_be_focused()
    ben.settings.get_by_role("button", name="Reset to defaults").click()
    expect(ben.number("Top k")).to_have_value("40")


# Look


def test_the_theme_is_chosen_here_and_stays(visit: Visit) -> None:
    anna = visit(color_scheme="light").open().open_settings()
    themes = anna.settings.get_by_role("radiogroup", name="Theme")
    expect(themes.get_by_role("radio", name="System")).to_be_checked()
    bright = _brightness(anna)

    themes.get_by_role("radio", name="System").focus()
    anna.page.keyboard.press("ArrowLeft")  # around, to the last one
    expect(themes.get_by_role("radio", name="Dark")).to_be_checked()
    assert _brightness(anna) < bright
    anna.page.reload()
    expect(anna.box).to_be_visible()
    assert _brightness(anna) < bright
    expect(themes.get_by_role("radio", name="Dark")).to_be_checked()
    themes.get_by_role("radio", name="System").check()
    assert _brightness(anna) == bright
    anna.page.emulate_media(color_scheme="dark")
    anna.page.wait_for_function("document.body.classList.contains('body--dark')")


def test_the_text_grows_as_it_is_chosen(visit: Visit) -> None:
    anna = visit().open().open_settings()
    size = "parseFloat(getComputedStyle(document.body).fontSize)"
    before = anna.page.evaluate(size)

    anna.settings.get_by_role("radio", name="Larger").check()

    assert anna.page.evaluate(size) == 1.25 * before
    anna.page.reload()
    expect(anna.box).to_be_visible()
    assert anna.page.evaluate(size) == 1.25 * before


def test_notifications_are_asked_for_where_they_are_wanted(visit: Visit) -> None:
    anna = visit(permissions=["notifications"]).open().open_settings()
    switch = anna.settings.get_by_role("checkbox", name="When a long reply ends in the background")
    expect(switch).not_to_be_checked()

    switch.check()

    anna.page.reload()
    expect(switch).to_be_checked()


def test_a_search_leaves_what_it_finds_and_escape_ends_it(anna: Visitor) -> None:
    search = anna.settings.get_by_role("searchbox", name="Search settings")
    search.fill("penalty")
    expect(anna.slider("Temperature")).to_be_hidden()
    expect(anna.slider("Repeat penalty")).to_be_visible()

    search.press("Escape")
    expect(anna.slider("Temperature")).to_be_visible()
    expect(anna.settings).to_be_visible()
    search.press("Escape")
    expect(anna.settings).to_be_hidden()
    expect(anna.settings_button).to_be_focused()


def test_a_setting_goes_back_to_its_default_and_the_focus_stays(anna: Visitor) -> None:
    expect(anna.settings.get_by_role("heading", name="Sampling")).to_have_text("Sampling")
    anna.number("Top k").fill("12")
    expect(anna.settings.get_by_role("heading", name="Sampling")).to_contain_text("1 changed")

    anna.settings.get_by_role("button", name="Reset Top k").press("Enter")

    expect(anna.number("Top k")).to_have_value("40")
    expect(anna.number("Top k")).to_be_focused()
    expect(anna.settings.get_by_role("button", name="Reset Top k")).to_be_hidden()


def test_the_slider_shows_the_focus_at_its_thumb(anna: Visitor) -> None:
    anna.reach_slider("Temperature")

    outlined = anna.slider("Temperature").evaluate(
        """slider => [slider, ...slider.querySelectorAll('*')]
          .filter((part) => getComputedStyle(part).outlineStyle === 'solid')
          .map((part) => part.getAttribute('class'))"""
    )
    assert [names.split()[0] for names in outlined] == ["q-slider__thumb-shape"]


@pytest.mark.parametrize(("device", "size"), [({}, 32), (PHONE, 44)], ids=["desk", "phone"])
def test_there_is_enough_to_hit(visit: Visit, device: dict[str, Any], size: int) -> None:
    anna = visit(**device).open().open_settings()

    for part in (
        anna.slider("Temperature").locator(".q-slider__track-container"),
        anna.settings.get_by_role("button", name="Save as preset…"),
        anna.settings.get_by_role("button", name="Reset to defaults"),
        anna.number("Top k").locator("xpath=ancestor::*[contains(@class, 'q-field__control ')]"),
    ):
        box = part.bounding_box()
        assert box
        assert box["height"] >= size


def test_the_panel_can_be_closed_from_its_end(anna: Visitor) -> None:
    anna.settings.evaluate("panel => panel.scrollTo(0, panel.scrollHeight)")

    anna.settings.get_by_role("button", name="Close settings").click(timeout=5000)

    expect(anna.settings).to_be_hidden()


def test_a_long_preset_name_stays_inside_the_panel(anna: Visitor, server: Server) -> None:
    server.stored(lambda store: Presets(store.database).save("wide" * 20, "Be wide."))
    anna.settings.get_by_role("combobox", name="Preset").click()
    anna.page.get_by_role("option", name="wide" * 20).click()
    expect(anna.settings.get_by_role("textbox", name="System prompt", exact=True)).to_have_value("Be wide.")

    assert anna.settings.evaluate("panel => panel.scrollWidth <= panel.clientWidth")


def _brightness(person: Visitor) -> int:
    """Of the page's background, from 0 to 255."""
    return int(person.page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))


def _see(person: Visitor, numbers: dict[str, str], system_prompt: str | None = None) -> None:
    person.open_settings()
    for name, value in numbers.items():
        expect(person.number(name)).to_have_value(value)
    if system_prompt is not None:
        expect(person.settings.get_by_role("textbox", name="System prompt")).to_have_value(system_prompt)


def _wait_until_stored(server: Server, conversation_id: str, **options: object) -> None:
    """What is typed is saved a moment later."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = server.stored(lambda store: store.conversation(conversation_id))
        assert found
        if all(getattr(found.options, name) == value for name, value in options.items()):
            return
        time.sleep(0.1)
    raise AssertionError(f"{options} were not stored but {found.options}")
