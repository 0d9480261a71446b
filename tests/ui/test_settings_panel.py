"""Presets of the system prompt, and a person's own defaults."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localchat_ui.conversation import ChatOptions
from localchat_ui.history.errors import HistoryError
from localchat_ui.history.preferences import Preferences
from localchat_ui.history.presets import Presets
from localchat_ui.history.store import HistoryStore
from localchat_ui.ui.components import system_prompt
from tests.ui.conftest import Program, Visitor, text_of, until

LONG_NAME = "n" * 80
HOSTILE = '"><img src=x onerror=alert(1)>'


# The panel


async def test_the_panel_is_drawn_when_it_is_opened(running: Program) -> None:
    me = running.visitor()
    await me.open()
    assert not me.sees("Temperature")

    await me.open_settings()
    await me.open_settings()

    assert me.find("Temperature value").value == 0.7


async def test_what_differs_from_the_default_is_marked_and_goes_back(
    running: Program, saved: list[ChatOptions]
) -> None:
    me = await visit(running)
    assert not me.sees("Reset Temperature")
    assert "changed" not in text_of(group(me, "Sampling"))

    me.find("Temperature value").set_value(1.5)
    me.find("Seed").set_value(7)
    me.find("System prompt").set_value("Rhyme.")
    assert "2 changed" in text_of(group(me, "Sampling"))
    assert "1 changed" in text_of(group(me, "Prompt"))
    for name in ("Temperature", "Seed", "System prompt"):
        me.press(f"Reset {name}")
        assert not me.sees(f"Reset {name}")

    assert (me.find("Temperature value").value, me.find("Seed").value) == (0.7, None)
    assert me.find("System prompt").value.startswith("You are a calm")
    assert "changed" not in text_of(group(me, "Sampling"))


async def test_own_defaults_are_what_a_setting_is_compared_with(running: Program, saved: list[ChatOptions]) -> None:
    me = await visit(running)
    me.find("Top k value").set_value(3)
    assert me.sees("Reset Top k")

    me.press("Make these my defaults")

    await until(lambda: not me.sees("Reset Top k"))
    me.find("Top k value").set_value(40)
    assert me.sees("Reset Top k")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("Temperature value", 9, "Must be from 0 to 2."),
        ("Temperature value", -0.1, "Must be from 0 to 2."),
        ("Top p value", 0, "Must be above 0, up to 1."),
        ("Top k value", 201, "Must be a whole number from 0 to 200."),
        ("Top k value", 1.5, "Must be a whole number from 0 to 200."),
        ("Min p value", 1.01, "Must be from 0 to 1."),
        ("Repeat penalty value", 0.4, "Must be from 0.5 to 2."),
        ("Max tokens value", 0, "Must be a whole number from 1 to 32,768."),
        ("Seed", -1, "Must be a whole number from 0 to 4,294,967,294."),
        ("Seed", 2**32, "Must be a whole number from 0 to 4,294,967,294."),
    ],
)
async def test_a_value_out_of_range_says_so_and_what_applied_goes_on(
    running: Program, saved: list[ChatOptions], field: str, value: float, says: str
) -> None:
    me = await visit(running)
    before = me.find(field).value

    me.find(field).set_value(value)
    me.find("Repeat penalty value" if field != "Repeat penalty value" else "Top k value").set_value(2)

    assert me.find(field).error == says
    assert me.find(field).value == value, "it is not moved without a word"
    await until(lambda: saved)
    name = field.removesuffix(" value").lower().replace(" ", "_")
    assert getattr(saved[-1], name) == before
    me.find(field).set_value(before)
    assert me.find(field).error is None


@pytest.mark.parametrize(
    ("query", "found", "hidden"),
    [
        ("temp", "Temperature", "Top k"),
        ("TOP P", "Top p", "Temperature"),
        ("likeliest", "Top k", "Repeat penalty"),
        ("sampling", "Temperature", "System prompt"),
        ("dark", "Theme", "Temperature"),
        ("preset", "System prompt", "Seed"),
        ("penalty repeat", "Repeat penalty", "Seed"),
    ],
)
async def test_a_search_shows_what_it_finds(running: Program, query: str, found: str, hidden: str) -> None:
    me = await visit(running)

    me.find("Search settings").set_value(query)

    assert me.sees(found)
    assert not me.sees(hidden)
    assert not me.sees("No setting matches.")
    me.find("Search settings").set_value("")
    assert me.sees(hidden)


async def test_a_search_that_finds_nothing_says_so(running: Program) -> None:
    me = await visit(running)

    me.find("Search settings").set_value("zzz")

    assert "No setting matches." in said(me)


# Presets


@pytest.mark.parametrize("name", ["Pirate", LONG_NAME, HOSTILE])
async def test_a_system_prompt_is_saved_under_a_name_and_chosen_again(
    running: Program, saved: list[ChatOptions], name: str
) -> None:
    me = await visit(running)
    await save_as(me, name, "You are a pirate.")
    assert (me.find("Preset").value, me.find("Preset").props.get("display-value")) == (name, None)
    me.find("System prompt").set_value("Rhyme.")
    await until(lambda: saved and saved[-1].system_prompt == "Rhyme.")
    assert me.find("Preset").value is None
    assert me.find("Preset").props["display-value"] == "Choose a preset"
    assert not me.sees("Delete preset")
    saved.clear()

    me.find("Preset").set_value(name)

    assert me.find("System prompt").value == "You are a pirate."
    assert "display-value" not in me.find("Preset").props
    await until(lambda: saved)
    assert saved[-1].system_prompt == "You are a pirate."


async def test_what_is_being_saved_is_not_overwritten_by_what_was_read_before(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, waiting, go_on = HistoryStore.set_options, asyncio.Event(), asyncio.Event()

    async def wait_and_store(self: HistoryStore, conversation_id: str, options: ChatOptions) -> None:
        waiting.set()
        await go_on.wait()
        await store(self, conversation_id, options)

    me = await visit(running)
    me.say("Hi")
    await me.sees_reply("Hi")
    monkeypatch.setattr(HistoryStore, "set_options", wait_and_store)
    me.find("System prompt").set_value("Rhyme.")
    await waiting.wait()
    me.rename("Hi", "Another")
    await until(lambda: 'document.title = "Another · LocalChat"' in me.scripts)
    assert me.find("System prompt").value == "Rhyme."
    go_on.set()


async def test_somebody_who_comes_later_finds_the_presets_and_which_one_applies(running: Program) -> None:
    me = await visit(running)
    default = me.find("System prompt").value
    await save_as(me, "Standard", default)
    other = await visit(running)

    await until(lambda: other.find("Preset").options == ["Standard"])
    assert other.find("Preset").value == "Standard"


async def test_a_tab_that_was_open_finds_a_new_preset_when_it_opens_the_list(running: Program) -> None:
    me = await visit(running)
    await save_as(me, "Pirate", "You are a pirate.")
    other = await visit(running)
    await until(lambda: other.find("Preset").options == ["Pirate"])
    await save_as(me, "Nurse", "You are a nurse.")

    other.trigger("Preset", "popup-show", None)

    await until(lambda: other.find("Preset").options == ["Nurse", "Pirate"])


async def test_a_preset_of_another_tab_is_not_replaced_for_good(running: Program) -> None:
    me, other = await visit(running), await visit(running)
    await save_as(me, "Pirate", "You are a pirate.")

    await save_as(other, "Pirate", "Arr.", "replaced")

    assert other.sees("Undo")


async def test_a_deleted_preset_can_be_brought_back(running: Program) -> None:
    me = await visit(running)
    await save_as(me, "Pirate", "You are a pirate.")

    me.press("Delete preset")
    await until(lambda: "“Pirate” was deleted." in said(me))
    assert me.find("Preset").options == []
    assert me.find("System prompt").value == "You are a pirate.", "the conversation keeps its words"

    me.press("Undo")
    await until(lambda: "“Pirate” was restored." in said(me))
    assert me.find("Preset").value == "Pirate"
    assert not me.sees("Undo")


async def test_a_name_that_is_taken_gets_the_new_text_and_gives_the_old_one_back(running: Program) -> None:
    me = await visit(running)
    await save_as(me, "Pirate", "You are a pirate.")
    me.find("System prompt").set_value("You are a polite pirate.")
    assert me.find("Preset name").value == "Pirate", "who changes a preset wants to save it again"

    me.press("Save preset")
    await until(lambda: "“Pirate” was replaced." in said(me))
    assert me.find("Preset").value == "Pirate"

    me.press("Undo")
    await until(lambda: "“Pirate” was restored." in said(me))
    me.find("Preset").set_value("Pirate")
    assert me.find("System prompt").value == "You are a pirate."


async def test_a_preset_without_a_name_is_refused_where_the_name_belongs(running: Program) -> None:
    me = await visit(running)
    me.find("Preset name").set_value("  ")

    me.press("Save preset")

    await until(lambda: me.find("Preset name").error)
    assert "needs a name" in me.find("Preset name").error
    assert not any(".close()" in script for script in me.scripts)
    me.find("Preset name").set_value("Pirate")
    assert not me.find("Preset name").error


async def test_the_offer_to_bring_a_preset_back_ends_after_a_while(
    running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_prompt, "UNDO_SECONDS", 0.02)
    me = await visit(running)
    await save_as(me, "Pirate", "You are a pirate.")

    me.press("Delete preset")

    await until(lambda: me.find("Preset").options == [] and not me.sees("Undo"))


async def test_presets_that_cannot_be_read_say_why(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    me = await visit(running)

    async def fail(_: Presets) -> None:
        raise HistoryError("The disk is gone.")

    monkeypatch.setattr(Presets, "all", fail)
    me.trigger("Preset", "popup-show", None)

    await until(lambda: me.alerts == ["The disk is gone."])


# Defaults


async def test_own_defaults_are_what_new_chats_start_with(running: Program, saved: list[ChatOptions]) -> None:
    me = await visit(running)
    assert "New chats start with the original defaults." in said(me)
    me.find("Temperature value").set_value(1.5)
    me.find("System prompt").set_value("Rhyme.")
    await until(lambda: saved)

    me.press("Make these my defaults")

    await until(lambda: "Saved. New chats start with your defaults." in said(me))
    conversation = me.scripts.copy()
    me.press("New chat")
    await until(lambda: me.scripts != conversation)
    assert (me.find("Temperature value").value, me.find("System prompt").value) == (1.5, "Rhyme.")
    me.find("Temperature value").set_value(0.1)
    me.press("Reset to defaults")
    assert me.find("Temperature value").value == 1.5


async def test_own_defaults_can_be_given_up(running: Program) -> None:
    me = await visit(running)
    assert not me.sees("Restore the original defaults")
    me.find("Top k value").set_value(3)
    me.press("Make these my defaults")
    await until(lambda: me.sees("Restore the original defaults"))
    other = await visit(running)
    assert other.find("Top k value").value == 3
    assert "New chats start with your defaults." in said(other)

    me.press("Restore the original defaults")

    await until(lambda: "New chats start with the original defaults." in said(me))
    me.press("Reset to defaults")
    assert me.find("Top k value").value == 40


async def test_values_that_are_not_allowed_do_not_become_defaults(running: Program) -> None:
    me = await visit(running)
    me.find("Temperature value").set_value(5)

    me.press("Make these my defaults")

    await until(lambda: "A value above is out of range, so nothing was saved." in said(me))
    assert (await visit(running)).find("Temperature value").value == 0.7


async def test_defaults_that_cannot_be_saved_say_why(running: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    me = await visit(running)

    async def fail(*_: object) -> None:
        raise HistoryError("The disk is gone.")

    monkeypatch.setattr(Preferences, "set", fail)
    me.find("Top k value").set_value(3)
    me.press("Make these my defaults")

    await until(lambda: me.alerts == ["The defaults could not be saved: The disk is gone."])
    assert "New chats start with the original defaults." in said(me)


async def visit(running: Program) -> Visitor:
    me = running.visitor()
    await me.open()
    await me.open_settings()
    return me


async def save_as(me: Visitor, name: str, text: str, outcome: str = "saved") -> None:
    me.find("System prompt").set_value(text)
    me.find("Preset name").set_value(name)
    me.press("Save preset")
    await until(lambda: f"“{name}” was {outcome}." in said(me))


def group(me: Visitor, title: str) -> Any:
    """The settings below a heading."""
    sections = [each for each in me.user.current_layout.descendants() if "setting-group" in each.classes]
    return next(section for section in sections if text_of(section).startswith(title))


def said(me: Visitor) -> list[str]:
    """What the page tells in passing."""
    statuses = [element for element in me.user.current_layout.descendants() if element.props.get("role") == "status"]
    return [text_of(element) for element in statuses]
